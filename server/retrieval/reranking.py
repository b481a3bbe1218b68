"""A question and passages -> how well each answers it, 0..1: a cross-encoder, named in the settings, that reads both together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from server import weights
from server.embedding import short_name
from server.errors import Invalid, Unavailable

log = logging.getLogger(__name__)
BATCH = 8


class Reranker(Protocol):
    """Orders passages anew."""

    name: str

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One score a text, 0..1, larger is better."""
        ...


class CrossEncoderReranker:
    """A sentence-transformers CrossEncoder with one output, as bge-reranker, bce-reranker and ms-marco's MiniLMs are. Thread-safe."""

    def __init__(self, name: str, folder: Path, device: str) -> None:
        import torch
        from safetensors import SafetensorError
        from sentence_transformers import CrossEncoder

        self.name = name
        try:
            self._model: Any = CrossEncoder(str(folder), device=None if device == "auto" else device, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as exc:
            reason = str(exc).strip().split("\n")[0]
            raise Unavailable(f"the reranker in {folder} does not load: {reason}") from exc
        if self._model.num_labels != 1:
            raise Invalid(
                f"the reranker {name} gives {self._model.num_labels} numbers for a passage, not one: it is no model for ranking "
                "(good ones: BAAI/bge-reranker-base, maidalun1020/bce-reranker-base_v1, cross-encoder/ms-marco-MiniLM-L6-v2)"
            )
        self._sigmoid = torch.nn.Sigmoid()
        self._lock = threading.Lock()  # its tokenizer must not be used by two threads at once

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One score a text, 0..1: the sigmoid of the model's logit."""
        if not texts:
            return []
        with self._lock:
            raw = self._model.predict(
                [(question, text) for text in texts], batch_size=BATCH, activation_fn=self._sigmoid, show_progress_bar=False
            )
        return [float(score) for score in raw]


def load(source: str, models: Path, device: str) -> Reranker:
    """The reranker of a hub name or a path. Raises Unavailable when its weights are absent or do not load, Invalid when it is none."""
    reranker = CrossEncoderReranker(short_name(source), weights.find(source, models), device)
    log.info("loaded reranker=%s device=%s", reranker.name, reranker._model.device)
    return reranker
