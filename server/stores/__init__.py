"""Where vectors are searched. VECTOR_STORES names the kinds; each is an index built from the rows of library.db, never the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

VECTOR_STORES: dict[str, str] = {
    "faiss": "server.stores.faiss_store:FaissStore",
    "memory": "server.stores.memory:MemoryStore",
}


class VectorStore(Protocol):
    """Ids and unit vectors of one dimension; safe to use from several threads."""

    generation: int  # of library.db, up to which this index has followed

    def __init__(self, dimension: int) -> None: ...

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """Every id in the store, (n,) in any order."""
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Ids (n,) not in the store yet, vectors (n, dim) float32."""
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Unknown ids are fine: removing twice is removing once."""
        ...

    def search(self, vector: Vectors, k: int, only: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` nearest as (id, cosine), best first; among `only` when given."""
        ...

    def save(self, folder: Path) -> None:
        """Write the index and its generation so that a kill leaves the old one or the new one."""
        ...

    def load(self, folder: Path) -> bool:
        """Take over what `save` wrote. False, and nothing changed, when it is absent, torn, or of another dimension."""
        ...
