"""What an index must follow: the changes of library.db since a generation, in batches, of one state."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.stores.catalog import Catalog
from server.stores.following import Changes
from tests.stores.test_catalog import catalog, put

__all__ = ["catalog"]  # the fixture


CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "fail", "remove", "mark", "follow", "prune"]), st.sampled_from("abc"), st.integers(1, 3)), max_size=14
)


def added(changes: Changes) -> dict[int, bytes]:
    """Every added window with its vector."""
    return {int(i): row.tobytes() for ids, rows in changes.batches for i, row in zip(ids, rows, strict=True)}


@given(changes=CHANGES)
@settings(max_examples=40, deadline=None)
def test_following_the_changes_equals_a_full_rebuild(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str, int]]):
    catalog = Catalog(tmp_path_factory.mktemp("catalog") / "library.db")
    index: dict[int, bytes] = {}
    at = 0

    def follow() -> None:
        nonlocal at
        with catalog.changes_since(at) as changes:
            if changes.since == 0:
                index.clear()
            for window in changes.removed:
                index.pop(window, None)
            came = added(changes)
            index.update(came)
            assert changes.added == len(came)
            assert changes.total() == len(index)
            at = changes.generation

    for seed, (kind, name, count) in enumerate(changes):
        if kind == "put":
            put(catalog, name, [f"text {i}" for i in range(count)], seed, windows=2)
        elif kind == "fail":
            catalog.queue([name])
            catalog.fail(name, "why", "sha", "recipe")
        elif kind == "remove":
            catalog.remove([name])
        elif kind == "mark":
            catalog.mark([name], "reading")
        elif kind == "prune":
            catalog.prune(catalog.generation() - count + 1)
        else:
            follow()
    follow()
    with catalog.changes_since(0) as everything:
        assert index == added(everything)
    assert len(index) == catalog.counts()[2]
    catalog.close()


def test_what_was_removed_is_forgotten_once_it_is_more_than_what_there_is(catalog: Catalog):
    def removed() -> int:
        with catalog._connection() as db:
            return int(db.execute("SELECT count(*) FROM removed").fetchone()[0])

    for seed in range(3):
        put(catalog, "a", ["one", "two"], seed)
    assert removed() == 4
    catalog.prune(2)  # 2 removed, 2 there
    assert removed() == 4
    catalog.prune(3)
    assert removed() == 0
    for generation, since, number in ((1, 0, 2), (2, 0, 2), (3, 3, 0)):
        with catalog.changes_since(generation) as changes:
            assert (changes.since, changes.added, len(added(changes))) == (since, number, number)


def test_all_vectors_are_read_in_batches_by_ascending_id(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("server.stores.following.BATCH_ROWS", 4)
    put(catalog, "a", [f"text {i}" for i in range(5)], windows=2)
    with catalog.changes_since(0) as changes:
        batches = [ids.tolist() for ids, _ in changes.batches]
    assert [len(batch) for batch in batches] == [4, 4, 2]
    in_order = [i for batch in batches for i in batch]
    assert in_order == sorted(in_order)


def test_following_is_of_one_state_while_another_writes(catalog: Catalog):
    put(catalog, "a", ["one", "two"])
    with catalog.changes_since(0) as changes:
        put(catalog, "a", ["three"], 5)
        catalog.remove(["a"])
        assert (changes.added, len(added(changes)), changes.total()) == (2, 2, 2)
    assert changes.generation < catalog.generation()
