"""A model's shape from the config.json beside its weights: parameters, those active, cache per token, bytes per parameter.

Counts the language model alone, from the dimensions; norms and biases, a thousandth of it, are left out. Of an architecture whose layers
cannot be counted from the usual members (state spaces, linear attention) it says so.
"""

from __future__ import annotations

from typing import Any

import msgspec

PLAIN_MLP = frozenset({"phi", "gpt_neox", "gptj", "gpt2", "opt", "falcon", "starcoder2", "nemotron", "bert", "roberta", "xlm-roberta"})
"""Two matrices where others have three: no gate."""
TIED = frozenset(
    {"gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "cohere", "cohere2", "ernie4_5", "ernie4_5_moe", "bert", "roberta", "xlm-roberta"}
)
"""Whose output shares the embedding's weights unless they say otherwise."""
DEFAULTS: dict[str, dict[str, int]] = {
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256},
    "gemma3_text": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208},
    "qwen3": {"head_dim": 128},
    "qwen3_moe": {"head_dim": 128},
    "mixtral": {"num_local_experts": 8, "num_experts_per_tok": 2},
    "llama4_text": {"interleave_moe_layer_step": 1, "num_experts_per_tok": 1, "vocab_size": 202_048},
}
"""What files leave out because the library's default applies (huggingface/transformers, configuration_*.py)."""
UNCOUNTED = (
    *("hybrid_override_pattern", "layers_block_type", "ssm_cfg", "state_size", "mamba_d_state", "lru_width"),
    *("linear_num_value_heads", "linear_attn_config", "layer_group_size"),
    *("kv_channels", "share_q_dim", "use_cla", "parallel_attn_mlp_res", "altup_num_inputs"),
)
"""Members of models that are not, or not only, the attention and feed-forward layers that are counted here: state spaces and recurrent
layers; linear attention; and attention of experts, narrow queries, caches shared by layers, a dense part beside the experts, residuals
that are learnt."""
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_k", "moe_topk", "moe_top_k")
SHARED_WIDTH = ("shared_expert_intermediate_size", "shared_intermediate_size")
SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
FIRST_DENSE = ("first_k_dense_replace", "moe_layer_start_index")
STEP = ("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq", "moe_layer_interval")

DTYPE_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "float8_e4m3fn": 1.0, "float8_e5m2": 1.0}
METHOD_BITS = {"fp8": 8.0, "fbgemm_fp8": 8.0, "mxfp4": 4.25, "nvfp4": 4.5, "awq": 4.5, "gptq": 4.5, "bitsandbytes": 8.0}
"""With their scales: blocks of 32 for MXFP4, of 16 for NVFP4, of 128 (and zeros) for AWQ and GPTQ."""
SCALES = 0.5
"""Bits per weight that scales add where a file states bare bits below eight."""
CACHE_BYTES = 2.0
MOST = 10**9
"""No dimension is larger."""


class HfConfigError(ValueError):
    """The configuration is not one whose parameters can be counted; the text says which member is at fault."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters in 1e9."""

    model_type: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    experts: int
    """Routed experts in a layer that has them; 0: none."""
    experts_per_token: int
    total_b: float
    active_b: float
    """All but the experts a token is not routed to, the embedding included."""
    embedding_b: float
    """Of the input alone, which some publishers leave out of `active_b`."""
    kv_bytes: float
    """Cache per token of context, in 16 bits, as if every layer looked at all of it."""
    bytes_per_parameter: float


class _Counts(msgspec.Struct, frozen=True, kw_only=True):
    attention: int
    dense: int
    routed: int
    shared: int
    kv: int
    """Numbers cached per token."""


def architecture(config: dict[str, Any]) -> Architecture:
    """The shape that a decoded config.json states. Raises HfConfigError."""
    for nested in ("thinker_config", "text_config", "llm_config", "language_config"):
        inner = config.get(nested)
        if isinstance(inner, dict):
            outer: dict[str, Any] = {key: config[key] for key in ("quantization_config", "torch_dtype", "dtype") if key in config}
            return architecture({**outer, **inner})
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise HfConfigError("model_type: expected a text")
    _refuse_uncounted(config, model_type)
    shape = {**DEFAULTS.get(model_type, {}), **{key: value for key, value in config.items() if value is not None}}
    layers, hidden = _number(shape, "num_hidden_layers"), _number(shape, "hidden_size")
    experts, chosen = _experts(shape)
    counts = _counts(shape, model_type, experts)
    embedding = _number(shape, "vocab_size") * hidden
    tables = embedding * (1 if shape.get("tie_word_embeddings", model_type in TIED) else 2)
    total = tables + counts.attention + counts.dense + counts.shared + counts.routed
    active = total - counts.routed * (experts - chosen) // max(1, experts)
    heads = _number(shape, "num_attention_heads")
    return Architecture(
        model_type=model_type,
        layers=layers,
        hidden_size=hidden,
        heads=heads,
        kv_heads=_first(shape, ("num_key_value_heads",)) or heads,
        experts=experts,
        experts_per_token=chosen,
        total_b=total / 1e9,
        active_b=active / 1e9,
        embedding_b=embedding / 1e9,
        kv_bytes=counts.kv * CACHE_BYTES,
        bytes_per_parameter=_bytes_per_parameter(shape, total, tables, counts.routed),
    )


def _refuse_uncounted(config: dict[str, Any], model_type: str) -> None:
    for member in UNCOUNTED:
        if config.get(member):
            raise HfConfigError(f"{member}: the parameters of {model_type} cannot be counted from its configuration")
    attention = config.get("attn_type_list")
    if isinstance(attention, list) and 0 in attention:
        raise HfConfigError(f"attn_type_list: layers of linear attention in {model_type} cannot be counted")
    kinds = config.get("layer_types")
    other = [kind for kind in kinds if not str(kind).endswith("attention") or "linear" in str(kind)] if isinstance(kinds, list) else []
    if other:
        raise HfConfigError(f"layer_types: layers of the kind {str(other[0])[:40]!r} cannot be counted")


