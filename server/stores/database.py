"""Connections to library.db: from a pool, one writer at a time, SQLite's errors as ours."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from server.errors import Corrupt, NotFound, PaperError, Unavailable
from server.stores import Vectors
from server.stores.schema import bring_up_to_date
from server.stores.where import folded

PATIENCE_S = 30.0  # for another process's transaction
IDLE_CONNECTIONS = 16
OF_THE_DISK = {  # SQLite's codes for what says nothing about the file itself
    sqlite3.SQLITE_FULL: "no space is left on its disk, make room and try again",
    sqlite3.SQLITE_READONLY: "it, or its folder, does not let us write",
    sqlite3.SQLITE_PERM: "it, or its folder, does not let us write",
    sqlite3.SQLITE_CANTOPEN: "its folder does not let us write, or too many files are open",
    sqlite3.SQLITE_IOERR: "the disk does not do what it is asked, or is full",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}


class Database:
    """Opens or creates `path`. Raises Corrupt when it is not a healthy database of this program.

    Readers take connections from a pool and never wait for the writer (WAL). Writers of other processes are waited for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        with self._connection() as db:
            bring_up_to_date(db, str(path), PATIENCE_S)
        self._anchor = self._idle.pop()  # never used again: while it is open, SQLite's shared memory stays, and a full disk can be read

    def close(self) -> None:
        """Close the idle connections; borrowed ones close when they come back."""
        with self._guard:
            self._closed = True
            idle, self._idle = [*self._idle, self._anchor], []
        for db in idle:
            db.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        db: sqlite3.Connection | None = None
        try:
            db = self._borrowed()
            yield db
        except (sqlite3.Error, UnicodeDecodeError) as exc:  # the second: an error message of SQLite that quotes damaged bytes
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
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA synchronous = NORMAL")
            db.create_function("folded", 1, folded, deterministic=True)
        except BaseException:
            db.close()
            raise
        return db

    def _translated(self, exc: Exception) -> PaperError:
        if not self.path.parent.exists():
            return NotFound(f"未找到知识库 {self.path.parent.name}")
        code = getattr(exc, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Unavailable(f"{self.path} is being written by another process for more than {PATIENCE_S:g} s; try again")
        if code & 0xFF in OF_THE_DISK and code not in (sqlite3.SQLITE_IOERR_CORRUPTFS, sqlite3.SQLITE_IOERR_SHORT_READ):
            return Unavailable(f"{self.path} cannot be used now: {OF_THE_DISK[code & 0xFF]} ({exc}); nothing was lost")
        if not self.path.exists():
            return NotFound(f"未找到知识库 {self.path.parent.name}")
        return Corrupt(f"{self.path} is damaged ({exc}); `python init_database.py --recreate-vs` builds it again from content/")

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._writing, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db  # an exception closes the connection, which rolls back
            db.execute("COMMIT")


@contextlib.contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """What is read inside is of one state, whatever others write meanwhile."""
    db.execute("BEGIN")
    yield  # an exception closes the connection, which rolls back
    db.execute("COMMIT")


def number(db: sqlite3.Connection, key: str) -> int:
    """A number of the table `meta`; 0 when it was never set."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return int(row[0]) if row else 0


def unpacked(blobs: list[bytes]) -> Vectors:
    """(n, dim) float32, unit length. Raises Corrupt when they are no vectors of one length."""
    if not blobs:
        return np.zeros((0, 0), np.float32)
    try:
        vectors = np.frombuffer(b"".join(blobs), np.float16).reshape(len(blobs), -1).astype(np.float32)
    except (TypeError, ValueError) as exc:
        raise Corrupt(f"vectors in library.db are damaged ({exc}); python init_database.py --check says what to do") from exc
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def marks(values: Sequence[object]) -> str:
    """As many question marks as values, for `IN (…)`."""
    return ",".join("?" * len(values))
