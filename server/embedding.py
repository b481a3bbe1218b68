"""Text -> unit vectors; in: passages or questions; out: float32 (n, dim), every row of length 1.

`load` gives the embedder of a settings block. Models are sentence-transformers folders or hub names; which prefix a model wants in
front of questions and passages comes from the model's own configuration, or from INSTRUCTIONS for families that do not carry it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from configs.settings import Embedding as EmbeddingSettings
from server import weights
from server.errors import Invalid, Unavailable

log = logging.getLogger(__name__)
Vectors = npt.NDArray[np.float32]

# Prefixes of families whose folders do not name them: (question, passage). Sources: the models' cards.
INSTRUCTIONS: dict[str, tuple[str, str]] = {
    "bge-*-zh": ("为这个句子生成表示以用于检索相关文章：", ""),
    "bge-*-en": ("Represent this sentence for searching relevant passages: ", ""),
    "e5": ("query: ", "passage: "),
}
CACHED_QUESTIONS = 1024


class Embedder(Protocol):
    """What a library needs of an embedding model."""

    name: str
    dimension: int

    @property
    def max_tokens(self) -> int: ...

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = ...) -> Vectors:
        """(n, dim) float32, unit length; `done` is told how many texts each batch finished."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """(dim,) float32, unit length."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as this model sees it, without prefix and special tokens."""
        ...


class SentenceTransformerEmbedder:
    """An embedder on torch. Thread-safe: tokenizing is locked, forward passes run side by side."""

    def __init__(self, name: str, folder: Path, settings: EmbeddingSettings) -> None:
        import torch
        import transformers
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer

        transformers.utils.logging.disable_progress_bar()
        self.name = name
        self.device = _device(settings.device)
        if self.device == "cpu":
            torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 2) - 1))
        dtype = _dtype(settings.dtype, self.device)
        self.dtype = str(dtype).removeprefix("torch.")
        try:
            self._model: Any = SentenceTransformer(str(folder), device=self.device, model_kwargs={"dtype": dtype}, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as exc:
            reason = str(exc).strip().split("\n")[0]
            raise Unavailable(f"the embedding model in {folder} does not load: {reason}") from exc
        self._question, self._passage = _prefixes(name, self._model.prompts)
        self.max_tokens = int(self._model.max_seq_length or 512)
        self._batch = settings.batch_size
        self._tokenizing = threading.Lock()  # a fast tokenizer that two threads use at once raises "Already borrowed"
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        self._caching = threading.Lock()
        self.dimension = int(self._forward(["probe"]).shape[1])

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = lambda finished: None) -> Vectors:
        """(n, dim) float32, unit length; sorted by length over the whole call, so that batches carry little padding."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
        for start in range(0, len(order), self._batch):
            batch = order[start : start + self._batch]
            vectors[batch] = self._forward([self._passage + texts[i] for i in batch])
            done(len(batch))
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """(dim,) float32, unit length; the last 1,024 questions are remembered."""
        with self._caching:
            if text in self._cache:
                self._cache.move_to_end(text)
                return self._cache[text]
        vector: Vectors = self._forward([self._question + text])[0]
        with self._caching:
            self._cache[text] = vector
            if len(self._cache) > CACHED_QUESTIONS:
                self._cache.popitem(last=False)
        return vector

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as this model sees it, without prefix and special tokens."""
        with self._tokenizing:
            return len(self._model.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])

    def _forward(self, texts: list[str]) -> Vectors:
        import torch

        with self._tokenizing:
            features = self._model.preprocess(texts)
        with torch.inference_mode():
            features = {key: value.to(self.device) if hasattr(value, "to") else value for key, value in features.items()}
            raw = self._model.forward(features)["sentence_embedding"].float().cpu().numpy()
        # bfloat16 vectors are off unit length by up to 0.4 %: normalise again in float32
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12), np.float32)


class LateEmbedder:
    """An embedder that is loaded for its first text: a run that finds nothing to embed does without torch. Thread-safe.

    Raises what `load` raises, and Invalid when the model has another dimension than its folder said.
    """

    def __init__(self, name: str, dimension: int, load: Callable[[], Embedder]) -> None:
        self.name = name
        self.dimension = dimension
        self._load = load
        self._loaded: Embedder | None = None
        self._loading = threading.Lock()

    @property
    def max_tokens(self) -> int:
        """Of the loaded model."""
        return self._model().max_tokens

    @property
    def device(self) -> str:
        """Of the loaded model."""
        return self._model().device

    @property
    def dtype(self) -> str:
        """Of the loaded model."""
        return self._model().dtype

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = lambda finished: None) -> Vectors:
        """(n, dim) float32, unit length."""
        return self._model().embed_documents(texts, done)

    def embed_query(self, text: str) -> Vectors:
        """(dim,) float32, unit length."""
        return self._model().embed_query(text)

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as this model sees it."""
        return self._model().count_tokens(text)

    def _model(self) -> Embedder:
        with self._loading:
            if self._loaded is None:
                loaded = self._load()
                if loaded.dimension != self.dimension:
                    raise Invalid(f"{self.name} gives vectors of {loaded.dimension} dimensions, but its folder says {self.dimension}")
                self._loaded = loaded
            return self._loaded


def load_late(settings: EmbeddingSettings, models: Path) -> Embedder:
    """As `load`, but the weights are only looked for, and loaded when there is something to embed. Raises Unavailable."""
    dimension = _dimension_of(weights.find(settings.model, models))
    if dimension is None:
        return load(settings, models)
    return LateEmbedder(short_name(settings.model), dimension, lambda: load(settings, models))


def load(settings: EmbeddingSettings, models: Path) -> Embedder:
    """The embedder of the settings; takes seconds. Raises Unavailable when its weights are absent or do not load."""
    started = time.monotonic()
    folder = weights.find(settings.model, models)
    embedder = SentenceTransformerEmbedder(short_name(settings.model), folder, settings)
    seconds = time.monotonic() - started
    log.info(
        "loaded embedding=%s device=%s dtype=%s dim=%d seconds=%.1f",
        embedder.name,
        embedder.device,
        embedder.dtype,
        embedder.dimension,
        seconds,
    )
    return embedder


def short_name(source: str) -> str:
    """The name of a model that is given as hf:owner/name or as a path: its last part."""
    return source.rstrip("/").rpartition("/")[2].rpartition(":")[2] or source


def _dimension_of(folder: Path) -> int | None:
    """The dimension that a model's folder says: that of its last part that has one; None when it does not say."""
    try:
        parts = [part["path"] for part in json.loads((folder / "modules.json").read_bytes())]
    except FileNotFoundError:
        parts = [""]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    for part in reversed(parts):
        try:
            facts = json.loads((folder / part / "config.json").read_bytes())
            found = next((facts[key] for key in ("out_features", "word_embedding_dimension", "hidden_size") if key in facts), None)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError):
            return None
        if isinstance(found, int):
            return found
    return None


def _prefixes(name: str, prompts: dict[str, str | None]) -> tuple[str, str]:
    """The model's own prompts win; then the family's; else none."""
    question = prompts.get("query")
    passage = prompts.get("document") or prompts.get("passage")
    if question or passage:
        return question or "", passage or ""
    parts = name.lower().replace("_", "-").split("-")
    if "bge" in parts and "m3" not in parts:
        return INSTRUCTIONS["bge-*-zh" if "zh" in parts else "bge-*-en"]
    return INSTRUCTIONS["e5"] if "e5" in parts else ("", "")


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
