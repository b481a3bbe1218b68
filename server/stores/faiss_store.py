"""FAISS: ids and unit vectors in, the nearest ids out; a mapped part that does not change, and beside it what is new and what is gone.

LangChain's FAISS wrapper is not used: it pickles, and saves two files without an order.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from server.errors import Invalid, Unavailable
from server.stores import Home, Ids, Vectors, faiss_file, faiss_part
from server.stores.faiss_part import MEASURED, SURPLUS, Flags, Part, Sizes

log = logging.getLogger(__name__)


class FaissStore:
    """Searches run beside each other; a change waits for nobody but other changes."""

    def __init__(self, dimension: int, home: Home, sizes: Sizes = MEASURED) -> None:
        self.generation = self.stamp = 0
        self._dimension = dimension
        self._sizes = sizes
        self._lock = threading.Lock()  # of what follows
        self._saving = threading.Lock()
        self._allowed: Flags
        self._take(faiss_part.empty(dimension))

    def __len__(self) -> int:
        with self._lock:
            return len(self._part) - self._gone + int(self._new.ntotal)

    @property
    def surplus(self) -> int:
        """How many candidates beyond k the rows of library.db must score."""
        return SURPLUS[self._part.kind]

    @property
    def outgrown(self) -> bool:
        """Whether another kind, or lists trained anew, would serve so many vectors better."""
        count, part = len(self), self._part
        return part.kind != self._sizes.kind(count) if part.kind != "lists" else count > 2 * part.trained or 2 * count < self._sizes.lists

    def build(self, count: int, batches: Iterable[tuple[Ids, Vectors]]) -> None:
        """Hold about `count` vectors in place of all there was."""
        part = faiss_part.build(self._sizes.kind(count), self._dimension, count, batches)
        with self._lock:
            self._take(part)

    def ids(self) -> Ids:
        """Every id in the store, (n,)."""
        import faiss

        with self._lock:
            return np.concatenate([self._part.ids[self._allowed], faiss.vector_to_array(self._new.id_map)])

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Ids (n,) not in the store yet, vectors (n, dim) float32."""
        if vectors.shape != (len(ids), self._dimension):
            raise Invalid(f"vectors of shape {vectors.shape} do not fit a store of {self._dimension} dimensions")
        if len(ids):
            with self._lock:
                self._new.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.asarray(ids, np.int64))
                self._merge(self._sizes.changes(len(self._part)))

    def remove(self, ids: Sequence[int]) -> None:
        """Unknown ids are fine."""
        if len(ids):
            with self._lock:
                wanted = np.asarray(ids, np.int64)
                if self._new.ntotal:
                    self._new.remove_ids(wanted)
                places = self._part.places(wanted)
                if len(places):
                    self._allowed = self._allowed.copy()  # searches go on with the old one
                    self._allowed[places] = False
                    self._gone = len(self._part) - int(np.count_nonzero(self._allowed))
                self._merge(self._sizes.changes(len(self._part)))

    def search(self, vector: Vectors, k: int, only: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` nearest as (id, cosine), best first. Raises Corrupt when the saved file turns out to be damaged."""
        import faiss

        with self._lock:
            part, allowed, gone = self._part, self._allowed, self._gone
            found: list[tuple[int, float]] = []
            if self._new.ntotal:
                own = faiss.vector_to_array(self._new.id_map)  # searched without IndexIDMap, which starts all threads to look up ten ids
                sel = faiss_part.every_place() if only is None else faiss_part.chosen_places(np.isin(own, only))
                scores, places = self._new.index.search(
                    np.ascontiguousarray(vector.reshape(1, -1), np.float32),
                    min(k, int(self._new.ntotal)),
                    params=faiss.SearchParameters(sel=sel),  # type: ignore[call-arg]  # SWIG's constructor
                )
                found = [(int(own[place]), float(score)) for place, score in zip(places[0], scores[0], strict=True) if place >= 0]
        if only is not None:
            mask = np.zeros(len(part), np.bool_)
            mask[part.places(np.asarray(only, np.int64))] = True
            found += part.search(vector, k, mask & allowed, everywhere=True)  # the nearest of few may lie in any list
        else:
            found += part.search(vector, k, allowed if gone else None, everywhere=False)
        return sorted(found, key=lambda pair: -pair[1])[:k]

    def reached(self, generation: int, stamp: int) -> None:
        """It has followed so far."""
        with self._lock:
            self.generation, self.stamp = generation, stamp

    def save(self, folder: Path) -> None:
        """Write the index, its generation and its stamp; a kill leaves the old pair or the new one. Searches go on meanwhile.

        Raises Unavailable when the disk is full or does not let us write.
        """
        with self._saving:
            with self._lock:
                self._merge(0)
                part, at, named = self._part, (self.generation, self.stamp), self._file
            try:
                name = faiss_file.write(part, folder, at, named)
                mapped, _, _ = faiss_file.read(folder, self._dimension)
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as exc:
                raise Unavailable(
                    f"the vector index cannot be written to {folder}: {getattr(exc, 'strerror', None) or exc}; "
                    "nothing is lost, the next start builds it from library.db"
                ) from exc
            with self._lock:
                if self._part is part and self._file != name:
                    self._take(mapped, name, self._allowed, self._gone, self._new)

    def load(self, folder: Path) -> bool:
        """Take over what `save` wrote. False, and nothing changed, when it is absent, torn, or of another dimension."""
        try:
            part, at, name = faiss_file.read(folder, self._dimension)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as exc:
            log.warning("vector index in %s cannot be used (%s: %s); it is rebuilt from library.db", folder, type(exc).__name__, exc)
            return False
        with self._lock:
            self._take(part, name)
            self.generation, self.stamp = at
        return True

    def forget(self) -> None:
        """Nothing lies outside the library's folder."""

    def close(self) -> None:
        """No connection."""

    def _take(self, part: Part, file: str | None = None, allowed: Flags | None = None, gone: int = 0, new: Any = None) -> None:
        import faiss

        self._part = part
        self._file = file  # that holds the part, when one does
        self._allowed = np.ones(len(part), np.bool_) if allowed is None else allowed
        self._gone = gone
        self._new: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(self._dimension)) if new is None else new

    def _merge(self, limit: int) -> None:
        """Make one part of all when more than `limit` vectors are new or gone."""
        import faiss

        if self._gone + int(self._new.ntotal) > limit:
            ids = faiss.vector_to_array(self._new.id_map)
            vectors = self._new.index.reconstruct_n(0, len(ids)) if len(ids) else np.zeros((0, self._dimension), np.float32)
            self._take(self._part.merged(self._allowed, ids, vectors))
