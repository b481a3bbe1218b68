"""conversations.db: kept, searched, each owner's own, and safe from damage."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.errors import Corrupt, NotFound
from server.stores.conversations import TITLE_CHARS, Conversations


@pytest.fixture
def store(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "conversations.db")


def test_turns_are_kept_over_a_restart_with_all_that_belongs_to_them(store: Conversations) -> None:
    talk = store.begin("me", "What is\n RRF? " + "x" * 200)
    store.add("me", talk, "user", "What is RRF?")
    answer = store.add("me", talk, "assistant", "“A way to fuse” [1]", {"citations": [{"page": 3}], "depth": "quotes"})
    store.close()
    again = Conversations(store.path)
    first, second = again.turns("me", talk)
    assert (first.role, first.content, first.data) == ("user", "What is RRF?", {})
    assert (second.id, second.data) == (answer, {"citations": [{"page": 3}], "depth": "quotes"})
    (listed,) = again.listed("me")
    assert (listed.id, listed.turns, len(listed.title)) == (talk, 2, TITLE_CHARS)
    assert listed.title.startswith("What is RRF? xxx")
    again.close()


def test_nobody_sees_what_is_another_ones(store: Conversations) -> None:
    talk = store.begin("me", "mine")
    turn = store.add("me", talk, "user", "secret")
    assert store.listed("you") == []
    for act in (
        lambda: store.turns("you", talk),
        lambda: store.add("you", talk, "user", "x"),
        lambda: store.rename("you", talk, "x"),
        lambda: store.delete("you", talk),
        lambda: store.cut("you", talk, turn),
        lambda: store.feedback("you", turn, 50, ""),
        lambda: store.begin("you", "x", talk),
    ):
        with pytest.raises(NotFound):
            act()
    assert [turn.content for turn in store.turns("me", talk)] == ["secret"]


def test_the_newest_change_comes_first_and_a_search_reads_titles_and_turns(store: Conversations) -> None:
    talks = [store.begin("me", title) for title in ("Batteries", "电池", "Pumps")]
    store.add("me", talks[0], "user", "About SODIUM cells")
    assert store.listed("me")[0].title == "Batteries"
    assert [c.title for c in store.listed("me", "sodium")] == ["Batteries"]
    assert [c.title for c in store.listed("me", "电")] == ["电池"]
    assert [c.title for c in store.listed("me", "100%_")] == []
    assert len(store.listed("me", limit=2)) == 2
    assert len(store.listed("me", limit=2, offset=2)) == 1


def test_rename_cut_feedback_delete(store: Conversations) -> None:
    talk = store.begin("me", "old", "chosen-by-client")
    assert (talk, store.begin("me", "again", "chosen-by-client")) == ("chosen-by-client", "chosen-by-client")
    ids = [store.add("me", talk, "user" if n % 2 == 0 else "assistant", str(n)) for n in range(4)]
    store.rename("me", talk, "new")
    store.feedback("me", ids[1], 80, "good page")
    store.feedback("me", ids[1], 20, "no")
    assert [(turn.score, turn.reason) for turn in store.turns("me", talk)][:2] == [(None, ""), (20, "no")]
    store.cut("me", talk, ids[2])
    assert [turn.content for turn in store.turns("me", talk)] == ["0", "1"]
    assert store.listed("me")[0].title == "new"
    with pytest.raises(NotFound):
        store.cut("me", talk, ids[3])
    with pytest.raises(NotFound):
        store.feedback("me", "nobody", 1, "")
    store.delete("me", talk)
    assert store.listed("me") == []
    with pytest.raises(NotFound):
        store.turns("me", talk)


def test_many_threads_and_two_processes_lose_no_turn(store: Conversations) -> None:
    talk, other = store.begin("me", "t"), Conversations(store.path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: (store, other)[n % 2].add("me", talk, "user", str(n)), range(200)))
    assert sorted(int(turn.content) for turn in store.turns("me", talk)) == list(range(200))
    other.close()


def test_a_damaged_file_is_refused_and_left_as_it_is(store: Conversations) -> None:
    store.path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(Corrupt, match="is damaged"):
        store.listed("me")
    assert store.path.read_bytes().endswith(b"\xff" * 100)
    store.path.unlink()
    with sqlite3.connect(store.path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(Corrupt, match=r"schema 9, known is 1"):
        store.listed("me")
