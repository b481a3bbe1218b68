"""Vectors of the last questions; in: a question and how to embed it; out: its vector, computed once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.embedding import Vectors

KEPT = 1024  # vectors; 1.5 MB of 384 dimensions, 12 MB of 3,072
LONGEST = 4000  # characters of a question that is kept: what is pasted in full is hardly asked twice


class QuestionCache:
    """The vectors of one model's last `kept` questions, least recently asked dropped first. Thread-safe; vectors are read-only."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: str, embed: Callable[[], Vectors]) -> Vectors:
        """The vector of the question; `embed` is called, without the lock, when it is not known."""
        with self._lock:
            if question in self._vectors:
                self._vectors.move_to_end(question)
                return self._vectors[question]
        vector = embed()
        vector.flags.writeable = False
        if len(question) <= LONGEST:
            with self._lock:
                self._vectors[question] = vector
                if len(self._vectors) > self._kept:
                    self._vectors.popitem(last=False)
        return vector

    def __len__(self) -> int:
        return len(self._vectors)
