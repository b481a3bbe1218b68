"""A tiny causal model with code of its own: rotary positions on half of each head, and stream_generate, as FastChat asks it."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from .configuration_tinyglm import TinyGlmConfig


def rotate(states):
    """(batch, heads, positions, size): the first half of each head turned by its position, in pairs of neighbours."""
    length, size = states.shape[-2], states.shape[-1] // 2
    speed = 10000.0 ** (-torch.arange(0, size, 2, device=states.device) / size)
    angle = torch.arange(length, device=states.device)[:, None] * speed
    even, odd, rest = states[..., 0:size:2], states[..., 1:size:2], states[..., size:]
    turned = torch.stack((even * angle.cos() - odd * angle.sin(), odd * angle.cos() + even * angle.sin()), dim=-1)
    return torch.cat((turned.flatten(-2), rest), dim=-1)


class Block(nn.Module):
    """Attention and a gated layer."""

    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(2 * width, width)

    def forward(self, states):
        """(batch, positions, width)."""
        batch, length, width = states.shape
        parts = self.query_key_value(self.norm_in(states)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(rotate(parts[0]), rotate(parts[1]), parts[2], is_causal=True)
        states = states + self.dense(mixed.transpose(1, 2).reshape(batch, length, width))
        gate, value = self.up(self.norm_out(states)).chunk(2, dim=-1)
        return states + self.down(nn.functional.silu(gate) * value)


class ChatGLMTiny(PreTrainedModel):
    """FastChat chooses its way of asking by `chatglm` in the class's name."""

    config_class = TinyGlmConfig
    main_input_name = "input_ids"

    def __init__(self, config, **_):
        """Random weights."""
        super().__init__(config)
        self.embedding = nn.Embedding(config.padded_vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.output_layer = nn.Linear(config.hidden_size, config.padded_vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids=None, **_):
        """Scores of the next token at each position."""
        states = self.embedding(input_ids)
        for layer in self.layers:
            states = layer(states)
        return CausalLMOutput(logits=self.output_layer(states))

    @torch.inference_mode()
    def stream_generate(self, input_ids, max_length=64, do_sample=False, temperature=1.0, logits_processor=(), **_):
        """All ids so far, after each new one."""
        while input_ids.shape[1] < max_length:
            scores = self(input_ids).logits[:, -1]
            for processor in logits_processor:
                scores = processor(input_ids, scores)
            chosen = torch.multinomial((scores / temperature).softmax(-1), 1) if do_sample else scores.argmax(-1, keepdim=True)
            input_ids = torch.cat((input_ids, chosen), dim=1)
            yield input_ids
            if int(chosen) == self.config.eos_token_id:
                return
