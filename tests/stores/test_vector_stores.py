"""One contract for every row of VECTOR_STORES, compared with brute force in float64; then what damaged index files may not do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server import registry
from server.errors import Invalid
from server.stores import VECTOR_STORES, VectorStore

DIMENSION = 8
SAVED = [name for name in VECTOR_STORES if name != "memory"]  # memory keeps nothing on disk
EPSILON = 1e-5

Make = Callable[[], VectorStore]


def unit(seed: int) -> npt.NDArray[np.float32]:
    """The same unit vector for the same seed."""
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def brute_force(rows: dict[int, npt.NDArray[np.float32]], vector: npt.NDArray[np.float32]) -> list[tuple[int, float]]:
    """Every row as (id, cosine), best first."""
    scored = [(i, float(row.astype(np.float64) @ vector.astype(np.float64))) for i, row in rows.items()]
    return sorted(scored, key=lambda pair: -pair[1])


def check_search(
    store: VectorStore, rows: dict[int, npt.NDArray[np.float32]], vector: npt.NDArray[np.float32], k: int, only: list[int] | None
) -> None:
    """The store finds what brute force finds; ids may only be swapped where the cosines are equal."""
    allowed = rows if only is None else {i: rows[i] for i in only if i in rows}
    expected = brute_force(allowed, vector)
    found = store.search(vector, k, None if only is None else np.array(only, np.int64))
    assert [score for _, score in found] == pytest.approx([score for _, score in expected[:k]], abs=EPSILON)
    assert len({i for i, _ in found}) == len(found)
    true = dict(expected)
    for i, score in found:
        assert true[i] == pytest.approx(score, abs=EPSILON)


def filled(make: Make, seeds: range) -> VectorStore:
    store = make()
    store.add(np.array(seeds, np.int64), np.stack([unit(seed) for seed in seeds]))
    return store


@pytest.fixture(params=sorted(VECTOR_STORES))
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an empty store of each kind."""
    return lambda: registry.load(VECTOR_STORES, request.param, "vector store")(DIMENSION)


@pytest.fixture(params=SAVED)
def make_saved(request: pytest.FixtureRequest) -> Make:
    """Makes an empty store of each kind that keeps files."""
    return lambda: registry.load(VECTOR_STORES, request.param, "vector store")(DIMENSION)


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


class Machine(RuleBasedStateMachine):
    """Any order of add, remove, search, save and load gives what a dictionary gives."""

    name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.store: VectorStore = registry.load(VECTOR_STORES, self.name, "vector store")(DIMENSION)
        self.rows: dict[int, npt.NDArray[np.float32]] = {}
        self.kept: tuple[int, dict[int, npt.NDArray[np.float32]]] | None = None
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(ids=st.lists(st.integers(0, 60), unique=True, max_size=8), seed=st.integers(0, 9))
    def add(self, ids: list[int], seed: int) -> None:
        fresh = [i for i in ids if i not in self.rows]
        vectors = np.array([unit(i * 10 + seed) for i in fresh], np.float32).reshape(len(fresh), DIMENSION)
        self.store.add(np.array(fresh, np.int64), vectors)
        self.rows |= dict(zip(fresh, vectors, strict=True))
        self.store.generation += 1

    @rule(ids=st.lists(st.integers(0, 60), max_size=8))
    def remove(self, ids: list[int]) -> None:
        self.store.remove(ids)
        self.store.remove(ids)
        for i in ids:
            self.rows.pop(i, None)
        self.store.generation += 1

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


@pytest.mark.parametrize("name", sorted(VECTOR_STORES))
def test_any_sequence_of_changes_gives_what_brute_force_gives(name: str):
    machine = type(f"Machine_{name}", (Machine,), {"name": name})
    case = machine.TestCase
    case.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
    case().runTest()


@given(ids=st.sets(st.integers(0, 2**63 - 1), min_size=1, max_size=20))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("name", sorted(VECTOR_STORES))
def test_ids_of_63_bits_come_back_as_they_went_in(name: str, ids: set[int]):
    store = registry.load(VECTOR_STORES, name, "vector store")(DIMENSION)
    ordered = sorted(ids)
    store.add(np.array(ordered, np.int64), np.stack([unit(i % 1000) for i in range(len(ordered))]))
    assert {i for i, _ in store.search(unit(3), len(ids))} == ids


@pytest.fixture
def saved(make_saved: Make, tmp_path: Path) -> Path:
    """The folder of an index of 20 vectors, generation 7."""
    store = filled(make_saved, range(20))
    store.generation = 7
    store.save(tmp_path)
    return tmp_path


def test_a_saved_index_is_taken_over_with_its_generation(make_saved: Make, saved: Path):
    other = make_saved()
    assert other.load(saved)
    assert (len(other), other.generation) == (20, 7)
    check_search(other, {i: unit(i) for i in range(20)}, unit(5), 10, None)


def test_saving_again_leaves_one_index_and_nothing_temporary(make_saved: Make, saved: Path):
    store = filled(make_saved, range(3))
    store.generation = 8
    store.save(saved)
    store.save(saved)
    assert sorted(path.name for path in saved.iterdir()) == ["index-8.faiss", "index.json"]


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "longer"])
@pytest.mark.parametrize("which", ["index-7.faiss", "index.json"])
def test_a_torn_index_is_refused_and_changes_nothing(make_saved: Make, saved: Path, which: str, damage: str):
    path = saved / which
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": raw[: len(raw) // 2], "empty": b"", "longer": raw + b"\0"}[damage])
    store = filled(make_saved, range(100, 104))
    store.generation = 3
    assert not store.load(saved)
    assert (len(store), store.generation) == (4, 3)
    check_search(store, {i: unit(i) for i in range(100, 104)}, unit(1), 4, None)


def test_an_index_of_another_dimension_is_refused(saved: Path):
    store = registry.load(VECTOR_STORES, "faiss", "vector store")(DIMENSION + 1)
    assert not store.load(saved)
    assert len(store) == 0


def flips(path: Path, every: int) -> Iterator[tuple[int, int]]:
    """(byte, bit) places all over a file."""
    bits = path.stat().st_size * 8
    return ((bit // 8, bit % 8) for bit in range(0, bits, every))


def test_no_flipped_bit_of_the_index_gives_a_wrong_answer(make_saved: Make, saved: Path):
    path = saved / "index-7.faiss"
    raw = path.read_bytes()
    for byte, bit in flips(path, 97):
        damaged = bytearray(raw)
        damaged[byte] ^= 1 << bit
        path.write_bytes(damaged)
        assert not make_saved().load(saved), f"bit {bit} of byte {byte}"


def test_no_flipped_bit_of_the_facts_gives_a_wrong_generation(make_saved: Make, saved: Path):
    path = saved / "index.json"
    raw = path.read_bytes()
    for byte, bit in flips(path, 1):
        damaged = bytearray(raw)
        damaged[byte] ^= 1 << bit
        path.write_bytes(damaged)
        store = make_saved()
        assert not store.load(saved) or (store.generation, len(store)) == (7, 20), f"bit {bit} of byte {byte}: {bytes(damaged)!r}"
