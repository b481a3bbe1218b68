"""Every kind of vector store that the contract runs on: rows of VECTOR_STORES, and FAISS with few enough vectors for each of its kinds."""

from __future__ import annotations

import atexit
import functools
import tempfile
import uuid
from collections.abc import Callable

from configs.settings import Stores
from server import registry
from server.stores import VECTOR_STORES, Home, VectorStore
from server.stores.faiss_part import Sizes
from server.stores.faiss_store import FaissStore

Make = Callable[[int], VectorStore]
HOME = Home(lambda: "contract", Stores())


@functools.cache
def milvus_file() -> str:
    """A milvus-lite database of this test run."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return f"{folder.name}/milvus.db"


def _home() -> Home:
    name = uuid.uuid4().hex
    return Home(lambda: name, Stores(milvus_uri=milvus_file()))


class SmallFaiss(FaissStore):
    """Goes through all kinds within the first 24 vectors; four changes make a new part."""

    def __init__(self, dimension: int, home: Home = HOME) -> None:
        super().__init__(dimension, home, Sizes(half=12, lists=24, changes_least=4, changes_most=4))


class HalfFaiss(FaissStore):
    """Float16 from the first vector on."""

    def __init__(self, dimension: int, home: Home = HOME) -> None:
        super().__init__(dimension, home, Sizes(half=1, lists=100_000, changes_least=4, changes_most=50))


class ListsFaiss(FaissStore):
    """Lists of 8-bit scalars from the first vector on."""

    def __init__(self, dimension: int, home: Home = HOME) -> None:
        super().__init__(dimension, home, Sizes(half=1, lists=1, changes_least=4, changes_most=50))


def _row(name: str) -> Make:
    def make(dimension: int) -> VectorStore:
        store: VectorStore = registry.load(VECTOR_STORES, name, "vector store")(dimension, _home())
        return store

    return make


STORES: dict[str, Make] = {name: _row(name) for name in VECTOR_STORES} | {
    "faiss_small": SmallFaiss,
    "faiss_half": HalfFaiss,
    "faiss_lists": ListsFaiss,
}
SAVED = [name for name in STORES if name.startswith("faiss")]  # those whose vectors lie in files of ours
KINDS = ["faiss", "faiss_half", "faiss_lists"]
