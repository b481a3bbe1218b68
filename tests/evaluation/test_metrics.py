"""Measures of rankings against values computed by hand, and their properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Invalid
from server.evaluation.metrics import average_precision, hit, ndcg, recall, reciprocal_rank

IDS = st.lists(st.integers(0, 12), max_size=14)
SOME = st.sets(st.integers(0, 12), min_size=1, max_size=6)


def test_ndcg_is_that_of_the_textbook():
    # gains 3 2 3 0 1 2 at ranks 1 to 6: DCG 6.861, ideal 3 3 2 2 1 0: 7.141 (Järvelin & Kekäläinen's discount log2(rank + 1))
    gains = {"a": 3, "b": 2, "c": 3, "d": 0, "e": 1, "f": 2}
    assert ndcg(["a", "b", "c", "d", "e", "f"], gains) == pytest.approx(6.8611 / 7.1410, abs=1e-4)
    assert ndcg(["x", "a"], {"a"}) == pytest.approx(1 / math.log2(3))
    assert ndcg(["x"] * 3 + ["a"], {"a"}, k=2) == pytest.approx(1 / math.log2(3))  # ids count once
    assert ndcg(["x", "y", "a"], {"a"}, k=2) == 0


def test_the_ideal_has_no_more_than_k_places():
    assert ndcg(["a", "b"], {"a", "b", "c"}, k=2) == 1


def test_ranks_recall_and_precision():
    ranking = ["x", "a", "y", "b", "z"]
    assert reciprocal_rank(ranking, {"a", "b"}) == 0.5
    assert reciprocal_rank(ranking, {"b"}, k=3) == 0
    assert (recall(ranking, {"a", "b", "c"}, k=5), recall(ranking, {"a", "b", "c"}, k=2)) == (2 / 3, 1 / 3)
    assert (hit(ranking, {"b"}, k=4), hit(ranking, {"b"}, k=3)) == (1, 0)
    assert average_precision(ranking, {"a", "b"}) == (1 / 2 + 2 / 4) / 2
    assert average_precision(ranking, {"a", "c"}) == (1 / 2) / 2


@given(ranking=IDS, relevant=SOME)
def test_measures_stay_between_0_and_1_and_the_perfect_ranking_gets_1(ranking: list[int], relevant: set[int]):
    perfect = [*relevant, *ranking]
    for measure in (ndcg, reciprocal_rank, hit, average_precision):
        assert 0 <= measure(ranking, relevant) <= 1 + 1e-12
        assert measure(perfect, relevant) == pytest.approx(1)
    assert recall(perfect, relevant, k=len(relevant)) == 1


@given(ranking=IDS, relevant=SOME)
def test_a_relevant_id_moved_up_never_costs(ranking: list[int], relevant: set[int]):
    seen = list(dict.fromkeys(ranking))
    for place in range(1, len(seen)):
        if seen[place] in relevant and seen[place - 1] not in relevant:
            better = [*seen[: place - 1], seen[place], seen[place - 1], *seen[place + 1 :]]
            assert ndcg(better, relevant) >= ndcg(seen, relevant)
            assert average_precision(better, relevant) > average_precision(seen, relevant)


@pytest.mark.parametrize("relevant", [set(), {}, {"a": 0.0}, {"a": float("nan")}, {"a": -1.0}])
def test_nothing_relevant_is_refused(relevant: dict[str, float]):
    for measure in (ndcg, reciprocal_rank, recall, hit, average_precision):
        with pytest.raises(Invalid):
            measure(["a"], relevant)
