"""A model's workers, as one upstream; in: a model; out: an answer of one that lives, or of the next when that is lost before a word."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx2

from server.errors import BackendFailed, PaperError, Unavailable
from server.serving.fastchat import CONNECT_S, SILENCE_S, FastChat, WorkerStatus, refused
from server.serving.fastchat_upstream import FastChatUpstream
from server.serving.forwarding import Forwarding
from server.serving.watching import Watch, Watches

log = logging.getLogger(__name__)
T = TypeVar("T")

ATTEMPTS = 8  # questions to the controller for one worker
FRESH_S = 1.0  # so old a status may be; who died since is noticed by the request itself
TICK_S = 0.2  # between two looks at the watch
STREAM_PATIENCE_S = 5.0  # of silence in the middle of an answer, which nobody else can go on with
ALONE_PATIENCE_S = 30.0  # of silence before the first word, when there is no other worker
BUSY = 1 << 20  # the queue length that we report to the controller for a worker that hangs, so that it names others
LOCAL_TIMEOUT = httpx2.Timeout(SILENCE_S, connect=CONNECT_S, pool=None)


class Upstream(Protocol):
    """A server that answers in OpenAI's protocol. `path` begins behind /v1."""

    async def answer(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The whole answer, JSON."""

    def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """Server-sent events as they come."""


class Workers:
    """The workers behind one controller."""

    def __init__(self, fastchat: FastChat, client: httpx2.AsyncClient) -> None:
        self._fastchat = fastchat
        self._client = client
        self._last: dict[str, str] = {}  # model: the worker that was found last, for while the controller is away or new
        self._statuses: dict[str, tuple[float, WorkerStatus]] = {}
        self._asking: dict[str, asyncio.Task[WorkerStatus]] = {}
        self.watches = Watches(self._status)

    async def find(self, model: str, without: Collection[str] = ()) -> tuple[str, WorkerStatus]:
        """A worker that answers. The controller names dead ones for up to 90 s, so each is asked, and it is told to look."""
        trouble: Unavailable | None = None
        dead = set(without)
        for _ in range(ATTEMPTS):
            try:
                address = await self._fastchat.address(model)
            except Unavailable as exc:
                trouble, address = exc, ""
            address = address or self._last.get(model, "")
            if not address:
                break
            if address in dead:
                continue  # each time it is named the controller adds one to its queue, so another's turn comes
            try:
                status = await self._fresh_status(address)
                if model in status.models:
                    self._last[model] = address
                    return address, status
            except Unavailable as exc:
                trouble = exc
                await self.put_aside(address, exc)
            log.warning("worker=%s model=%s does not answer", address, model)
            dead.add(address)
        raise Unavailable(f"no worker serves {model} right now{f' ({trouble})' if trouble else ''}")

    async def put_aside(self, address: str, trouble: PaperError) -> None:
        """Forget a lost worker, and let the controller do so, too.

        It is asked to look for itself when nobody listens there; asked to look at a hung worker it would hang for 5 s.
        """
        self._statuses.pop(address, None)
        self._last = {model: last for model, last in self._last.items() if last != address}
        try:
            if refused(trouble):
                await self._fastchat.refresh()
            else:
                await self._fastchat.heartbeat(address, BUSY)
        except Unavailable as exc:
            log.warning("controller not told about worker=%s error=%s", address, exc)

    def upstream(self, address: str, status: WorkerStatus, model: str) -> Upstream:
        """The worker itself."""
        if status.openai:
            return Forwarding(f"worker {address}", f"{address}/v1", self._client, LOCAL_TIMEOUT)
        return FastChatUpstream(self._fastchat, address, status, model)

    async def _fresh_status(self, address: str) -> WorkerStatus:
        known = self._statuses.get(address)
        if known and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        if address not in self._asking:  # one question for all who want to know: 200 at once are too many to be answered in time
            asking = self._asking[address] = asyncio.create_task(self._status(address))
            asking.add_done_callback(lambda task: (self._asking.pop(address), task.cancelled() or task.exception()))
        return await asyncio.shield(self._asking[address])

    async def _status(self, address: str) -> WorkerStatus:
        status = await self._fastchat.status(address)
        self._statuses[address] = (time.monotonic(), status)
        return status


@dataclass(frozen=True, slots=True)
class AnyWorker:
    """All workers of a model. `first` was found already."""

    workers: Workers
    model: str
    first: tuple[str, WorkerStatus]

    async def answer(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The whole answer, JSON. Nothing has reached the client before, so a lost worker's answer is asked of another one."""
        attempt = _Attempt(self)
        while True:
            upstream = attempt.upstream
            try:
                async with self.workers.watches.over(attempt.address) as watch:
                    return await attempt.watched(upstream.answer(path, body), watch, begun=False)
            except PaperError as exc:
                await attempt.elsewhere(exc)

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """Events as they come. After the first one a lost worker is an error."""
        attempt, begun = _Attempt(self), False
        while True:
            events = attempt.upstream.events(path, body)
            try:
                async with self.workers.watches.over(attempt.address) as watch:
                    while event := await attempt.watched(anext(events, b""), watch, begun=begun):
                        begun = True
                        yield event
                return
            except PaperError as exc:
                if begun:
                    raise
                await attempt.elsewhere(exc)
            finally:
                await events.aclose()


class _Lost(BackendFailed):
    """The worker neither answers nor breaks the connection."""


class _Attempt:
    """One worker after the other, for one request."""

    def __init__(self, all_of_them: AnyWorker) -> None:
        self._workers, self._model = all_of_them.workers, all_of_them.model
        self._tried: set[str] = set()
        self._use(all_of_them.first)

    def _use(self, found: tuple[str, WorkerStatus]) -> None:
        self.address = found[0]
        self.upstream = self._workers.upstream(*found, self._model)

    async def elsewhere(self, exc: PaperError) -> None:
        """Go on with another worker. Raises `exc` when that is no case of a lost worker, or when there is no other."""
        if not _is_loss(exc):
            raise exc
        self._tried.add(self.address)
        await self._workers.put_aside(self.address, exc)
        try:
            found = await self._workers.find(self._model, self._tried)
        except Unavailable as none:
            if isinstance(exc, BackendFailed):
                raise exc from None
            raise Unavailable(f"{none} ({exc})") from exc  # the request never arrived
        log.warning("worker=%s lost (%s); going on with worker=%s model=%s", self.address, exc, found[0], self._model)
        self._use(found)

    async def watched(self, work: Awaitable[T], watch: Watch, *, begun: bool) -> T:
        """The result of `work`, unless the worker has fallen silent. Raises _Lost then."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=TICK_S))[0]:
                silent_s = watch.silent_s
                if silent_s > (STREAM_PATIENCE_S if begun else ALONE_PATIENCE_S) or (silent_s and not begun and await self._another()):
                    raise _Lost(f"worker {self.address} has not answered for {silent_s:.1f} s")
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _another(self) -> bool:
        try:
            await self._workers.find(self._model, {*self._tried, self.address})
        except Unavailable:
            return False
        return True


def _is_loss(exc: PaperError) -> bool:
    """Whether the connection broke or never came about, or the worker hangs; an answer with an error is none, nor is a long prompt."""
    cause = exc.__cause__
    silent = isinstance(cause, httpx2.TimeoutException) and not isinstance(cause, httpx2.ConnectTimeout)
    return isinstance(exc, _Lost) or (isinstance(cause, httpx2.TransportError) and not silent)
