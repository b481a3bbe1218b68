"""Libraries from elsewhere: copied whole and checked, in their place in one step, and nothing left behind when they are not sound."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from configs.settings import Splitting
from server.checking import check
from server.errors import Conflict, Corrupt, Forbidden, Invalid
from server.importing import bring_in, sources
from server.ingestion import ingest
from server.knowledge_base import Facts, KnowledgeBase
from server.shelf import Shelf
from tests.conftest import write_papers
from tests.hash_embedder import HashEmbedder

DEFAULT = Facts("hash", 32)
CHATCHAT = """
CREATE TABLE knowledge_base (id INTEGER PRIMARY KEY, kb_name VARCHAR(50), kb_info VARCHAR(200), vs_type VARCHAR(50),
  embed_model VARCHAR(50), file_count INTEGER, create_time DATETIME);
CREATE TABLE knowledge_file (id INTEGER PRIMARY KEY, file_name VARCHAR(255), file_ext VARCHAR(10), kb_name VARCHAR(50),
  document_loader_name VARCHAR(50), text_splitter_name VARCHAR(50), create_time DATETIME, file_version INTEGER, file_mtime FLOAT,
  file_size INTEGER, custom_docs BOOLEAN, docs_count INTEGER);
CREATE TABLE file_doc (id INTEGER PRIMARY KEY, kb_name VARCHAR(50), file_name VARCHAR(255), doc_id VARCHAR(50), meta_data JSON);
INSERT INTO knowledge_base (kb_name, kb_info, vs_type, embed_model) VALUES
  ('physics', '关于物理', 'faiss', 'm3e-base'), ('empty', NULL, 'milvus', 'bge-large-zh'), ('../evil', '', 'faiss', 'm3e-base');
INSERT INTO knowledge_file (file_name, kb_name) VALUES ('notes.md', 'physics'), ('gone.pdf', 'physics'), ('lost.pdf', 'empty');
"""


@pytest.fixture
def backup(tmp_path: Path, hashing: HashEmbedder) -> KnowledgeBase:
    """A library of four papers in another folder, still open: its newest rows are in its log."""
    kb = Shelf(tmp_path / "backup").create("papers", embedding="hash", dimension=32, info="mine")
    write_papers(kb.content)
    (kb.content / ".hidden").write_text("x")
    ingest(kb, hashing, Splitting())
    return kb


@pytest.fixture
def info_db(tmp_path: Path) -> Path:
    """Langchain-Chatchat's knowledge_base folder: three bases, the papers of one of them."""
    folder = tmp_path / "chatchat"
    write_papers(folder / "physics" / "content")
    with contextlib.closing(sqlite3.connect(folder / "info.db")) as db:
        db.executescript(CHATCHAT)
    return folder / "info.db"


def left_behind(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in shelf.root.iterdir() if path.name.startswith(".import")) if shelf.root.is_dir() else []


@pytest.mark.parametrize("what", ["library.db", "", ".."])
def test_a_library_of_ours_is_the_same_here(backup: KnowledgeBase, shelf: Shelf, what: str, hashing: HashEmbedder):
    (source,) = sources((backup.folder / what).resolve())
    end = bring_in(shelf, source, DEFAULT)
    assert (end.name, len(end.taken), end.absent, end.left_out, end.findings) == ("papers", 4, (), (".hidden",), ())
    kb = shelf.open("papers")
    assert kb.facts == Facts("hash", 32, "faiss", "mine")
    assert kb.catalog.counts() == backup.catalog.counts()
    assert check(kb) == []
    vector = hashing.embed_query("cross-lingual retrieval")
    assert kb.search(vector, 3) == backup.search(vector, 3)
    assert ingest(kb, hashing, Splitting()).unchanged == 4  # nothing is read again
    assert left_behind(shelf) == []


def test_a_lone_database_keeps_its_answers_and_says_that_its_papers_are_missing(backup: KnowledgeBase, shelf: Shelf, tmp_path: Path):
    backup.close()
    lone = tmp_path / "old.db"
    shutil.copy(backup.catalog.path, lone)
    (source,) = sources(lone, ["mine"])
    end = bring_in(shelf, source, Facts("other", 8))
    assert (end.name, len(end.absent)) == ("mine", 4)
    assert "put them into" in end.notes[0]
    assert [finding.kind for finding in end.findings] == ["no file"]
    assert shelf.open("mine").facts == Facts("hash", 32)  # as its rows say
    assert shelf.open("mine").catalog.counts()[0] == 4


