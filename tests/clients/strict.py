"""OpenAI's types taken literally; in: what came over the wire; out: the same, parsed, or a failed test that names the field.

The types of the openai package allow any further field and fill in what is missing. Here a field that they do not know fails unless it is
listed below, and so does one of a wrong type, and a missing one that OpenAI's API always sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import openai.types as ours
import openai.types.chat as chat
from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)

EXTENSIONS = {  # (type, field): ours beyond OpenAI's, as the README tells
    ("ChatCompletionMessage", "citations"),
    ("ChatCompletionMessage", "refused"),
    ("ChoiceDelta", "citations"),
    ("ChoiceDelta", "refused"),
}
ALWAYS = {  # optional in the package, but OpenAI always sends them
    "Choice": ("index", "finish_reason"),
    "CompletionChoice": ("index", "text", "finish_reason", "logprobs"),
    "ChatCompletionMessage": ("role", "content"),
    "ChatCompletion": ("usage",),
    "Completion": ("usage",),
}
ERROR_FIELDS = {"message", "type", "param", "code"}
WHOLE: dict[str, type[BaseModel]] = {
    "chat": chat.ChatCompletion,
    "completions": ours.Completion,
    "embeddings": ours.CreateEmbeddingResponse,
    "models.retrieve": ours.Model,
}


def parsed(kind: type[T], data: bytes) -> T:
    """The value, when it holds what the type says and nothing else."""
    if kind is ours.Completion:  # its type forgets that a stream's `finish_reason` is null until the end, which OpenAI sends
        data = re.sub(rb'"finish_reason":\s*null', b'"finish_reason": "stop"', data)
    value = kind.model_validate_json(data, strict=True)
    for part in _parts(value):
        name = type(part).__name__
        unknown = {(name, field) for field in part.model_extra or {}} - EXTENSIONS
        assert not unknown, f"not in OpenAI's types: {unknown}"
        missing = [field for field in ALWAYS.get(name, ()) if field not in part.model_fields_set]
        assert not missing or (kind is ours.Completion and missing == ["usage"]), f"{name} lacks {missing}"
    return value


def error(data: bytes) -> dict[str, Any]:
    """The error object of a body or an event."""
    body = json.loads(data)
    assert set(body) == {"error"}
    assert set(body["error"]) == ERROR_FIELDS
    assert all(isinstance(body["error"][field], str) for field in ("message", "type"))
    return dict(body["error"])


def stream(call: str, events: list[bytes], *, usage: bool) -> list[dict[str, Any]]:
    """The chunks of a whole stream: one id, one time, role before content before finish before usage before [DONE]."""
    *chunks, done = events
    assert done == b"[DONE]"
    kind: type[BaseModel] = chat.ChatCompletionChunk if call == "chat" else ours.Completion
    values: list[Any] = [parsed(kind, data) for data in chunks]
    assert len({(value.id, value.object, value.created, value.model) for value in values}) == 1
    if usage:
        last = values.pop()
        assert (last.choices, last.usage.total_tokens) == ([], last.usage.prompt_tokens + last.usage.completion_tokens)
    assert all(value.choices and value.usage is None for value in values)
    states: dict[int, str] = {}
    plain = [json.loads(data) for data in chunks]
    for choice in (choice for chunk in plain for choice in chunk["choices"]):
        state = states.get(choice["index"], "" if call == "chat" else "begun")
        assert state != "finished", "words after the end"
        if call == "chat":
            assert (choice["delta"].get("role") == "assistant") == (state == ""), "the role comes first, and once"
        states[choice["index"]] = "finished" if choice["finish_reason"] else "begun"
    assert set(states.values()) == {"finished"}
    return plain


def _parts(value: object) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from _parts(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item)
