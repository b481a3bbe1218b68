"""OpenAI requests for models on this machine; in: what any client sends; out: what a plain chat template and a sampler understand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from server.errors import Invalid
from server.serving import request_values

ROLES = {"developer": "system", "function": "tool"}  # the names that templates know
KNOWN_ROLES = ("system", "user", "assistant", "tool")


def plain_messages(messages: object) -> list[dict[str, Any]]:
    """The messages with text as content and the four old roles. Tool calls and their ids are kept. Raises Invalid."""
    if not isinstance(messages, list) or not messages:
        raise Invalid("`messages` must be a list with at least one message")
    plain = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise Invalid(f"messages[{number}] must be an object with role and content")
        role = ROLES.get(str(message.get("role")), message.get("role"))
        if role not in KNOWN_ROLES:
            raise Invalid(f"messages[{number}].role is {message.get('role')!r}; known: developer, {', '.join(KNOWN_ROLES)}")
        plain.append({**message, "role": role, "content": _text(message.get("content"), number)})
    return plain


def without_tools(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """For templates that know only system, user and assistant: calls and results of tools become sentences."""
    spoken = []
    for message in messages:
        content = str(message["content"])
        for call in message.get("tool_calls") or ():
            function = call.get("function", {})
            content = f"{content}\nI call {function.get('name')} with {function.get('arguments')}.".strip()
        if message["role"] == "tool":
            spoken.append({"role": "user", "content": f"Result of the tool: {content}"})
        else:
            spoken.append({"role": str(message["role"]), "content": content})
    return spoken


def plain_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request without nulls, with `max_tokens` under its old name, and with plain messages when it has some. Raises Invalid."""
    request = {key: value for key, value in body.items() if value is not None}
    request_values.check(request)
    longest = request.pop("max_completion_tokens", request.pop("max_tokens", request_values.UNLIMITED))
    if longest != request_values.UNLIMITED:
        request["max_tokens"] = longest
    if "messages" in request:
        request["messages"] = plain_messages(request["messages"])
    return request


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream should end with a usage chunk."""
    options = body.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


def _text(content: object, number: int) -> str:
    if content is None:
        return ""  # an assistant's message that only calls tools
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Invalid(f"messages[{number}].content must be a string or a list of parts")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("text", "input_text", "refusal"):
            raise Invalid(f"messages[{number}] has a part of type {kind!r}, but this model reads text only")
        texts.append(str(part.get("text") or part.get("refusal") or ""))
    return "\n".join(texts)
