"""library.db: files, chunks, words and vectors of one library, and the truth about it; one transaction a file."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from server.errors import NotFound
from server.stores import Vectors
from server.stores.editing import Editing, add_chunk, raise_generation
from server.stores.rows import (
    CHUNK_OF_FILE,
    FILE_COLUMNS,
    NOTHING_READ,
    READING_COLUMNS,
    FileRow,
    Reading,
    reading_row,
    stored_chunk,
    stored_file,
)
from server.stores.schema import STRAY_CHUNKS, STRAY_WINDOWS, STRAY_WORDS
from server.stores.search_rows import SearchRows
from server.types import Chunk, FileState, Passage

_FILES = f"SELECT id, {', '.join(FILE_COLUMNS)} FROM files"  # noqa: S608 - columns are constants
_SET_READING = ", ".join(f"{column} = ?" for column in READING_COLUMNS)


class Catalog(SearchRows, Editing):
    """All of a library.db. Opens or creates it. Raises Corrupt when it is not a healthy database of this program."""

    def files(self) -> list[FileRow]:
        """Every file, by name."""
        with self._connection() as db:
            counts = dict(db.execute("SELECT file_id, count(*) FROM chunks GROUP BY file_id"))
            rows = db.execute(f"{_FILES} ORDER BY name").fetchall()
        return [stored_file(row, counts.get(file_id, 0)) for file_id, *row in rows]

    def rows(self, names: Sequence[str]) -> list[FileRow]:
        """Those of the named files that have a row, in any order."""
        found = []
        with self._connection() as db:
            for name in names:
                for file_id, *row in db.execute(f"{_FILES} WHERE name = ?", (name,)):
                    (count,) = db.execute("SELECT count(*) FROM chunks WHERE file_id = ?", (file_id,)).fetchone()
                    found.append(stored_file(row, count))
        return found

    def choices(self) -> dict[str, str]:
        """File -> how it was asked to be split (FileRow.splitting), for those that somebody has chosen a way for."""
        with self._connection() as db:
            return dict(db.execute("SELECT name, splitting FROM files WHERE splitting <> ''").fetchall())

    def mark(self, names: Sequence[str], state: FileState, reason: str = "") -> None:
        """Set the state of files; their chunks stay as they are.

        A file that was removed meanwhile stays removed, and one that was uploaded again since it was `reading` stays queued.
        """
        now = time.time()
        with self._write() as db:
            db.executemany(
                "UPDATE files SET state = ?1, reason = ?2, updated_at = ?3 WHERE name = ?4 "
                "AND NOT (?1 = 'embedding' AND state = 'queued' AND awaited <> '')",
                [(state, reason, now, name) for name in names],
            )

    def queue(self, names: Sequence[str], splitting: str | None = None, *, awaited: str | None = None) -> None:
        """Mark files as queued, adding new ones, and forget what made their rows, so that a run that is killed is gone on with.

        `splitting` is how they are to be split from now on (FileRow.splitting); None leaves that as it is. `awaited` is the sha256 of
        what they are about to hold: a run that has read what they held before leaves them queued.
        """
        if not names:
            return
        now = time.time()
        with self._write() as db:
            db.executemany(
                "INSERT INTO files (name, state, splitting, updated_at, awaited) VALUES (?1, 'queued', ifnull(?2, ''), ?3, ifnull(?4, '')) "
                "ON CONFLICT (name) DO UPDATE SET state = 'queued', reason = '', recipe = '', edited = 0, "
                "splitting = ifnull(?2, splitting), updated_at = ?3, awaited = ifnull(?4, awaited)",
                [(name, splitting, now, awaited) for name in names],
            )

    def await_nothing(self) -> None:
        """What the files hold now is to be ingested: uploads that were under way when the program was killed do not come any more."""
        with self._connection() as db:
            waiting = db.execute("SELECT 1 FROM files WHERE awaited <> '' LIMIT 1").fetchone()
        if waiting:
            with self._write() as db:
                db.execute("UPDATE files SET awaited = '', state = 'queued' WHERE awaited <> ''")

    def replace(
        self, name: str, reading: Reading, chunks: Sequence[Chunk], vectors: Vectors, metadata: Sequence[dict[str, object]] | None = None
    ) -> None:
        """One transaction: the old chunks of the file go, the new ones come, the file is ready. `vectors` has a row a window, in order.

        With `metadata`, one for each chunk, the chunks are a person's own. Nothing happens when the file is not queued any more: it was
        removed, or given a person's chunks, while it was read. One that was uploaded again while it was read stays queued.
        """
        halves = vectors.astype(np.float16)  # rounding costs 2e-7 of cosine, the file is half as long
        with self._write() as db:
            file_id = _wanted(db, name, reading.sha256)
            if file_id is None:
                return
            generation = raise_generation(db)
            self._empty(db, file_id, generation)
            at = 0
            for order, chunk in enumerate(chunks):
                some = halves[at : at + len(chunk.windows)]
                add_chunk(db, file_id, order, secrets.randbits(63), chunk, some, metadata[order] if metadata else {})
                at += len(some)
            done = "state = 'ready', reason = '', awaited = '', edited = ?, updated_at = ?, generation = ?"
            db.execute(
                f"UPDATE files SET {done}, {_SET_READING} WHERE id = ?",  # noqa: S608 - columns
                (metadata is not None, time.time(), generation, *reading_row(reading), file_id),
            )

    def fail(self, name: str, reason: str, sha256: str, recipe: str, *, keep_same: bool = False) -> None:
        """One transaction: the file's chunks go, its reason stays. Hash and recipe are kept: an unchanged bad file is not read again.

        With `keep_same`, chunks stay that were made from the same bytes.
        """
        with self._write() as db:
            file_id = _wanted(db, name, sha256)
            if file_id is None:
                return
            if keep_same and db.execute("SELECT 1 FROM files WHERE id = ? AND sha256 = ?", (file_id, sha256)).fetchone():
                values = (reason, recipe, time.time(), file_id)
                db.execute("UPDATE files SET state = 'failed', reason = ?, awaited = '', recipe = ?, updated_at = ? WHERE id = ?", values)
                return
            self._empty(db, file_id, raise_generation(db))
            nothing = replace(NOTHING_READ, sha256=sha256, recipe=recipe)
            db.execute(
                f"UPDATE files SET state = 'failed', reason = ?, awaited = '', {_SET_READING}, updated_at = ? WHERE id = ?",  # noqa: S608 - columns
                (reason, *reading_row(nothing), time.time(), file_id),
            )

    def remove(self, names: Iterable[str], *, awaited: bool = False) -> None:
        """One transaction: the files and all that came from them are gone; unknown names are fine.

        Files that are just being uploaded stay, unless `awaited` ones are to go, too: that a run did not see them means nothing.
        """
        with self._write() as db:
            generation = raise_generation(db)
            spared = set() if awaited else {row[0] for row in db.execute("SELECT id FROM files WHERE awaited <> ''")}
            for file_id in [found for name in names if (found := _id_of(db, name)) is not None and found not in spared]:
                self._empty(db, file_id, generation)
                db.execute("DELETE FROM files WHERE id = ?", (file_id,))

    def remove_strays(self) -> int:
        """One transaction: chunks of no file, and windows and words of no chunk, are gone; how many rows that were."""
        with self._write() as db:
            generation = raise_generation(db)
            db.execute(f"INSERT INTO removed SELECT id, ? FROM windows WHERE {STRAY_WINDOWS}", (generation,))  # noqa: S608 - a constant
            tables = (("windows", STRAY_WINDOWS), ("chunks", STRAY_CHUNKS), ("words", STRAY_WORDS))  # words last: chunks that go leave some
            return sum(db.execute(f"DELETE FROM {table} WHERE {condition}").rowcount for table, condition in tables)  # noqa: S608 - constants

    def listing(self, kb: str, name: str) -> list[Passage]:
        """All chunks of a file, in order. Raises NotFound when the library has no such file."""
        with self._connection() as db:
            if db.execute("SELECT 1 FROM files WHERE name = ?", (name,)).fetchone() is None:
                raise NotFound(f"no file {name!r} in the library {kb!r}")
            rows = db.execute(f"{CHUNK_OF_FILE} WHERE f.name = ? ORDER BY c.ord", (name,)).fetchall()
        return [stored_chunk(kb, row) for row in rows]

    def counts(self) -> tuple[int, int, int]:
        """(files that are ready, chunks, windows)."""
        query = "SELECT (SELECT count(*) FROM files WHERE state = 'ready'), (SELECT count(*) FROM chunks), (SELECT count(*) FROM windows)"
        with self._connection() as db:
            ready, chunks, windows = db.execute(query).fetchone()
        return ready, chunks, windows

    def _empty(self, db: sqlite3.Connection, file_id: int, generation: int) -> None:
        """Remove the file's chunks, and write down for the indexes which windows went."""
        db.execute("INSERT INTO removed SELECT id, ? FROM windows WHERE file_id = ?", (generation, file_id))
        db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM chunks WHERE file_id = ?)", (file_id,))
        db.execute("DELETE FROM chunks WHERE file_id = ?", (file_id,))


def _wanted(db: sqlite3.Connection, name: str, sha256: str) -> int | None:
    """The id of a file whose bytes have been read; None when it was removed, or uploaded again since then.

    It is not enough that the same bytes were uploaded again: others may have lain there in between, and been read. What a person has
    written meanwhile stays.
    """
    row = db.execute("SELECT id, awaited, state, edited FROM files WHERE name = ?", (name,)).fetchone()
    if row is None or row[3]:
        return None
    if row[1] and (row[1] != sha256 or row[2] == "queued"):
        db.execute("UPDATE files SET state = 'queued' WHERE id = ?", (row[0],))
        return None
    return int(row[0])


def _id_of(db: sqlite3.Connection, name: str) -> int | None:
    row = db.execute("SELECT id FROM files WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else None