def test_the_folder_of_a_backup_stays_as_it_is(backup: KnowledgeBase, info_db: Path, shelf: Shelf):
    backup.close()
    before = [sorted(folder.rglob("*")) for folder in (backup.folder, info_db.parent)]
    bring_in(shelf, sources(backup.folder)[0], DEFAULT)
    bring_in(shelf, sources(info_db, ["physics", "empty"])[1], DEFAULT)
    assert [sorted(folder.rglob("*")) for folder in (backup.folder, info_db.parent)] == before


def test_a_lone_database_finds_the_papers_that_wait_for_it(backup: KnowledgeBase, shelf: Shelf, tmp_path: Path, hashing: HashEmbedder):
    backup.close()
    shutil.copy(backup.catalog.path, tmp_path / "old.db")
    shutil.copytree(backup.content, shelf.root / "old" / "content")
    (source,) = sources(tmp_path / "old.db")
    end = bring_in(shelf, source, DEFAULT)
    assert len(end.taken) == 4
    assert ingest(shelf.open("old"), hashing, Splitting()).unchanged == 4


def test_what_exists_is_never_overwritten(backup: KnowledgeBase, shelf: Shelf):
    (source,) = sources(backup.folder)
    (shelf.root / "papers" / "content").mkdir(parents=True)
    (shelf.root / "papers" / "content" / "own.md").write_text("own")
    with pytest.raises(Conflict, match="holds papers already"):
        bring_in(shelf, source, DEFAULT)
    (shelf.root / "papers" / "content" / "own.md").unlink()
    bring_in(shelf, source, DEFAULT)
    with pytest.raises(Conflict, match="--kb-name"):
        bring_in(shelf, source, DEFAULT)
    assert left_behind(shelf) == []


def test_an_unsound_library_is_refused_and_leaves_nothing(backup: KnowledgeBase, shelf: Shelf):
    with contextlib.closing(sqlite3.connect(backup.catalog.path)) as db, db:
        db.execute("DELETE FROM words")
    with pytest.raises(Corrupt, match="chunks without words"):
        bring_in(shelf, sources(backup.folder)[0], DEFAULT)
    assert shelf.names() == []
    assert left_behind(shelf) == []


def test_chatchats_bases_become_libraries_that_wait_to_be_read(info_db: Path, shelf: Shelf, hashing: HashEmbedder):
    found = {source.name: source for source in sources(info_db)}
    assert sorted(found) == ["../evil", "empty", "physics"]
    end = bring_in(shelf, found["physics"], DEFAULT)
    assert len(end.taken) == 4
    assert end.absent == ("gone.pdf",)
    assert "vectors, chunks, summaries" in end.notes[0]
    kb = shelf.open("physics")
    assert kb.facts == Facts("hash", 32, "faiss", "关于物理")
    assert {row.state for row in kb.catalog.files()} == {"queued"}
    assert ingest(kb, hashing, Splitting()).read == 4
    end = bring_in(shelf, found["empty"], DEFAULT)
    assert (end.taken, end.absent) == ((), ("lost.pdf",))
    assert "put them into" in end.notes[1]
    with pytest.raises(Forbidden):
        bring_in(shelf, found["../evil"], DEFAULT)
    assert shelf.names() == ["empty", "physics"]


def test_chatchats_folder_may_be_ours_already(info_db: Path, hashing: HashEmbedder):
    shelf = Shelf(info_db.parent)
    end = bring_in(shelf, sources(info_db, ["physics"])[0], DEFAULT)
    assert len(end.taken) == 4
    assert ingest(shelf.open("physics"), hashing, Splitting()).read == 4
    shelf.close()


def test_what_is_no_database_of_either_kind_is_named(tmp_path: Path, info_db: Path):
    (tmp_path / "text.db").write_text("this is no database, but long enough to be looked at " * 9)
    with pytest.raises(Corrupt, match="cannot be read as a database"):
        sources(tmp_path / "text.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as db, db:
        db.execute("CREATE TABLE apples (x)")
    with pytest.raises(Invalid, match=r"neither a library\.db nor .* its tables: apples"):
        sources(tmp_path / "other.db")
    with pytest.raises(Invalid, match="there is no"):
        sources(tmp_path / "absent.db")
    (tmp_path / "bare").mkdir()
    with pytest.raises(Invalid, match="no library in"):
        sources(tmp_path / "bare")
    with pytest.raises(Invalid, match=r"no library nope in .*; there are \.\./evil, empty, physics"):
        sources(info_db, ["physics", "nope"])
