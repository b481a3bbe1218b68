"""The fusion by hand, the word score by hand, and what holds for any numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.retrieval.fusion import CROSS_LANGUAGE, fused, ideal_word_score, term_weights, unmatchable_share, weight_of_vectors
from server.types import Language


def test_fusion_worked_out_by_hand():
    # dense 1, 0.5, 0; words (0.2 + 0.2/0.6)/2, 0, (0.6 + 1)/2: 0.3 + 0.7*0.26667, 0.15, 0.7*0.8
    assert fused([0.9, 0.8, 0.7], [0.2, 0, 0.6], [0, 0, 0], 0.3) == pytest.approx([0.486667, 0.15, 0.56], abs=1e-6)


def test_for_terms_that_a_passage_cannot_hold_its_vector_answers():
    assert CROSS_LANGUAGE == 0.7
    # 1: 0.3 + 0.7*0.7; 2: 0.15 + 0.7*(0.1 + 1)/2; 3: 0
    assert fused([0.9, 0.8, 0.7], [0, 0.1, 0], [1, 0, 1], 0.3) == pytest.approx([0.79, 0.535, 0.0])
    # three quarters of the terms: 0.3 + 0.7 * ((0.2 + 0.5)/2 + 0.75*0.7)
    assert fused([0.9, 0.8], [0.2, 0.4], [0.75, 0], 0.3)[0] == pytest.approx(0.3 + 0.7 * 0.875)


def test_the_gap_between_languages_is_added_before_cosines_are_compared():
    # 0.85 + 0.05 is as near as 0.9; 0.8 is the lowest
    assert fused([0.9, 0.85, 0.8], [0, 0, 0], [0, 1, 0], 1.0, 0.05) == pytest.approx([1.0, 1.0, 0.0])


def test_word_scores_above_the_ideal_count_as_one_and_equal_cosines_as_best():
    assert fused([0.5, 0.5], [1.7, 0], [0, 0], 0.3) == pytest.approx([1.0, 0.3])
    assert fused([0.5], [0.9], [1], 0.3) == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("asked", "passage", "expected"),
    [
        ("en", "the recall of an index", 0),
        ("zh", "索引的召回率", 0),
        ("zh", "the recall of an index", 0.75),
        ("zh", "NPB 是 N,N'-di(naphthalen-1-yl)-N,N'-diphenyl-benzidine，红光器件的发光层", 0),
        ("zh", "the paper 论文 was written by people who have never heard of an index that is as large", 0.75),
        ("en", "索引 FAISS 的召回率", 1),
        ("en", "der Index und die Vektoren", 0),
        ("other", "the recall of an index", 0),
        ("en", "", 0),
    ],
)
def test_what_a_passage_cannot_hold(asked: Language, passage: str, expected: float):
    assert unmatchable_share(["faiss", "召回", "回率"], [1.0, 2.0, 1.0], asked, passage) == pytest.approx(expected)
    assert unmatchable_share([], [], asked, passage) == (expected > 0)


def test_the_passage_with_the_keyword_is_first_whatever_the_vectors_say():
    assert weight_of_vectors(["xq7"], 0.5) == weight_of_vectors(["a", "b", "c"], 0.5) == 0.3
    assert weight_of_vectors(["a", "b", "c", "d"], 0.5) == 0.5
    assert weight_of_vectors(["xq7"], 0.2) == 0.2
    worst, best = fused([0.7, 0.9], [0.6, 0.0], [0, 0], weight_of_vectors(["xq7"], 0.5))
    assert worst > best


def test_nothing_to_fuse():
    assert fused([], [], [], 0.3) == []


@given(
    rows=st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 3), st.floats(0, 1)), min_size=1, max_size=9),
    weight=st.floats(0, 1),
    gap=st.floats(0, 0.2),
)
def test_fused_scores_lie_between_0_and_1_and_grow_with_the_words(rows: list[tuple[float, float, float]], weight: float, gap: float):
    cosines, words, unmatchable = ([row[place] for row in rows] for place in range(3))
    scores = fused(cosines, words, unmatchable, weight, gap)
    assert len(scores) == len(rows)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores)
    more = fused(cosines, [share + 0.1 for share in words], unmatchable, weight, gap)
    assert all(new >= old - 1e-9 for new, old in zip(more, scores, strict=True))


def test_the_ideal_word_score_worked_out_by_hand():
    # 10 chunks; a term in 1 of them: ln(9.5/1.5); in 4: ln(6.5/4.5); in 9: negative, so 0.000001
    assert ideal_word_score(term_weights(10, [1, 4, 9])) == pytest.approx(1.845827 + 0.367725 + 1e-6, abs=1e-5)
    assert ideal_word_score(term_weights(10, [])) == 1e-6
