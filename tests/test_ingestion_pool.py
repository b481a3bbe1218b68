"""The pool between readers and embedding: full batches across files, nothing twice, a bound, and nobody starves."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Splitting
from server.embedding import Batching
from server.errors import Cancelled
from server.ingestion.comparing import Todo
from server.ingestion.hand import InHand, no_vectors
from server.ingestion.pool import ROOM, Window, WindowPool
from server.stores.rows import NOTHING_READ

SMALL_BATCH = Batching(tokens=100, texts=8, side_by_side=1)


def file(name: str, *tokens: int) -> InHand:
    """A file with windows of so many tokens."""
    todo = Todo(name, "sha", 1, Splitting(), "recipe")
    return InHand(todo, NOTHING_READ, [], ["x"] * len(tokens), tokens, no_vectors(len(tokens), 2), 0.0)


def drain(pool: WindowPool, batching: Batching) -> list[list[Window]]:
    """All batches; they are taken as arrived."""
    found = []
    while pool._waiting:
        found.append(pool.take(batching))
        pool.arrived(found[-1])
    return found


@given(st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=30), min_size=1, max_size=12))
def test_every_window_is_taken_once_in_batches_that_the_model_takes(sizes: list[list[int]]):
    pool = WindowPool(ROOM)
    files = [file(str(n), *tokens) for n, tokens in enumerate(sizes)]
    for one in files:
        pool.put(one)
    batches = drain(pool, SMALL_BATCH)
    taken = sorted((window.file.todo.name, window.at) for batch in batches for window in batch)
    assert taken == sorted((one.todo.name, at) for one in files for at in range(len(one.tokens)))
    for batch in batches:
        assert len(batch) <= 8
        assert len(batch) == 1 or max(window.tokens for window in batch) * len(batch) <= 100
    assert all(one.missing == one.untaken == 0 for one in files)


def test_many_small_files_fill_batches_with_little_padding():
    pool = WindowPool(ROOM)
    for n in range(40):
        pool.put(file(f"{n}.md", 10 + n, 90 - n))  # 80 windows of 10 to 90 tokens, two a file
    batches = drain(pool, Batching(1024, 1 << 30, 2))
    work = sum(max(window.tokens for window in batch) * len(batch) for batch in batches)
    assert len(batches) <= 6  # file by file there would be 40
    assert work / (40 * 100) < 1.25
    assert max(len({window.file for window in batch}) for batch in batches) >= 10


def test_neither_a_large_file_nor_the_small_ones_behind_it_wait_for_ever():
    pool = WindowPool(room=400)
    large = file("large.pdf", *[50] * 300)
    pool.put(large)
    done: list[str] = []
    for n in range(60):  # small ones keep coming
        pool.put(file(f"small{n}", 20, 30))
        batch = pool.take(Batching(100, 2, 1))
        for complete in pool.arrived(batch):
            done.append(complete.todo.name)
            pool.release(complete)
    assert large.untaken <= 300 - 60  # every other batch is of the one that came first
    assert len(done) >= 25  # and every other of the smallest


def test_what_is_in_hand_is_bounded_and_a_large_file_is_let_in_beside_it():
    pool = WindowPool(room=10)
    a, b, large, second = file("a", 1, 1, 1, 1), file("b", *[1] * 5), file("large", *[1] * 50), file("second", *[1] * 6)
    pool.put(a)
    pool.put(b)
    pool.put(large)
    came: list[str] = []

    def put(one: InHand) -> None:
        pool.put(one)
        came.append(one.todo.name)

    waiting = [threading.Thread(target=put, args=(one,)) for one in (file("c", 1, 1), second)]
    for thread in waiting:
        thread.start()
    pool.release(a)  # room for c, not for another large one
    waiting[0].join(10)
    assert came == ["c"]
    assert waiting[1].is_alive()
    pool.release(large)
    waiting[1].join(10)
    assert came == ["c", "second"]


def test_a_file_that_was_dropped_is_taken_by_nobody_and_makes_room():
    pool = WindowPool(room=4)
    bad, good = file("bad", 5, 5, 5), file("good", 5)
    pool.put(bad)
    pool.put(good)
    batch = pool.take(Batching(10, 2, 1))
    assert {window.file for window in batch} == {bad}
    assert (pool.drop(bad), pool.drop(bad)) == (True, False)
    assert pool.arrived(batch) == []
    pool.put(file("next", 5, 5, 5))
    assert {window.file.todo.name for batch in drain(pool, SMALL_BATCH) for window in batch} == {"good", "next"}


def test_who_waits_leaves_when_the_pool_is_closed():
    pool = WindowPool(room=1)
    outcome: list[object] = []
    taker = threading.Thread(target=lambda: outcome.append(pool.take(SMALL_BATCH)))
    taker.start()
    pool.close()
    taker.join(10)
    assert outcome == [[]]
    with pytest.raises(Cancelled):
        pool.put(file("a", 1))
