"""What answers say about limits, and buckets that keep to them."""

from __future__ import annotations

import email.utils
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.llm.keys.buckets import LEAST_BURST, PACE, REQUESTS_BURST_S, TOKENS_BURST_S, WINDOW_S, Bucket
from server.llm.keys.rate_headers import LONGEST_S, Limit, duration_s, limits, rest_s, retry_after_s
from server.llm.keys.verdicts import said, verdict


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1), ("6m0s", 360), ("12ms", 0.012), ("1h2m3.5s", 3723.5), ("2m59.56s", 179.56), ("1d", 86400), ("7.66", 7.66), ("20", 20),
        ("", None), ("soon", None), ("-3", None), ("nan", None), ("inf", None), ("5s later", None), ("1e400", None),
        ("9" * 8 + "s", LONGEST_S),
    ],
)  # fmt: skip
def test_durations_of_many_services(text: str, seconds: float | None):
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


def test_a_reset_may_be_a_unix_time():
    assert duration_s(str(int(time.time()) + 30)) == pytest.approx(30, abs=2)
    assert duration_s(str(int(time.time() * 1000) + 30_000)) == pytest.approx(30, abs=2)
    assert duration_s("1500000000") == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
        ({"retry-after": "1" * 400}, LONGEST_S),
        ({}, None),
    ],
)
def test_retry_after_in_its_forms(headers: dict[str, str], seconds: float | None):
    assert retry_after_s(headers) == seconds


def test_retry_after_may_be_a_date():
    assert retry_after_s({"retry-after": email.utils.formatdate(time.time() + 40, usegmt=True)}) == pytest.approx(40, abs=2)


def test_without_retry_after_the_reset_of_what_is_used_up_counts():
    both = {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "3s", "x-ratelimit-remaining-requests": "5"}
    assert rest_s({**both, "x-ratelimit-remaining-tokens": "0"}) == 3
    assert rest_s({**both, "x-ratelimit-remaining-tokens": "1"}) == 360
    assert rest_s({**both, "retry-after": "2"}) == 2
    assert rest_s({}) is None
    headers = {**both, "x-ratelimit-limit-requests": "60, 60;w=60"}
    assert limits(headers) == (Limit(60, 5, 360), Limit(None, None, 3))


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (200, "{}", "passed"), (307, "", "passed"), (400, "{}", "final"), (404, "{}", "final"), (413, "", "final"), (422, "", "final"),
        (400, '{"error": {"code": "context_length_exceeded"}}', "final"), (401, "no", "refused"), (403, "{}", "refused"),
        (403, '{"error": {"code": "model_not_found"}}', "elsewhere"), (403, '{"error": {"metadata": {"reasons": ["violence"]}}}', "final"),
        (429, "", "limited"), (429, '{"error": {"type": "insufficient_quota"}}', "used up"), (402, "", "used up"),
        (429, '{"error": {"message": "insufficient_quota"}}', "limited"),
        (400, '{"error": {"code": "billing_hard_limit_reached"}}', "used up"),
        (408, "", "again"), (409, "", "again"), (500, "", "again"), (503, "[1]", "again"), (529, "", "again"),
    ],
)  # fmt: skip
def test_whose_matter_an_answer_is(status: int, body: str, what: str):
    assert verdict(status, body.encode()) == what


def test_what_a_service_says_is_one_short_line():
    assert said(b'{"error": {"message": "too\\n many"}}') == "too many"
    assert said(b'{"error": "busy"}') == "busy"
    assert said(b'{"detail": "wrong body"}') == "wrong body"
    assert said(b"<h1>" + b"x" * 9999) == "<h1>" + "x" * 296
    assert said(b"") == "nothing"


def test_a_bucket_gives_its_burst_at_once_and_then_its_pace():
    bucket = Bucket(60, 0.0, REQUESTS_BURST_S, LEAST_BURST)
    taken = 0
    while bucket.wait_s(1, 0.0) == 0:
        bucket.take(1, 0.0)
        taken += 1
    assert taken == 10  # ten seconds of sixty a minute
    assert bucket.wait_s(1, 0.0) == pytest.approx(1 / PACE)
    assert bucket.wait_s(1, 1 / PACE) == 0
    assert bucket.rate == pytest.approx(0.99)
    few = Bucket(3, 0.0, REQUESTS_BURST_S, LEAST_BURST)
    assert few.room(1) == 3  # somebody with three a minute may ask thrice in a row


def test_a_burst_and_the_pace_after_it_are_not_more_than_the_limit_in_any_minute():
    bucket, now, sent = Bucket(60, 0.0, REQUESTS_BURST_S, LEAST_BURST), 0.0, []
    while now < 300:
        now += bucket.wait_s(1, now)
        sent.append(bucket.take(1, now).at)
    assert sent[9] == 0
    assert sent[59] == pytest.approx(50 / PACE)
    assert sent[60] == pytest.approx(WINDOW_S)
    assert len(sent) >= 0.95 * 300


def test_more_than_a_minutes_tokens_go_out_when_the_bucket_is_full_and_are_paid_off():
    bucket = Bucket(1000, 0.0, TOKENS_BURST_S)
    assert bucket.wait_s(5000, 0.0) == 0
    spent = bucket.take(5000, 0.0)
    assert bucket.wait_s(10, 0.0) == pytest.approx(4010 / (PACE * 1000 / 60))
    bucket.correct(spent, 100)  # as the answer says
    assert bucket.wait_s(900, 0.0) == 0
    assert bucket.wait_s(901, 0.0) == WINDOW_S  # a minute has a thousand, and 100 of them are spent


def test_a_bucket_learns_its_limit_and_what_others_have_spent():
    bucket = Bucket(None, 0.0, REQUESTS_BURST_S, LEAST_BURST)
    assert (bucket.wait_s(1, 0.0), bucket.rate) == (0, None)
    bucket.learn(Limit(600, 599, 0.1), 2, 1.0)
    assert bucket.room(1) == 100
    bucket.learn(Limit(600, 30, 57), 2, 1.0)
    assert bucket.room(1) == 28  # two are on their way
    bucket.learn(Limit(600, 300, 30), 0, 1.0)
    assert bucket.room(1) == 28  # an old answer gives nothing back
    bucket.learn(Limit(None, None, None), 0, 1.0)
    bucket.set_limit(60, 1.0)
    assert bucket.room(1) == 10
    bucket.drain(1.0, 31.0)
    assert bucket.wait_s(1, 31.0) == 0
    bucket.take(1, 31.0)
    assert bucket.wait_s(1, 31.0) == pytest.approx(1 / PACE)  # thirty seconds of rest have filled nothing
    bucket.set_limit(None, 1.0)
    assert bucket.wait_s(1e9, 1.0) == 0


@given(st.integers(1, 5000), st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=60), st.booleans())
def test_no_stretch_of_time_sees_more_than_burst_and_pace(limit: int, steps: list[tuple[float, int]], waits: bool):
    bucket = Bucket(limit, 0.0, REQUESTS_BURST_S, LEAST_BURST)
    burst = bucket.room(1)
    now, sent = 0.0, []
    for pause, count in steps:
        now += pause
        for _ in range(count):
            wait_s = bucket.wait_s(1, now)
            if wait_s and not waits:
                break
            now += wait_s
            bucket.wait_s(1, now)
            bucket.take(1, now)
            sent.append(now)
    for first, start in enumerate(sent):
        assert len(sent) - first <= burst + PACE * limit / 60 * (now - start) + 1 + 1e-3
        assert sum(start <= at < start + 60 for at in sent) <= limit
