"""Small random models with a byte tokenizer and a ChatML template; in: a folder; out: the same, filled."""

from __future__ import annotations

from pathlib import Path

CONTEXT_TOKENS = 512
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write(folder: Path, *, hidden: int = 32, dtype: str = "float32", shard_size: str = "5GB") -> Path:
    """A Llama with random weights. Takes some seconds: torch and transformers are imported."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens, end = tokenizer(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=end,
        eos_token_id=end,
    )
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard_size)
    return folder


def write_gpt2(folder: Path) -> Path:
    """A GPT-2 with random weights: FastChat's stock worker still loads it with transformers 5, which it does not do with a Llama."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokens, end = tokenizer(folder)
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=tokens, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT_TOKENS, bos_token_id=end, eos_token_id=end)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def write_glm(folder: Path) -> Path:
    """A GLM of transformers' own classes with random weights."""
    import torch
    from transformers import GlmConfig, GlmForCausalLM

    tokens, end = tokenizer(folder)
    torch.manual_seed(1)
    config = GlmConfig(
        vocab_size=tokens,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=CONTEXT_TOKENS,
        pad_token_id=end,
        eos_token_id=end,
    )
    GlmForCausalLM(config).save_pretrained(folder)
    return folder


def tokenizer(folder: Path) -> tuple[int, int]:
    """(tokens, the one that ends a text) of a tokenizer written into `folder`: bytes, and the two marks of ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"])
    fast.chat_template = CHATML
    fast.save_pretrained(folder)
    return len(fast), int(fast.eos_token_id)
