"""What a question gets when files of a library were damaged, exchanged, or cannot be written: the same answer as before, or clear words."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.settings import Retrieval, Splitting
from server.checking import check
from server.errors import Corrupt, PaperError
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.retrieval import retrieve
from server.shelf import Shelf
from server.stores import VECTOR_STORES
from server.types import Passage
from tests.conftest import write_papers
from tests.hash_embedder import HashEmbedder
from tests.test_knowledge_base import fill

QUESTIONS = ("hybrid retrieval", "a kill at any point", "检索 向量", "recall milliseconds", "number four")
Answers = list[list[Passage]]


@pytest.fixture(params=["faiss", "HalfFaiss", "ListsFaiss"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each kind of FAISS index."""
    if request.param != "faiss":
        monkeypatch.setitem(VECTOR_STORES, "faiss", f"tests.stores.stores:{request.param}")
    return str(request.param)


def made(root: Path, name: str = "papers", word: str = "number") -> Path:
    """The folder of a library of papers and notes, with its index saved; closed."""
    shelf = Shelf(root)
    kb = shelf.create(name, embedding="hash", dimension=32)
    write_papers(kb.content)
    for note, text in enumerate(("one", "two", "three", "four", "five")):
        (kb.content / f"note{note}.md").write_text(f"{word} {text} " * 20, encoding="utf-8")
    assert ingest(kb, HashEmbedder(), Splitting()).failed == {}
    shelf.close()
    return kb.folder


def answers(root: Path, name: str = "papers") -> Answers:
    """What a program that starts now answers."""
    shelf = Shelf(root)
    try:
        return [retrieve([(shelf.open(name), HashEmbedder())], question, Retrieval()) for question in QUESTIONS]
    finally:
        shelf.close()


def replaced(path: Path, data: bytes) -> None:
    path.with_name("new").write_bytes(data)
    os.replace(path.with_name("new"), path)


