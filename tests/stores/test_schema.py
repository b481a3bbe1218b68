"""library.db of older versions: brought up to date in place, nothing lost, whole or not at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.settings import ROOT
from server.errors import Corrupt
from server.stores.catalog import Catalog
from server.stores.rows import Reading, packed_spans
from server.stores.schema import SCHEMA
from server.types import Box, Chunk, Hidden, Identity, Span

SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE files (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  title TEXT NOT NULL DEFAULT '', language TEXT NOT NULL DEFAULT '', pages INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0, sha256 TEXT NOT NULL DEFAULT '', recipe TEXT NOT NULL DEFAULT '',
  warnings TEXT NOT NULL DEFAULT '[]', updated_at REAL NOT NULL, generation INTEGER NOT NULL DEFAULT 0);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, ord INTEGER NOT NULL, section TEXT NOT NULL,
  page INTEGER NOT NULL, page_end INTEGER NOT NULL, kind TEXT NOT NULL, language TEXT NOT NULL, text TEXT NOT NULL,
  spans BLOB NOT NULL, metadata TEXT NOT NULL DEFAULT '{}');
CREATE INDEX chunks_of_file ON chunks (file_id, ord);
CREATE TABLE windows (
  id INTEGER PRIMARY KEY, chunk_id INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE,
  file_id INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, start INTEGER NOT NULL, stop INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX windows_of_chunk ON windows (chunk_id);
CREATE INDEX windows_of_file ON windows (file_id);
CREATE TABLE removed (window_id INTEGER NOT NULL, generation INTEGER NOT NULL);
CREATE INDEX removed_since ON removed (generation);
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'porter unicode61 remove_diacritics 2');
PRAGMA user_version = 1;
"""
SPAN = Span(0, 4, 1, 72, 90, 96, 102)
CHUNKS = [(11, 1, 0, '["A"]', "alpha one"), (12, 1, 1, '["A"]', "alpha two"), (13, 1, 2, '["B"]', "beta"), (14, 1, 3, '["A"]', "again")]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A library of schema 1 with two files, five chunks and a vector for each."""
    path = tmp_path / "library.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(SCHEMA_1)
    db.execute("INSERT INTO meta VALUES ('generation', 7)")
    for number, name in enumerate(("a.pdf", "b.md"), 1):
        values = (number, name, f"Title of {name}", f"sha {name}", '["a warning"]')
        db.execute(
            "INSERT INTO files (id, name, state, title, language, pages, bytes, sha256, recipe, warnings, updated_at, generation) "
            "VALUES (?, ?, 'ready', ?, 'en', 3, 900, ?, 'v2 hash 400', ?, 12.5, 7)",
            values,
        )
    for chunk_id, file_id, order, section, text in [*CHUNKS, (15, 2, 0, '["A"]', "other file")]:
        values = (chunk_id, file_id, order, section, text, packed_spans([SPAN]))
        db.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, 1, 2, 'paragraph', 'en', ?, ?, '{\"own\": 1}')", values)
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (chunk_id, text))
        vector = np.ones(4, np.float16).tobytes()
        db.execute("INSERT INTO windows VALUES (?, ?, ?, 0, 4, ?)", (chunk_id + 100, chunk_id, file_id, vector))
    db.commit()
    db.close()
    return path


def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
    db = sqlite3.connect(path)
    found = {table: db.execute(f"PRAGMA table_info({table})").fetchall() for table in ("files", "chunks", "windows", "removed", "meta")}
    db.close()
    return found


def test_a_library_of_schema_1_is_brought_up_to_date_and_loses_nothing(old: Path, tmp_path: Path):
    catalog = Catalog(old)
    first, second = catalog.files()
    assert (first.name, first.title, first.pages, first.bytes, first.sha256, first.recipe) == (
        *("a.pdf", "Title of a.pdf", 3, 900, "sha a.pdf", "v2 hash 400"),
    )
    assert (first.warnings, first.updated_at, first.chunks, second.chunks) == (("a warning",), 12.5, 4, 1)
    assert (first.splitting, first.identity, first.hidden, first.ocr_pages) == ("", Identity(), (), ())
    assert [(p.chunk_id, p.text, p.section, p.spans, p.metadata) for p in catalog.listing("kb", "b.md")] == [
        (15, "other file", ("A",), (SPAN,), {"own": 1})
    ]
    assert set(catalog.word_scores(["alpha"], 9)) == {11, 12}
    assert catalog.generation() == 7
    with catalog.changes_since(0) as changes:
        assert [i for ids, _ in changes.batches for i in ids.tolist()] == [111, 112, 113, 114, 115]
    catalog.close()
    Catalog(tmp_path / "new.db").close()
    assert columns(old) == columns(tmp_path / "new.db")


def test_the_sections_of_schema_1_are_numbered_where_the_path_changes(old: Path):
    catalog = Catalog(old)
    assert [(p.chunk_id, p.section_number, p.repeated) for p in catalog.listing("kb", "a.pdf")] == [
        *[(11, 0, 0), (12, 0, 0), (13, 1, 0), (14, 2, 0)],
    ]
    assert [p.chunk_id for p in catalog.section_of("kb", 12)] == [11, 12]
    assert [p.chunk_id for p in catalog.section_of("kb", 15)] == [15]
    catalog.close()


def test_a_migrated_library_takes_new_files_and_is_not_migrated_twice(old: Path):
    for _ in range(2):
        catalog = Catalog(old)
        catalog.queue(["c.md"], '{"splitter": "tokens"}')
        chunk = Chunk("new", ("C",), 1, 1, "paragraph", "en", (), ((0, 3),), 5, 2)
        hidden = (Hidden("secret", "tiny", Box(2, 1.5, 2, 3, 4)),)
        identity = Identity(("甲", "B. C."), "An abstract.", 2021, "10.1/x", "2101.00001v2")
        reading = Reading("New", "en", 2, 5, "sha", "recipe", ("w",), identity, hidden, (1, 2))
        catalog.replace("c.md", reading, [chunk], np.ones((1, 4), np.float32))
        row = next(row for row in catalog.files() if row.name == "c.md")
        assert (row.identity, row.hidden, row.ocr_pages, row.splitting) == (identity, hidden, (1, 2), '{"splitter": "tokens"}')
        (passage,) = catalog.listing("kb", "c.md")
        assert (passage.section_number, passage.repeated) == (5, 2)
        catalog.close()


def test_a_migration_that_is_interrupted_leaves_the_old_library(old: Path):
    before = columns(old)
    script = (
        "import os, signal, sys; from pathlib import Path; from server.stores import schema, catalog\n"
        "class Killing(str):\n"
        "    pass\n"
        "class Statements(tuple):\n"
        "    def __iter__(self):\n"
        "        for at, statement in enumerate(super().__iter__()):\n"
        "            if at == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "            yield statement\n"
        "schema._STEPS[1] = Statements(schema._STEPS[1])\n"
        "catalog.Catalog(Path(sys.argv[1]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(old)], cwd=ROOT, timeout=60, check=False)
    assert ended.returncode == -9
    assert columns(old) == before
    catalog = Catalog(old)
    assert catalog.counts() == (2, 5, 5)
    catalog.close()


def test_several_processes_that_open_an_old_library_at_once_agree(old: Path):
    script = "import sys; from pathlib import Path; from server.stores.catalog import Catalog; print(Catalog(Path(sys.argv[1])).counts())"
    started = [subprocess.Popen([sys.executable, "-c", script, str(old)], cwd=ROOT, stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in started] == [b"(2, 5, 5)\n"] * 4


def test_a_library_of_another_schema_is_corrupt_and_says_which(tmp_path: Path):
    db = sqlite3.connect(tmp_path / "library.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Corrupt, match=rf"another version \(schema 99, known is {SCHEMA}\)"):
        Catalog(tmp_path / "library.db")
