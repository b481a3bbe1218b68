"""A model's folder, read without torch -> an embedder that is loaded for its first text: a run with nothing to embed does without."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.settings import Embedding as EmbeddingSettings
from server.embedding import Batching, Embedder, Vectors
from server.embedding.families import Folder, Usage, names_of, usage_of
from server.errors import Invalid

POOLING_KEYS = {  # of 1_Pooling/config.json in the older form of sentence-transformers, one of them true
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a folder says about its model."""

    dimension: int
    usage: Usage


class LateEmbedder:
    """Thread-safe. Raises what `load` raises, and Invalid when the model turns out to be another one than its folder said."""

    def __init__(self, name: str, said: Said, load: Callable[[], Embedder]) -> None:
        self.name = name
        self.dimension = said.dimension
        self.usage = said.usage
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

    @property
    def batching(self) -> Batching:
        """Of the loaded model."""
        return self._model().batching

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = lambda finished: None) -> Vectors:
        """(n, dim) float32, unit length."""
        return self._model().embed_documents(texts, done)

    def embed_query(self, text: str) -> Vectors:
        """(dim,) float32, unit length."""
        return self._model().embed_query(text)

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as this model sees it."""
        return self._model().count_tokens(text)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each passage as this model gets it."""
        return self._model().lengths(texts)

    def _model(self) -> Embedder:
        with self._loading:
            if self._loaded is None:
                loaded = self._load()
                if loaded.dimension != self.dimension:
                    raise Invalid(f"{self.name} gives vectors of {loaded.dimension} dimensions, but its folder says {self.dimension}")
                if loaded.usage.form != self.usage.form:
                    raise Invalid(
                        f"{self.name} runs with {loaded.usage.form} (pooling, passage prefix), but its folder says {self.usage.form}"
                    )
                self._loaded = loaded
            return self._loaded


def said_by(folder: Path, name: str, settings: EmbeddingSettings) -> Said | None:
    """What the folder says; None when it leaves dimension or pooling open, or joins several: then the model has to be loaded."""
    try:
        parts = [part["path"] for part in _json(folder / "modules.json")]
        prompts = _json(folder / "config_sentence_transformers.json") if (folder / "config_sentence_transformers.json").exists() else {}
        configs = [_json(folder / part / "config.json") for part in parts if (folder / part / "config.json").exists()]
        dimension = next(filter(None, map(_dimension, reversed(configs))), None)
        pooling = next(filter(None, map(_pooling, configs)), "")
        if dimension is None or not pooling or "+" in pooling:
            return None
        told = {key: prompt for key, prompt in prompts.get("prompts", {}).items() if prompt}
        folder_says = Folder(prompts=told, default_prompt=prompts.get("default_prompt_name") or "", pooling=pooling)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # loading it says what is wrong
    return Said(dimension, usage_of(names_of(name, folder), folder_says, settings.query_prefix, settings.passage_prefix))


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _dimension(config: dict[str, Any]) -> int | None:
    keys = ("out_features", "word_embedding_dimension", "embedding_dimension", "hidden_size")
    found = next((config[key] for key in keys if key in config), None)
    return found if isinstance(found, int) else None


def _pooling(config: dict[str, Any]) -> str:
    mode = config.get("pooling_mode")
    if isinstance(mode, str):
        return mode
    return "+".join(mode for key, mode in POOLING_KEYS.items() if config.get(key) is True)
