"""The configuration of a tiny model with code of its own, in the style of chatglm2: names as in that, and an auto_map."""

from transformers import PretrainedConfig


class TinyGlmConfig(PretrainedConfig):
    """`seq_length` and `padded_vocab_size` are chatglm2's names for them."""

    model_type = "chatglm"

    def __init__(self, padded_vocab_size=300, hidden_size=32, num_layers=2, num_attention_heads=4, seq_length=512, **more):
        """Sizes of the model."""
        self.padded_vocab_size = self.vocab_size = padded_vocab_size
        self.hidden_size = hidden_size
        self.num_layers = self.num_hidden_layers = num_layers
        self.num_attention_heads = num_attention_heads
        self.seq_length = seq_length
        super().__init__(**more)
