"""How fast passages become vectors here: number type, threads and batching, each with its cosine against float32.

Texts are the windows of the sample papers, English and Chinese. Every row is the median of `--repeats` runs over the same texts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.machine import head
from configs.settings import ROOT, Embedding, Splitting
from server import embedding
from server.embedding.batches import batches
from server.readers.process import ReaderProcess
from server.splitting import split

SAMPLES = ROOT / "knowledge_base" / "samples" / "content"
Batches = list[list[int]]


@dataclass(frozen=True, slots=True)
class Texts:
    """Windows with their tokens, prefix and special tokens counted."""

    windows: list[str]
    tokens: list[int]


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="multilingual-e5-small")
    parser.add_argument("--texts", type=int, default=96, help="windows that each run embeds")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--types", nargs="+", default=["float32", "bfloat16", "int8"], help="float16 is for GPUs, int8 for CPUs")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    print(head("Embedding: number type, threads, batches"))
    exact = _load(options.model, "float32", 1, options.device)
    texts = _texts(exact, options.texts)
    print(f"{options.model}, {len(texts.windows)} windows, {sum(texts.tokens) / len(texts.tokens):.0f} tokens each on average.\n")
    truth = exact.embed_documents(texts.windows)
    print("| type | threads | batches | padding | texts a CPU-s | texts a s | cosine with float32, lowest |")
    print("|---|---|---|---|---|---|---|")
    for dtype in (name for name in options.types if name != "int8"):
        for count in options.threads:
            made = _load(options.model, dtype, count, options.device)
            for name, chosen in _ways(texts, everything=count == 1, gpu=options.device != "cpu"):
                _row(made, dtype, count, name, chosen, texts, truth, options.repeats)
    if "int8" in options.types:
        _row(_int8(exact), "int8 (torch, dynamic)", 1, "1024 tokens", list(batches(texts.tokens, 1024)), texts, truth, options.repeats)


def _load(model: str, dtype: str, threads: int, device: str) -> Any:
    chosen = {"model": model, "dtype": dtype, "threads": threads, "device": device}
    return embedding.load(Embedding.model_validate(chosen), ROOT / "models")


def _texts(embedder: Any, wanted: int) -> Texts:
    """`wanted` windows, evenly out of all of the samples."""
    found: list[str] = []
    with ReaderProcess(timeout_s=120, memory_mib=2048) as reader:
        for path in sorted(SAMPLES.iterdir()):
            for chunk in split(reader.read(path), Splitting(), embedder.count_tokens):
                found += [" ".join(chunk.text[start:end].split()) for start, end in chunk.windows]
    chosen = found[:: max(1, len(found) // wanted)][:wanted]
    return Texts(chosen, [embedder.count_tokens(embedder.usage.passage + text) + 2 for text in chosen])


def _ways(texts: Texts, *, everything: bool, gpu: bool) -> list[tuple[str, Batches]]:
    budgets = (4096, 16384) if gpu else (256, 512, 1024, 2048, 4096) if everything else (1024,)
    ways = [("8 texts, sorted by characters", _fixed(texts, 8, by_characters=True))]
    if everything:
        ways = [
            ("8 texts, as they come", _fixed(texts, 8)),
            *ways,
            ("32 texts, sorted by characters", _fixed(texts, 32, by_characters=True)),
        ]
    return [*ways, *((f"{budget} tokens", list(batches(texts.tokens, budget))) for budget in budgets)]


def _fixed(texts: Texts, count: int, *, by_characters: bool = False) -> Batches:
    order = list(range(len(texts.windows)))
    if by_characters:
        order.sort(key=lambda i: len(texts.windows[i]), reverse=True)
    return [order[i : i + count] for i in range(0, len(order), count)]


def _row(made: Any, dtype: str, threads: int, name: str, chosen: Batches, texts: Texts, truth: Any, repeats: int) -> None:
    import torch

    torch.set_num_threads(threads)
    seconds, cpu = [], []
    vectors = np.zeros_like(truth)
    _run(made, chosen[-1:], texts, vectors)  # the first pass of a shape is slower
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        _run(made, chosen, texts, vectors)
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    padding = sum(max(texts.tokens[i] for i in batch) * len(batch) for batch in chosen) / sum(texts.tokens) - 1
    count = len(texts.windows)
    rates = f"{count / statistics.median(cpu):.1f} | {count / statistics.median(seconds):.1f}"
    print(f"| {dtype} | {threads} | {name} | {padding:.0%} | {rates} | {(vectors * truth).sum(axis=1).min():.5f} |", flush=True)


def _run(made: Any, chosen: Sequence[list[int]], texts: Texts, vectors: Any) -> None:
    for batch in chosen:
        vectors[batch] = made._forward([texts.windows[i] for i in batch], made.usage.passage)


def _int8(exact: Any) -> Any:
    """The float32 model with its linear layers in int8: weights once, activations in every pass. Torch announces its end."""
    import copy
    import warnings

    import torch

    made = copy.copy(exact)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made._model = torch.ao.quantization.quantize_dynamic(copy.deepcopy(exact._model), {torch.nn.Linear}, dtype=torch.qint8)
    return made


if __name__ == "__main__":
    sys.exit(main())
