"""A pool of keys -> HTTP clients for `openai`, LangChain or ourselves: what they send goes out with the best key, again if that helps.

`http_client=client(pool)` and `http_async_client=async_client(pool)`; both share the pool. The clients' own key is thrown away. An answer
is tried again only before its first byte was handed on, so a stream that breaks later breaks for the client too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx2

from server.llm.keys.attempts import Attempts
from server.llm.keys.outgoing import Outgoing, UsageMeter
from server.llm.keys.pool import KeyPool, Lease

CONNECT_S = 10.0
ONE_A_CONNECTION = httpx2.Limits(max_keepalive_connections=0)


def client(
    pool: KeyPool,
    *,
    patience_s: float | None = None,
    patient: bool = False,
    tick: Callable[[], None] = lambda: None,
    wait: Callable[[float], None] = time.sleep,
    limits: httpx2.Limits | None = None,
    **options: Any,
) -> httpx2.Client:
    """A client for threads; close it. None: the endpoint's patience. `patient`: as long as no key is free, wait for one, and say so.

    `tick` is called before each rest and may raise to give up; `wait` rests, in seconds; `options` are those of httpx2.Client.
    """
    transport = KeyedTransport(pool, patience_s=patience_s, patient=patient, tick=tick, wait=wait, limits=limits)
    return httpx2.Client(**{"transport": transport, "timeout": _timeout(pool), **options})


def async_client(
    pool: KeyPool,
    *,
    patience_s: float | None = None,
    patient: bool = False,
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    limits: httpx2.Limits | None = None,
    **options: Any,
) -> httpx2.AsyncClient:
    """As `client`, for tasks; a task that is cancelled gives its key back."""
    transport = AsyncKeyedTransport(pool, patience_s=patience_s, patient=patient, wait=wait, limits=limits)
    return httpx2.AsyncClient(**{"transport": transport, "timeout": _timeout(pool), **options})


class KeyedTransport(httpx2.BaseTransport):
    """Sends requests with the keys of a pool. Thread-safe."""

    def __init__(
        self,
        pool: KeyPool,
        *,
        patience_s: float | None = None,
        patient: bool = False,
        tick: Callable[[], None] = lambda: None,
        wait: Callable[[float], None] = time.sleep,
        limits: httpx2.Limits | None = None,
    ) -> None:
        self._pool = pool
        self._patience_s = pool.endpoint.patience_s if patience_s is None else patience_s
        self._patient = patient
        self._tick = tick
        self._wait = wait
        self._http = httpx2.Client(**_options(pool, limits))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer. Raises what httpx2 raises, what `tick` raises, and Forbidden for an address that is not the endpoint's."""
        outgoing = Outgoing(self._pool.endpoint, request, request.read())
        with Attempts(self._pool, outgoing, self._patience_s, self._patient) as attempts:
            while True:
                step = attempts.next()
                if isinstance(step, httpx2.Response):
                    return step
                if isinstance(step, Lease):
                    response = self._send(attempts, step)
                    if response is not None:
                        return response
                else:
                    self._tick()
                    self._wait(step)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(self, attempts: Attempts, lease: Lease) -> httpx2.Response | None:
        with contextlib.ExitStack() as undo:
            undo.callback(lease.finish)
            try:
                answer = self._http.send(attempts.outgoing.with_key(lease.key.entry), stream=True)
                undo.callback(answer.close)
                if attempts.outgoing.streams and answer.status_code == 200:
                    pieces = answer.iter_raw()
                    first = next(pieces, b"")
                    lease.answered()
                    lease.learn(answer.headers)
                    undo.pop_all()
                    stream = _Stream(first, pieces, answer, lease)
                    return httpx2.Response(200, headers=answer.headers, stream=stream, extensions=answer.extensions)
                answer.read()
            except httpx2.TransportError as exc:
                attempts.broke(lease, exc)
                return None
            return attempts.answered(lease, answer)


class AsyncKeyedTransport(httpx2.AsyncBaseTransport):
    """Sends requests with the keys of a pool, for tasks of one event loop."""

    def __init__(
        self,
        pool: KeyPool,
        *,
        patience_s: float | None = None,
        patient: bool = False,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        limits: httpx2.Limits | None = None,
    ) -> None:
        self._pool = pool
        self._patience_s = pool.endpoint.patience_s if patience_s is None else patience_s
        self._patient = patient
        self._wait = wait
        self._http = httpx2.AsyncClient(**_options(pool, limits))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer. Raises what httpx2 raises, and Forbidden for an address that is not the endpoint's."""
        outgoing = Outgoing(self._pool.endpoint, request, await request.aread())
        with Attempts(self._pool, outgoing, self._patience_s, self._patient) as attempts:
            while True:
                step = attempts.next()
                if isinstance(step, httpx2.Response):
                    return step
                if isinstance(step, Lease):
                    response = await self._send(attempts, step)
                    if response is not None:
                        return response
                else:
                    await self._wait(step)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _send(self, attempts: Attempts, lease: Lease) -> httpx2.Response | None:
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(lease.finish)
            try:
                answer = await self._http.send(attempts.outgoing.with_key(lease.key.entry), stream=True)
                undo.push_async_callback(answer.aclose)
                if attempts.outgoing.streams and answer.status_code == 200:
                    pieces = answer.aiter_raw()
                    first = await anext(pieces, b"")
                    lease.answered()
                    lease.learn(answer.headers)
                    undo.pop_all()
                    stream = _AsyncStream(first, pieces, answer, lease)
                    return httpx2.Response(200, headers=answer.headers, stream=stream, extensions=answer.extensions)
                await answer.aread()
            except httpx2.TransportError as exc:
                attempts.broke(lease, exc)
                return None
            return attempts.answered(lease, answer)


class _Stream(httpx2.SyncByteStream):
    """A stream whose first piece is there."""

    def __init__(self, first: bytes, pieces: Iterator[bytes], answer: httpx2.Response, lease: Lease) -> None:
        self._first, self._pieces = first, pieces
        self._answer, self._lease = answer, lease
        self._meter = UsageMeter()

    def __iter__(self) -> Iterator[bytes]:
        yield self._meter.feed(self._first)
        for piece in self._pieces:
            yield self._meter.feed(piece)

    def close(self) -> None:
        self._answer.close()
        self._lease.finish(tokens=self._meter.total)


class _AsyncStream(httpx2.AsyncByteStream):
    """As _Stream."""

    def __init__(self, first: bytes, pieces: AsyncIterator[bytes], answer: httpx2.Response, lease: Lease) -> None:
        self._first, self._pieces = first, pieces
        self._answer, self._lease = answer, lease
        self._meter = UsageMeter()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._meter.feed(self._first)
        async for piece in self._pieces:
            yield self._meter.feed(piece)

    async def aclose(self) -> None:
        try:
            await self._answer.aclose()
        finally:
            self._lease.finish(tokens=self._meter.total)


def _timeout(pool: KeyPool) -> httpx2.Timeout:
    return httpx2.Timeout(pool.endpoint.timeout_s, connect=min(CONNECT_S, pool.endpoint.timeout_s), pool=None)


def _options(pool: KeyPool, limits: httpx2.Limits | None) -> Mapping[str, Any]:
    """Of the client that speaks to the services: its proxy, else that of the environment; redirects are never followed."""
    chosen = {} if limits is None else {"limits": limits}
    return {"proxy": pool.endpoint.proxy, "follow_redirects": False, **chosen}
