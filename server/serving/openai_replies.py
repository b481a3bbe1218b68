"""The ends of an OpenAI route; in: a request, its answer in chunks or events; out: a response that ends when the client leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.errors import Invalid
from server.serving.messages import wants_usage
from server.serving.openai_chunks import Chunk, events_of, finished, merged
from server.serving.streams import EventStream, while_connected


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object in the request. Raises Invalid."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as exc:
        raise Invalid(f"the body is not valid JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    return body


async def reply(request: Request, body: Mapping[str, Any], chunks: AsyncGenerator[Chunk, None]) -> Response:
    """What the client asked for: one answer, or a stream."""
    if body.get("stream"):
        return await stream(request, events_of(chunks, usage=wants_usage(body)))
    return JSONResponse(await while_connected(request, merged(chunks)))


async def stream(request: Request, events: AsyncGenerator[bytes, None]) -> Response:
    """A stream that begins when its first event is there, so that an error before it has a status of its own."""
    whole = finished(events)
    return EventStream(await while_connected(request, _first(whole)), whole)


async def _first(events: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(events)
