"""Shapes of published configurations against the parameters their publishers state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon import shipped
from carbon.hf_config import HfConfigError, architecture

GPT_OSS_QUANT = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}


def decoder(model_type, dimensions, **members):
    """Hidden, feed-forward, layers, heads, cached heads, vocabulary."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")
    return {"model_type": model_type, **dict(zip(names, dimensions, strict=True)), **members}


def experts(number, chosen, width, **members):
    return {"num_experts": number, "num_experts_per_tok": chosen, "moe_intermediate_size": width, **members}


def latent(query, **members):
    return {"q_lora_rank": query, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, **members}


SCOUT = decoder("llama4_text", (5120, 8192, 48, 40, 8, 202048), head_dim=128, num_local_experts=16, num_experts_per_tok=1)
PUBLISHED = {
    "llama-3.1-8b": (decoder("llama", (4096, 14336, 32, 32, 8, 128256), tie_word_embeddings=False), 8.03, 8.03),
    "llama-3.1-70b": (decoder("llama", (8192, 28672, 80, 64, 8, 128256), tie_word_embeddings=False), 70.6, 70.6),
    "llama-3.1-405b": (decoder("llama", (16384, 53248, 126, 128, 8, 128256)), 405.8, 405.8),
    "llama-3.2-1b": (decoder("llama", (2048, 8192, 16, 32, 8, 128256), head_dim=64, tie_word_embeddings=True), 1.24, 1.24),
    "mistral-7b": (decoder("mistral", (4096, 14336, 32, 32, 8, 32768)), 7.25, 7.25),
    "qwen2.5-0.5b": (decoder("qwen2", (896, 4864, 24, 14, 2, 151936), tie_word_embeddings=True), 0.494, 0.494),
    "qwen2.5-7b": (decoder("qwen2", (3584, 18944, 28, 28, 4, 152064), tie_word_embeddings=False), 7.62, 7.62),
    "qwen3-8b": (decoder("qwen3", (4096, 12288, 36, 32, 8, 151936), head_dim=128, tie_word_embeddings=False), 8.19, 8.19),
    "qwen3-32b": (decoder("qwen3", (5120, 25600, 64, 64, 8, 151936), tie_word_embeddings=False), 32.8, 32.8),
    "qwen3-30b-a3b": (decoder("qwen3_moe", (2048, 6144, 48, 32, 4, 151936), **experts(128, 8, 768, decoder_sparse_step=1)), 30.5, 3.3),
    "qwen3-235b-a22b": (decoder("qwen3_moe", (4096, 12288, 94, 64, 4, 151936), **experts(128, 8, 1536, mlp_only_layers=[])), 235, 22),
    "qwen1.5-moe-a2.7b": (
        decoder("qwen2_moe", (2048, 5632, 24, 16, 16, 151936), **experts(60, 4, 1408, shared_expert_intermediate_size=5632)),
        14.3,
        2.7,
    ),
    "mixtral-8x7b": (decoder("mixtral", (4096, 14336, 32, 32, 8, 32000), num_local_experts=8, num_experts_per_tok=2), 46.7, 12.9),
    "mixtral-8x22b": (decoder("mixtral", (6144, 16384, 56, 48, 8, 32768), num_local_experts=8, num_experts_per_tok=2), 141, 39),
    "deepseek-v3": (
        decoder(
            "deepseek_v3",
            (7168, 18432, 61, 128, 128, 129280),
            **latent(1536, n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8, moe_intermediate_size=2048),
            first_k_dense_replace=3,
            moe_layer_freq=1,
        ),
        671,
        37,
    ),
    "deepseek-v2": (
        decoder(
            "deepseek_v2",
            (5120, 12288, 60, 128, 128, 102400),
            **latent(1536, n_routed_experts=160, n_shared_experts=2, num_experts_per_tok=6, moe_intermediate_size=1536),
            first_k_dense_replace=1,
        ),
        236,
        21,
    ),
    "deepseek-v2-lite": (
        decoder(
            "deepseek_v2",
            (2048, 10944, 27, 16, 16, 102400),
            **latent(None, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, moe_intermediate_size=1408),
            first_k_dense_replace=1,
        ),
        15.7,
        None,
    ),
    "gpt-oss-20b": (
        decoder("gpt_oss", (2880, 2880, 24, 64, 8, 201088), head_dim=64, num_local_experts=32, experts_per_token=4),
        20.9,
        None,
    ),
    "gpt-oss-120b": (
        decoder("gpt_oss", (2880, 2880, 36, 64, 8, 201088), head_dim=64, num_local_experts=128, experts_per_token=4),
        116.8,
        None,
    ),
    "gemma-2-9b": (decoder("gemma2", (3584, 14336, 42, 16, 8, 256000), head_dim=256), 9.24, 9.24),
    "gemma-2-27b": (decoder("gemma2", (4608, 36864, 46, 32, 16, 256000), head_dim=128), 27.2, 27.2),
    "phi-3-mini": (decoder("phi3", (3072, 8192, 32, 32, 32, 32064), tie_word_embeddings=False), 3.82, 3.82),
    "phi-4": (decoder("phi3", (5120, 17920, 40, 40, 10, 100352), tie_word_embeddings=False), 14.7, 14.7),
    "phi-3.5-moe": (decoder("phimoe", (4096, 6400, 32, 32, 8, 32064), num_local_experts=16, num_experts_per_tok=2), 41.9, 6.6),
    "command-r7b": (decoder("cohere2", (4096, 14336, 32, 32, 8, 256000)), 8.03, 8.03),
    "bert-base": (decoder("bert", (768, 3072, 12, 12, None, 30522)), 0.109, 0.109),
    "ernie-4.5-21b-a3b": (
        decoder(
            "ernie4_5_moe",
            (2560, 12288, 28, 20, 4, 103424),
            head_dim=128,
            moe_num_experts=64,
            moe_k=6,
            moe_intermediate_size=1536,
            moe_num_shared_experts=2,
            moe_layer_start_index=1,
            moe_layer_end_index=-1,
            moe_layer_interval=1,
        ),
        21.8,
        None,
    ),
    "ling-lite": (
        decoder("bailing_moe", (2048, 5632, 28, 16, 4, 126464), **experts(64, 6, 1408, num_shared_experts=2, first_k_dense_replace=0)),
        16.8,
        2.75,
    ),
    "phi-2": (decoder("phi", (2560, 10240, 32, 32, None, 51200), tie_word_embeddings=False), 2.78, 2.78),
    "llama-4-scout": ({"model_type": "llama4", "text_config": SCOUT, "vision_config": {"hidden_size": 1408}}, 109, 17),
    "llama-4-maverick": (
        {
            "model_type": "llama4",
            "text_config": {**SCOUT, "num_local_experts": 128, "interleave_moe_layer_step": 2, "intermediate_size_mlp": 16384},
        },
        400,
        17,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_totals_are_those_that_are_published(name):
    config, total_b, active_b = PUBLISHED[name]
    found = architecture(config)
    assert found.total_b == pytest.approx(total_b, rel=0.02)
    if active_b is not None:
        assert found.active_b == pytest.approx(active_b, rel=0.025)
    assert found.bytes_per_parameter == 2


@pytest.mark.parametrize(("name", "active_b"), [("gpt-oss-20b", 3.61), ("gpt-oss-120b", 5.13)])
def test_openai_leaves_the_embedding_out_of_what_is_active(name, active_b):
    found = architecture(PUBLISHED[name][0])
    assert found.active_b - found.embedding_b == pytest.approx(active_b, rel=0.02)


def test_nested_text_is_read_and_what_it_leaves_out_is_the_librarys_default():
    """Gemma 3 4B: 3.88B of text; its 0.42B of vision are not counted. Heads and vocabulary are not in the published file."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024}
    found = architecture({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}, "torch_dtype": "bfloat16"})
    assert found.total_b == pytest.approx(3.88, rel=0.01)
    assert (found.heads, found.kv_heads, found.layers) == (8, 4, 34)
    twelve = {**text, "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48}
    twelve |= {"num_attention_heads": 16, "num_key_value_heads": 8}
    assert architecture({"model_type": "gemma3", "text_config": twelve}).total_b == pytest.approx(12.2 - 0.42, rel=0.01)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-32b", "qwen3-30b-a3b", "qwen3-235b-a22b", "mixtral-8x7b", "gpt-oss-120b"])
def test_width_and_cache_are_those_of_the_shipped_table(name):
    (row,) = [row for row in shipped.profiles().open if row.name == name]
    found = architecture(PUBLISHED[name][0])
    assert (found.hidden_size, found.kv_bytes) == (row.d_model, row.kv_bytes)


def test_a_latent_cache_is_narrow():
    """(512 + 64) numbers of two bytes in 61 layers."""
    assert architecture(PUBLISHED["deepseek-v3"][0]).kv_bytes == 576 * 2 * 61


@pytest.mark.parametrize(
    ("name", "quantised", "bytes_per_parameter"),
    [
        ("gpt-oss-120b", GPT_OSS_QUANT, 0.56),
        ("gpt-oss-20b", GPT_OSS_QUANT, 0.66),
        ("deepseek-v3", {"quant_method": "fp8", "weight_block_size": [128, 128]}, 1.0),
        ("llama-3.1-70b", {"quant_method": "awq", "bits": 4, "group_size": 128}, 0.6),
        ("llama-3.1-70b", {"quant_method": "gptq", "bits": 8}, 1.03),
        ("llama-3.1-70b", {"quant_method": "bitsandbytes", "load_in_4bit": True}, 0.6),
        ("llama-3.1-70b", {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}, 1.03),
        ("llama-3.1-70b", {"quant_method": "modelopt", "quant_algo": "NVFP4"}, 0.6),
        ("llama-3.1-70b", {"quant_method": "wonder"}, 2.0),
    ],
)
def test_bytes_per_parameter_are_a_mean_over_all_that_is_kept(name, quantised, bytes_per_parameter):
    found = architecture({**PUBLISHED[name][0], "torch_dtype": "bfloat16", "quantization_config": quantised})
    assert found.bytes_per_parameter == pytest.approx(bytes_per_parameter, abs=0.012)


def test_full_precision_is_four_bytes():
    assert architecture({**PUBLISHED["qwen3-8b"][0], "dtype": "float32"}).bytes_per_parameter == 4


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"model_type": None}, "model_type"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "4096"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"num_key_value_heads": 2.5}, "num_key_value_heads"),
        ({"intermediate_size": 10**12}, "intermediate_size"),
        ({"num_experts": 4, "num_experts_per_tok": 5}, "num_experts_per_tok"),
        ({"hybrid_override_pattern": "M-M*"}, "hybrid_override_pattern"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "layer_types"),
        ({"num_experts": 8}, "num_experts_per_tok"),
        ({"num_local_experts": 8, "num_experts_per_tok": 0}, "num_experts_per_tok"),
        ({"router_num_experts": 8, "router_top": 2}, "router_num_experts"),
        ({"num_local_experts": 8, "num_experts_per_tok": 2, "parallel_attn_mlp_res": True}, "parallel_attn_mlp_res"),
        ({"attn_type_list": [0, 0, 1]}, "attn_type_list"),
        ({"block_types": ["recurrent", "attention"], "lru_width": 2560}, "lru_width"),
        ({"linear_attn_config": {"full_attn_layers": [4]}}, "linear_attn_config"),
        ({"moe_num_experts": 8, "moe_top_k": 2, "kv_channels": 128}, "kv_channels"),
    ],
)
def test_what_cannot_be_counted_is_an_error_that_names_the_member(change, member):
    with pytest.raises(HfConfigError, match=f"^{member}: "):
        architecture({**PUBLISHED["llama-3.1-8b"][0], **change})


def test_one_expert_is_no_mixture_and_a_list_of_whole_attention_no_hybrid():
    dense = PUBLISHED["llama-3.1-8b"][0]
    found = architecture({**dense, "num_experts": 1, "moe_topk": 1, "num_shared_expert": 1, "attn_type_list": [1, 1]})
    assert (found.total_b, found.experts) == (architecture(dense).total_b, 0)


def test_the_language_model_of_one_that_hears_and_speaks_is_read():
    text = PUBLISHED["qwen3-30b-a3b"][0]
    found = architecture({"model_type": "qwen3_omni_moe", "thinker_config": {"text_config": text, "audio_config": {"hidden_size": 1}}})
    assert found.total_b == pytest.approx(30.5, rel=0.02)


VALUES = st.none() | st.booleans() | st.integers(-5, 10**10) | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)


@given(st.dictionaries(st.sampled_from(sorted({key for config, *_ in PUBLISHED.values() for key in config})), VALUES))
def test_any_other_object_gives_a_shape_or_that_error(change):
    try:
        found = architecture({**PUBLISHED["qwen3-30b-a3b"][0], **change})
    except HfConfigError:
        return
    assert 0 < found.active_b <= found.total_b
    assert 0 < found.bytes_per_parameter <= 4
