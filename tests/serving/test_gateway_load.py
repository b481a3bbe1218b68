"""Many streams at port 20000 at once, and clients that leave at random moments: nothing is dropped, nothing leaks. The short benchmark."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from benchmarks.gateway import SEED, Stack
from benchmarks.gateway_clients import aborted, asked, held
from benchmarks.scripted_worker import MODEL
from server.serving.fastchat import CONTROLLER_AT_ONCE, FastChat
from server.serving.workers import Workers
from tests.stack import served, small_llm, until

pytestmark = pytest.mark.stack

STREAMS, WORDS = 200, 3
FREED_S = 4.0  # one second on an idle machine


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, int]]:
    """(controller and gateway, the port of their scripted worker)."""
    small_llm()
    made = Stack(tmp_path_factory.mktemp("load"))
    try:
        yield made, made.worker()[1]
    finally:
        made.end()


def test_two_hundred_streams_that_begin_together_are_all_held_to_their_end(stack: tuple[Stack, int]) -> None:
    ends = asyncio.run(held(stack[0].port, {"model": MODEL, "every_s": 1.0}, streams=STREAMS, words=WORDS))
    assert ends == {"whole": STREAMS}


def test_sixty_clients_that_leave_at_random_moments_leave_no_slot_behind(stack: tuple[Stack, int]) -> None:
    body = {"model": MODEL, "before_s": 0.3, "every_s": 0.05, "words": 400}  # half of them leave before the first word
    left = asyncio.run(aborted(stack[0].port, body, streams=60, at_once=8, longest_s=0.8, seed=SEED))
    last = time.monotonic()
    until(lambda: not asked(stack[1], "/busy"), "all slots are free", FREED_S)
    assert time.monotonic() - last < FREED_S
    ended = asked(stack[1], "/ended")
    reached = [mark for mark in left if mark in ended]
    assert len(reached) > 40  # the others left before the worker was asked
    assert max(ended[mark] - left[mark] for mark in reached) < FREED_S


def test_many_requests_at_once_put_few_questions() -> None:
    app, at_once, statuses = FastAPI(), [0, 0], 0

    @app.post("/get_worker_address")
    async def address() -> dict[str, str]:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.02)
        at_once[0] -= 1
        return {"address": url}

    @app.post("/worker_get_status")
    async def status() -> dict[str, Any]:
        nonlocal statuses
        statuses += 1
        await asyncio.sleep(0.2)
        return {"model_names": [MODEL], "openai": True}

    async def found() -> list[str]:
        async with httpx2.AsyncClient(trust_env=False) as client:
            workers = Workers(FastChat(url, client), client)
            return [address for address, _ in await asyncio.gather(*(workers.find(MODEL) for _ in range(60)))]

    with served(app) as url:
        assert asyncio.run(found()) == [url] * 60
    assert at_once[1] == CONTROLLER_AT_ONCE
    assert statuses == 1
