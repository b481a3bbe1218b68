"""One contract for every row of VECTOR_STORES and each kind of FAISS index, compared with brute force in float64."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.errors import Invalid
from server.stores import VectorStore
from tests.stores.stores import SAVED, STORES

DIMENSION = 8
EPSILON = 1e-3  # float16 rounds to 5e-4; float32 stores are held to 1e-5 by the cosines worked out by hand

Make = Callable[[], VectorStore]
Rows = dict[int, npt.NDArray[np.float32]]


def unit(seed: int) -> npt.NDArray[np.float32]:
    """The same unit vector for the same seed."""
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def brute_force(rows: Rows, vector: npt.NDArray[np.float32]) -> list[tuple[int, float]]:
    """Every row as (id, cosine), best first."""
    scored = [(i, float(row.astype(np.float64) @ vector.astype(np.float64))) for i, row in rows.items()]
    return sorted(scored, key=lambda pair: -pair[1])


def answer(store: VectorStore, rows: Rows, vector: npt.NDArray[np.float32], k: int, only: list[int] | None) -> list[tuple[int, float]]:
    """What a library answers: the store's candidates, scored by the rows when it says that it is needed."""
    found = store.search(vector, k + store.surplus, None if only is None else np.array(only, np.int64))
    assert len({i for i, _ in found}) == len(found)
    return brute_force({i: rows[i] for i, _ in found}, vector)[:k] if store.surplus else found


def check_search(store: VectorStore, rows: Rows, vector: npt.NDArray[np.float32], k: int, only: list[int] | None) -> None:
    """The store finds what brute force finds; ids may only be swapped where the cosines are equal."""
    allowed = rows if only is None else {i: rows[i] for i in only if i in rows}
    expected = brute_force(allowed, vector)
    found = answer(store, rows, vector, k, only)
    assert [score for _, score in found] == pytest.approx([score for _, score in expected[:k]], abs=EPSILON)
    true = dict(expected)
    for i, score in found:
        assert true[i] == pytest.approx(score, abs=EPSILON)


def filled(make: Make, seeds: range) -> VectorStore:
    store = make()
    store.build(len(seeds), [(np.array(seeds, np.int64), np.stack([unit(seed) for seed in seeds]))])
    return store


