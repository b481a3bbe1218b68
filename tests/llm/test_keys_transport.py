"""Requests through the pool against a real server: which key they use, what is tried again and what not, and that no key gets out."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from typing import Any

import httpx2
import pytest

from server.errors import Forbidden, Invalid
from server.llm.keys.transport import async_client, client
from tests.llm.asking import STREAM, A, B, C, ask, both, pool_at, whole_and_stream
from tests.llm.pools import ASK, Time, entry, make_pool
from tests.llm.provider import Asked, Provider, Said, chat, error, event, provider, usage_event
from tests.stack import free_port


@both
def test_a_request_goes_out_with_a_key_of_the_pool_and_nothing_of_the_clients(cloud: Provider, is_async: bool):
    pool, clock, _, held = pool_at(cloud, "a")
    held.entries = (entry("a", organization="org-1"),)
    theirs = {
        "authorization": "Bearer theirs",
        "api-key": "theirs",
        "openai-organization": "theirs",
        "cookie": "theirs=1",
        "x-title": "kept",
    }
    given = ask(pool, clock, is_async=is_async, headers=theirs)
    assert given.json()["choices"][0]["message"]["content"] == "hello"
    (asked,) = cloud.asked
    assert (asked.key, asked.path, asked.body) == (A, "/v1/chat/completions", ASK)
    assert (asked.headers["openai-organization"], asked.headers["x-title"]) == ("org-1", "kept")
    assert "theirs" not in json.dumps(asked.headers)


@both
@whole_and_stream
def test_a_key_that_is_refused_is_left_at_once_and_not_asked_again(cloud: Provider, is_async: bool, body: dict[str, Any]):
    pool, clock, notices, _ = pool_at(cloud, "a", "b", "c")
    cloud.revoked = {A, B}
    assert [ask(pool, clock, body, is_async=is_async).status_code for _ in range(5)] == [200] * 5
    assert cloud.keys() == [A, B] + [C] * 5
    assert clock.rests == []
    assert [(notice.kind, notice.key) for notice in notices] == [("refused", "…aaaa"), ("refused", "…bbbb")]
    assert notices[0].text.endswith("is set aside; 2 left: Incorrect API key provided: …aaaa")


@both
def test_when_every_key_is_refused_that_is_said_and_nobody_is_asked_any_more(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a", "b")
    cloud.revoked = {A, B}
    first, second = (ask(pool, clock, is_async=is_async) for _ in range(2))
    assert (first.status_code, first.json()["error"]["message"]) == (401, "Incorrect API key provided: …bbbb")
    assert second.status_code == 401
    assert second.json()["error"]["message"] == "the endpoint 'cloud' refuses every key that it was given (…aaaa, …bbbb)"
    assert len(cloud.asked) == 2
    assert not pool.usable()


@both
@pytest.mark.parametrize("is_date", [False, True])
def test_a_429_rests_its_key_until_the_time_named_and_another_answers(cloud: Provider, is_async: bool, is_date: bool):
    pool, clock, _, _ = pool_at(cloud, "a", "b")
    after = email.utils.formatdate(time.time() + 40, usegmt=True) if is_date else "40"
    cloud.script(error(429, "slow down", Retry_After=after))
    for _ in range(4):
        assert ask(pool, clock, is_async=is_async).status_code == 200
    assert (cloud.keys(), clock.rests) == ([A, B, B, B, B], [])
    assert pool.state()[0].free_in_s == pytest.approx(40, abs=2)
    clock.now = 41.0
    ask(pool, clock, is_async=is_async)
    assert cloud.keys()[-1] == A


@both
def test_without_retry_after_the_reset_header_counts(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a")
    headers = {"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "1m5s", "x_ratelimit_reset_requests": "2s"}
    cloud.script(error(429, "slow down", **headers))
    given = ask(pool, clock, is_async=is_async)
    assert (given.status_code, given.headers["retry-after"]) == (429, "65")


@both
@whole_and_stream
def test_a_rest_within_the_patience_is_waited_for_and_a_longer_one_is_429_at_once(cloud: Provider, is_async: bool, body: dict[str, Any]):
    pool, clock, notices, _ = pool_at(cloud, "a", "b", patience_s=10)
    cloud.script(error(429, "slow down", Retry_After="7"), error(429, "slow down", Retry_After="9"))
    assert ask(pool, clock, body, is_async=is_async).status_code == 200
    assert (cloud.keys(), sum(clock.rests), max(clock.rests)) == ([A, B, A], 7, 0.5)
    cloud.script(error(429, "much slower", Retry_After="700"), error(429, "slower", Retry_After="900.2"))
    clock.now, clock.rests = 100.0, []
    given = ask(pool, clock, body, is_async=is_async)
    assert (given.status_code, given.headers["retry-after"], clock.rests) == (429, "700", [])
    assert given.json()["error"]["message"] == "no key of the endpoint 'cloud' is free (2 resting), try again in 700 s: slower"
    asked = len(cloud.asked)
    assert ask(pool, clock, body, is_async=is_async).json()["error"]["type"] == "rate_limit_error"
    assert len(cloud.asked) == asked  # nobody is asked in vain
    assert notices == []


@both
def test_a_used_up_quota_sets_the_key_aside_and_says_when_it_is_tried_again(cloud: Provider, is_async: bool):
    pool, clock, notices, _ = pool_at(cloud, "a", "b")
    cloud.answer = lambda asked: (
        error(429, "You exceeded your current quota", "insufficient_quota") if asked.key == A else error(402, "pay")
    )
    given = ask(pool, clock, is_async=is_async)
    assert (given.status_code, given.headers["retry-after"], given.json()["error"]["code"]) == (429, "3600", "insufficient_quota")
    assert "the quota of every key of the endpoint 'cloud' is used up, try again in 3600 s: pay" in given.text
    assert [notice.kind for notice in notices] == ["used up", "used up"]
    assert (cloud.keys(), clock.rests) == ([A, B], [])


@both
@whole_and_stream
@pytest.mark.parametrize("failure", [error(500, "oops"), error(503, "busy"), error(529, "overloaded"), Said(0, breaks=True)])
def test_a_failure_of_the_service_moves_on_to_another_key_after_a_random_rest(
    cloud: Provider, is_async: bool, body: dict[str, Any], failure: Said
):
    pool, clock, notices, _ = pool_at(cloud, "a", "b", patience_s=10)
    cloud.script(failure, failure, failure)
    assert ask(pool, clock, body, is_async=is_async).status_code == 200
    assert cloud.keys()[:2] == [A, B]
    assert sum(clock.rests) == 0.5 + 1 + 2  # the longest of each: this pool's dice always show them
    assert notices == []
    assert [(state.name, state.failures) for state in pool.state()] in ([("…aaaa", 2), ("…bbbb", 1)], [("…aaaa", 1), ("…bbbb", 2)])


@both
def test_the_deadline_ends_the_tries_with_the_last_failure(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a", patience_s=10)
    cloud.answer = lambda asked: error(502, "bad gateway")
    given = ask(pool, clock, is_async=is_async)
    assert (given.status_code, given.json()["error"]["message"]) == (502, "bad gateway")
    assert (len(cloud.asked), sum(clock.rests)) == (5, 0.5 + 1 + 2 + 4)  # 8 more would be beyond ten seconds
    cloud.asked.clear()
    assert ask(pool, clock, is_async=is_async, patience_s=0).status_code == 502
    assert len(cloud.asked) == 1


@both
def test_a_slow_failing_service_is_not_asked_beyond_the_deadline(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a", "b", patience_s=10)

    def slow(asked: Asked) -> Said:
        clock.now += 6
        return error(429, "slow down", Retry_After="0.1")

    cloud.answer = slow
    assert ask(pool, clock, is_async=is_async).status_code == 429
    assert cloud.keys() == [A, B]


@both
def test_a_service_that_is_away_or_silent_raises_what_the_client_knows(is_async: bool, cloud: Provider):
    clock = Time()
    pool, _, held = make_pool(f"http://127.0.0.1:{free_port()}/v1", "a", clock=clock)
    with pytest.raises(httpx2.ConnectError) as caught:
        ask(pool, clock, is_async=is_async)
    assert sum(clock.rests) == 7.5
    assert A not in str(caught.value) + repr(caught.value) + repr(caught.value.request.headers)
    held.entries = (entry("a"), entry("b", base_url=cloud.base_url))
    assert ask(pool, clock, is_async=is_async).status_code == 200  # the other key has an address of its own
    assert cloud.keys() == [B]
    silent, clock = make_pool(cloud.base_url, "a", clock=clock, timeout_s=0.2)[0], clock
    cloud.answer = lambda asked: time.sleep(1) or chat()
    with pytest.raises(httpx2.ReadTimeout):
        ask(silent, clock, is_async=is_async, patience_s=0)


@both
@whole_and_stream
@pytest.mark.parametrize(
    "failure",
    [
        error(400, "bad n"),
        error(400, "too long", "context_length_exceeded"),
        error(404, "no such model", "model_not_found"),
        error(422, "wrong"),
        Said(403, {"error": {"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"]}}}),
    ],
)
def test_what_no_key_can_mend_fails_at_once_as_it_is(cloud: Provider, is_async: bool, body: dict[str, Any], failure: Said):
    pool, clock, _, _ = pool_at(cloud, "a", "b")
    cloud.answer = lambda asked: failure
    given = ask(pool, clock, body, is_async=is_async)
    assert (given.status_code, given.json()) == (failure.status, failure.body)
    assert (len(cloud.asked), clock.rests) == (1, [])
    assert [state.state for state in pool.state()] == ["ready", "ready"]


@both
def test_a_key_without_access_to_the_model_leaves_it_to_another(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a", "b")
    no_access = error(403, "Project does not have access to model", "model_not_found")
    cloud.answer = lambda asked: no_access if asked.key == A else chat()
    assert ask(pool, clock, is_async=is_async).status_code == 200
    cloud.answer = lambda asked: no_access
    assert ask(pool, clock, is_async=is_async).status_code == 403
    assert [state.state for state in pool.state()] == ["ready", "ready"]


@both
def test_a_stream_that_breaks_before_its_first_byte_is_tried_again_and_afterwards_not(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a", "b")
    begun = (event("hel"), event("lo"))
    cloud.script(Said(200, pieces=(), breaks=True), Said(200, pieces=(*begun, usage_event(9))))
    given = ask(pool, clock, STREAM, is_async=is_async)
    assert given.content == b"".join((*begun, usage_event(9)))
    assert (cloud.keys(), clock.rests) == ([A, B], [0.5])
    cloud.asked.clear()
    cloud.script(Said(200, pieces=begun, breaks=True), Said(200, pieces=begun))
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(pool, clock, STREAM, is_async=is_async)
    assert len(cloud.asked) == 1


@both
@whole_and_stream
def test_usage_gives_back_what_the_estimate_took_too_much(cloud: Provider, is_async: bool, body: dict[str, Any]):
    pool, clock, _, held = pool_at(cloud, "a")
    held.entries = (entry("a", tpm=1000),)
    cloud.answer = lambda asked: Said(200, pieces=(event("x"), usage_event(50))) if asked.body.get("stream") else chat(total_tokens=50)

    def sent_in_a_minute() -> int:
        clock.now += 100
        answers = [ask(pool, clock, body, is_async=is_async, patience_s=0).status_code for _ in range(20)]
        assert answers == sorted(answers)  # first 200, then 429
        return answers.count(200)

    assert sent_in_a_minute() in (17, 18)  # 50 each, and the last one's estimate of 140 to 154 must fit as well
    cloud.answer = lambda asked: Said(200, pieces=(event("x"),)) if asked.body.get("stream") else Said(200, {"choices": []})
    assert sent_in_a_minute() in (6, 7)  # nobody says what it was: estimates


@both
def test_limits_are_learned_from_headers(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a")
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "1"}
    cloud.answer = lambda asked: Said(200, chat().body, headers)
    for _ in range(3):
        ask(pool, clock, is_async=is_async)
    assert sum(clock.rests) == pytest.approx(1 / 0.99)  # one was left; the next comes with the pace


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/v1/chat/completions", "{home}/../admin", "{home}/%2e%2e/admin", "{root}/v2/x", "{root}/v1x", "{other}/v1/x"],
)
@both
def test_only_the_endpoints_own_addresses_are_asked(cloud: Provider, url: str, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a")
    root = cloud.base_url.removesuffix("/v1")
    url = url.format(home=cloud.base_url, root=root, other=f"http://localhost:{root.rpartition(':')[2]}")

    async def tasks() -> None:
        async with async_client(pool) as http:
            await http.post(url, json=ASK)

    def threads() -> None:
        with client(pool, wait=clock.rest) as http:
            http.post(url, json=ASK)

    with pytest.raises(Forbidden, match="is no address of the endpoint at"):
        asyncio.run(tasks()) if is_async else threads()
    assert cloud.asked == []


@both
def test_a_redirect_is_not_followed_to_another_host(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a")
    with provider() as other:
        cloud.answer = lambda asked: Said(307, {}, {"Location": f"{other.base_url}/chat/completions"})
        assert ask(pool, clock, is_async=is_async).status_code == 307
        with pytest.raises(Forbidden):
            ask(pool, clock, is_async=is_async, follow_redirects=True)
        assert other.asked == []


@both
@whole_and_stream
def test_azures_form(cloud: Provider, is_async: bool, body: dict[str, Any]):
    home = cloud.base_url.removesuffix("/v1")
    azure = {"api": "azure", "api_version": "2024-10-21", "deployments": {"m": "my m/1"}}
    clock = Time()
    pool, _, _ = make_pool(f"{home}/openai", "a", clock=clock, **azure)
    assert ask(pool, clock, body, is_async=is_async).status_code == 200
    (asked,) = cloud.asked
    assert asked.path == "/openai/deployments/my%20m%2F1/chat/completions?api-version=2024-10-21"
    assert (asked.headers["api-key"], "authorization" in asked.headers) == (A, False)
    ask(pool, clock, {**body, "model": "gpt-4o"}, is_async=is_async)
    assert cloud.asked[1].path.startswith("/openai/deployments/gpt-4o/chat")
    with pytest.raises(Invalid, match="names no model"):
        ask(pool, clock, {"messages": []}, is_async=is_async)


@both
def test_an_endpoint_has_a_proxy_of_its_own(is_async: bool, monkeypatch: pytest.MonkeyPatch):
    with provider() as proxy:
        clock = Time()
        pool, _, _ = make_pool("http://cloud.example/v1", "a", clock=clock, proxy=proxy.base_url.removesuffix("/v1"))
        assert ask(pool, clock, is_async=is_async).status_code == 200
        assert [asked.path for asked in proxy.asked] == ["http://cloud.example/v1/chat/completions"]
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        without, _, _ = make_pool("http://cloud.example/v1", "a", clock=clock)
        assert ask(without, clock, is_async=is_async).status_code == 200  # that of the environment
        assert len(proxy.asked) == 2
