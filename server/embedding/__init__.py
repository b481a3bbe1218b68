"""Text -> unit vectors; in: passages or questions; out: float32 (n, dim), every row of length 1.

`load` gives the embedder of a folder or hub name on this machine, `load_model` also that of an endpoint (`endpoint/model`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from configs.settings import Embedding as EmbeddingSettings
from configs.settings import Settings
from server import weights
from server.embedding.families import Usage
from server.llm.keys.of_settings import Keys

log = logging.getLogger(__name__)
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batching:
    """How much a model is best given at once, by somebody with much to embed.

    A call of `embed_documents` holds `texts` texts at most and is filled by `tokens`, longest text times number of texts; so many calls
    `side_by_side` are of use.
    """

    tokens: int
    texts: int
    side_by_side: int


class Embedder(Protocol):
    """What a library needs of an embedding model. `max_tokens` is its longest input; the rest of a longer text is not seen."""

    name: str
    dimension: int
    usage: Usage

    @property
    def max_tokens(self) -> int: ...

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def batching(self) -> Batching: ...

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = ...) -> Vectors:
        """(n, dim) float32, unit length; `done` is told how many texts each batch finished, and may raise to stop."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """(dim,) float32, unit length, not to be written to: questions are remembered."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as this model sees it, without prefix and special tokens; of an endpoint's model an estimate."""
        ...

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each passage as this model gets it: with prefix and special tokens, cut at its longest input."""
        ...


def load_model(settings: Settings, model: str = "", keys: Keys | None = None) -> Embedder:
    """The embedder of `model`, or of the settings; takes seconds. Raises Unavailable and Invalid, saying what is missing.

    The prefixes and the limit of the settings are for the model of the settings only. `keys` are what an endpoint's requests share with
    others; None: keys of its own.
    """
    chosen = _chosen(settings, model)
    online = settings.endpoint_of(chosen.model)
    if online is None:
        return load(chosen, settings.paths.models)
    from server.embedding.online import OnlineEmbedder

    label, name = online
    pool = (keys or Keys(settings)).checked(label)
    return _logged(lambda: OnlineEmbedder(name, pool, chosen))


def load_late(settings: Settings, model: str = "") -> Embedder:
    """As `load_model`, but weights are only looked for, and loaded when there is something to embed. Raises Unavailable and Invalid."""
    from server.embedding.late import LateEmbedder, said_by

    chosen = _chosen(settings, model)
    name = short_name(chosen.model)
    said = None if settings.endpoint_of(chosen.model) else said_by(weights.find(chosen.model, settings.paths.models), name, chosen)
    if said is None:
        return load_model(settings, model)
    return LateEmbedder(name, said, lambda: load_model(settings, model))


def load(settings: EmbeddingSettings, models: Path) -> Embedder:
    """The embedder of a model on this machine. Raises Unavailable when its weights are absent or do not load."""
    from server.embedding.local import SentenceTransformerEmbedder

    folder = weights.find(settings.model, models)
    return _logged(lambda: SentenceTransformerEmbedder(short_name(settings.model), folder, settings))


def name_of(settings: Settings) -> str:
    """The name of the model of the settings, without loading it; that of an endpoint's model is `endpoint/model`."""
    source = settings.embedding.model
    return source if settings.endpoint_of(source) else short_name(source)


def short_name(source: str) -> str:
    """The name of a model that is given as hf:owner/name or as a path: its last part."""
    return source.rstrip("/").rpartition("/")[2].rpartition(":")[2] or source


def _chosen(settings: Settings, model: str) -> EmbeddingSettings:
    """The settings for `model`: prefixes and limit are for the model that the settings name."""
    chosen = settings.embedding
    if not model or model == chosen.model:
        return chosen
    return chosen.model_copy(update={"model": model, "query_prefix": None, "passage_prefix": None, "max_tokens": None})


def _logged(make: Callable[[], Embedder]) -> Embedder:
    started = time.monotonic()
    made = make()
    log.info(
        "loaded embedding=%s device=%s dtype=%s dim=%d max_tokens=%d pooling=%s query_prefix=%r passage_prefix=%r said_by=%r seconds=%.1f",
        *(made.name, made.device, made.dtype, made.dimension, made.max_tokens),
        *(made.usage.pooling, made.usage.query, made.usage.passage, made.usage.source, time.monotonic() - started),
    )
    return made
