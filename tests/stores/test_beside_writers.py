"""Reading while others write: numbers of one state, and an index that is written when that is worth it."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from server.errors import Corrupt
from server.knowledge_base import SMALL_INDEX, KnowledgeBase
from server.shelf import Shelf
from server.stores.catalog import Catalog
from server.stores.rows import Reading
from server.types import Chunk
from tests.hash_embedder import HashEmbedder
from tests.stores.test_catalog import catalog, put
from tests.test_knowledge_base import fill, found

__all__ = ["catalog"]  # the fixture


def test_the_frequencies_of_terms_are_of_one_state_while_another_writes(catalog: Catalog):
    put(catalog, "a", ["apple"])
    written = []

    def write(statement: str) -> None:
        if "words MATCH" in statement and not written:
            written.append(statement)
            put(catalog, "b", ["apple tree"])  # between the two counts

    with catalog._connection() as db:
        db.set_trace_callback(write)
    assert catalog.document_frequencies(["apple"]) == (1, [1])  # a term in more chunks than there are has no logarithm
    with catalog._connection() as db:
        db.set_trace_callback(None)
    assert len(written) == 1
    assert catalog.document_frequencies(["apple"]) == (2, [2])


def test_words_of_more_chunks_than_there_are_are_damage(catalog: Catalog):
    put(catalog, "a", ["apple"])
    with sqlite3.connect(catalog.path) as db:
        db.execute("INSERT INTO words (rowid, text) VALUES (5, 'apple')")
    with pytest.raises(Corrupt, match=r"words in .*library\.db are not what was written"):
        catalog.document_frequencies(["apple"])


def test_the_named_rows_are_those_of_the_listing(catalog: Catalog):
    put(catalog, "a", ["one", "two"])
    put(catalog, "b", ["three"])
    catalog.queue(["c"], '{"chunk_tokens": 64}')
    rows = {row.name: row for row in catalog.files()}
    assert {row.name: row for row in catalog.rows(["c", "a", "nobody"])} == {"a": rows["a"], "c": rows["c"]}
    assert catalog.rows([]) == []


@pytest.fixture
def large(shelf: Shelf) -> KnowledgeBase:
    """A library of twice as many windows as are written after every change, its index saved."""
    kb = shelf.create("large", embedding="hash", dimension=32)
    add(kb, "many", 2 * SMALL_INDEX)
    kb.save_index()
    return kb


def add(kb: KnowledgeBase, file: str, count: int) -> None:
    chunks = [Chunk(f"{file} {i}", (), 1, 1, "paragraph", "en", (), ((0, 3),)) for i in range(count)]
    vectors = np.random.default_rng(count).normal(size=(count, 32)).astype(np.float32)
    kb.catalog.queue([file])
    kb.catalog.replace(file, Reading(file, "en", 1, 1, "sha", "recipe"), chunks, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_one_upload_more_does_not_write_a_large_index_again_and_many_do(large: KnowledgeBase):
    def file() -> Path:
        (path,) = large.vectors_folder.glob("index-*.faiss")
        return path

    first = file()
    for number in range(4):
        add(large, f"one{number}", SMALL_INDEX // 40)
        large.save_index()
        assert file() == first  # at most a twentieth is not in it: the next start reads that from the rows
    add(large, "one more", SMALL_INDEX // 40)
    large.save_index()
    assert file() != first
    shelf = Shelf(large.folder.parent)
    again = shelf.open("large")
    assert len(again.search(HashEmbedder().embed_query("x"), 10_000)) == 2 * SMALL_INDEX + 5 * (SMALL_INDEX // 40)
    shelf.close()


def test_a_search_waits_for_no_other_while_nothing_changes(kb: KnowledgeBase):
    fill(kb, "a", ["apple tree"])
    assert found(kb, "apple") == ["apple tree"]
    outcome: list[list[str]] = []
    with kb._following:  # somebody is following a change, or building an index
        search = threading.Thread(target=lambda: outcome.append(found(kb, "apple")))
        search.start()
        search.join(30)
        assert outcome == [["apple tree"]]


def test_an_open_library_is_handed_out_while_another_one_is_being_made(shelf: Shelf, kb: KnowledgeBase):
    outcome: list[KnowledgeBase] = []
    with shelf._changing():
        question = threading.Thread(target=lambda: outcome.append(shelf.open("papers")))
        question.start()
        question.join(30)
        assert outcome == [kb]


def test_four_thousand_names_are_listed_without_asking_for_each(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch):
    for number in range(4000):
        (kb.content / f"{number}.txt").touch()
    (kb.content / "link.txt").symlink_to(kb.content / "1.txt")
    asked: list[Path] = []
    plain = Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path, strict=False: (asked.append(path), plain(path, strict))[1])
    started = time.process_time()
    assert len(kb.names()) == 4001
    assert len(asked) <= 2  # the link, and the folder it must lie in
    assert time.process_time() - started < 2  # 0.01 s; resolving every name took 0.27
