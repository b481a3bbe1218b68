"""Milvus: ids and unit vectors in, the nearest ids out; one collection a library, on a server or in a local file of milvus-lite.

The vectors lie on the server at once, the generation up to which they followed in `vectors/milvus.json`, written by `save`. A process that
dies between the two follows some changes again, which changes nothing: adding is an upsert, removing twice is removing once.
Milvus's own index is approximate; more candidates than asked for are taken and scored by the rows of library.db.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from server.errors import Corrupt, Invalid, Unavailable
from server.stores import Home, Ids, Vectors

log = logging.getLogger(__name__)
BATCH = 4096  # rows a request; Milvus takes 64 MiB, 4096 x 1536 dimensions are 25
MOST_NEAREST = 16_384  # Milvus's limit of k
MOST_IDS = 10_000  # in one filter expression
ANSWER_S = 60.0
_NO_COLLECTION = 100  # Milvus's code
_LATER = "the rows of library.db are whole"


class MilvusStore:
    """Nothing is asked of the server before the first search or change. Raises Invalid when no address is set."""

    surplus = 30
    outgrown = False

    def __init__(self, dimension: int, home: Home) -> None:
        if not home.stores.milvus_uri:
            raise Invalid(
                "the vector store milvus needs an address: set stores.milvus_uri to http://host:19530, or to a path that ends in .db"
            )
        self.generation = self.stamp = 0
        self._dimension = dimension
        self._home = home
        self._name = f"paperproof_{home.name()}"
        self._lock = threading.Lock()
        self._connected: Any = None

    def __len__(self) -> int:
        with self._asked() as client:
            if not client.has_collection(self._name):
                return 0
            return int(client.query(self._name, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def ids(self) -> Ids:
        """Every id in the collection, (n,)."""
        found: list[int] = []
        with self._asked() as client:
            if not client.has_collection(self._name):
                return np.zeros(0, np.int64)
            rows = client.query_iterator(self._name, batch_size=BATCH, output_fields=["id"])
            while batch := rows.next():
                found += [row["id"] for row in batch]
            rows.close()
        return np.array(found, np.int64)

    def build(self, count: int, batches: Iterable[tuple[Ids, Vectors]]) -> None:
        """Hold these in place of all there was."""
        with self._asked() as client:
            if client.has_collection(self._name):
                client.drop_collection(self._name)
            self._create(client)
        for ids, vectors in batches:
            self.add(ids, vectors)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Ids (n,), vectors (n, dim) float32. Raises Corrupt when the server has lost the collection."""
        if vectors.shape != (len(ids), self._dimension):
            raise Invalid(f"vectors of shape {vectors.shape} do not fit a store of {self._dimension} dimensions")
        with self._collection() as client:
            for at in range(0, len(ids), BATCH):
                rows = zip(ids[at : at + BATCH].tolist(), vectors[at : at + BATCH], strict=True)
                client.upsert(self._name, [{"id": i, "vector": vector} for i, vector in rows])

    def remove(self, ids: Sequence[int]) -> None:
        """Unknown ids are fine."""
        with self._collection() as client:
            for at in range(0, len(ids), BATCH):
                client.delete(self._name, ids=[int(i) for i in ids[at : at + BATCH]])

    def search(self, vector: Vectors, k: int, only: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` nearest as (id, cosine), best first. Raises Corrupt when the server has lost the collection."""
        parts = [] if only is None else [only[at : at + MOST_IDS].tolist() for at in range(0, len(only), MOST_IDS)]
        filters = [""] if only is None else [f"id in {part}" for part in parts]
        found: list[tuple[int, float]] = []
        with self._collection() as client:
            for narrowed in filters:
                answer = client.search(
                    self._name,
                    [np.asarray(vector, np.float32)],
                    filter=narrowed,
                    limit=min(k, MOST_NEAREST),
                    output_fields=["id"],
                    search_params={"metric_type": "IP"},
                )
                found += [(int(hit["id"]), float(hit["distance"])) for hit in answer[0]]
        return sorted(found, key=lambda pair: -pair[1])[:k]

    def reached(self, generation: int, stamp: int) -> None:
        """It has followed so far."""
        with self._lock:
            self.generation, self.stamp = generation, stamp

    def save(self, folder: Path) -> None:
        """Write down up to which generation the server followed. Raises Unavailable."""
        with self._lock:
            at = {"generation": self.generation, "stamp": self.stamp}
        facts = {"collection": self._name, "dimension": self._dimension, **at}
        temporary = folder / f".milvus.json.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(facts, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, folder / "milvus.json")
        except OSError as exc:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise Unavailable(f"{folder / 'milvus.json'} cannot be written: {exc.strerror or exc}; {_LATER}") from exc

    def load(self, folder: Path) -> bool:
        """Go on from what `save` wrote. False when it is absent, torn, or of another collection: then all is to be built."""
        try:
            facts = json.loads((folder / "milvus.json").read_bytes())
            if (facts["collection"], facts["dimension"]) != (self._name, self._dimension):
                return False
            self.generation, self.stamp = int(facts["generation"]), int(facts.get("stamp", 0))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError) as exc:
            log.warning("%s is damaged (%s); the collection is built anew", folder / "milvus.json", exc)
            return False
        return True

    def forget(self) -> None:
        """Drop the collection."""
        with self._asked() as client:
            if client.has_collection(self._name):
                client.drop_collection(self._name)

    def close(self) -> None:
        """Leave the server."""
        with self._lock:
            if self._connected is not None:
                self._connected.close()
            self._connected = None

    def _create(self, client: Any) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dimension)
        index = client.prepare_index_params()
        index.add_index(field_name="vector", index_type="AUTOINDEX", metric_type="IP")
        client.create_collection(self._name, schema=schema, index_params=index, consistency_level="Strong")

    @contextlib.contextmanager
    def _collection(self) -> Iterator[Any]:
        """The client, and the collection is there; a lost one is not made anew, or it would hold the newest rows only."""
        with self._asked() as client:
            if not client.has_collection(self._name):
                if self.generation:
                    raise Corrupt(f"Milvus has no collection {self._name} any more")
                self._create(client)
            yield client

    @contextlib.contextmanager
    def _asked(self) -> Iterator[Any]:
        """The client; its errors as ours."""
        try:
            from pymilvus import MilvusClient, MilvusException
        except ImportError as exc:
            raise Unavailable(
                "the vector store milvus needs its client: pip install 'pymilvus>=3.0,<4', and 'milvus-lite>=3.2,<4' for a local file"
            ) from exc
        where = self._home.stores.milvus_uri
        try:
            with self._lock:
                if self._connected is None:
                    token = self._home.stores.milvus_token.get_secret_value()
                    self._connected = MilvusClient(uri=where, token=token, timeout=ANSWER_S)
                client = self._connected
            yield client
        except MilvusException as exc:
            if exc.code == _NO_COLLECTION:
                raise Corrupt(f"Milvus has no collection {self._name} any more") from exc
            raise Unavailable(f"Milvus at {where}: {exc.message}; {_LATER}, try again when it answers") from exc
