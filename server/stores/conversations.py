"""conversations.db: what was asked and answered, and what was thought of it; in: turns; out: conversations, until they are deleted.

A conversation belongs to an owner (a key and a browser, see api/conversations.py); nobody else sees that it exists.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from server.errors import Corrupt, NotFound, PaperError, Unavailable

PATIENCE_S = 10.0
TITLE_CHARS = 80
SCHEMA = 1
_TABLES = """
CREATE TABLE conversations (id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL);
CREATE INDEX of_owner ON conversations (owner, updated);
CREATE TABLE turns (
  id TEXT PRIMARY KEY, conversation TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE, ord INTEGER NOT NULL,
  role TEXT NOT NULL, content TEXT NOT NULL, data TEXT NOT NULL DEFAULT '{}', created REAL NOT NULL,
  score INTEGER, reason TEXT NOT NULL DEFAULT '', UNIQUE (conversation, ord));
"""

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One question or answer. `data` is what belongs to an answer: citations, model, depth …; `score` 0 to 100 is the reader's, if any."""

    id: str
    role: Role
    content: str
    data: Mapping[str, Any]
    created: float
    score: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Times are seconds since 1970."""

    id: str
    title: str
    created: float
    updated: float
    turns: int


class Conversations:
    """Opens or creates the file. Thread-safe. A damaged file raises Corrupt and is never overwritten."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """It opens again when it is used."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def begin(self, owner: str, title: str, conversation: str = "") -> str:
        """A new conversation; its id. An id that a client chose is kept, unless it is another owner's (NotFound)."""
        with self._write() as db:
            if conversation:
                row = db.execute("SELECT owner FROM conversations WHERE id = ?", (conversation,)).fetchone()
                if row is not None:
                    if row[0] != owner:
                        raise _absent(conversation)
                    return conversation
            now = time.time()
            chosen = conversation or uuid.uuid4().hex
            db.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?)", (chosen, owner, short(title), now, now))
            return chosen

    def add(self, owner: str, conversation: str, role: Role, content: str, data: Mapping[str, Any] | None = None, turn: str = "") -> str:
        """Append a turn; its id, which is `turn` when that is given. Raises NotFound."""
        with self._write() as db:
            self._check(db, owner, conversation)
            turn, now = turn or uuid.uuid4().hex, time.time()
            db.execute(
                "INSERT INTO turns (id, conversation, ord, role, content, data, created) "
                "VALUES (?1, ?2, (SELECT ifnull(max(ord), 0) + 1 FROM turns WHERE conversation = ?2), ?3, ?4, ?5, ?6)",
                (turn, conversation, role, content, json.dumps(data or {}, ensure_ascii=False), now),
            )
            db.execute("UPDATE conversations SET updated = ? WHERE id = ?", (now, conversation))
            return turn

    def listed(self, owner: str, search: str = "", *, limit: int = 100, offset: int = 0) -> list[Conversation]:
        """The owner's conversations, the newest change first; with `search`, those whose title or turns contain it."""
        query = (
            "SELECT id, title, created, updated, (SELECT count(*) FROM turns WHERE conversation = c.id) "
            "FROM conversations c WHERE owner = ?1 "
            "AND (?2 = '' OR instr(lower(title), ?2) OR EXISTS "
            "(SELECT 1 FROM turns WHERE conversation = c.id AND instr(lower(content), ?2))) ORDER BY updated DESC, id LIMIT ?3 OFFSET ?4"
        )
        with self._reading() as db:
            return [Conversation(*row) for row in db.execute(query, (owner, search.lower(), limit, offset))]

    def turns(self, owner: str, conversation: str) -> list[Turn]:
        """All turns in order. Raises NotFound."""
        with self._reading() as db:
            self._check(db, owner, conversation)
            query = "SELECT id, role, content, data, created, score, reason FROM turns WHERE conversation = ? ORDER BY ord"
            return [
                Turn(i, role, text, json.loads(data), at, score, why)
                for i, role, text, data, at, score, why in db.execute(query, (conversation,))
            ]

    def rename(self, owner: str, conversation: str, title: str) -> None:
        """Raises NotFound."""
        with self._write() as db:
            self._check(db, owner, conversation)
            db.execute("UPDATE conversations SET title = ? WHERE id = ?", (short(title), conversation))

    def delete(self, owner: str, conversation: str) -> None:
        """The conversation and all its turns are gone. Raises NotFound."""
        with self._write() as db:
            self._check(db, owner, conversation)
            db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))

    def cut(self, owner: str, conversation: str, turn: str) -> None:
        """Remove a turn and all after it, to ask again. Raises NotFound."""
        with self._write() as db:
            self._check(db, owner, conversation)
            order = db.execute("SELECT ord FROM turns WHERE id = ? AND conversation = ?", (turn, conversation)).fetchone()
            if order is None:
                raise NotFound(f"no turn {turn!r} in this conversation")
            db.execute("DELETE FROM turns WHERE conversation = ? AND ord >= ?", (conversation, order[0]))

    def feedback(self, owner: str, turn: str, score: int, reason: str) -> None:
        """What a reader thinks of an answer, 0 to 100; the last word counts. Raises NotFound."""
        query = "UPDATE turns SET score = ?, reason = ? WHERE id = ? AND conversation IN (SELECT id FROM conversations WHERE owner = ?)"
        with self._write() as db:
            if not db.execute(query, (score, reason, turn, owner)).rowcount:
                raise NotFound(f"no answer {turn!r}")

    def _check(self, db: sqlite3.Connection, owner: str, conversation: str) -> None:
        if db.execute("SELECT 1 FROM conversations WHERE id = ? AND owner = ?", (conversation, owner)).fetchone() is None:
            raise _absent(conversation)

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One connection for all: turns are few and short."""
        with self._lock:
            try:
                self._db = self._db or self._opened()
                yield self._db
            except sqlite3.OperationalError as exc:
                raise Unavailable(f"{self.path} cannot be used now ({exc}); try again") from exc
            except sqlite3.DatabaseError as exc:
                raise Corrupt(f"{self.path} is damaged ({exc}); move it away, and conversations begin anew") from exc

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA}")
            db.execute("COMMIT")
            if (version := db.execute("PRAGMA user_version").fetchone()[0]) != SCHEMA:
                raise Corrupt(f"{self.path} was written by another version (schema {version}, known is {SCHEMA})")
        except BaseException:
            db.close()
            raise
        return db


def short(title: str) -> str:
    """A title of one line, at most TITLE_CHARS long."""
    line = " ".join(title.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"


def _absent(conversation: str) -> PaperError:
    return NotFound(f"no conversation {conversation!r}")
