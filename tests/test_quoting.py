"""Quotes without a language model: verbatim, at most five of 60 words, none twice, the right sentence first."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from configs.settings import Retrieval
from server.citations import word_count
from server.knowledge_base import KnowledgeBase
from server.quoting import quotes, share, term_weights
from server.retrieval import retrieve
from server.types import Citation, Passage
from tests.hash_embedder import HashEmbedder
from tests.retrieval.test_retrieve import fill

HASHING = HashEmbedder()
FILLER = [f"Plain sentence number {i} says nothing about animals at all." for i in range(8)]


def asked(kb: KnowledgeBase, question: str) -> tuple[Citation, ...]:
    return quotes([(kb, HASHING)], question, retrieve([(kb, HASHING)], question, Retrieval()))


def test_the_weights_of_terms_worked_out_by_hand(kb: KnowledgeBase):
    fill(kb, "a", ["zebra one", "lion two", "lion three", "lion four"])
    # 4 chunks: zebra in 1: ln(3.5/1.5) = 0.8473; lion in 3: negative, 0; unicorn in none: ln(4.5/0.5) = 2.1972
    weights = term_weights([kb], "zebra lion unicorn")
    assert weights == pytest.approx({"zebra": math.log(3.5 / 1.5), "lion": 0.0, "unicorn": math.log(9)})


def test_the_share_of_terms_worked_out_by_hand():
    weights = {"embedding": 3.0, "bm25": 1.0}
    assert share(weights, "Embedded vectors") == 0.75  # the stem of five letters
    assert share(weights, "bm25 embeddings") == 1.0
    assert share(weights, "bm251 ember") == 0.0  # a short term must be whole
    assert share({}, "anything") == 0.0
    assert share({"的": 0.0}, "的") == 0.0


def test_no_passages_no_quotes(kb: KnowledgeBase):
    assert quotes([(kb, HASHING)], "zebra", []) == ()


def test_the_sentence_that_answers_comes_first_with_its_neighbours(kb: KnowledgeBase):
    fill(kb, "a", ["Zebras are striped animals. Their stripes confuse flies. " + " ".join(FILLER), *FILLER])
    first = asked(kb, "Why do stripes confuse flies?")[0]
    assert "Their stripes confuse flies." in first.quote
    assert first.index == 1
    assert word_count(first.quote) <= 60


def test_quotes_are_verbatim_at_most_five_short_and_numbered(kb: KnowledgeBase):
    texts = [f"Zebra fact {i}: stripe count is {i * 7}. " + " ".join(FILLER * 2) for i in range(9)]
    fill(kb, "a", texts)
    cited = asked(kb, "zebra stripe count")
    assert [c.index for c in cited] == [1, 2, 3, 4, 5]
    for c in cited:
        assert word_count(c.quote) <= 60
        assert any(c.quote in text for text in texts)
        assert c.verified
        assert 0 <= c.score <= 1
    assert [c.score for c in cited] == sorted((c.score for c in cited), reverse=True)


def test_one_long_sentence_is_cut_to_60_words(kb: KnowledgeBase):
    fill(kb, "a", ["zebra " + " ".join(["stripe"] * 200)])
    (cited,) = asked(kb, "zebra")
    assert word_count(cited.quote) == 60


def test_headings_and_numbers_are_no_quotes(kb: KnowledgeBase):
    fill(kb, "a", ["Zebra. 12. The zebra has many stripes."])
    assert all("many stripes" in c.quote for c in asked(kb, "zebra"))


def test_the_labels_of_an_axis_are_no_quote_and_the_rows_of_a_table_are(kb: KnowledgeBase):
    # 18 of the 29 characters are digits; a quote outside tables has at most 35 of 100
    fill(kb, "a", ["zebra 0.10 0.20 0.30 0.40 0.50 0.60"])
    assert asked(kb, "zebra") == ()
    fill(kb, "b", ["zebra 0.10 0.20 0.30 0.40 0.50 0.60"], kind="table")
    assert [c.file for c in asked(kb, "zebra")] == ["b"]


def test_an_entry_of_a_bibliography_is_quoted_only_when_there_is_nothing_else(kb: KnowledgeBase):
    fill(kb, "r", ["Zebra, A. The stripes of the zebra. Journal of Stripes, 2020."], kind="reference")
    assert len(asked(kb, "zebra stripes")) >= 1
    fill(kb, "a", ["Some zebra stripes are very thin."])
    assert {c.file for c in asked(kb, "zebra stripes")} == {"a"}


def test_the_same_sentence_in_two_files_is_quoted_once(kb: KnowledgeBase):
    fill(kb, "a", ["The zebra has many stripes."])
    fill(kb, "b", ["The zebra has many stripes."])
    assert len(asked(kb, "zebra stripes")) == 1


def test_no_two_quotes_of_a_passage_overlap(kb: KnowledgeBase):
    sentences = [f"Zebra number {i} has {i} stripes and eats green grass on hill {i} at dawn." for i in range(14)]
    fill(kb, "a", [" ".join(sentences)])
    cited = asked(kb, "zebra number 7 stripes grass hill")
    assert len(cited) > 1
    seen = [sentence for c in cited for sentence in sentences if sentence in c.quote]
    assert len(seen) == len(set(seen))


def test_no_more_than_three_quotes_come_from_one_passage(kb: KnowledgeBase):
    sentences = [f"Zebra {name} " + " ".join([f"{name}stripe"] * 50) + "." for name in "abcdef"]
    fill(kb, "a", [" ".join(sentences)])
    assert len(asked(kb, "zebra")) == 3


def test_a_foreign_passage_is_judged_by_its_vectors_alone(kb: KnowledgeBase):
    fill(kb, "a", ["斑马有很多条纹而且跑得很快。狮子睡觉的时间非常长很长。"], language="zh")
    english = retrieve([(kb, HASHING)], "斑马条纹", Retrieval())
    foreign: list[Passage] = [replace(p, language="other") for p in english]
    assert "斑马" in quotes([(kb, HASHING)], "斑马条纹", foreign)[0].quote
