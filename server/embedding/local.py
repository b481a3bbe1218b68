"""A model folder on this machine -> an embedder on torch.

The folder is a sentence-transformers one, or a plain transformers one, which does not say how token vectors become one: then its
family's pooling is used.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import Embedding as EmbeddingSettings
from server.embedding import Batching, Vectors
from server.embedding.batches import batches
from server.embedding.families import Folder, family_of, names_of, usage_of
from server.embedding.questions import QuestionCache
from server.errors import Invalid, Unavailable

log = logging.getLogger(__name__)
BATCH_TOKENS_CPU = 1024  # benchmarks/results/embedding.md
MOST_PASSES = 8  # side by side, of one thread each; their Python takes 2 % of one core a pass, for which they wait for each other
BATCH_TOKENS_GPU = 16384  # so many keep a GPU busy; BERT-base then needs under 1 GB
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")  # types whose first two positions are never used


class SentenceTransformerEmbedder:
    """An embedder on torch. Thread-safe: tokenizing is locked, forward passes run side by side."""

    def __init__(self, name: str, folder: Path, settings: EmbeddingSettings) -> None:
        import torch
        import transformers
        from safetensors import SafetensorError

        transformers.utils.logging.disable_progress_bar()
        self.name = name
        self.device = _device(settings.device)
        passes = 1
        if self.device == "cpu":
            threads = settings.threads or os.cpu_count() or 1
            passes = min(threads, MOST_PASSES)
            torch.set_num_threads(threads // passes)
        dtype = _dtype(settings.dtype, self.device)
        self.dtype = str(dtype).removeprefix("torch.")
        names = names_of(name, folder)
        try:
            self._model: Any = _open(folder, self.device, dtype, names)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as exc:
            reason = str(exc).strip().split("\n")[0]
            raise Unavailable(f"the embedding model in {folder} does not load: {reason}") from exc
        said = Folder(
            prompts={key: prompt for key, prompt in self._model.prompts.items() if prompt},
            default_prompt=self._model.default_prompt_name or "",
            pooling=_pooling(self._model),
        )
        self.usage = usage_of(names, said, settings.query_prefix, settings.passage_prefix)
        self.max_tokens = longest_input(self._model, settings.max_tokens)
        self._model.max_seq_length = self.max_tokens
        budget = settings.batch_tokens or (BATCH_TOKENS_CPU if self.device == "cpu" else BATCH_TOKENS_GPU)
        self.batching = Batching(budget, 1 << 30, passes)
        self._tokenizing = threading.Lock()  # a fast tokenizer that two threads use at once raises "Already borrowed"
        self._questions = QuestionCache()
        self.dimension = int(self._forward(["probe"], "").shape[1])

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = lambda finished: None) -> Vectors:
        """(n, dim) float32, unit length; sorted by tokens over the whole call, so that batches carry little padding.

        On a CPU several passes run side by side, of one thread each.
        """
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        left = list(batches(self.lengths(texts), self.batching.tokens))

        def embed(batch: list[int]) -> int:
            vectors[batch] = self._forward([texts[i] for i in batch], self.usage.passage)
            return len(batch)

        if min(len(left), self.batching.side_by_side) < 2:
            for batch in left:
                done(embed(batch))
            return vectors
        with ThreadPoolExecutor(self.batching.side_by_side, thread_name_prefix="embed") as passes:
            try:
                for count in passes.map(embed, left):
                    done(count)
            except BaseException:
                passes.shutdown(cancel_futures=True)  # what has not begun
                raise
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """(dim,) float32, unit length, read-only; the last 1,024 questions are remembered."""
        return self._questions.get(text, lambda: self._forward([text], self.usage.query)[0])

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as this model sees it, without prefix and special tokens."""
        with self._tokenizing:
            return len(self._model.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each passage as the model gets it: with prefix and special tokens, cut at the longest input."""
        if not texts:
            return []
        with self._tokenizing:
            rows = self._model.tokenizer([self.usage.passage + text for text in texts], truncation=False, verbose=False)["input_ids"]
        return [min(len(row), self.max_tokens) for row in rows]

    def _forward(self, texts: list[str], prefix: str) -> Vectors:
        import torch

        with self._tokenizing:
            features = self._model.preprocess(texts, prompt=prefix or None)  # some models leave their prompt out of the mean
        with torch.inference_mode():
            features = {key: value.to(self.device) if hasattr(value, "to") else value for key, value in features.items()}
            raw = self._model.forward(features)["sentence_embedding"].float().cpu().numpy()
        # bfloat16 vectors are off unit length by up to 0.4 %: normalise again in float32
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12), np.float32)


def _open(folder: Path, device: str, dtype: Any, names: Sequence[str]) -> Any:
    """The model. A folder without modules.json would silently be pooled by mean, whatever it was trained for."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = SentenceTransformer(str(folder), device=device, model_kwargs={"dtype": dtype}, local_files_only=True)
    family = family_of(names)
    if (folder / "modules.json").exists() or not _pooling(model):
        return model
    if (folder / "1_Pooling" / "config.json").exists():
        model[1] = Pooling.load(str(folder), subfolder="1_Pooling", local_files_only=True)
    elif family:
        model[1] = Pooling(model[1].embedding_dimension, family.pooling)
    else:
        log.warning("embedding=%s has no modules.json and is of no known family: pooled by %s", names[0], _pooling(model))
    return model


def _pooling(model: Any) -> str:
    """mean, cls, lasttoken …; several joined by +; empty for a model that does not pool."""
    mode = next((module.pooling_mode for module in model if hasattr(module, "pooling_mode")), "")
    return mode if isinstance(mode, str) else "+".join(mode)


def longest_input(model: Any, wish: int | None) -> int:
    """Tokens of the longest input: what the folder says, within the model's positions, or less by the settings. Raises Invalid."""
    said = int(model.max_seq_length or 512)
    config = getattr(model[0], "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:  # a tokenizer without a limit says 10^30
        said = min(said, positions - 2 if getattr(config, "model_type", "") in OFFSET_POSITIONS else positions)
    if wish is not None and wish > said:
        raise Invalid(f"embedding.max_tokens is {wish}, but the model takes at most {said}")
    return wish or said


def _device(wish: str) -> str:
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wish == "auto":
        return "cuda" if present["cuda"] else "mps" if present["mps"] else "cpu"
    if not present[wish]:
        raise Invalid(f"embedding.device is {wish}, but torch sees no such device here; use auto or cpu")
    return wish


def _dtype(wish: str, device: str) -> Any:
    """float16 on a GPU; on a CPU bfloat16 where a measured product is at least 1.3 times faster in it, else float32."""
    import torch

    if wish != "auto":
        return getattr(torch, wish)
    if device != "cpu":
        return torch.float16
    seconds = {dtype: _product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    faster = seconds[torch.float32] / seconds[torch.bfloat16]
    log.info("measured bfloat16_speedup=%.2f", faster)
    return torch.bfloat16 if faster >= 1.3 else torch.float32


def _product_seconds(dtype: Any) -> float:
    import torch

    left, right = torch.ones(512, 768, dtype=dtype), torch.ones(768, 1536, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return best
