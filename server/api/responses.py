"""Bodies and streams that the routes share: Chatchat's envelope, problem details, server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import anyio
from fastapi import Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from server.access import error_headers, openai_error
from server.errors import Cancelled, PaperError
from server.stopping import Stop

log = logging.getLogger(__name__)
PING_S = 15.0
LOOK_S = 0.25  # so often it is looked whether the client is still there
T = TypeVar("T")


class Envelope(BaseModel):
    """What old clients read: the status is in `code`, the HTTP status is 200."""

    code: int = 200
    msg: str = "success"
    data: Any = None


def failure(exc: PaperError) -> Envelope:
    """An error as old clients expect it."""
    return Envelope(code=exc.status, msg=str(exc))


def problem(exc: PaperError) -> JSONResponse:
    """RFC 9457 problem details with the real status."""
    body = {"type": "about:blank", "title": type(exc).__name__, "status": exc.status, "detail": str(exc)}
    return JSONResponse(body, status_code=exc.status, media_type="application/problem+json", headers=error_headers(exc))


def as_json(value: Any) -> str:
    """JSON with unescaped UTF-8."""
    return json.dumps(value, ensure_ascii=False)


def refusal(exc: PaperError) -> dict[str, Any]:
    """The guard's refusals, for every kind of client at once: Chatchat's, problem details, OpenAI's."""
    details = {"type": "about:blank", "title": type(exc).__name__, "status": exc.status, "detail": str(exc)}
    return {**failure(exc).model_dump(), **details, **openai_error(exc)}


async def while_connected(request: Request, stop: Stop, work: Callable[[], T]) -> T:
    """The result of `work`, done in a thread. When the client goes first, `stop` is called. Raises Cancelled then."""
    task = asyncio.ensure_future(anyio.to_thread.run_sync(work, abandon_on_cancel=True))
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
            if await request.is_disconnected():
                raise Cancelled("the client has gone")
        return task.result()
    except (asyncio.CancelledError, Cancelled):
        stop()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, so that nobody warns
        raise


def event_stream(request: Request, events: Iterator[str], end: str = "\r\n\r\n", stop: Stop | None = None) -> StreamingResponse:
    """`data: <event>` for each event, one an HTTP chunk; a comment every 15 s of silence. When the client goes, `stop` is called."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_paced(request, events, end, stop or Stop()), media_type="text/event-stream", headers=headers)


async def _paced(request: Request, events: Iterator[str], end: str, stop: Stop) -> AsyncIterator[str]:
    finished = object()
    pending: asyncio.Future[Any] | None = None
    silent_s = 0.0
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anyio.to_thread.run_sync(next, events, finished))
            done, _ = await asyncio.wait({pending}, timeout=LOOK_S)
            if not done:
                if await request.is_disconnected():
                    return
                silent_s += LOOK_S
                if silent_s >= PING_S:
                    silent_s = 0.0
                    yield f": ping{end}"
                continue
            event = pending.result()
            pending, silent_s = None, 0.0
            if event is finished:
                return
            yield f"data: {event}{end}"
    finally:
        stop()
        close = getattr(events, "close", lambda: None)
        if pending is None:
            close()
        else:  # its thread is still inside the iterator: close it as soon as it comes out
            pending.add_done_callback(lambda done: (done.cancelled() or done.exception(), close()))
