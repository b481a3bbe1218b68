"""Passages with what stands around them: no text twice, every span where its words are."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.settings import Splitting
from server.citations import boxes_of
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.retrieval import context as context_module
from server.retrieval.context import widened
from server.types import Passage, Span
from tests.hash_embedder import HashEmbedder


def chunk(number: int, text: str, repeated: int = 0, page: int = 1) -> Passage:
    spans = tuple(Span(at, at + 1, page, 10.0 * at, number, 10.0 * at + 9, number + 1) for at in range(len(text)))
    return Passage(number, "kb", "a", "a", (), page, page, "paragraph", "en", text, spans, 0.5, 0.8, repeated=repeated)


SECTION = [chunk(0, "abcd"), chunk(1, "cdef", repeated=2), chunk(2, "ghi", page=2), chunk(3, "jkl", page=3)]


def around(passage: Passage, most: int) -> list[Passage]:
    return SECTION[max(0, passage.chunk_id - most) : passage.chunk_id + most + 1]


def test_a_passage_alone_is_left_as_it_is():
    assert widened(SECTION, "passage", around) == SECTION


def test_neighbours_are_joined_without_what_they_repeat():
    (wide,) = widened([SECTION[1]], "neighbours", around)
    assert wide.text == "abcdef\nghi"
    assert (wide.chunk_id, wide.page, wide.page_end, wide.score, wide.similarity) == (1, 1, 2, 0.5, 0.8)
    assert len(wide.spans) == 9
    for at, letter in enumerate("abcd"):
        assert [(s.y0, s.x0) for s in wide.spans if wide.text[s.start : s.end] == letter] == [(0, 10.0 * at)]
    assert [(s.y0, s.x0) for s in wide.spans if wide.text[s.start : s.end] == "f"] == [(1, 30.0)]
    assert [box.page for box in boxes_of(wide.spans, wide.text, 7, 10)] == [2]


def test_no_text_stands_in_two_passages():
    wide = widened([SECTION[1], SECTION[2], SECTION[3]], "neighbours", around)
    assert [p.text for p in wide] == ["abcdef\nghi", "jkl"]
    assert [p.text for p in widened([SECTION[3], SECTION[0]], "section", around)] == ["abcdef\nghi\njkl"]


def test_a_section_goes_as_far_as_the_limit_and_has_no_gap(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(context_module, "LONGEST_CONTEXT", 8)
    assert [p.text for p in widened([SECTION[2]], "section", around)] == ["ghi\njkl"]
    monkeypatch.setattr(context_module, "LONGEST_CONTEXT", 12)
    assert [p.text for p in widened([SECTION[2]], "section", around)] == ["cdef\nghi\njkl"]


def test_a_passage_that_is_gone_is_given_as_it_was_found():
    assert widened([SECTION[2]], "section", lambda passage, most: []) == [SECTION[2]]


def test_a_library_gives_the_whole_section(kb: KnowledgeBase, hashing: HashEmbedder):
    sentences = [f"Sentence number {number} is about zebras and their stripes." for number in range(60)]
    Path(kb.content / "a.md").write_text(f"# One\n\n{' '.join(sentences)}\n\n# Two\n\nOther words.", encoding="utf-8")
    ingest(kb, hashing, Splitting(chunk_tokens=64))
    chunks = [p for p in kb.catalog.listing("papers", "a.md") if p.section[-1] == "One"]
    assert len(chunks) > 5
    (wide,) = widened([chunks[2]], "section", lambda p, most: kb.catalog.around(p.kb, p.chunk_id, most))
    assert " ".join(wide.text.split()) == " ".join(sentences)
    (near,) = widened([chunks[2]], "neighbours", lambda p, most: kb.catalog.around(p.kb, p.chunk_id, most))
    assert near.text in wide.text
    assert chunks[1].text in near.text
    assert chunks[3].text.strip() in near.text
    assert kb.catalog.around("papers", 5, 1) == []
