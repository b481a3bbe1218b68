"""Chats through a pool of keys, by threads or tasks, whole or as a stream."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from server.llm.keys.pool import KeyPool, Notice
from server.llm.keys.transport import async_client, client
from tests.llm.pools import ASK, Held, Time, make_pool, secret
from tests.llm.provider import Provider

A, B, C = secret("a"), secret("b"), secret("c")
STREAM = {**ASK, "stream": True}


def pool_at(cloud: Provider, *letters: str, **more: Any) -> tuple[KeyPool, Time, list[Notice], Held]:
    """A pool whose endpoint is that provider, with what it lives by."""
    clock = Time()
    pool, notices, held = make_pool(cloud.base_url, *letters, clock=clock, **more)
    return pool, clock, notices, held


def ask(pool: KeyPool, clock: Time, body: dict[str, Any] = ASK, *, is_async: bool = False, **more: Any) -> httpx2.Response:
    """One chat through the sync or the async client; a stream is read to its end."""
    url = f"{pool.endpoint.base_url.rstrip('/')}/chat/completions"
    if is_async:

        async def through() -> httpx2.Response:
            async with async_client(pool, wait=clock.rest_async, **more) as http:
                return await http.post(url, json=body)

        return asyncio.run(through())
    with client(pool, wait=clock.rest, **more) as http:
        return http.post(url, json=body)


both = pytest.mark.parametrize("is_async", [False, True], ids=["threads", "tasks"])
whole_and_stream = pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
