"""A file in the format of e5-small-q4.bin with 32 dimensions and one layer, so that the way from a wheel to vectors runs in a second."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

HIDDEN, LAYERS, HEADS, INNER, POSITIONS, TYPES = 32, 1, 2, 64, 512, 1
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *map(chr, range(33, 127)), *"检索召回关键词向量段落文库论文引用证明的是在和多少什么"]


def write(path: Path, seed: int = 0) -> Path:
    """Write the file: matrices in blocks of 4 bits, vectors as float32."""
    random = np.random.default_rng(seed)
    squares = {f"l0.{name}.w": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "ao")}
    shapes: dict[str, tuple[int, ...]] = {"emb.word": (len(PIECES), HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (TYPES, HIDDEN)}
    shapes |= squares | {"l0.fi.w": (INNER, HIDDEN), "l0.fo.w": (HIDDEN, INNER)}
    tensors = {name: packed(random.normal(0, 0.02 if name == "emb.pos" else 0.3, shape)) for name, shape in shapes.items()}
    for name, width in (("q.b", HIDDEN), ("k.b", HIDDEN), ("v.b", HIDDEN), ("ao.b", HIDDEN), ("fi.b", INNER), ("fo.b", HIDDEN)):
        tensors[f"l0.{name}"] = np.zeros(width, np.float32).tobytes()
    for name in ("emb.ln", "l0.aln", "l0.oln"):
        tensors[f"{name}.w"] = np.ones(HIDDEN, np.float32).tobytes()
        tensors[f"{name}.b"] = np.zeros(HIDDEN, np.float32).tobytes()
    path.write_bytes(_file(tensors))
    return path


def packed(values: npt.NDArray[np.float64]) -> bytes:
    """Blocks of 18 bytes for 32 values: a float16 scale, low nibbles the first 16 values, high nibbles the last 16, each plus 8."""
    blocks = values.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / 7).astype("<f2")
    whole = np.clip(np.rint(blocks / scales.astype(np.float64)) + 8, 0, 15).astype(np.uint8)
    return np.concatenate([scales.view(np.uint8), whole[:, :16] | whole[:, 16:] << 4], axis=1).tobytes()


def _file(tensors: dict[str, bytes]) -> bytes:
    encoded = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    scores = np.full(len(PIECES), -3, "<f4")
    blob = b"".join(encoded)
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, TYPES, 1e-12, 4)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + offsets.tobytes() + scores.tobytes() + blob
    head += struct.pack("<iI", 0, 0) + struct.pack("<i", len(tensors))
    table_bytes = sum(2 + len(name) + struct.calcsize("<BIQQ") for name in tensors)
    at = len(head) + table_bytes
    table = b""
    for name, raw in tensors.items():
        table += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, 0, at, len(raw))
        at += len(raw)
    return head + table + b"".join(tensors.values())
