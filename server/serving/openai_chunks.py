"""OpenAI answers of our own models; in: chunks as objects; out: a stream of server-sent events, or one whole answer."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from server.access import openai_error
from server.errors import PaperError

log = logging.getLogger(__name__)

Chunk = dict[str, Any]

DONE = b"data: [DONE]\n\n"
_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def events_of(chunks: AsyncIterator[Chunk], *, usage: bool) -> AsyncGenerator[bytes, None]:
    """The chunks as events; the usage chunk (`choices: []`), which our models always send, is left out unless wanted."""
    async for chunk in chunks:
        if chunk["choices"] or usage:
            yield event(chunk)


async def whole_events(data: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes, cut at the ends of events: a connection that breaks in the middle leaves no half event behind."""
    rest = b""
    async for piece in data:
        rest += piece
        while end := _END_OF_EVENT.search(rest):
            yield rest[: end.end()]
            rest = rest[end.end() :]
    if rest.strip():
        yield rest + b"\n\n"


async def finished(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The events, ended by [DONE] in any case. An error after the first event becomes an event; before it, it is raised."""
    begun = done = False
    try:
        async for item in events:
            begun = True
            done = done or item.strip() == b"data: [DONE]"
            yield item
    except PaperError as exc:
        if not begun:
            raise
        log.warning("stream broken error=%s", exc)
        yield event(openai_error(exc))
    finally:
        await events.aclose()
    if not done:
        yield DONE


async def merged(chunks: AsyncIterator[Chunk]) -> dict[str, Any]:
    """One answer from all its chunks: of a chat (`delta` becomes `message`) or of a text completion."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    async for chunk in chunks:
        answer = answer or {"id": chunk["id"], "object": chunk["object"].removesuffix(".chunk"), "created": chunk["created"]}
        answer["model"] = chunk["model"]
        if chunk.get("usage"):
            answer["usage"] = chunk["usage"]
        for part in chunk["choices"]:
            _add(choices.setdefault(part["index"], {"index": part["index"]}), part)
    return {**answer, "choices": [choices[index] for index in sorted(choices)]}


def _add(choice: dict[str, Any], part: Mapping[str, Any]) -> None:
    if "text" in part:
        choice["text"] = choice.get("text", "") + part["text"]
    if "delta" in part:
        _add_delta(choice.setdefault("message", {"role": "assistant", "content": ""}), part["delta"])
    logprobs = choice.setdefault("logprobs", None)
    if part.get("logprobs"):
        choice["logprobs"] = {key: [*(logprobs or {}).get(key, ()), *(tokens or ())] for key, tokens in part["logprobs"].items()}
    choice["finish_reason"] = part.get("finish_reason") or choice.get("finish_reason")


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            for call in value:
                _add_call(message.setdefault("tool_calls", []), call)
        elif key == "role":
            message["role"] = value
        elif isinstance(value, str):
            message[key] = message.get(key, "") + value


def _add_call(calls: list[dict[str, Any]], part: Mapping[str, Any]) -> None:
    """The first piece of a call has id, type and name; the arguments come in pieces."""
    index = part.get("index", len(calls))
    while len(calls) <= index:
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[index], part.get("function", {})
    call["id"] = part.get("id") or call["id"]
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""
