"""Keep a worker known to its controller; in: who and how busy; out: nothing, it runs until cancelled.

FastChat forgets a worker 90 s after its last heartbeat, and a controller that was started again knows nobody until the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from server.errors import BackendFailed, Unavailable
from server.serving.fastchat import FastChat

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
AGAIN_S = 1.0  # while the controller is away


async def keep_registered(
    fastchat: FastChat,
    worker: str,
    status: Callable[[], Mapping[str, Any]],
    *,
    heartbeat_s: float = HEARTBEAT_S,
    again_s: float = AGAIN_S,
) -> None:
    """Register, send heartbeats, and register again whenever the controller has forgotten. A controller that is away is waited for."""
    known, away = False, False
    while True:
        try:
            known = known and await fastchat.heartbeat(worker, int(status()["queue_length"]))
            if not known:
                await fastchat.register(worker, status())
                known = True
                log.info("registered worker=%s controller=%s", worker, fastchat.controller)
            away = False
        except (Unavailable, BackendFailed) as exc:  # also one that refuses: its settings may change
            if not away:
                log.warning("not registered worker=%s: %s; trying again every %g s", worker, exc, again_s)
            away = True
        await asyncio.sleep(again_s if away else heartbeat_s)
