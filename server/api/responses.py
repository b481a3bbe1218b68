"""Bodies and streams that the routes share: Chatchat's envelope, problem details, server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from server.errors import PaperError, RateLimited

log = logging.getLogger(__name__)
PING_S = 15.0


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
    headers = {"Retry-After": f"{exc.retry_after_s:.0f}"} if isinstance(exc, RateLimited) else None
    return JSONResponse(body, status_code=exc.status, media_type="application/problem+json", headers=headers)


def as_json(value: Any) -> str:
    """JSON with unescaped UTF-8."""
    return json.dumps(value, ensure_ascii=False)


def event_stream(events: Iterator[str], end: str = "\r\n\r\n") -> StreamingResponse:
    """`data: <event>` for each event, one an HTTP chunk; a comment every 15 s of silence. The iterator is closed when the client goes."""
    return StreamingResponse(
        _paced(events, end), media_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    )


async def _paced(events: Iterator[str], end: str) -> AsyncIterator[str]:
    finished = object()
    pending: asyncio.Future[Any] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anyio.to_thread.run_sync(next, events, finished))
            done, _ = await asyncio.wait({pending}, timeout=PING_S)
            if not done:
                yield f": ping{end}"
                continue
            event = pending.result()
            pending = None
            if event is finished:
                return
            yield f"data: {event}{end}"
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            if pending is None:
                await anyio.to_thread.run_sync(close, abandon_on_cancel=True)
            else:  # its thread is still inside the iterator: close it as soon as it comes out
                pending.add_done_callback(lambda future: (future.exception(), close()) if not future.cancelled() else close())
