"""The tables of library.db; in: a connection to a new or an older file; out: the same file in this version's schema, nothing lost."""

from __future__ import annotations

import sqlite3
import time

from server.errors import Corrupt

SCHEMA = 4
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  title TEXT NOT NULL DEFAULT '', language TEXT NOT NULL DEFAULT '', pages INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0, sha256 TEXT NOT NULL DEFAULT '', recipe TEXT NOT NULL DEFAULT '',
  warnings TEXT NOT NULL DEFAULT '[]', updated_at REAL NOT NULL, generation INTEGER NOT NULL DEFAULT 0,
  authors TEXT NOT NULL DEFAULT '[]', abstract TEXT NOT NULL DEFAULT '', year INTEGER, doi TEXT NOT NULL DEFAULT '',
  arxiv_id TEXT NOT NULL DEFAULT '', hidden TEXT NOT NULL DEFAULT '[]', ocr_pages TEXT NOT NULL DEFAULT '[]',
  splitting TEXT NOT NULL DEFAULT '', awaited TEXT NOT NULL DEFAULT '', edited INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS chunks (
  id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, ord INTEGER NOT NULL, section TEXT NOT NULL,
  page INTEGER NOT NULL, page_end INTEGER NOT NULL, kind TEXT NOT NULL, language TEXT NOT NULL, text TEXT NOT NULL,
  spans BLOB NOT NULL, metadata TEXT NOT NULL DEFAULT '{}', section_number INTEGER NOT NULL DEFAULT 0,
  repeated INTEGER NOT NULL DEFAULT 0, checksum INTEGER, vectors_checksum INTEGER);
CREATE INDEX IF NOT EXISTS chunks_of_file ON chunks (file_id, ord);
CREATE TABLE IF NOT EXISTS windows (
  id INTEGER PRIMARY KEY, chunk_id INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE,
  file_id INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, start INTEGER NOT NULL, stop INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS windows_of_chunk ON windows (chunk_id);
CREATE INDEX IF NOT EXISTS windows_of_file ON windows (file_id);
CREATE TABLE IF NOT EXISTS removed (window_id INTEGER NOT NULL, generation INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS removed_since ON removed (generation);
CREATE TABLE IF NOT EXISTS history (generation INTEGER PRIMARY KEY, stamp INTEGER NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, tokenize = 'porter unicode61 remove_diacritics 2');
"""
# Conditions for rows that belong to nothing: no transaction of this program leaves any.
STRAY_CHUNKS = "file_id NOT IN (SELECT id FROM files)"
STRAY_WINDOWS = f"chunk_id NOT IN (SELECT id FROM chunks WHERE NOT {STRAY_CHUNKS}) OR file_id NOT IN (SELECT id FROM files)"  # noqa: S608 - constants
STRAY_WORDS = "rowid NOT IN (SELECT id FROM chunks)"
_FROM_1 = (
    "ALTER TABLE files ADD COLUMN authors TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE files ADD COLUMN abstract TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE files ADD COLUMN year INTEGER",
    "ALTER TABLE files ADD COLUMN doi TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE files ADD COLUMN arxiv_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE files ADD COLUMN hidden TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE files ADD COLUMN ocr_pages TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE files ADD COLUMN splitting TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE chunks ADD COLUMN section_number INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chunks ADD COLUMN repeated INTEGER NOT NULL DEFAULT 0",
    # Sections were not numbered: a new one begins where the path changes. The next ingestion reads the files again and knows exactly.
    """
    UPDATE chunks SET section_number = numbered.number FROM (
      SELECT id, sum(begins) OVER (PARTITION BY file_id ORDER BY ord) - 1 AS number FROM (
        SELECT id, file_id, ord, section IS NOT lag(section) OVER (PARTITION BY file_id ORDER BY ord) AS begins FROM chunks)
    ) AS numbered WHERE numbered.id = chunks.id
    """,
)
_FROM_2 = (
    "ALTER TABLE files ADD COLUMN awaited TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE chunks ADD COLUMN checksum INTEGER",  # NULL, here and below: not known, until the file is read again
    "ALTER TABLE chunks ADD COLUMN vectors_checksum INTEGER",
    "CREATE TABLE history (generation INTEGER PRIMARY KEY, stamp INTEGER NOT NULL)",
    "INSERT INTO history SELECT value, abs(random() >> 2) + 1 FROM meta WHERE key = 'generation'",
)
_FROM_3 = ("ALTER TABLE files ADD COLUMN edited INTEGER NOT NULL DEFAULT 0",)
_STEPS = {1: _FROM_1, 2: _FROM_2, 3: _FROM_3}


def bring_up_to_date(db: sqlite3.Connection, path: str, patience_s: float) -> None:
    """Create the tables of a new file, or change those of an older schema, in one transaction. `path` is for the message of Corrupt.

    Raises sqlite3.OperationalError when another process held the file for longer than `patience_s` seconds.
    """
    if _version(db) == 0:
        _write_ahead(db, patience_s)
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
    if _version(db) in _STEPS:
        db.execute("BEGIN IMMEDIATE")  # an exception closes the connection, which rolls back
        while (version := _version(db)) in _STEPS:  # and no other process was faster
            for statement in _STEPS[version]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("COMMIT")
    if _version(db) != SCHEMA:
        raise Corrupt(
            f"{path} was written by another version (schema {_version(db)}, known is {SCHEMA}), or is damaged; "
            "`python init_database.py --recreate-vs` builds it again from content/"
        )


def _write_ahead(db: sqlite3.Connection, patience_s: float) -> None:
    """Switch the file to WAL. SQLite's busy timeout does not cover this switch: of two processes that make it at once, one is refused."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
