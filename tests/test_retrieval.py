"""Retrieval: the fusion by hand, the word score by hand, and what comes first in small libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Retrieval
from server.errors import Invalid
from server.knowledge_base import KnowledgeBase
from server.retrieval import fused, ideal_word_score, retrieve
from server.stores.rows import Reading
from server.types import BlockKind, Chunk, Language
from tests.hash_embedder import HashEmbedder

DEFAULTS = Retrieval()


def fill(kb: KnowledgeBase, file: str, texts: list[str], kind: BlockKind = "paragraph", language: Language = "en") -> None:
    """A file of these chunks."""
    chunks = [Chunk(text, (), 1, 1, kind, language, (), ((0, len(text)),)) for text in texts]
    kb.catalog.queue([file])
    kb.catalog.replace(file, Reading(file, language, 1, 1, "sha", "recipe", ()), chunks, HashEmbedder().embed_documents(texts))


def texts_of(kb: KnowledgeBase, question: str, **more: object) -> list[str]:
    return [p.text for p in retrieve(kb, HashEmbedder(), question, DEFAULTS, **more)]  # type: ignore[arg-type]  # keyword arguments


def test_fusion_worked_out_by_hand():
    scores = fused({1: 0.9, 2: 0.8, 3: 0.7}, {1: 0.2, 3: 0.6}, {1: "en", 2: "en", 3: "en"}, "en", 0.3)
    # dense 1, 0.5, 0; words 0.2, 0, 0.6: 0.3 + 0.7*0.2, 0.15, 0.7*0.6
    assert scores == pytest.approx({1: 0.44, 2: 0.15, 3: 0.42})


def test_a_passage_in_another_language_gets_half_its_dense_score_for_words():
    scores = fused({1: 0.9, 2: 0.8, 3: 0.7}, {2: 0.1}, {1: "en", 2: "zh", 3: "en"}, "zh", 0.3)
    # 1: 0.3 + 0.7*0.5; 2: 0.15 + 0.7*0.1; 3: 0
    assert scores == pytest.approx({1: 0.65, 2: 0.22, 3: 0.0})


def test_words_of_another_language_count_when_they_do_match():
    assert fused({1: 0.9, 2: 0.8}, {1: 0.9}, {1: "en", 2: "zh"}, "zh", 0.3)[1] == pytest.approx(0.3 + 0.7 * 0.9)


def test_word_scores_above_the_ideal_count_as_one_and_equal_cosines_as_best():
    assert fused({1: 0.5, 2: 0.5}, {1: 1.7}, {1: "en", 2: "en"}, "en", 0.3) == pytest.approx({1: 1.0, 2: 0.3})


@given(
    cosines=st.dictionaries(st.integers(0, 9), st.floats(-1, 1), min_size=1),
    words=st.dictionaries(st.integers(0, 9), st.floats(0, 3)),
    weight=st.floats(0, 1),
    foreign=st.sets(st.integers(0, 9)),
)
def test_fused_scores_lie_between_0_and_1_and_grow_with_the_words(
    cosines: dict[int, float], words: dict[int, float], weight: float, foreign: set[int]
):
    languages: dict[int, Language] = {i: "zh" if i in foreign else "en" for i in cosines}
    scores = fused(cosines, words, languages, "en", weight)
    assert scores.keys() == cosines.keys()
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores.values())
    more = fused(cosines, {i: words.get(i, 0) + 0.1 for i in cosines}, languages, "en", weight)
    assert all(more[i] >= scores[i] - 1e-9 for i in cosines)


def test_the_ideal_word_score_worked_out_by_hand():
    # 10 chunks; a term in 1 of them: ln(9.5/1.5); in 4: ln(6.5/4.5); in 9: negative, so 0.000001
    assert ideal_word_score(10, [1, 4, 9]) == pytest.approx(1.845827 + 0.367725 + 1e-6, abs=1e-5)
    assert ideal_word_score(10, []) == 1e-6


def test_the_ideal_word_score_is_what_fts5_gives_an_average_chunk_with_all_terms(kb: KnowledgeBase):
    fill(kb, "a", ["apple pear", "plum pear", "plum fig", "fig kiwi", "kiwi date", "date lime"])
    scores = kb.catalog.word_scores(["apple", "pear"], 9)
    ideal = ideal_word_score(*kb.catalog.document_frequencies(["apple", "pear"]))
    assert ideal == pytest.approx(math.log(5.5 / 1.5) + math.log(4.5 / 2.5))
    assert max(scores.values()) == pytest.approx(ideal)


def test_the_passage_that_shares_the_rare_word_comes_first(kb: KnowledgeBase):
    fill(kb, "a", ["the index holds vectors of pages", "the zebra index is striped", "the rows hold pages and vectors"])
    found = retrieve(kb, HashEmbedder(), "what about the zebra?", DEFAULTS)
    assert found[0].text == "the zebra index is striped"
    assert len(found) == 3
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    own = HashEmbedder().embed_query("what about the zebra?") @ HashEmbedder().embed_query(found[0].text)
    assert found[0].similarity == pytest.approx(float(own), abs=1e-3)


def test_an_entry_of_a_bibliography_comes_after_the_text_that_says_the_same(kb: KnowledgeBase):
    fill(kb, "r", ["zebra fusion of ranks"], kind="reference")
    fill(kb, "a", ["zebra fusion of ranks", "nothing of the kind"])
    found = retrieve(kb, HashEmbedder(), "zebra fusion", DEFAULTS)
    assert [(p.file, p.kind) for p in found[:2]] == [("a", "paragraph"), ("r", "reference")]
    assert found[1].score == pytest.approx(0.6 * found[0].score)


def test_only_the_named_files_are_searched(kb: KnowledgeBase):
    fill(kb, "a", ["zebra one", "zebra two"])
    fill(kb, "b", ["zebra three"])
    fill(kb, "c", ["lion"])
    assert texts_of(kb, "zebra", files=["b", "c"]) == ["zebra three", "lion"]
    assert texts_of(kb, "zebra", files=["nowhere"]) == []


def test_copies_of_a_paper_do_not_take_the_places_of_other_papers(kb: KnowledgeBase):
    for file in ("a.md", "copy.md", "copy2.md"):
        fill(kb, file, ["kiwis grow in gardens", "melons grow in fields"])
    fill(kb, "other.md", ["kiwis are green"])
    assert texts_of(kb, "kiwis", top_k=3) == ["kiwis grow in gardens", "kiwis are green", "melons grow in fields"]
    assert {p.file for p in retrieve(kb, HashEmbedder(), "kiwis", DEFAULTS, files=["copy.md"])} == {"copy.md"}


def test_top_k_counts_passages_not_windows(kb: KnowledgeBase):
    text = "zebra " * 30
    chunk = Chunk(text, (), 1, 1, "paragraph", "en", (), ((0, 60), (30, 90), (60, 120)))
    vectors = np.repeat(HashEmbedder().embed_documents(["zebra"]), 3, axis=0)
    kb.catalog.queue(["a"])
    kb.catalog.replace("a", Reading("a", "en", 1, 1, "sha", "recipe", ()), [chunk], vectors)
    fill(kb, "b", ["lion zebra", "lion"])
    found = retrieve(kb, HashEmbedder(), "zebra", DEFAULTS, top_k=2)
    assert [(p.file, p.text) for p in found] == [("a", text), ("b", "lion zebra")]
    assert len(retrieve(kb, HashEmbedder(), "zebra", DEFAULTS)) == 3


@pytest.mark.parametrize("question", ["", "???", "的", "what is", '"', "zebra OR lion", "\u200b"])
def test_any_question_can_be_asked(kb: KnowledgeBase, question: str):
    assert texts_of(kb, question) == []
    fill(kb, "a", ["the zebra"])
    assert texts_of(kb, question) == ["the zebra"]


def test_a_library_of_another_embedding_model_is_refused(kb: KnowledgeBase):
    with pytest.raises(Invalid, match="was built with hash"):
        retrieve(kb, HashEmbedder("other"), "zebra", DEFAULTS)


class Deleting(HashEmbedder):
    """While the question is embedded, somebody deletes the file."""

    def __init__(self, kb: KnowledgeBase) -> None:
        super().__init__()
        self._kb = kb

    def embed_query(self, text: str):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        self._kb.catalog.remove(["a"])
        return super().embed_query(text)


def test_a_file_that_goes_while_it_is_asked_for_is_not_found_any_more(kb: KnowledgeBase):
    fill(kb, "a", ["zebra"])
    fill(kb, "b", ["zebra too"])
    assert [p.file for p in retrieve(kb, Deleting(kb), "zebra", DEFAULTS)] == ["b"]
