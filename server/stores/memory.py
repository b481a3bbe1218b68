"""The reference vector store: one dictionary, exact search, nothing on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from server.errors import Invalid
from server.stores import Home, Ids, Vectors


class MemoryStore:
    """Brute force over a dictionary; what the other stores are compared with."""

    surplus = 0
    outgrown = False

    def __init__(self, dimension: int, home: Home) -> None:
        self.generation = self.stamp = 0
        self._dimension = dimension
        self._rows: dict[int, Vectors] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def ids(self) -> Ids:
        """Every id in the store, (n,)."""
        with self._lock:
            return np.array(list(self._rows), np.int64)

    def build(self, count: int, batches: Iterable[tuple[Ids, Vectors]]) -> None:
        """Hold these in place of all there was."""
        with self._lock:
            self._rows = {}
        for ids, vectors in batches:
            self.add(ids, vectors)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Ids (n,) not in the store yet, vectors (n, dim) float32."""
        if vectors.shape != (len(ids), self._dimension):
            raise Invalid(f"vectors of shape {vectors.shape} do not fit a store of {self._dimension} dimensions")
        with self._lock:
            self._rows |= {int(i): row for i, row in zip(ids, vectors, strict=True)}

    def remove(self, ids: Sequence[int]) -> None:
        """Unknown ids are fine."""
        with self._lock:
            for i in ids:
                self._rows.pop(int(i), None)

    def search(self, vector: Vectors, k: int, only: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` nearest as (id, cosine), best first."""
        with self._lock:
            rows = self._rows if only is None else {int(i): self._rows[int(i)] for i in only if int(i) in self._rows}
            ids, matrix = list(rows), np.array(list(rows.values()), np.float32).reshape(-1, self._dimension)
        scores = matrix @ vector
        best = np.argsort(-scores, kind="stable")[:k]
        return [(ids[i], float(scores[i])) for i in best]

    def reached(self, generation: int, stamp: int) -> None:
        """It has followed so far."""
        with self._lock:
            self.generation, self.stamp = generation, stamp

    def save(self, folder: Path) -> None:
        """Nothing to keep: it is rebuilt from rows."""

    def load(self, folder: Path) -> bool:
        """Never: it is rebuilt from rows."""
        return False

    def forget(self) -> None:
        """Nothing lies outside the library's folder."""

    def close(self) -> None:
        """No connection."""
