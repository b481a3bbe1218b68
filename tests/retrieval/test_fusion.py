"""The fusion by hand, the word score by hand, and what holds for any numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.retrieval.fusion import CROSS_LANGUAGE, fused, ideal_word_score
from server.types import Language


def test_fusion_worked_out_by_hand():
    # dense 1, 0.5, 0; words 0.2, 0, 0.6: 0.3 + 0.7*0.2, 0.15, 0.7*0.6
    assert fused([0.9, 0.8, 0.7], [0.2, 0, 0.6], ["en"] * 3, "en", 0.3) == pytest.approx([0.44, 0.15, 0.42])


def test_a_passage_in_another_language_gets_a_share_of_its_dense_score_for_words():
    # 1: 0.3 + 0.7*0.7; 2: 0.15 + 0.7*0.1; 3: 0
    assert CROSS_LANGUAGE == 0.7
    assert fused([0.9, 0.8, 0.7], [0, 0.1, 0], ["en", "zh", "en"], "zh", 0.3) == pytest.approx([0.79, 0.22, 0.0])


def test_words_of_another_language_count_when_they_do_match():
    assert fused([0.9, 0.8], [0.9, 0], ["en", "zh"], "zh", 0.3)[0] == pytest.approx(0.3 + 0.7 * 0.9)


def test_word_scores_above_the_ideal_count_as_one_and_equal_cosines_as_best():
    assert fused([0.5, 0.5], [1.7, 0], ["en", "en"], "en", 0.3) == pytest.approx([1.0, 0.3])


def test_nothing_to_fuse():
    assert fused([], [], [], "en", 0.3) == []


@given(
    rows=st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 3), st.sampled_from(["zh", "en", "other"])), min_size=1, max_size=9),
    weight=st.floats(0, 1),
)
def test_fused_scores_lie_between_0_and_1_and_grow_with_the_words(rows: list[tuple[float, float, Language]], weight: float):
    cosines, words, languages = ([row[place] for row in rows] for place in range(3))
    scores = fused(cosines, words, languages, "en", weight)  # type: ignore[arg-type]  # a column of each kind
    assert len(scores) == len(rows)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores)
    more = fused(cosines, [share + 0.1 for share in words], languages, "en", weight)  # type: ignore[arg-type, operator]  # as above
    assert all(new >= old - 1e-9 for new, old in zip(more, scores, strict=True))


def test_the_ideal_word_score_worked_out_by_hand():
    # 10 chunks; a term in 1 of them: ln(9.5/1.5); in 4: ln(6.5/4.5); in 9: negative, so 0.000001
    assert ideal_word_score(10, [1, 4, 9]) == pytest.approx(1.845827 + 0.367725 + 1e-6, abs=1e-5)
    assert ideal_word_score(10, []) == 1e-6
