"""library.db: files, chunks, words and vectors of one library, and the truth about it; one transaction a file.

Every change of chunks raises `generation` by one; an index that followed up to some generation asks for `changes_since` it.
Readers take connections from a pool and never wait for the writer (WAL). Writers of other processes are waited for.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from server.errors import Corrupt, NotFound, PaperError, Unavailable
from server.stores import Ids, Vectors
from server.stores.rows import (
    CHUNK_COLUMNS,
    FILE_COLUMNS,
    NOTHING_READ,
    PASSAGE_COLUMNS,
    READING_COLUMNS,
    FileRow,
    Reading,
    chunk_row,
    reading_row,
    stored_chunk,
    stored_file,
)
from server.stores.schema import bring_up_to_date
from server.stores.words import match_expression, segment
from server.types import Chunk, FileState, Passage

PATIENCE_S = 30.0  # for another process's transaction
IDLE_CONNECTIONS = 16
BATCH_ROWS = 8192  # vectors read at once: 13 MB at 384 dimensions
_FILES = f"SELECT id, {', '.join(FILE_COLUMNS)} FROM files ORDER BY name"  # noqa: S608 - columns are constants
_CHUNK = f"SELECT {', '.join(PASSAGE_COLUMNS)} FROM chunks c JOIN files f ON f.id = c.file_id"  # noqa: S608 - columns are constants
_ADD_CHUNK = (
    f"INSERT INTO chunks (id, file_id, ord, metadata, {', '.join(CHUNK_COLUMNS)}) "  # noqa: S608 - columns are constants
    f"VALUES (?, ?, ?, ?, {', '.join('?' * len(CHUNK_COLUMNS))})"
)
_SET_READING = ", ".join(f"{column} = ?" for column in READING_COLUMNS)


@dataclass(frozen=True, slots=True)
class Changes:
    """What an index lacks that followed up to generation `since` (0: it is to start empty), to be at `generation` then.

    `added` is the number of windows in `batches` of (ids, vectors (n, dim)), which can be read once; `total` counts all there are.
    """

    since: int
    generation: int
    removed: list[int]
    added: int
    batches: Iterator[tuple[Ids, Vectors]]
    total: Callable[[], int]


class Catalog:
    """Opens or creates `path`. Raises Corrupt when it is not a healthy database of this program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        with self._connection() as db:
            bring_up_to_date(db, str(path), PATIENCE_S)

    # ---- files

    def files(self) -> list[FileRow]:
        """Every file, by name."""
        with self._connection() as db:
            counts = dict(db.execute("SELECT file_id, count(*) FROM chunks GROUP BY file_id"))
            rows = db.execute(_FILES).fetchall()
        return [stored_file(row, counts.get(file_id, 0)) for file_id, *row in rows]

    def mark(self, names: Sequence[str], state: FileState, reason: str = "") -> None:
        """Set the state of files; their chunks stay as they are. A file that was removed meanwhile stays removed."""
        now = time.time()
        with self._write() as db:
            db.executemany(
                "UPDATE files SET state = ?, reason = ?, updated_at = ? WHERE name = ?", [(state, reason, now, n) for n in names]
            )

    def queue(self, names: Sequence[str], splitting: str | None = None) -> None:
        """Mark files as queued, adding new ones, and forget what made their rows, so that a run that is killed is gone on with.

        `splitting` is how they are to be split from now on (FileRow.splitting); None leaves that as it is.
        """
        now = time.time()
        with self._write() as db:
            db.executemany(
                "INSERT INTO files (name, state, splitting, updated_at) VALUES (?1, 'queued', ifnull(?2, ''), ?3) "
                "ON CONFLICT (name) DO UPDATE SET state = 'queued', reason = '', recipe = '', splitting = ifnull(?2, splitting), "
                "updated_at = ?3",
                [(name, splitting, now) for name in names],
            )

    def replace(
        self, name: str, reading: Reading, chunks: Sequence[Chunk], vectors: Vectors, metadata: dict[str, object] | None = None
    ) -> None:
        """One transaction: the old chunks of the file go, the new ones come, the file is ready. `vectors` has a row a window, in order.

        Nothing happens when the file is not queued any more: it was removed while it was read.
        """
        notes = json.dumps(metadata or {}, ensure_ascii=False)
        halves = vectors.astype(np.float16)  # rounding costs 2e-7 of cosine, the file is half as long
        with self._write() as db:
            file_id = _id_of(db, name)
            if file_id is None:
                return
            generation = self._raise_generation(db)
            self._empty(db, file_id, generation)
            at = 0
            for order, chunk in enumerate(chunks):
                chunk_id = secrets.randbits(63)
                db.execute(_ADD_CHUNK, (chunk_id, file_id, order, notes, *chunk_row(chunk)))
                db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (chunk_id, segment(chunk.prefix + chunk.text)))
                rows = [
                    (secrets.randbits(63), chunk_id, file_id, *bounds, halves[at + i].tobytes()) for i, bounds in enumerate(chunk.windows)
                ]
                db.executemany("INSERT INTO windows VALUES (?,?,?,?,?,?)", rows)
                at += len(rows)
            db.execute(
                f"UPDATE files SET state = 'ready', reason = '', {_SET_READING}, updated_at = ?, generation = ? WHERE id = ?",  # noqa: S608 - columns
                (*reading_row(reading), time.time(), generation, file_id),
            )

    def fail(self, name: str, reason: str, sha256: str, recipe: str, *, keep_same: bool = False) -> None:
        """One transaction: the file's chunks go, its reason stays. Hash and recipe are kept: an unchanged bad file is not read again.

        With `keep_same`, chunks stay that were made from the same bytes.
        """
        with self._write() as db:
            file_id = _id_of(db, name)
            if file_id is None:
                return
            if keep_same and db.execute("SELECT 1 FROM files WHERE id = ? AND sha256 = ?", (file_id, sha256)).fetchone():
                values = (reason, recipe, time.time(), file_id)
                db.execute("UPDATE files SET state = 'failed', reason = ?, recipe = ?, updated_at = ? WHERE id = ?", values)
                return
            self._empty(db, file_id, self._raise_generation(db))
            nothing = replace(NOTHING_READ, sha256=sha256, recipe=recipe)
            db.execute(
                f"UPDATE files SET state = 'failed', reason = ?, {_SET_READING}, updated_at = ? WHERE id = ?",  # noqa: S608 - columns
                (reason, *reading_row(nothing), time.time(), file_id),
            )

    def remove(self, names: Iterable[str]) -> None:
        """One transaction: the files and all that came from them are gone; unknown names are fine."""
        with self._write() as db:
            generation = self._raise_generation(db)
            for file_id in [found for name in names if (found := _id_of(db, name)) is not None]:
                self._empty(db, file_id, generation)
                db.execute("DELETE FROM files WHERE id = ?", (file_id,))

    # ---- searching

    def word_scores(self, terms: Sequence[str], k: int, *, files: Sequence[str] = (), among: Sequence[int] = ()) -> dict[int, float]:
        """The `k` best chunks by BM25 (k1 1.2, b 0.75; larger is better); only those of `files`, or `among` chunk ids, when given."""
        if not terms:
            return {}
        query = "SELECT words.rowid, -bm25(words) AS score FROM words"
        values: list[object] = []
        if files:
            query += " JOIN chunks c ON c.id = words.rowid JOIN files f ON f.id = c.file_id"
        query += " WHERE words MATCH ?"
        values.append(match_expression(list(terms)))
        if files:
            query += f" AND f.name IN ({_marks(files)})"
            values += files
        if among:
            query += f" AND words.rowid IN ({_marks(among)})"
            values += among
        with self._connection() as db:
            return dict(db.execute(query + " ORDER BY score DESC LIMIT ?", [*values, k]).fetchall())

    def document_frequencies(self, terms: Sequence[str]) -> tuple[int, list[int]]:
        """How many chunks there are, and how many hold each term."""
        with self._connection() as db:
            total = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
            counts = [
                db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match_expression([term]),)).fetchone()[0] for term in terms
            ]
        return total, counts

    def chunks_of_windows(self, windows: Sequence[int]) -> dict[int, int]:
        """window id -> chunk id, for those that still exist."""
        with self._connection() as db:
            return dict(db.execute(f"SELECT id, chunk_id FROM windows WHERE id IN ({_marks(windows)})", list(windows)).fetchall())  # noqa: S608 - only marks

    def windows_of_files(self, files: Sequence[str]) -> Ids:
        """The window ids of the named files."""
        query = f"SELECT w.id FROM windows w JOIN files f ON f.id = w.file_id WHERE f.name IN ({_marks(files)})"  # noqa: S608 - only marks
        with self._connection() as db:
            return np.array([row[0] for row in db.execute(query, list(files))], np.int64)

    def vectors_of_chunks(self, chunks: Sequence[int]) -> tuple[list[int], Vectors]:
        """The chunk id of each window of `chunks`, and the windows' vectors (n, dim)."""
        query = f"SELECT chunk_id, vector FROM windows WHERE chunk_id IN ({_marks(chunks)})"  # noqa: S608 - only marks
        with self._connection() as db:
            rows = db.execute(query, list(chunks)).fetchall()
        return [row[0] for row in rows], _unpacked([row[1] for row in rows])

    def vectors_of_windows(self, windows: Sequence[int]) -> tuple[list[int], Vectors]:
        """Those of `windows` that still exist, and their vectors (n, dim)."""
        with self._connection() as db:
            rows = db.execute(f"SELECT id, vector FROM windows WHERE id IN ({_marks(windows)})", list(windows)).fetchall()  # noqa: S608 - only marks
        return [row[0] for row in rows], _unpacked([row[1] for row in rows])

    def passages(self, kb: str, chunks: Sequence[int]) -> dict[int, Passage]:
        """chunk id -> Passage with scores 0, for those that still exist."""
        with self._connection() as db:
            rows = db.execute(f"{_CHUNK} WHERE c.id IN ({_marks(chunks)})", list(chunks)).fetchall()
        return {row[0]: stored_chunk(kb, row) for row in rows}

    def listing(self, kb: str, name: str) -> list[Passage]:
        """All chunks of a file, in order. Raises NotFound when the library has no such file."""
        with self._connection() as db:
            if db.execute("SELECT 1 FROM files WHERE name = ?", (name,)).fetchone() is None:
                raise NotFound(f"no file {name!r} in the library {kb!r}")
            rows = db.execute(f"{_CHUNK} WHERE f.name = ? ORDER BY c.ord", (name,)).fetchall()
        return [stored_chunk(kb, row) for row in rows]

    def section_of(self, kb: str, chunk: int) -> list[Passage]:
        """All chunks of the section that this chunk belongs to, in order. Raises NotFound."""
        own = "SELECT file_id, section_number FROM chunks WHERE id = ?"
        query = f"{_CHUNK} WHERE (c.file_id, c.section_number) = ({own}) ORDER BY c.ord"
        with self._connection() as db:
            rows = db.execute(query, (chunk,)).fetchall()
        if not rows:
            raise NotFound(f"no chunk {chunk} in the library {kb!r}; a file that was read again has new ones")
        return [stored_chunk(kb, row) for row in rows]

    # ---- following

    def lineage(self) -> int:
        """A random number that this library.db was given once."""
        with self._connection() as db:
            known = _number(db, "lineage")
        if known:
            return known
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('lineage', ?)", (secrets.randbits(62) + 1,))
            return _number(db, "lineage")

    def generation(self) -> int:
        """The number of the last change."""
        with self._connection() as db:
            return _number(db, "generation")

    @contextlib.contextmanager
    def changes_since(self, generation: int) -> Iterator[Changes]:
        """What an index that followed up to `generation` lacks; everything, when what was removed since then is not known any more.

        The batches are read while they are asked for, from one state of the library, in the order of the ids, which are random.
        """
        with self._connection() as db, _snapshot(db):
            now = _number(db, "generation")
            since = generation if generation >= _number(db, "pruned") else 0
            removed = [row[0] for row in db.execute("SELECT window_id FROM removed WHERE generation > ?", (since,))] if since else []
            changed = "files f CROSS JOIN windows w ON w.file_id = f.id WHERE f.generation > ?" if since else "windows w WHERE ?1 = 0"
            # CROSS JOIN keeps SQLite from going through two million windows for the few files that changed: 0.5 s
            added = db.execute(f"SELECT count(*) FROM {changed}", (since,)).fetchone()[0]  # noqa: S608 - constants
            query = f"SELECT w.id, w.vector FROM {changed}{'' if since else ' ORDER BY w.id'}"  # noqa: S608 - constants
            yield Changes(since, now, removed, added, _batches(db, query, since), lambda: _windows(db))

    def prune(self, generation: int) -> None:
        """Forget what was removed up to `generation`, once that is more than what there is: indexes that are older are built anew."""
        with self._write() as db:
            removed = db.execute("SELECT count(*) FROM removed WHERE generation <= ?", (generation,)).fetchone()[0]
            if removed > db.execute("SELECT count(*) FROM windows").fetchone()[0]:
                db.execute("DELETE FROM removed WHERE generation <= ?", (generation,))
                db.execute("INSERT INTO meta VALUES ('pruned', ?1) ON CONFLICT (key) DO UPDATE SET value = max(value, ?1)", (generation,))

    def counts(self) -> tuple[int, int, int]:
        """(files that are ready, chunks, windows)."""
        query = "SELECT (SELECT count(*) FROM files WHERE state = 'ready'), (SELECT count(*) FROM chunks), (SELECT count(*) FROM windows)"
        with self._connection() as db:
            ready, chunks, windows = db.execute(query).fetchone()
        return ready, chunks, windows

    def close(self) -> None:
        """Close the idle connections; borrowed ones close when they come back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    # ---- inside

    def _empty(self, db: sqlite3.Connection, file_id: int, generation: int) -> None:
        """Remove the file's chunks, and write down for the indexes which windows went."""
        db.execute("INSERT INTO removed SELECT id, ? FROM windows WHERE file_id = ?", (generation, file_id))
        db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM chunks WHERE file_id = ?)", (file_id,))
        db.execute("DELETE FROM chunks WHERE file_id = ?", (file_id,))

    def _raise_generation(self, db: sqlite3.Connection) -> int:
        db.execute("INSERT INTO meta VALUES ('generation', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1")
        return _number(db, "generation")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        db: sqlite3.Connection | None = None
        try:
            db = self._borrowed()
            yield db
        except sqlite3.Error as exc:
            if db is not None:
                db.close()
            raise self._translated(exc) from exc
        except BaseException:
            if db is not None:
                db.close()
            raise
        with self._guard:
            if not self._closed and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(db)
                return
        db.close()

    def _borrowed(self) -> sqlite3.Connection:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        db = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")
        return db

    def _translated(self, exc: sqlite3.Error) -> PaperError:
        if not self.path.exists():
            return NotFound(f"未找到知识库 {self.path.parent.name}")
        if getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Unavailable(f"{self.path} is being written by another process for more than {PATIENCE_S:g} s; try again")
        if getattr(exc, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            return Unavailable(f"no space left on the disk of {self.path}; nothing was lost, make room and try again")
        return Corrupt(f"{self.path} is damaged ({exc}); `python init_database.py --recreate-vs` builds it again from content/")

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._writing, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db  # an exception closes the connection, which rolls back
            db.execute("COMMIT")


@contextlib.contextmanager
def _snapshot(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN")
    yield
    db.execute("COMMIT")


def _id_of(db: sqlite3.Connection, name: str) -> int | None:
    row = db.execute("SELECT id FROM files WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else None


def _number(db: sqlite3.Connection, key: str) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return int(row[0]) if row else 0


def _windows(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM windows").fetchone()[0])


def _batches(db: sqlite3.Connection, query: str, since: int) -> Iterator[tuple[Ids, Vectors]]:
    rows = db.execute(query, (since,))
    while some := rows.fetchmany(BATCH_ROWS):
        yield np.array([row[0] for row in some], np.int64), _unpacked([row[1] for row in some])


def _unpacked(blobs: list[bytes]) -> Vectors:
    if not blobs:
        return np.zeros((0, 0), np.float32)
    vectors = np.frombuffer(b"".join(blobs), np.float16).reshape(len(blobs), -1).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
