"""FAISS: exact inner product over unit vectors, ids those of library.db, saved in two files of which the second makes the first valid.

`vectors/index-<generation>.faiss` is written and synced first, then `vectors/index.json` {file, generation, dimension, count, sha256}
replaces the old one in one step. LangChain's FAISS wrapper is not used: it pickles, and saves two files without an order.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from server.errors import Invalid
from server.stores import Ids, Vectors

log = logging.getLogger(__name__)


class FaissStore:
    """IndexIDMap2 over IndexFlatIP."""

    def __init__(self, dimension: int) -> None:
        self.generation = 0
        self._dimension = dimension
        self._index = self._empty()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        """Every id in the store, (n,)."""
        import faiss

        with self._lock:
            return np.array(faiss.vector_to_array(self._index.id_map), np.int64)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Ids (n,) not in the store yet, vectors (n, dim) float32."""
        if vectors.shape != (len(ids), self._dimension):
            raise Invalid(f"vectors of shape {vectors.shape} do not fit a store of {self._dimension} dimensions")
        if len(ids):
            with self._lock:
                self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.asarray(ids, np.int64))

    def remove(self, ids: Sequence[int]) -> None:
        """Unknown ids are fine."""
        if len(ids):
            with self._lock:
                self._index.remove_ids(np.asarray(ids, np.int64))

    def search(self, vector: Vectors, k: int, only: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` nearest as (id, cosine), best first."""
        import faiss

        parameters = None if only is None else faiss.SearchParameters(sel=faiss.IDSelectorBatch(np.asarray(only, np.int64)))  # type: ignore[call-arg]  # SWIG's constructor
        with self._lock:
            k = min(k, int(self._index.ntotal))
            if k == 0:
                return []
            scores, ids = self._index.search(vector.reshape(1, -1), k, params=parameters)
        return [(int(i), float(score)) for i, score in zip(ids[0], scores[0], strict=True) if i >= 0]

    def save(self, folder: Path) -> None:
        """Write the index and its generation; a kill leaves the old pair or the new one."""
        import faiss

        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            blob = faiss.serialize_index(self._index).tobytes()
            generation, count = self.generation, len(self)
        name = f"index-{generation}.faiss"
        _write(folder / name, blob)
        facts = {
            "file": name,
            "generation": generation,
            "dimension": self._dimension,
            "count": count,
            "sha256": hashlib.sha256(blob).hexdigest(),
        }
        _write(folder / "index.json", json.dumps(facts).encode())
        for old in folder.glob("index-*.faiss"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def load(self, folder: Path) -> bool:
        """Take over what `save` wrote. False, and nothing changed, when it is absent, torn, or of another dimension."""
        import faiss

        try:
            facts = json.loads((folder / "index.json").read_bytes())
            blob = (folder / Path(facts["file"]).name).read_bytes()
            if facts["dimension"] != self._dimension or hashlib.sha256(blob).hexdigest() != facts["sha256"]:
                raise ValueError("another dimension or checksum")
            if facts["file"] != f"index-{facts['generation']}.faiss":
                raise ValueError("its generation is not that of its file")
            index = faiss.deserialize_index(np.frombuffer(blob, np.uint8))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as exc:
            log.warning("vector index in %s is damaged (%s); it is rebuilt from library.db", folder, exc)
            return False
        with self._lock:
            self._index, self.generation = index, int(facts["generation"])
        return True

    def _empty(self) -> Any:
        import faiss

        return faiss.IndexIDMap2(faiss.IndexFlatIP(self._dimension))


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
