"""Single chunks of library.db; in: texts that a person changed, with their vectors; out: rows, in one transaction."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from server.errors import NotFound
from server.stores import Vectors
from server.stores.database import marks, number
from server.stores.following import Following
from server.stores.rows import CHUNK_COLUMNS, chunk_row, vectors_checksum
from server.stores.words import segment
from server.types import Chunk

_ADD_CHUNK = (
    f"INSERT INTO chunks (id, file_id, ord, vectors_checksum, {', '.join(CHUNK_COLUMNS)}) "  # noqa: S608 - columns are constants
    f"VALUES (?, ?, ?, ?, {', '.join('?' * len(CHUNK_COLUMNS))})"
)


@dataclass(frozen=True, slots=True)
class Edited:
    """What a chunk is to be: `vectors` has a row for each of its windows."""

    chunk: Chunk
    vectors: Vectors
    metadata: dict[str, object]


class Editing(Following):
    """Changes of single chunks; their ids stay."""

    def edit(self, edits: Mapping[int, Edited | None]) -> None:
        """One transaction: the chunks are as given; those with None go. All others stay as they are.

        Raises NotFound when a chunk is not there any more, and then nothing has changed. Indexes take all windows of a changed file anew.
        """
        with self._write() as db:
            found = f"SELECT id, file_id, ord FROM chunks WHERE id IN ({marks(list(edits))})"  # noqa: S608 - question marks
            places = {chunk_id: (file_id, order) for chunk_id, file_id, order in db.execute(found, list(edits))}
            if missing := [chunk_id for chunk_id in edits if chunk_id not in places]:
                raise NotFound(f"no chunk {missing[0]}: it was removed, or its file was read again since you saw it")
            generation = raise_generation(db)
            files = {file_id for file_id, _ in places.values()}
            for file_id in files:
                db.execute("INSERT INTO removed SELECT id, ? FROM windows WHERE file_id = ?", (generation, file_id))
            for chunk_id, edited in edits.items():
                db.execute("DELETE FROM words WHERE rowid = ?", (chunk_id,))
                db.execute("DELETE FROM chunks WHERE id = ?", (chunk_id,))
                if edited is not None:
                    halves = edited.vectors.astype(np.float16)
                    add_chunk(db, *places[chunk_id], chunk_id, edited.chunk, halves, edited.metadata)
            for file_id in files:
                told = "SELECT window_id FROM removed WHERE generation = ?"
                kept = db.execute(f"SELECT id FROM windows WHERE file_id = ? AND id IN ({told})", (file_id, generation))  # noqa: S608 - a constant
                renamed = [(secrets.randbits(63), window_id) for (window_id,) in kept.fetchall()]
                db.executemany("UPDATE windows SET id = ? WHERE id = ?", renamed)
                now = time.time()
                db.execute("UPDATE files SET edited = 1, generation = ?, updated_at = ? WHERE id = ?", (generation, now, file_id))


def add_chunk(
    db: sqlite3.Connection, file_id: int, order: int, chunk_id: int, chunk: Chunk, halves: np.ndarray, metadata: dict[str, object]
) -> None:
    """The rows of one chunk. `halves` (windows, dim) float16 are its vectors."""
    blobs = [half.tobytes() for half in halves]
    db.execute(_ADD_CHUNK, (chunk_id, file_id, order, vectors_checksum(blobs), *chunk_row(chunk, metadata)))
    db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (chunk_id, segment(chunk.prefix + chunk.text)))
    rows = [(secrets.randbits(63), chunk_id, file_id, *bounds, blob) for bounds, blob in zip(chunk.windows, blobs, strict=True)]
    db.executemany("INSERT INTO windows VALUES (?,?,?,?,?,?)", rows)


def raise_generation(db: sqlite3.Connection) -> int:
    """The number of the change that this transaction makes."""
    db.execute("INSERT INTO meta VALUES ('generation', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1")
    generation = number(db, "generation")
    db.execute("INSERT OR REPLACE INTO history VALUES (?, ?)", (generation, secrets.randbits(62) + 1))
    return generation
