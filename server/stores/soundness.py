"""library.db -> what is wrong inside it: pages that SQLite cannot trust, chunks without windows or words, vectors that are none, strays."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from server.errors import Corrupt
from server.stores import Ids
from server.stores.rows import CHUNK_COLUMNS, checksum, vectors_checksum
from server.stores.schema import STRAY_CHUNKS, STRAY_WINDOWS, STRAY_WORDS

PATIENCE_S = 30.0  # for another process's transaction
MOST_COMPLAINTS = 10  # of SQLite's integrity check; one is enough to act
BATCH = 10_000  # vectors looked at together: 8 MB of 384 dimensions
_WITHOUT = "SELECT f.name, count(*) FROM chunks c JOIN files f ON f.id = c.file_id WHERE c.id NOT IN ({}) GROUP BY f.name ORDER BY f.name"


@dataclass(frozen=True, slots=True)
class Soundness:
    """What one look at library.db found; every mapping is file -> how many."""

    generation: int
    windows: Ids  # of all windows, in any order
    damage: tuple[str, ...]  # SQLite's own words
    without_windows: dict[str, int]
    without_words: dict[str, int]
    bad_vectors: dict[str, int]  # of another dimension, zero, or not numbers
    altered: dict[str, int]  # chunks whose text or vectors are not what was written
    strays: dict[str, int]  # "chunks of no file" …: how many
    ahead: tuple[str, ...]  # files that changed after the library's last change, as their rows say


def examine(path: Path, dimension: int) -> Soundness:
    """Look at everything in one transaction; nothing is changed. Raises Corrupt when SQLite gives up."""
    try:
        with _opened(path) as db:
            damage = tuple(row[0] for row in db.execute(f"PRAGMA integrity_check({MOST_COMPLAINTS})") if row[0] != "ok")
            row = db.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
            generation = int(row[0]) if row else 0
            ahead = db.execute("SELECT name FROM files WHERE generation > ? ORDER BY name", (generation,))
            return Soundness(
                generation=generation,
                windows=np.array([row[0] for row in db.execute("SELECT id FROM windows")], np.int64),
                damage=damage,
                without_windows=dict(db.execute(_WITHOUT.format("SELECT chunk_id FROM windows"))),
                without_words=dict(db.execute(_WITHOUT.format("SELECT rowid FROM words"))),
                bad_vectors=_bad_vectors(db, dimension),
                altered=_altered(db),
                strays=_strays(db),
                ahead=tuple(row[0] for row in ahead),
            )
    except sqlite3.Error as exc:
        raise Corrupt(f"{path} is damaged ({exc})") from exc


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
    try:
        db.execute("PRAGMA query_only = ON")
        db.execute("BEGIN")
        yield db
    finally:
        db.close()


def _strays(db: sqlite3.Connection) -> dict[str, int]:
    kinds = {
        "chunks of no file": ("chunks", STRAY_CHUNKS),
        "windows of no chunk": ("windows", STRAY_WINDOWS),
        "words of no chunk": ("words", STRAY_WORDS),
    }
    counts = {
        kind: int(db.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()[0])  # noqa: S608 - constants
        for kind, (table, condition) in kinds.items()
    }
    return {kind: count for kind, count in counts.items() if count}


def _bad_vectors(db: sqlite3.Connection, dimension: int) -> dict[str, int]:
    bad: Counter[str] = Counter()
    rows = db.execute("SELECT f.name, w.vector FROM windows w JOIN files f ON f.id = w.file_id")
    while batch := rows.fetchmany(BATCH):
        fitting = [isinstance(blob, bytes) and len(blob) == 2 * dimension for _, blob in batch]
        blobs = [blob if fits else bytes(2 * dimension) for (_, blob), fits in zip(batch, fitting, strict=True)]  # zeros are bad, too
        vectors = np.frombuffer(b"".join(blobs), np.float16).reshape(len(blobs), dimension).astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1)
        good = np.isfinite(lengths) & (lengths > 0)
        bad.update(name for (name, _), fine in zip(batch, good, strict=True) if not fine)
    return dict(sorted(bad.items()))


def _altered(db: sqlite3.Connection) -> dict[str, int]:
    altered: Counter[str] = Counter()
    columns = ", ".join(f"c.{column}" for column in CHUNK_COLUMNS)
    vectors = "SELECT vector FROM windows WHERE chunk_id = ?"
    query = f"SELECT f.name, c.id, c.vectors_checksum, {columns} FROM chunks c JOIN files f ON f.id = c.file_id"  # noqa: S608 - constants
    for name, chunk, known, *row in db.execute(query):
        try:
            same = row[-1] in (None, checksum(row[:-1])) and known in (None, vectors_checksum(v for (v,) in db.execute(vectors, (chunk,))))
        except (TypeError, AttributeError):  # a value of another type
            same = False
        altered.update([name] * (not same))
    return dict(sorted(altered.items()))
