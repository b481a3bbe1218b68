"""What the check finds in libraries that were damaged by hand, and that the named way mends them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from configs.settings import Splitting
from server.checking import Finding, check
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from tests.conftest import write_papers
from tests.hash_embedder import HashEmbedder

FILE_OF_IT = "SELECT f.name FROM files f JOIN chunks c ON c.file_id = f.id WHERE c.id = (SELECT min(id) FROM chunks)"
ITS_VECTOR = "UPDATE windows SET vector = {} WHERE chunk_id = (SELECT min(id) FROM chunks)"


@pytest.fixture
def filled(kb: KnowledgeBase, hashing: HashEmbedder) -> KnowledgeBase:
    """A sound library of four papers."""
    write_papers(kb.content)
    assert ingest(kb, hashing, Splitting()).failed == {}
    return kb


def damage(kb: KnowledgeBase, *statements: str) -> None:
    """Change library.db as no part of the program would."""
    with contextlib.closing(sqlite3.connect(kb.catalog.path)) as db, db:
        for statement in statements:
            db.execute(statement)


def fresh(kb: KnowledgeBase) -> list[Finding]:
    """The findings of another process: it knows only what lies on the disk."""
    shelf = Shelf(kb.folder.parent)
    try:
        return check(shelf.open(kb.name))
    finally:
        shelf.close()


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def file_of_first_chunk(kb: KnowledgeBase) -> str:
    with contextlib.closing(sqlite3.connect(kb.catalog.path)) as db:
        return str(db.execute(FILE_OF_IT).fetchone()[0])


def test_a_library_that_was_just_made_or_filled_is_sound(kb: KnowledgeBase, hashing: HashEmbedder):
    assert check(kb) == []
    write_papers(kb.content)
    ingest(kb, hashing, Splitting())
    told: list[tuple[int, int]] = []
    assert check(kb, lambda done, total: told.append((done, total))) == []
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)


def test_chunks_without_windows_are_found_with_their_file_and_mended_by_reading_again(filled: KnowledgeBase, hashing: HashEmbedder):
    file = file_of_first_chunk(filled)
    damage(filled, "DELETE FROM windows WHERE chunk_id = (SELECT min(id) FROM chunks)")
    (found,) = fresh(filled)  # the index was built anew when it was opened, for it held another number of vectors
    assert (found.kind, found.files) == ("windows", (file,))
    assert found.what.startswith("1 chunks without vectors")
    assert found.mend == "python init_database.py --update-in-db --kb-name papers"
    ingest(filled, hashing, Splitting(), force=True)
    other = Shelf(filled.folder.parent)
    ingest(other.open("papers"), hashing, Splitting())
    other.close()
    assert fresh(filled) == []


def test_windows_that_the_index_never_heard_of_are_counted(filled: KnowledgeBase):
    windows = filled.catalog.counts()[2]
    damage(filled, "UPDATE windows SET id = id - 1")  # as many, so that opening it finds nothing
    (found,) = fresh(filled)
    assert found.kind == "index"
    assert f"{windows} windows in library.db, {windows} in the index: {windows} are missing there, {windows} have no row" in found.what


def test_chunks_without_words_are_found(filled: KnowledgeBase, hashing: HashEmbedder):
    file = file_of_first_chunk(filled)
    damage(filled, "DELETE FROM words WHERE rowid = (SELECT min(id) FROM chunks)")
    (found,) = fresh(filled)
    assert (found.kind, found.files) == ("words", (file,))
    ingest(filled, hashing, Splitting(), force=True)
    assert fresh(filled) == []


@pytest.mark.parametrize("blob", ["zeroblob(64)", "zeroblob(60)", "CAST(x'007C' || substr(vector, 3) AS BLOB)", "'text'"])
def test_vectors_that_are_none_are_found(filled: KnowledgeBase, blob: str):
    damage(filled, ITS_VECTOR.format(blob))
    found = fresh(filled)
    assert kinds(found) == ["vectors"]
    assert found[0].what == "1 vectors that are not 32 finite numbers"
    assert "--recreate-vs" in found[0].mend


def test_rows_that_no_index_can_be_built_from_are_found(filled: KnowledgeBase):
    damage(filled, ITS_VECTOR.format("zeroblob(60)"))
    next(filled.vectors_folder.glob("*.faiss")).unlink()
    assert kinds(fresh(filled)) == ["vectors", "index"]


def test_strays_are_counted_by_kind_and_pruned(filled: KnowledgeBase):
    damage(
        filled,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO words (rowid, text) VALUES (5, 'nobody')",
        "INSERT INTO windows SELECT 7, 99, file_id, start, stop, vector FROM windows LIMIT 1",
        "INSERT INTO chunks (id, file_id, ord, section, page, page_end, kind, language, text, spans) "
        "SELECT 8, 999, ord, section, page, page_end, kind, language, text, spans FROM chunks LIMIT 1",
        "INSERT INTO windows SELECT 9, 8, 999, start, stop, vector FROM windows LIMIT 1",
    )
    found = fresh(filled)
    assert found[0].kind == "strays"
    assert found[0].what == "rows that belong to nothing: 1 chunks of no file, 2 windows of no chunk, 1 words of no chunk"
    assert "--prune-db" in found[0].mend
    before = filled.catalog.counts()
    assert filled.catalog.remove_strays() == 4
    assert fresh(filled) == []
    assert filled.catalog.counts() == (before[0], before[1] - 1, before[2] - 2)
    assert filled.catalog.remove_strays() == 0


def test_a_file_that_claims_to_be_ready_without_chunks_is_found(filled: KnowledgeBase, hashing: HashEmbedder):
    (filled.content / "empty.md").write_bytes(b"")
    ingest(filled, hashing, Splitting())
    damage(filled, "UPDATE files SET state = 'ready' WHERE name = 'empty.md'", "UPDATE files SET state = 'odd' WHERE name = 'notes.md'")
    (found,) = fresh(filled)
    assert (found.kind, found.files) == ("state", ("empty.md", "notes.md"))


def test_a_failed_file_is_named_with_its_reason(filled: KnowledgeBase, hashing: HashEmbedder):
    (filled.content / "bad.pdf").write_bytes(b"this is no PDF")
    reason = ingest(filled, hashing, Splitting()).failed["bad.pdf"]
    (found,) = fresh(filled)
    assert (found.kind, found.files, found.what) == ("failed", ("bad.pdf",), f"could not be read: {reason}")


def test_what_a_kill_left_queued_is_found_unless_somebody_works_on_it(filled: KnowledgeBase, hashing: HashEmbedder):
    filled.catalog.mark(["notes.md"], "embedding")
    assert kinds(fresh(filled)) == ["unfinished"]
    with FileLock(filled.folder / ".ingest.lock"):
        assert fresh(filled) == []
    ingest(filled, hashing, Splitting())
    assert fresh(filled) == []


def test_files_and_rows_are_compared_both_ways_and_by_content(filled: KnowledgeBase, hashing: HashEmbedder):
    (filled.content / "new.md").write_text("new", encoding="utf-8")
    (filled.content / "table.csv").unlink()
    notes = (filled.content / "notes.md").read_bytes()
    (filled.content / "notes.md").write_bytes(notes.replace(b"68.4", b"68.5"))  # as long as before
    found = fresh(filled)
    assert [(finding.kind, finding.files) for finding in found] == [
        ("no row", ("new.md",)),
        ("no file", ("table.csv",)),
        ("changed", ("notes.md",)),
    ]
    ingest(filled, hashing, Splitting())
    assert fresh(filled) == []


def absent(kb: KnowledgeBase) -> None:
    next(kb.vectors_folder.glob("*.faiss")).unlink()


def torn(kb: KnowledgeBase) -> None:
    path = next(kb.vectors_folder.glob("*.faiss"))
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("break_it", [absent, torn])
def test_a_saved_index_that_cannot_be_used_is_found_and_mended(
    filled: KnowledgeBase, hashing: HashEmbedder, break_it: Callable[[KnowledgeBase], None]
):
    break_it(filled)
    (found,) = fresh(filled)
    assert found.kind == "saved index"
    shelf = Shelf(filled.folder.parent)
    ingest(shelf.open("papers"), hashing, Splitting())  # what `mend` says
    shelf.close()
    assert fresh(filled) == []


def test_generations_that_cannot_be_are_found(filled: KnowledgeBase, hashing: HashEmbedder):
    damage(filled, "UPDATE meta SET value = 2 WHERE key = 'generation'")
    found = fresh(filled)
    assert kinds(found) == ["generation", "generation"]
    assert len(found[0].files) == 2  # of four files, each a change
    assert "followed to change 4, library.db is at 2" in found[1].what
    shutil.rmtree(filled.vectors_folder)  # what both say
    shelf = Shelf(filled.folder.parent)
    ingest(shelf.open("papers"), hashing, Splitting(), force=True)
    shelf.close()
    assert fresh(filled) == []


def test_a_row_that_does_not_say_how_to_split_is_found(filled: KnowledgeBase):
    damage(filled, "UPDATE files SET splitting = '{\"chunk_tokens\": -1}' WHERE name = 'notes.md'")
    (found,) = fresh(filled)
    assert (found.kind, found.files) == ("splitting", ("notes.md",))


def test_a_torn_database_is_one_finding_that_leads_to_recreating(filled: KnowledgeBase, tmp_path: Path):
    filled.close()
    path = filled.catalog.path
    blob = bytearray(path.read_bytes())
    page = int.from_bytes(blob[16:18], "big")
    for at in range(3 * page, len(blob), page):  # all pages but the first three
        blob[at : at + 64] = b"\xff" * 64
    path.write_bytes(blob)
    findings = check(KnowledgeBase(filled.folder, filled.facts))
    assert kinds(findings) == ["damaged"]
    assert "--recreate-vs --kb-name papers" in findings[0].mend