@pytest.fixture(params=sorted(STORES))
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an empty store of each kind."""
    return lambda: STORES[request.param](DIMENSION)


@pytest.fixture(params=SAVED)
def make_saved(request: pytest.FixtureRequest) -> Make:
    """Makes an empty store of each kind that keeps files."""
    return lambda: STORES[request.param](DIMENSION)


def test_cosines_worked_out_by_hand(make: Make):
    store = make()
    axes = np.eye(DIMENSION, dtype=np.float32)
    store.add(np.array([10, 20, 2**62], np.int64), np.stack([axes[0], axes[1], (axes[0] + axes[1]) / np.float32(2**0.5)]))
    found = store.search(axes[0], 3)
    assert [i for i, _ in found] == [10, 2**62, 20]
    assert [score for _, score in found] == pytest.approx([1, 0.70710678, 0], abs=1e-6)
    assert store.search(-axes[0], 1)[0][1] == pytest.approx(0, abs=1e-6)


def test_an_empty_store_and_an_empty_selection_find_nothing(make: Make):
    assert make().search(unit(0), 5) == []
    assert filled(make, range(5)).search(unit(0), 5, np.array([], np.int64)) == []
    assert filled(make, range(5)).search(unit(0), 5, np.array([99], np.int64)) == []


def test_vectors_of_another_dimension_are_refused_and_nothing_is_added(make: Make):
    store = make()
    with pytest.raises(Invalid, match="do not fit a store of 8 dimensions"):
        store.add(np.array([1], np.int64), np.ones((1, 9), np.float32))
    with pytest.raises(Invalid):
        store.add(np.array([1, 2], np.int64), np.ones((1, 8), np.float32))
    assert len(store) == 0


def test_the_ids_are_those_that_were_added_and_not_removed(make: Make):
    store = filled(make, range(5))
    store.remove([1, 3, 99])
    assert sorted(store.ids().tolist()) == [0, 2, 4]
    assert store.ids().dtype == np.int64
    assert make().ids().tolist() == []


def test_scores_are_plain_numbers_for_json(make: Make):
    found = filled(make, range(3)).search(unit(0), 3)
    assert json.loads(json.dumps(found)) == [list(row) for row in found]


def test_building_takes_the_place_of_all_there_was(make: Make):
    store = filled(make, range(40))
    store.build(0, [])
    assert (len(store), store.search(unit(0), 3)) == (0, [])
    halves = [(np.arange(a, a + 20), np.stack([unit(i) for i in range(a, a + 20)])) for a in (100, 120)]
    store.build(40, halves)
    check_search(store, {i: unit(i) for i in range(100, 140)}, unit(7), 12, None)


class Machine(RuleBasedStateMachine):
    """Any order of add, remove, search, save and load gives what a dictionary gives."""

    name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.store: VectorStore = STORES[self.name](DIMENSION)
        self.rows: Rows = {}
        self.kept: tuple[int, Rows] | None = None
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.folder.cleanup()

    def changed(self) -> None:
        self.store.generation += 1
        if self.store.outgrown:
            ids = sorted(self.rows)
            vectors = np.array([self.rows[i] for i in ids], np.float32).reshape(len(ids), DIMENSION)
            self.store.build(len(ids), [(np.array(ids, np.int64), vectors)] if ids else [])

    @rule(ids=st.lists(st.integers(0, 60), unique=True, max_size=12), seed=st.integers(0, 9))
    def add(self, ids: list[int], seed: int) -> None:
        fresh = [i for i in ids if i not in self.rows]
        vectors = np.array([unit(i * 10 + seed) for i in fresh], np.float32).reshape(len(fresh), DIMENSION)
        self.store.add(np.array(fresh, np.int64), vectors)
        self.rows |= dict(zip(fresh, vectors, strict=True))
        self.changed()

    @rule(ids=st.lists(st.integers(0, 60), max_size=8))
    def remove(self, ids: list[int]) -> None:
        self.store.remove(ids)
        self.store.remove(ids)
        for i in ids:
            self.rows.pop(i, None)
        self.changed()

    @rule(seed=st.integers(0, 99), k=st.integers(1, 12), only=st.none() | st.lists(st.integers(0, 60), unique=True, max_size=20))
    def search(self, seed: int, k: int, only: list[int] | None) -> None:
        check_search(self.store, self.rows, unit(seed), k, only)

    @rule()
    def save(self) -> None:
        self.store.save(Path(self.folder.name))
        self.kept = (self.store.generation, dict(self.rows))

    @precondition(lambda self: self.kept is not None)
    @rule()
    def load(self) -> None:
        if self.name == "milvus":  # its vectors lie on the server: only the generation goes back, and following again changes nothing
            return
        if self.name not in SAVED:
            assert not self.store.load(Path(self.folder.name))
            return
        assert self.kept is not None
        assert self.store.load(Path(self.folder.name))
        assert self.store.generation == self.kept[0]
        self.rows = dict(self.kept[1])

    @invariant()
    def counts(self) -> None:
        assert len(self.store) == len(self.rows)


@pytest.mark.parametrize("name", sorted(STORES))
def test_any_sequence_of_changes_gives_what_brute_force_gives(name: str):
    machine = type(f"Machine_{name}", (Machine,), {"name": name})
    case = machine.TestCase
    case.settings = settings(max_examples=6 if name == "milvus" else 25, stateful_step_count=20, deadline=None)  # 0.5 s an example
    case().runTest()


@given(ids=st.sets(st.integers(0, 2**63 - 1), min_size=1, max_size=20))
@settings(max_examples=5, deadline=None)
@pytest.mark.parametrize("name", sorted(STORES))
def test_ids_of_63_bits_come_back_as_they_went_in(name: str, ids: set[int]):
    store = STORES[name](DIMENSION)
    ordered = sorted(ids)
    vectors = np.stack([unit(i % 1000) for i in range(len(ordered))])
    store.add(np.array(ordered, np.int64), vectors)
    assert {i for i, _ in store.search(unit(3), len(ids))} == ids
    store.build(len(ids), [(np.array(ordered, np.int64), vectors)])
    assert {i for i, _ in store.search(unit(3), len(ids))} == ids


def test_a_saved_index_is_taken_over_with_its_generation(make_saved: Make, tmp_path: Path):
    store = filled(make_saved, range(20))
    store.generation = 7
    store.save(tmp_path)
    other = make_saved()
    assert other.load(tmp_path)
    assert (len(other), other.generation) == (20, 7)
    check_search(other, {i: unit(i) for i in range(20)}, unit(5), 10, None)
