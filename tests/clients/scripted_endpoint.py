"""An online service for what the small model cannot be made to do; in: OpenAI requests; out: an app with one behaviour for each model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

CALLER = "scripted/caller"  # calls two tools at once, then says what they answered
BUSY = "scripted/busy"  # 429 with Retry-After
FAILING = "scripted/failing"  # breaks its stream off, or fails at once
SLOW = "scripted/slow"  # says nothing for a minute
RETRY_AFTER_S = 7

CALLS = (("call_a", "weather", '{"city": "Oslo"}'), ("call_b", "weather", '{"city": "Rome"}'))
USAGE = {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}


def endpoint() -> FastAPI:
    """Answers POST /v1/chat/completions."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        if body["model"] == BUSY:
            error = {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
            return JSONResponse({"error": error}, 429, {"retry-after": str(RETRY_AFTER_S)})
        if body["model"] == SLOW:
            await asyncio.sleep(60)
        if body["model"] == FAILING and not body.get("stream"):
            return JSONResponse({"error": {"message": "out of order"}}, 500)
        if body.get("stream"):
            return StreamingResponse(_events(body), media_type="text/event-stream")
        return JSONResponse(_whole(body))

    return app


def _said(body: dict[str, Any]) -> str:
    """What the tools answered, in order of their calls; "" as long as they have not."""
    results = [message for message in body["messages"] if message["role"] == "tool"]
    return " and ".join(f"{message['tool_call_id']}: {message['content']}" for message in results)


def _whole(body: dict[str, Any]) -> dict[str, Any]:
    calls = [{"id": i, "type": "function", "function": {"name": name, "arguments": arguments}} for i, name, arguments in CALLS]
    said = _said(body)
    message = {"role": "assistant", "content": said} if said else {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if said else "tool_calls", "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}
    return {**head, "choices": [choice], "usage": USAGE}


async def _events(body: dict[str, Any]) -> AsyncIterator[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield event({"role": "assistant", "content": None})
    if body["model"] == FAILING:
        raise ConnectionAbortedError("scripted")
    said = _said(body)
    for word in said.split():
        yield event({"content": word + " "})
    for index, (call, name, arguments) in enumerate(() if said else CALLS):
        start = {"index": index, "id": call, "type": "function", "function": {"name": name, "arguments": ""}}
        yield event({"tool_calls": [start]})
        for piece in (arguments[:5], arguments[5:]):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield event({}, "stop" if said else "tool_calls")
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**head, "choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
