"""Chunks that a person changes, removes or writes: found by their new words, the others as before, and kept until their file changes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Retrieval, Splitting
from server.checking import check
from server.editing import Written, edit, write_file
from server.errors import Invalid, NotFound
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.retrieval import retrieve
from server.shelf import Shelf
from server.stores.rows import Reading
from server.types import Passage
from tests.hash_embedder import HashEmbedder

TEXTS = {
    "a.md": "# Cells\n\nLithium cells keep ninety percent.\n\n# Pumps\n\nThe pump delivers four litres a minute.\n\n"
    "# Wires\n\nCopper wires carry ten amperes.\n",
    "b.md": "# Cells\n\nSodium cells are cheaper.\n",
}


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
def kb(tmp_path: Path, embedder: HashEmbedder) -> KnowledgeBase:
    kb = Shelf(tmp_path).create("lab", embedding=embedder.name, dimension=embedder.dimension, passages=embedder.usage.form)
    for name, text in TEXTS.items():
        (kb.content / name).write_text(text, encoding="utf-8")
    assert ingest(kb, embedder, Splitting()).failed == {}
    return kb


def found(kb: KnowledgeBase, embedder: HashEmbedder, question: str) -> list[Passage]:
    return retrieve([(kb, embedder)], question, Retrieval(), top_k=10)


def chunk_with(kb: KnowledgeBase, words: str) -> Passage:
    return next(p for name in TEXTS for p in kb.catalog.listing("lab", name) if words in p.text)


def whole(kb: KnowledgeBase) -> dict[int, tuple[str, tuple[str, ...], int]]:
    return {p.chunk_id: (p.text, p.section, len(p.spans)) for row in kb.catalog.files() for p in kb.catalog.listing("lab", row.name)}


def cosine(embedder: HashEmbedder, question: str, text: str) -> float:
    return float(np.dot(embedder.embed_query(question), embedder.embed_documents([text])[0]))


def test_a_changed_chunk_is_found_by_its_new_words_only_and_the_others_stay(kb: KnowledgeBase, embedder: HashEmbedder) -> None:
    found(kb, embedder, "anything")  # the index has followed what was there before
    before, pump = whole(kb), chunk_with(kb, "four litres")
    edit(kb, embedder, {pump.chunk_id: Written("The compressor delivers nine litres.", {"source": "x", "page": 99, "note": "mended"})})
    after = whole(kb)
    assert after.keys() == before.keys()
    assert {key for key in before if before[key] != after[key]} == {pump.chunk_id}
    best = found(kb, embedder, "compressor delivers nine litres")[0]
    assert (best.chunk_id, best.page, best.spans, best.metadata) == (pump.chunk_id, pump.page, (), {"note": "mended"})
    assert best.similarity == pytest.approx(cosine(embedder, "compressor delivers nine litres", best.text), abs=1e-3)
    assert not [p for p in found(kb, embedder, "pump minute") if "pump" in p.text]
    for words in ("copper wires amperes", "lithium ninety percent", "sodium cheaper"):
        assert words.split()[0] in found(kb, embedder, words)[0].text.lower()
    assert check(kb) == []
    fresh = Shelf(kb.folder.parent)
    assert found(fresh.open("lab"), embedder, "compressor delivers nine litres")[0].chunk_id == pump.chunk_id
    assert check(fresh.open("lab")) == []
    fresh.close()


def test_an_index_that_was_behind_follows_many_edits_and_has_each_window_once(kb: KnowledgeBase, embedder: HashEmbedder) -> None:
    pump = chunk_with(kb, "four litres")
    for number in range(5):
        edit(kb, embedder, {pump.chunk_id: Written(f"Version {number} of the text. " + "word " * 200, {})})
    passages = found(kb, embedder, "version text")
    assert "Version 4" in passages[0].text
    assert not [p for p in passages if any(f"Version {number} " in p.text for number in range(4))]
    generation, ids = kb.indexed()
    assert len(set(ids.tolist())) == len(ids) == kb.catalog.counts()[2]
    assert generation == kb.catalog.generation()


def test_an_empty_text_removes_the_chunk_and_only_that(kb: KnowledgeBase, embedder: HashEmbedder) -> None:
    before, pump = whole(kb), chunk_with(kb, "four litres")
    edit(kb, embedder, {pump.chunk_id: Written("  \n", {})})
    assert whole(kb) == {key: value for key, value in before.items() if key != pump.chunk_id}
    assert not [p for p in found(kb, embedder, "four litres a minute") if "litres" in p.text]
    assert check(kb) == []


def test_new_metadata_alone_leaves_text_and_boxes(kb: KnowledgeBase, embedder: HashEmbedder) -> None:
    before, pump = whole(kb), chunk_with(kb, "four litres")
    edit(kb, embedder, {pump.chunk_id: Written(pump.text, {"reviewed": True})})
    assert whole(kb) == before
    assert chunk_with(kb, "four litres").metadata == {"reviewed": True}


def test_either_all_edits_are_made_or_none(kb: KnowledgeBase, embedder: HashEmbedder) -> None:
    before, pump = whole(kb), chunk_with(kb, "four litres")
    with pytest.raises(NotFound, match="no chunk 12345 in the library 'lab'"):
        edit(kb, embedder, {pump.chunk_id: Written("changed", {}), 12345: Written("x", {})})
    with pytest.raises(NotFound, match="no chunk 12345: it was removed"):
        kb.catalog.edit({pump.chunk_id: None, 12345: None})
    with pytest.raises(Invalid, match="at most 60000 characters, not 60001"):
        edit(kb, embedder, {pump.chunk_id: Written("x" * 60_001, {})})
    assert whole(kb) == before


def test_edits_stay_until_the_file_changes_or_is_to_be_read_again(
    kb: KnowledgeBase, embedder: HashEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump = chunk_with(kb, "four litres")
    edit(kb, embedder, {pump.chunk_id: Written("By hand.", {})})
    assert ingest(kb, embedder, Splitting()).unchanged == 2
    monkeypatch.setattr(sys.modules["server.ingestion.recipe"], "VERSION", 99)  # a newer program, whose readers make other rows
    assert ingest(kb, embedder, Splitting()).read == 1  # b.md
    assert "By hand." in {text for text, *_ in whole(kb).values()}
    (kb.content / "a.md").write_text(TEXTS["a.md"] + "\nMore.\n", encoding="utf-8")
    assert ingest(kb, embedder, Splitting()).read == 1
    assert "By hand." not in {text for text, *_ in whole(kb).values()}
    edit(kb, embedder, {chunk_with(kb, "four litres").chunk_id: Written("By hand.", {})})
    assert ingest(kb, embedder, Splitting(), force=True).read == 2
    assert "By hand." not in {text for text, *_ in whole(kb).values()}


def test_a_file_of_ones_own_chunks(kb: KnowledgeBase, embedder: HashEmbedder) -> None:
    own = [
        Written("Own words about turbines.", {"page": 3, "section": "Results / Heat", "by": "me"}),
        Written("  ", {}),
        Written("汽轮机的效率。", {}),
    ]
    write_file(kb, embedder, Splitting(), "b.md", own)
    first, second = kb.catalog.listing("lab", "b.md")
    assert (first.text, first.page, first.section, first.metadata) == ("Own words about turbines.", 3, ("Results", "Heat"), {"by": "me"})
    assert (second.text, second.page, second.language) == ("汽轮机的效率。", 1, "zh")
    assert found(kb, embedder, "turbines")[0].chunk_id == first.chunk_id
    assert ingest(kb, embedder, Splitting()).unchanged == 2
    assert check(kb) == []
    with pytest.raises(NotFound):
        write_file(kb, embedder, Splitting(), "nowhere.md", own)
    with pytest.raises(Invalid, match="page must be a number from 1 on, not '3'"):
        write_file(kb, embedder, Splitting(), "b.md", [Written("x", {"page": "3"})])
    with pytest.raises(Invalid, match="at least one of the given chunks must have text"):
        write_file(kb, embedder, Splitting(), "b.md", [Written(" ", {})])
    assert len(kb.catalog.listing("lab", "b.md")) == 2


def test_what_was_written_while_a_run_had_the_file_in_hand_is_not_overwritten(kb: KnowledgeBase, embedder: HashEmbedder) -> None:
    reading = next(row for row in kb.catalog.rows(["b.md"]))
    kb.catalog.queue(["b.md"])
    write_file(kb, embedder, Splitting(), "b.md", [Written("Mine.", {})])
    chunks = kb.catalog.listing("lab", "a.md")
    read = Reading("t", "en", 1, 1, reading.sha256, "r")
    kb.catalog.replace("b.md", read, [], np.zeros((0, 32), np.float32))
    assert [p.text for p in kb.catalog.listing("lab", "b.md")] == ["Mine."]
    assert chunks