def _experts(shape: dict[str, Any]) -> tuple[int, int]:
    """In a layer, and of them those that a token is routed to; of one alone it is no mixture."""
    experts = _first(shape, EXPERTS)
    if experts > 1:
        chosen = _first(shape, CHOSEN)
        if not 0 < chosen <= experts:
            raise HfConfigError(f"num_experts_per_tok: expected 1 to {experts}, the number of experts")
        return experts, chosen
    for name, value in shape.items():
        if "expert" in name and isinstance(value, int) and value > 1:
            raise HfConfigError(f"{name[:40]}: experts that cannot be counted")
    return 0, 0


def _counts(shape: dict[str, Any], model_type: str, experts: int) -> _Counts:
    layers, hidden = _number(shape, "num_hidden_layers"), _number(shape, "hidden_size")
    attention, kv = _latent(shape) if _first(shape, ("kv_lora_rank",)) else _grouped(shape)
    matrices = 2 if model_type in PLAIN_MLP else 3
    width = _first(shape, ("intermediate_size", "n_inner", "ffn_dim")) or 4 * hidden
    if not experts:
        return _Counts(attention=attention * layers, dense=matrices * hidden * width * layers, routed=0, shared=0, kv=kv * layers)
    sparse = _sparse_layers(shape, layers)
    expert_width = _first(shape, ("moe_intermediate_size",)) or width
    shared_width = _first(shape, SHARED_WIDTH) or _first(shape, SHARED) * expert_width
    if model_type == "llama4_text":
        width, shared_width = _first(shape, ("intermediate_size_mlp",)) or width, expert_width
    return _Counts(
        attention=attention * layers,
        dense=3 * hidden * width * (layers - sparse),
        routed=3 * hidden * expert_width * experts * sparse,
        shared=(3 * hidden * shared_width + hidden * experts) * sparse,
        kv=kv * layers,
    )


def _sparse_layers(shape: dict[str, Any], layers: int) -> int:
    """Layers whose feed-forward part is a mixture."""
    listed = shape.get("moe_layers")
    if isinstance(listed, list):
        return len(listed)
    only_dense = shape.get("mlp_only_layers")
    if isinstance(only_dense, list) and only_dense:
        return layers - len(only_dense)
    last = shape.get("moe_layer_end_index")
    end = min(layers, last + 1) if isinstance(last, int) and last >= 0 else layers
    return max(0, end - _first(shape, FIRST_DENSE)) // (_first(shape, STEP) or 1)


def _grouped(shape: dict[str, Any]) -> tuple[int, int]:
    """Weights of one layer's attention, and numbers it caches per token."""
    hidden, heads = _number(shape, "hidden_size"), _number(shape, "num_attention_heads")
    kv_heads = _first(shape, ("num_key_value_heads",)) or heads
    head = _first(shape, ("head_dim",)) or hidden // heads
    return 2 * hidden * heads * head + 2 * hidden * kv_heads * head, 2 * kv_heads * head


def _latent(shape: dict[str, Any]) -> tuple[int, int]:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values through one narrow latent, which is what is cached."""
    hidden, heads, latent = _number(shape, "hidden_size"), _number(shape, "num_attention_heads"), _number(shape, "kv_lora_rank")
    plain, turned, value = (_number(shape, name) for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    query = _first(shape, ("q_lora_rank",))
    queries = (hidden * query + query * heads * (plain + turned)) if query else hidden * heads * (plain + turned)
    keys = hidden * (latent + turned) + latent * heads * (plain + value)
    return queries + keys + heads * value * hidden, latent + turned


def _bytes_per_parameter(shape: dict[str, Any], total: int, tables: int, routed: int) -> float:
    """Embedding and output stay in the model's own type; MXFP4 packs the experts alone, the others all that is left."""
    plain = DTYPE_BYTES.get(str(shape.get("torch_dtype", shape.get("dtype", "bfloat16"))).removeprefix("torch."), 2.0)
    quantised = shape.get("quantization_config")
    if not isinstance(quantised, dict):
        return plain
    bits = _bits(quantised)
    if bits is None:
        return plain
    packed = routed if quantised.get("quant_method") == "mxfp4" and routed else total - tables
    return (packed * bits / 8 + (total - packed) * plain) / total


def _bits(quantised: dict[str, Any]) -> float | None:
    """Per quantised weight, scales included."""
    method = str(quantised.get("quant_method", "")).lower()
    if quantised.get("load_in_4bit") is True:
        return 4.0 + SCALES
    groups = quantised.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = group.get("weights") if isinstance(group, dict) else None
    stated = weights.get("num_bits") if isinstance(weights, dict) else quantised.get("bits", quantised.get("w_bit"))
    if isinstance(stated, int) and not isinstance(stated, bool) and 1 <= stated <= 32:
        return stated + SCALES if stated < 8 else float(stated)
    named = f"{method} {quantised.get('quant_algo', '')}".lower()
    return next((bits for name, bits in METHOD_BITS.items() if name in named), None)


def _number(shape: dict[str, Any], name: str) -> int:
    found = _first(shape, (name,))
    if not found:
        raise HfConfigError(f"{name}: expected a whole number above 0")
    return found


def _first(shape: dict[str, Any], names: tuple[str, ...]) -> int:
    """Of the spellings the one that is there; 0 where there is none."""
    for name in names:
        found = shape.get(name)
        if found is None:
            continue
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MOST:
            raise HfConfigError(f"{name}: expected a whole number")
        return found
    return 0
