"""Whether workers still answer; in: the address of one that requests wait for; out: for how long it has been silent.

One question after the other to each worker, however many requests wait for it, and none while nobody does. A hung process accepts
connections and says nothing: without this a request would wait for it as long as for a long prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from server.errors import Unavailable

log = logging.getLogger(__name__)

LOOK_S = 0.4  # between an answer and the next question; with STATUS_S, the time an answer may take, silence is noticed within 2 s


@dataclass(slots=True)
class Watch:
    """One worker, while somebody waits for it."""

    waiting: int = 0
    silent_since: float | None = None  # monotonic
    task: asyncio.Task[None] | None = None

    @property
    def silent_s(self) -> float:
        """0 while it answers."""
        return 0.0 if self.silent_since is None else time.monotonic() - self.silent_since


class Watches:
    """`ask(address)` raises Unavailable when the worker gives no answer in time."""

    def __init__(self, ask: Callable[[str], Awaitable[object]]) -> None:
        self._ask = ask
        self._watches: dict[str, Watch] = {}

    @contextlib.asynccontextmanager
    async def over(self, address: str) -> AsyncIterator[Watch]:
        """The watch of that worker, kept up as long as anybody is in here."""
        watch = self._watches.setdefault(address, Watch())
        watch.waiting += 1
        watch.task = watch.task or asyncio.create_task(self._keep(address, watch))
        try:
            yield watch
        finally:
            watch.waiting -= 1
            if not watch.waiting:
                watch.task.cancel()
                self._watches.pop(address, None)

    async def _keep(self, address: str, watch: Watch) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            asked = time.monotonic()
            try:
                await self._ask(address)
                watch.silent_since = None
            except Unavailable as exc:
                if watch.silent_since is None:
                    watch.silent_since = asked
                    log.warning("worker=%s requests=%d is silent: %s", address, watch.waiting, exc)
