"""A library and its vector index: damaged, of other rows, outgrown, unwritable; what is asked is always answered from the rows."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import numpy as np
import pytest

from server.errors import Unavailable
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from server.stores import VECTOR_STORES
from server.stores.faiss_part import Part
from server.stores.where import Where
from tests.hash_embedder import HashEmbedder
from tests.test_knowledge_base import fill

WORDS = [f"word{number}" for number in range(60)]


@pytest.fixture(params=["faiss", "HalfFaiss", "ListsFaiss", "SmallFaiss"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Libraries with each kind of FAISS index."""
    if request.param != "faiss":
        monkeypatch.setitem(VECTOR_STORES, "faiss", f"tests.stores.stores:{request.param}")
    return Shelf(tmp_path)


@pytest.fixture
def kb(shelf: Shelf) -> KnowledgeBase:
    """Sixty windows in twelve files, its index saved."""
    made = shelf.create("papers", embedding="hash", dimension=32)
    for number in range(0, 60, 5):
        fill(made, f"file{number}", WORDS[number : number + 5])
    made.save_index()
    return made


def exact(kb: KnowledgeBase, question: str, k: int) -> list[float]:
    """The k best cosines by the rows."""
    with kb.catalog.changes_since(0) as changes:
        scores = [float(score) for _, rows in changes.batches for score in rows @ HashEmbedder().embed_query(question)]
    return sorted(scores, reverse=True)[:k]


def check(kb: KnowledgeBase, question: str) -> None:
    """The library answers what the rows say, and only with windows that exist."""
    found = kb.search(HashEmbedder().embed_query(question), 7)
    assert [score for _, score in found] == pytest.approx(exact(kb, question, 7), abs=1e-3)
    assert len(kb.catalog.chunks_of_windows([window for window, _ in found])) == len(found)


def test_any_damage_to_the_index_is_answered_from_the_rows(shelf: Shelf, kb: KnowledgeBase):
    shelf.close()
    dice = random.Random(11)
    for _ in range(25):
        path = dice.choice([path for path in kb.vectors_folder.iterdir() if path.stat().st_size])
        raw = bytearray(path.read_bytes())
        at = dice.randrange(len(raw))
        if dice.random() < 0.3:
            del raw[at:]
        elif dice.random() < 0.5:
            raw[at] ^= 1 << dice.randrange(8)
        else:
            raw[at : at + 50] = bytes(len(raw[at : at + 50]))
        path.with_suffix(".new").write_bytes(raw)
        os.replace(path.with_suffix(".new"), path)
        again = Shelf(shelf.root).open("papers")
        check(again, dice.choice(WORDS))
        fill(again, "more", [f"more {dice.random()}", "words"])
        check(again, dice.choice(WORDS))
        again.save_index()
        again.close()


def test_the_index_of_an_older_library_db_is_built_again(shelf: Shelf, kb: KnowledgeBase):
    shelf.close()
    before = kb.catalog.path.read_bytes()
    later = Shelf(shelf.root).open("papers")
    fill(later, "later", ["newer words"])
    later.save_index()
    later.close()
    for path in kb.folder.glob("library.db*"):
        path.unlink()
    kb.catalog.path.write_bytes(before)  # a backup comes back, and goes another way
    again = Shelf(shelf.root).open("papers")
    fill(again, "other", ["quite", "other", "words"])
    check(again, "quite other")
    assert len(again._store) == 63


def test_a_library_that_outgrew_its_index_gets_another_when_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(VECTOR_STORES, "faiss", "tests.stores.stores:SmallFaiss")
    kb = Shelf(tmp_path).create("papers", embedding="hash", dimension=32)
    kinds = []
    for number in range(0, 30, 5):
        fill(kb, f"file{number}", WORDS[number : number + 5])
        kb.save_index()
        kinds.append(kb._store._part.kind)  # type: ignore[attr-defined]
        check(kb, WORDS[number])
    assert kinds == ["flat", "flat", "half", "half", "lists", "lists"]
    kb.catalog.remove([f"file{number}" for number in range(0, 25, 5)])
    kb.save_index()
    assert kb._store._part.kind == "flat"  # type: ignore[attr-defined]
    check(kb, WORDS[27])


def test_windows_of_few_files_are_scored_by_their_rows(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch):
    only = kb.catalog.windows_in(Where(files=("file5", "file10")))
    if kb._store.surplus:
        monkeypatch.setattr(Part, "search", None)  # would fail
    found = kb.search(HashEmbedder().embed_query("word12"), 20, only)
    assert {window for window, _ in found} == set(only.tolist())
    assert found[0][1] == pytest.approx(1, abs=1e-3)
    assert kb.search(HashEmbedder().embed_query("word12"), 20, np.array([5], np.int64)) == []


def test_a_full_disk_is_told_and_the_library_goes_on(shelf: Shelf, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fill(kb, "more", ["more words", "and more"])
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(Unavailable, match="No space left on device; nothing is lost"):
            kb.save_index()
    check(kb, "more words")
    shelf.close()
    again = Shelf(shelf.root).open("papers")
    check(again, "more words")
    again.save_index()
    assert again._unsaved == 0
