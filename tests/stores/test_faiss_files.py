"""Saved FAISS indexes of every kind: torn, cut, flipped, half-written or unwritable files are found, and never give a wrong answer."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from server.errors import Corrupt, Unavailable
from server.stores import VectorStore
from tests.stores.stores import KINDS, STORES
from tests.stores.test_vector_stores import DIMENSION, Rows, check_search, filled, unit

Make = Callable[[], VectorStore]
COUNT = 120
ROWS: Rows = {i: unit(i) for i in range(COUNT)}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an empty FAISS store of each kind."""
    return lambda: STORES[request.param](DIMENSION)


@pytest.fixture
def saved(make: Make, tmp_path: Path) -> Path:
    """The folder of an index of 120 vectors, generation 7."""
    store = filled(make, range(COUNT))
    store.generation = 7
    store.save(tmp_path)
    return tmp_path


def index_file(folder: Path) -> Path:
    (path,) = folder.glob("index-*.faiss")
    return path


def flips(path: Path, number: int) -> Iterator[bytes]:
    """The file's bytes with one bit turned, at seeded places all over it."""
    raw = path.read_bytes()
    dice = random.Random(3)
    for bit in dice.sample(range(len(raw) * 8), min(number, len(raw) * 8)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


def replaced(path: Path, data: bytes) -> None:
    """As another program would: a new file under the name, for the old one may be mapped."""
    path.with_suffix(".new").write_bytes(data)
    os.replace(path.with_suffix(".new"), path)


def found_damaged(make: Make, folder: Path) -> bool:
    """Whether opening or a search that looks everywhere says so; a search that says nothing is right."""
    store = make()
    if not store.load(folder):
        return True
    try:
        for seed in range(3):
            check_search(store, ROWS, unit(seed), 10, None)
        check_search(store, ROWS, unit(5), 10, list(ROWS))
    except Corrupt:
        return True
    return False


def test_saving_again_leaves_one_index_and_nothing_temporary(make: Make, saved: Path):
    store = filled(make, range(3))
    for generation in (8, 8, 9):
        store.generation = generation
        store.save(saved)
    assert [path.name[:8] for path in sorted(saved.iterdir())] == [".lock", "index-8-", "index.js"]
    other = make()
    assert other.load(saved)
    assert (len(other), other.generation) == (3, 9)


def test_a_small_change_does_not_write_the_vectors_again(make: Make, saved: Path):
    store = make()
    assert store.load(saved)
    store.generation = 8
    before = index_file(saved).stat().st_ino
    store.save(saved)
    assert index_file(saved).stat().st_ino == before
    store.add(np.array([500]), unit(500)[None])
    store.save(saved)
    assert index_file(saved).stat().st_ino != before


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "longer"])
@pytest.mark.parametrize("which", ["index-*.faiss", "index.json"])
def test_a_torn_index_is_refused_and_changes_nothing(make: Make, saved: Path, which: str, damage: str):
    (path,) = saved.glob(which)
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        replaced(path, {"cut": raw[: len(raw) // 2], "empty": b"", "longer": raw + b"\0"}[damage])
    store = filled(make, range(100, 104))
    store.generation = 3
    assert not store.load(saved)
    assert (len(store), store.generation) == (4, 3)
    check_search(store, {i: unit(i) for i in range(100, 104)}, unit(1), 4, None)


def test_an_index_of_another_dimension_is_refused(saved: Path):
    store = STORES["faiss"](DIMENSION + 1)
    assert not store.load(saved)
    assert len(store) == 0


def test_an_index_cut_anywhere_is_refused(make: Make, saved: Path):
    path = index_file(saved)
    raw = path.read_bytes()
    for length in random.Random(5).sample(range(len(raw)), 40):
        replaced(path, raw[:length])
        assert not make().load(saved)


def test_zeroed_blocks_are_found(make: Make, saved: Path):
    path = index_file(saved)
    raw = path.read_bytes()
    dice = random.Random(7)
    for _ in range(40):
        start = dice.randrange(len(raw) - 64)
        damaged = raw[:start] + bytes(64) + raw[start + 64 :]
        replaced(path, damaged)
        assert damaged == raw or found_damaged(make, saved), start


def test_every_flipped_bit_of_the_index_is_found(make: Make, saved: Path):
    path = index_file(saved)
    for damaged in flips(path, 300):
        replaced(path, damaged)
        assert found_damaged(make, saved)


def test_no_flipped_bit_of_the_facts_gives_a_wrong_generation(make: Make, saved: Path):
    path = saved / "index.json"
    for damaged in flips(path, 500):
        replaced(path, damaged)
        store = make()
        assert not store.load(saved) or (store.generation, len(store)) == (7, COUNT), damaged


def test_a_full_disk_leaves_the_old_index_and_says_so(make: Make, saved: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(path.name for path in saved.iterdir())
    store = filled(make, range(200, 260))
    store.generation = 8
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Unavailable, match="No space left on device; nothing is lost"):
        store.save(saved)
    assert sorted(path.name for path in saved.iterdir()) == before
    check_search(store, {i: unit(i) for i in range(200, 260)}, unit(1), 5, None)
    monkeypatch.undo()
    old = make()
    assert old.load(saved)
    assert (len(old), old.generation) == (COUNT, 7)
    store.save(saved)
    assert make().load(saved)


FILLS_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from server.errors import Unavailable
from tests.stores.stores import STORES
from tests.stores.test_vector_stores import DIMENSION, filled
store = filled(lambda: STORES[sys.argv[1]](DIMENSION), range(400))
store.generation = 8
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    store.save(Path(sys.argv[2]))
except Unavailable as exc:
    print(exc)
"""


@pytest.mark.parametrize("limit_bytes", [100, 2000, 4000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_while_faiss_writes_leaves_the_old_index(kind: str, limit_bytes: int, tmp_path: Path):
    old = filled(lambda: STORES[kind](DIMENSION), range(COUNT))
    old.generation = 7
    old.save(tmp_path)
    command = [sys.executable, "-c", FILLS_THE_DISK, kind, str(tmp_path), str(limit_bytes)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "File too large; nothing is lost, the next start builds it from library.db" in run.stdout
    again = STORES[kind](DIMENSION)
    assert again.load(tmp_path)
    assert (len(again), again.generation) == (COUNT, 7)
