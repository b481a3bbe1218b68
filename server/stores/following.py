"""library.db for those who follow it: what an index lacks that followed up to some generation.

Every change of chunks raises `generation` by one, and gives it a random stamp. An index that knows the generation and another stamp
followed another library.db, or this one before a backup of it was put back: its numbers mean nothing here.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from server.stores import Ids, Vectors
from server.stores.database import Database, number, snapshot, unpacked

BATCH_ROWS = 8192  # vectors read at once: 13 MB at 384 dimensions


@dataclass(frozen=True, slots=True)
class Changes:
    """What an index lacks that followed up to generation `since` (0: it is to start empty), to be at `generation` then.

    `added` is the number of windows in `batches` of (ids, vectors (n, dim)), which can be read once; `total` counts all there are.
    """

    since: int
    generation: int
    stamp: int
    removed: list[int]
    added: int
    batches: Iterator[tuple[Ids, Vectors]]
    total: Callable[[], int]


class Following(Database):
    """The numbers by which indexes follow."""

    def lineage(self) -> int:
        """A random number that this library.db was given once."""
        with self._connection() as db:
            known = number(db, "lineage")
        if known:
            return known
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('lineage', ?)", (secrets.randbits(62) + 1,))
            return number(db, "lineage")

    def generation(self) -> int:
        """The number of the last change."""
        with self._connection() as db:
            return number(db, "generation")

    def has_had(self, generation: int, stamp: int) -> bool:
        """Whether an index that followed up to `generation` followed this library.db."""
        with self._connection() as db:
            return _stamp(db, generation) == stamp

    @contextlib.contextmanager
    def changes_since(self, generation: int, stamp: int | None = None) -> Iterator[Changes]:
        """What an index that followed up to `generation` lacks.

        Everything, when what was removed since then is not known any more, or when that generation has another `stamp` here.
        The batches are read while they are asked for, from one state of the library, in the order of the ids, which are random.
        """
        with self._connection() as db, snapshot(db):
            now = number(db, "generation")
            own = generation >= number(db, "pruned") and stamp in (None, _stamp(db, generation))
            since = generation if own else 0
            removed = [row[0] for row in db.execute("SELECT window_id FROM removed WHERE generation > ?", (since,))] if since else []
            changed = "files f CROSS JOIN windows w ON w.file_id = f.id WHERE f.generation > ?" if since else "windows w WHERE ?1 = 0"
            # CROSS JOIN keeps SQLite from going through two million windows for the few files that changed: 0.5 s
            added = db.execute(f"SELECT count(*) FROM {changed}", (since,)).fetchone()[0]  # noqa: S608 - constants
            query = f"SELECT w.id, w.vector FROM {changed}{'' if since else ' ORDER BY w.id'}"  # noqa: S608 - constants
            yield Changes(since, now, _stamp(db, now), removed, added, _batches(db, query, since), lambda: _windows(db))

    def prune(self, generation: int) -> None:
        """Forget what was removed up to `generation`, once that is more than what there is: indexes that are older are built anew."""
        with self._write() as db:
            removed = db.execute("SELECT count(*) FROM removed WHERE generation <= ?", (generation,)).fetchone()[0]
            if removed > db.execute("SELECT count(*) FROM windows").fetchone()[0]:
                db.execute("DELETE FROM removed WHERE generation <= ?", (generation,))
                db.execute("DELETE FROM history WHERE generation < ?", (generation,))
                db.execute("INSERT INTO meta VALUES ('pruned', ?1) ON CONFLICT (key) DO UPDATE SET value = max(value, ?1)", (generation,))


def _stamp(db: sqlite3.Connection, generation: int) -> int:
    row = db.execute("SELECT stamp FROM history WHERE generation = ?", (generation,)).fetchone()
    return int(row[0]) if row else 0


def _windows(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM windows").fetchone()[0])


def _batches(db: sqlite3.Connection, query: str, since: int) -> Iterator[tuple[Ids, Vectors]]:
    rows = db.execute(query, (since,))
    while some := rows.fetchmany(BATCH_ROWS):
        yield np.array([row[0] for row in some], np.int64), unpacked([row[1] for row in some])
