"""Makes a tiny chat model with random weights in the directory of the first argument; nothing is downloaded.

A Qwen2 of 64 hidden units and two layers, a BPE tokenizer trained on the standard library's sources, and a ChatML template that
knows tools. Deterministic: the same versions make the same weights, so engines on one machine agree with each other.
"""

import pathlib
import sys
import sysconfig

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

VOCABULARY, CONTEXT, HIDDEN, LAYERS = 2048, 2048, 64, 2
CORPUS_BYTES = 1_500_000
# Qwen2's pre-tokenizer, as in its published tokenizer.json
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEMPLATE = """{%- if tools %}<|im_start|>system
{%- if messages and messages[0].role == 'system' %}
{{ messages[0].content }}
{% endif %}
# Tools
<tools>
{%- for t in tools %}
{{ t | tojson }}
{%- endfor %}
</tools>
Reply with <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>
{% elif messages and messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for m in messages %}
{%- if m.role != 'system' or not loop.first %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}
{%- if m.role == 'tool' %}
<tool_response>
{{ m.content }}
</tool_response>
{%- elif m.content is string %}
{{ m.content }}
{%- elif m.content %}
{%- for p in m.content %}{{ p.text if p.type == 'text' else '' }}{% endfor %}
{%- endif %}
{%- for c in (m.tool_calls or []) %}
<tool_call>
{{ (c.function if c.function else c) | tojson }}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def corpus():
    left = CORPUS_BYTES
    for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        yield text
        left -= len(text)
        if left < 0:
            return


def trained_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=CONTEXT,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast


def bias(text, *, special, end):
    """Added to a token's logit: blanks, control and special tokens never, JSON's closers often, the end of the turn now and then."""
    if special:
        return 5.0 if end else -40.0
    if not text.strip() or any(ord(c) < 32 or ord(c) == 127 for c in text):
        return -40.0
    if "\ufffd" in text:
        return -4.0
    if text[0] in '"}],':
        return 5.0
    if text.isdigit():
        return -1.0
    return 1.0 if text.strip().isalpha() and text[0] == " " else 0.0


@torch.no_grad()
def shape_output(model, tokenizer):
    """Random weights under a constant residual channel (index 0) that acts as a bias on the logits.

    Without it a random model under a JSON grammar emits blanks until max_tokens.
    """
    generator = torch.Generator().manual_seed(1)

    def normal(weight, scale):
        weight.copy_(torch.randn(weight.shape, generator=generator) * scale)

    embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    normal(embeddings, 1.0)
    embeddings[:, 0] = 2.0
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj):
            normal(part.weight, part.weight.shape[1] ** -0.5)
        attention.o_proj.weight[0] = mlp.down_proj.weight[0] = 0  # nothing writes to channel 0
        layer.input_layernorm.weight[0] = layer.post_attention_layernorm.weight[0] = 0  # nothing reads it
    normal(head, 2.0 * HIDDEN**-0.5)
    for token in range(len(tokenizer)):
        special = token in tokenizer.all_special_ids or token < 3
        head[token, 0] = bias(tokenizer.decode([token]), special=special, end=token == tokenizer.eos_token_id) / 1.4


def main():
    directory = sys.argv[1]
    torch.manual_seed(0)
    tokenizer = trained_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        use_sliding_window=False,
        tie_word_embeddings=False,
    )
    model = Qwen2ForCausalLM(config)
    shape_output(model, tokenizer)
    model.to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


main()