def regions(folder: Path) -> dict[str, tuple[Path, range]]:
    """Every part of a saved index: its name -> the file and the bytes."""
    facts = json.loads((folder / "vectors" / "index.json").read_bytes())["facts"]
    file = folder / "vectors" / facts["file"]
    ids = -(-facts["body"] // 8) * 8
    ends = {"head": facts["head"], "vectors": facts["body"], "ids": ids + 8 * facts["count"], "checksums": facts["size"]}
    starts = [0, *ends.values()]
    parts = {name: (file, range(start, end)) for (name, end), start in zip(ends.items(), starts, strict=False) if end > start}
    return parts | {"facts": (folder / "vectors" / "index.json", range((folder / "vectors" / "index.json").stat().st_size))}


def test_a_bit_that_turned_anywhere_in_the_index_changes_no_answer(tmp_path: Path, kind: str):
    folder = made(tmp_path)
    before, dice = answers(tmp_path), random.Random(5)
    for name, (path, places) in regions(folder).items():
        whole = path.read_bytes()
        for at in {places[0], places[-1], *(dice.choice(places) for _ in range(5))}:
            damaged = bytearray(whole)
            damaged[at] ^= 1 << dice.randrange(8)
            replaced(path, bytes(damaged))
            assert answers(tmp_path) == before, (name, at)
        replaced(path, whole)


def test_an_index_that_was_cut_anywhere_changes_no_answer(tmp_path: Path, kind: str):
    folder = made(tmp_path)
    before = answers(tmp_path)
    for name, (path, places) in regions(folder).items():
        whole = path.read_bytes()
        for at in (places[0], places[len(places) // 2], places[-1]):
            replaced(path, whole[:at])
            assert answers(tmp_path) == before, (name, at)
        replaced(path, whole)


def test_the_index_of_another_library_is_not_taken_for_the_own_one(tmp_path: Path, kind: str):
    one, two = made(tmp_path), made(tmp_path, "other", "figure")
    before = answers(tmp_path), answers(tmp_path, "other")
    (one / "vectors").rename(one / "mine")
    (two / "vectors").rename(one / "vectors")  # of the same generation, with as many vectors
    (one / "mine").rename(two / "vectors")
    assert (answers(tmp_path), answers(tmp_path, "other")) == before
    shelf = Shelf(tmp_path)
    assert [finding.kind for finding in check(shelf.open("other"))] == ["saved index"]
    shelf.close()


def test_an_index_of_an_earlier_state_is_followed(tmp_path: Path, kind: str):
    folder = made(tmp_path)
    shutil.copytree(folder / "vectors", tmp_path / "earlier")
    shelf = Shelf(tmp_path)
    kb = shelf.open("papers")
    (kb.content / "note3.md").unlink()
    (kb.content / "note9.md").write_text("number four and nine " * 9, encoding="utf-8")
    ingest(kb, HashEmbedder(), Splitting())
    shelf.close()
    before = answers(tmp_path)
    shutil.rmtree(folder / "vectors")
    shutil.copytree(tmp_path / "earlier", folder / "vectors")
    assert answers(tmp_path) == before


def test_a_library_db_that_was_put_back_does_not_follow_an_index_of_its_other_future(tmp_path: Path, kind: str):
    folder = made(tmp_path)
    backup = (folder / "library.db").read_bytes()

    def goes_on(text: str) -> None:
        shelf = Shelf(tmp_path)
        fill(shelf.open("papers"), "more", [text])
        shelf.open("papers").save_index()
        shelf.close()

    goes_on("one future")
    index = tmp_path / "index"
    (folder / "vectors").rename(index)
    replaced(folder / "library.db", backup)
    goes_on("four futures")  # the same generation, the same number of vectors
    before = answers(tmp_path)
    shutil.rmtree(folder / "vectors")
    index.rename(folder / "vectors")
    assert answers(tmp_path) == before


def outcome(root: Path, before: Answers) -> str:
    """`same`, `order` (of the same passages), or the class of a refusal that names the damage and the way out."""
    try:
        found = answers(root)
    except PaperError as exc:
        named = "damaged" in str(exc) and "python init_database.py" in str(exc)
        return type(exc).__name__ if named else str(exc)
    for mine, true in zip(found, before, strict=True):
        known = {(p.chunk_id, p.text, p.spans, p.page, p.section) for passages in before for p in passages}
        assert {(p.chunk_id, p.text, p.spans, p.page, p.section) for p in mine} <= known or len(true) < 5
    return "same" if found == before else "order"


def with_database(folder: Path, data: bytes) -> None:
    replaced(folder / "library.db", data)
    for name in ("library.db-wal", "library.db-shm"):
        (folder / name).unlink(missing_ok=True)


def test_a_cut_library_db_is_refused_and_the_other_library_goes_on(tmp_path: Path):
    folder = made(tmp_path)
    made(tmp_path, "other")
    before = answers(tmp_path), answers(tmp_path, "other")
    whole, dice = (folder / "library.db").read_bytes(), random.Random(3)
    for at in [100, 4096, len(whole) // 2, len(whole) - 1, *(dice.randrange(100, len(whole)) for _ in range(20))]:
        with_database(folder, whole[:at])
        assert outcome(tmp_path, before[0]) == "Corrupt", at
    assert answers(tmp_path, "other") == before[1]
    shelf = Shelf(tmp_path)
    assert "other" in [kb.name for kb in shelf]
    shelf.close()
    with_database(folder, whole)
    assert answers(tmp_path) == before[0]


def test_a_turned_bit_in_what_a_question_is_answered_with_is_refused(tmp_path: Path):
    folder = made(tmp_path)
    before = answers(tmp_path)
    whole = (folder / "library.db").read_bytes()
    shelf = Shelf(tmp_path)
    texts = [passage.text.encode() for passages in before for passage in passages[:1]]
    with shelf.open("papers").catalog._connection() as db:
        vectors = [
            db.execute("SELECT vector FROM windows WHERE chunk_id = ?", (passages[0].chunk_id,)).fetchone()[0] for passages in before
        ]
        spans = [db.execute("SELECT spans FROM chunks WHERE id = ?", (passages[0].chunk_id,)).fetchone()[0] for passages in before]
    shelf.close()
    dice = random.Random(1)
    for piece in [*(text[: min(len(text), 300)] for text in texts), *vectors, *(blob for blob in spans if len(blob) > 20)]:
        start = whole.rindex(piece)  # the last copy of a text is that of its chunk or that of the words
        places = [whole.find(piece)] if whole.find(piece) == start else [whole.find(piece), start]
        for first in places:
            damaged = bytearray(whole)
            damaged[first + dice.randrange(len(piece))] ^= 1 << dice.randrange(7)
            with_database(folder, bytes(damaged))
            assert outcome(tmp_path, before) in ("Corrupt", "same")
    with_database(folder, whole)


def test_no_turned_bit_of_library_db_changes_what_a_passage_says(tmp_path: Path):
    folder = made(tmp_path)
    before = answers(tmp_path)
    whole, dice = (folder / "library.db").read_bytes(), random.Random(8)
    seen = []
    for bit in dice.sample(range(8 * len(whole)), 250):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with_database(folder, bytes(damaged))
        seen.append(outcome(tmp_path, before))
    assert set(seen) <= {"same", "Corrupt", "order"}
    assert seen.count("Corrupt") > 10
    assert seen.count("order") < 10  # in the index of words, which has no checksums


def test_the_check_names_the_files_whose_chunks_are_altered_and_reading_them_again_mends_it(tmp_path: Path):
    folder = made(tmp_path)
    with contextlib.closing(sqlite3.connect(folder / "library.db")) as db, db:
        db.execute("UPDATE chunks SET text = replace(text, 'four', 'five') WHERE file_id = (SELECT id FROM files WHERE name = 'note3.md')")
        db.execute(
            "UPDATE windows SET vector = (SELECT vector FROM windows w WHERE w.file_id <> windows.file_id LIMIT 1) "
            "WHERE file_id = (SELECT id FROM files WHERE name = 'note1.md')"
        )
    shelf = Shelf(tmp_path)
    kb = shelf.open("papers")
    with pytest.raises(Corrupt, match=r"a chunk of note3\.md .* is not what was written"):
        kb.catalog.listing("papers", "note3.md")
    (found,) = check(kb)
    assert (found.kind, found.files) == ("altered", ("note1.md", "note3.md"))
    assert "--update-in-db" in found.mend
    ingest(kb, HashEmbedder(), Splitting(), force=True)
    assert check(kb) == []
    shelf.close()


@pytest.mark.parametrize("table", ["files", "chunks"])
def test_rows_of_a_version_without_checksums_are_read_as_they_are(tmp_path: Path, table: str):
    folder = made(tmp_path)
    before = answers(tmp_path)
    with contextlib.closing(sqlite3.connect(folder / "library.db")) as db, db:
        db.execute("UPDATE chunks SET checksum = NULL, vectors_checksum = NULL")
    assert answers(tmp_path) == before
    with contextlib.closing(sqlite3.connect(folder / "library.db")) as db, db:
        db.execute({"files": "UPDATE files SET warnings = 'torn'", "chunks": "UPDATE chunks SET spans = 'torn'"}[table])
    shelf = Shelf(tmp_path)
    kb = shelf.open("papers")
    look: dict[str, Callable[[KnowledgeBase], object]] = {
        "files": lambda kb: kb.catalog.files(),
        "chunks": lambda kb: kb.catalog.listing("papers", "note1.md"),
    }
    with pytest.raises(Corrupt, match="damaged"):
        look[table](kb)
    shelf.close()


def test_a_turned_bit_of_kb_json_is_refused_or_changes_no_answer(tmp_path: Path):
    folder = made(tmp_path)
    before = answers(tmp_path)
    whole, dice = (folder / "kb.json").read_bytes(), random.Random(4)
    refused = 0
    for bit in dice.sample(range(8 * len(whole)), 200):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        replaced(folder / "kb.json", bytes(damaged))
        said = outcome(tmp_path, before)
        refused += said != "same"
        assert said in ("same", "Corrupt") or "was built with" in said or "kb.json" in said
    assert refused > 50
