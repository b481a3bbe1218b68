"""Which key a request gets, what it costs, and what becomes of keys that a service does not take."""

from __future__ import annotations

import logging
import threading

import pytest

from server.llm.keys.buckets import WINDOW_S
from server.llm.keys.key import QUOTA_REST_S
from server.llm.keys.pool import Busy, KeyPool, Lease
from tests.llm.pools import Time, entry, make_pool, secret


def pool_of(*letters: str, **more: object) -> tuple[KeyPool, Time]:
    clock = Time()
    return make_pool("https://cloud.example/v1", *letters, clock=clock, **more)[0], clock


def taken(pool: KeyPool, tokens: int = 10, model: str = "m") -> Lease:
    lease = pool.take(model, tokens)
    assert isinstance(lease, Lease), lease
    return lease


def busy(pool: KeyPool, tokens: int = 10, model: str = "m") -> Busy:
    found = pool.take(model, tokens)
    assert isinstance(found, Busy)
    return found


def test_unknown_limits_share_requests_evenly_and_known_ones_by_room():
    pool, _ = pool_of("a", "b", "c")
    leases = [taken(pool) for _ in range(6)]
    assert [lease.key.name for lease in leases] == ["…aaaa", "…bbbb", "…cccc"] * 2
    leases[4].finish()
    assert taken(pool).key.name == "…bbbb"  # it has the fewest on their way
    clock = Time()
    pool, _, held = make_pool("https://cloud.example/v1", clock=clock)
    held.entries = (entry("a", rpm=60), entry("b", rpm=600))
    names = [taken(pool).key.name for _ in range(110)]
    assert (names.count("…aaaa"), names.count("…bbbb")) == (10, 100)
    assert names[:80] == ["…bbbb"] * 80  # it had most room
    found = busy(pool)
    assert (found.free_in_s, str(found)) == (pytest.approx(60 / 600 / 0.99), "2 resting")


def test_tokens_are_taken_by_estimate_and_corrected_by_usage():
    pool, clock = pool_of()
    held = (entry("a", tpm=1000),)
    pool, _, source = make_pool("https://cloud.example/v1", clock=clock)
    source.entries = held
    lease = taken(pool, 800)
    assert busy(pool, 800).free_in_s == WINDOW_S
    lease.finish(tokens=150)
    lease.finish(tokens=0)  # over is over
    other = taken(pool, 800)
    other.finish()  # nothing said: the estimate stays spent
    assert busy(pool, 51).free_in_s == WINDOW_S
    assert isinstance(pool.take("m", 50), Lease)


def test_a_learned_limit_counts_for_one_model_and_a_limit_of_the_file_for_all():
    pool, _ = pool_of("a")
    lease = taken(pool)
    lease.learn({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"})
    lease.finish()
    assert busy(pool).resting == 1
    assert isinstance(pool.take("other", 10), Lease)
    pool, _, source = make_pool("https://cloud.example/v1", clock=Time())
    source.entries = (entry("a", rpm=1),)
    taken(pool)
    assert busy(pool, model="other").free_in_s == WINDOW_S


def test_a_429_rests_that_key_alone_and_only_for_its_model():
    pool, clock = pool_of("a", "b")
    first = taken(pool)
    first.rest(30.0, "slow down")
    first.finish()
    assert {taken(pool).key.name for _ in range(5)} == {"…bbbb"}
    assert taken(pool, model="other").key.name in ("…aaaa", "…bbbb")
    assert [(state.name, state.state, state.free_in_s) for state in pool.state()] == [("…aaaa", "resting", 30), ("…bbbb", "ready", 0)]
    taken(pool).rest(60.0, "slow down")
    assert busy(pool).free_in_s == 30
    clock.now = 30.0
    assert taken(pool).key.name == "…aaaa"


def test_a_rest_without_a_time_grows_and_a_good_answer_forgets_it():
    pool, clock = pool_of("a")
    waits = []
    for _ in range(8):
        lease = taken(pool)
        lease.rest(None, "slow down")
        lease.finish()
        waits.append(busy(pool).free_in_s)
        clock.now += waits[-1] or 0
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    taken(pool).answered()
    taken(pool).rest(None, "slow down")
    assert busy(pool).free_in_s == 1


def test_a_refused_key_is_set_aside_and_told_of_once_until_its_entry_changes(caplog: pytest.LogCaptureFixture):
    clock = Time()
    pool, notices, source = make_pool("https://cloud.example/v1", "a", "b", clock=clock)
    with caplog.at_level(logging.INFO):
        first, again = taken(pool), [taken(pool), taken(pool)][1]
        assert first.key is again.key
        for lease in (first, again):
            lease.put_aside("refused", "Incorrect API key")
            lease.finish()
        assert {taken(pool).key.name for _ in range(9)} == {"…bbbb"}
        clock.now = 1e6
        assert {taken(pool).key.name for _ in range(9)} == {"…bbbb"}
    sentence = "the key …aaaa of the endpoint 'cloud' is refused and is set aside; 1 left: Incorrect API key"
    assert [(notice.kind, notice.key, notice.text) for notice in notices] == [("refused", "…aaaa", sentence)]
    assert caplog.text.count("set aside") == 1
    source.entries = (entry("a", rpm=7), entry("b"))
    assert pool.state()[0].state == "refused"  # another limit makes no other key
    source.entries = (entry("a", organization="org-2"), entry("b"))
    assert [state.state for state in pool.state()] == ["ready", "ready"]


def test_a_used_up_quota_is_tried_by_one_request_an_hour():
    pool, clock = pool_of("a")
    taken(pool).put_aside("used up", "pay")
    found = busy(pool)
    assert (found.free_in_s, found.used_up, str(found)) == (QUOTA_REST_S, 1, "1 used up")
    clock.now = QUOTA_REST_S
    probe = taken(pool)
    assert busy(pool).free_in_s == QUOTA_REST_S
    probe.answered()
    assert (pool.state()[0].state, isinstance(pool.take("m", 1), Lease)) == ("ready", True)


def test_keys_that_stay_in_the_file_keep_what_they_have_spent():
    pool, _, source = make_pool("https://cloud.example/v1", clock=Time())
    source.entries = (entry("a", rpm=60),)
    for _ in range(10):
        taken(pool)
    source.entries = (entry("b", rpm=60), entry("a", rpm=60))
    assert {taken(pool).key.name for _ in range(10)} == {"…bbbb"}
    busy(pool)
    source.entries = (entry("a", rpm=60),)
    assert busy(pool).free_in_s == pytest.approx(1 / 0.99)
    assert pool.size == 1


def test_threads_never_spend_a_request_twice():
    pool, _, source = make_pool("https://cloud.example/v1", clock=Time())
    source.entries = tuple(entry(letter, rpm=600) for letter in "abcde")
    got: list[str] = []
    start = threading.Barrier(20)

    def work() -> None:
        start.wait()
        while isinstance(lease := pool.take("m", 1), Lease):
            got.append(lease.key.name)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 500
    assert {got.count(name) for name in set(got)} == {100}


def test_nothing_that_is_shown_holds_a_key():
    pool, _ = pool_of("a")
    lease = taken(pool)
    lease.put_aside("refused", "no")
    shown = [
        repr(pool),
        repr(pool.state()),
        repr(lease),
        repr(vars(pool)),
        repr(vars(lease.key)),
        str(entry("a")),
        entry("a").model_dump_json(),
    ]
    assert all(secret("a") not in text for text in shown)
    assert "…aaaa" in shown[0]
