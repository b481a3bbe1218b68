"""Where vectors are searched. VECTOR_STORES names the kinds; each is an index built from the rows of library.db, never the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from configs.settings import Stores

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

VECTOR_STORES: dict[str, str] = {
    "faiss": "server.stores.faiss_store:FaissStore",
    "memory": "server.stores.memory:MemoryStore",
    "milvus": "server.stores.milvus:MilvusStore",
}


@dataclass(frozen=True, slots=True)
class Home:
    """Where a store that is a server keeps a library: `name()` gives one of its own among all of that server; the server's address."""

    name: Callable[[], str]
    stores: Stores


class VectorStore(Protocol):
    """Ids and unit vectors of one dimension; safe to use from several threads."""

    generation: int  # of library.db, up to which this index has followed
    stamp: int  # that library.db gave this generation

    def __init__(self, dimension: int, home: Home) -> None: ...

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """Every id in the store, (n,) in any order."""
        ...

    @property
    def surplus(self) -> int:
        """How many candidates beyond k the caller scores by the rows of library.db, so that the k best are right; 0: they are."""
        ...

    @property
    def outgrown(self) -> bool:
        """Whether the store should be built anew from the rows, because there are many more or fewer than it was built for."""
        ...

    def build(self, count: int, batches: Iterable[tuple[Ids, Vectors]]) -> None:
        """Hold these, about `count`, in place of all there was. Their order means nothing, so the first are a sample of all."""
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Ids (n,) not in the store yet, vectors (n, dim) float32."""
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Unknown ids are fine: removing twice is removing once."""
        ...

    def search(self, vector: Vectors, k: int, only: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` nearest as (id, cosine), best first; among `only` when given. Raises Corrupt when its files are found damaged."""
        ...

    def reached(self, generation: int, stamp: int) -> None:
        """Both at once, for somebody may be saving."""
        ...

    def save(self, folder: Path) -> None:
        """Write the index, generation and stamp; a kill leaves the old one or the new one. Raises Unavailable, and the old one stays."""
        ...

    def load(self, folder: Path) -> bool:
        """Take over what `save` wrote. False, and nothing changed, when it is absent, torn, or of another dimension."""
        ...

    def forget(self) -> None:
        """Delete what lies outside the library's folder. Raises Unavailable."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
