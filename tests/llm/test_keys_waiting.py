"""Requests through the pool that wait, that nobody waits for any more, and what their logs hold: against a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import pytest

from server.errors import Cancelled
from server.llm.keys.transport import async_client, client
from tests.llm.asking import STREAM, A, B, C, ask, both, pool_at, whole_and_stream
from tests.llm.pools import ASK, entry
from tests.llm.provider import Asked, Provider, Said, chat, error, event


@both
def test_a_patient_run_waits_says_so_once_and_goes_on_when_a_key_is_there(
    cloud: Provider, is_async: bool, caplog: pytest.LogCaptureFixture
):
    pool, clock, notices, held = pool_at(cloud, "a")
    cloud.revoked = {A}

    def after_an_hour() -> None:
        if clock.now > 3600:
            held.entries = (entry("a"), entry("b"))

    clock.hooks.append(after_an_hour)
    with caplog.at_level(logging.INFO):
        assert ask(pool, clock, is_async=is_async, patient=True).status_code == 200
        assert ask(pool, clock, is_async=is_async, patient=True).status_code == 200
    assert cloud.keys() == [A, B, B]
    assert clock.now == pytest.approx(3600, abs=1)
    assert [notice.kind for notice in notices] == ["refused", "waits", "goes on"]
    assert "no key of the endpoint 'cloud' is free (1 refused): this run waits; put a valid one into the keys file" in caplog.text
    cloud.script(error(429, "slow", Retry_After="5000"), error(503, "busy"))
    clock.hooks.clear()
    began = clock.now
    assert ask(pool, clock, is_async=is_async, patient=True).status_code == 200
    assert clock.now - began == pytest.approx(5000.5, abs=1)  # a failure after the wait has its patience still


@both
def test_a_patient_run_is_not_ended_by_429s_however_slow_they_come(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a", patience_s=10)

    def slow(asked: Asked) -> Said:
        clock.now += 6
        return error(429, "slow down", Retry_After="0.1") if clock.now < 60 else chat()

    cloud.answer = slow
    assert ask(pool, clock, is_async=is_async, patient=True).status_code == 200
    assert len(cloud.asked) == 10


def test_a_caller_that_gives_up_ends_the_wait(cloud: Provider):
    pool, clock, _, _ = pool_at(cloud, "a")
    cloud.script(error(429, "slow down", Retry_After="5"))

    def tick() -> None:
        if len(clock.rests) == 3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        ask(pool, clock, tick=tick)
    assert (sum(clock.rests), pool.waiting) == (1.5, 0)


def test_a_task_that_is_cancelled_gives_its_key_back(cloud: Provider):
    pool, _, _, held = pool_at(cloud, "a")
    held.entries = (entry("a", tpm=10_000),)
    came = asyncio.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def slow(asked: Asked) -> Said:
            loop.call_soon_threadsafe(came.set)
            time.sleep(0.3)
            return chat()

        cloud.answer = slow
        async with async_client(pool) as http:
            task = asyncio.create_task(http.post(f"{cloud.base_url}/chat/completions", json=ASK))
            await came.wait()
            assert pool._keys[0].in_flight() == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert pool._keys[0].in_flight() == 0

    asyncio.run(main())


@both
def test_a_stream_that_is_left_gives_its_key_back(cloud: Provider, is_async: bool):
    pool, clock, _, _ = pool_at(cloud, "a")
    cloud.answer = lambda asked: Said(200, pieces=tuple(event("x") for _ in range(50)))

    async def tasks() -> None:
        async with async_client(pool) as http, http.stream("POST", f"{cloud.base_url}/chat/completions", json=STREAM) as given:
            pieces = given.aiter_raw()
            await anext(pieces)
            assert pool._keys[0].in_flight() == 1
            await pieces.aclose()

    if is_async:
        asyncio.run(tasks())
    else:
        with client(pool, wait=clock.rest) as http, http.stream("POST", f"{cloud.base_url}/chat/completions", json=STREAM) as given:
            pieces = given.iter_raw()
            next(pieces)
            assert pool._keys[0].in_flight() == 1
            pieces.close()
    assert pool._keys[0].in_flight() == 0


@both
@whole_and_stream
def test_no_log_no_answer_and_no_notice_holds_a_key_though_the_service_repeats_it(
    cloud: Provider, caplog: pytest.LogCaptureFixture, is_async: bool, body: dict[str, Any]
):
    pool, clock, notices, _ = pool_at(cloud, "a", "b", "c", patience_s=10)
    failures = [error(401, "wrong: {}"), error(500, "boom {}"), error(429, "slow {}", Retry_After="1"), error(400, "bad {}")]

    def repeats(asked: Asked) -> Said:
        failure = failures.pop(0)
        return Said(failure.status, json.dumps(failure.body).replace("{}", asked.key), failure.headers)

    cloud.answer = repeats
    with caplog.at_level(logging.DEBUG):
        given = ask(pool, clock, body, is_async=is_async)
    assert (given.status_code, cloud.keys()[:3], failures) == (400, [A, B, C], [])
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("server")]
    assert len(ours) == 3
    shown = [caplog.text, given.text, str(given.headers), *map(str, notices), *map(str, pool.state())]
    assert all(key not in text for text in shown for key in (A, B, C))
