"""What port 20000 must refuse, and clients that leave; in: nothing; out: ALL_ROWS, those of rows.py and then these."""

from __future__ import annotations

import json
from typing import Any

from tests.clients.rows import BAD, HI, LONG, QUESTION, RAW, ROWS, SHORT, TALE, TOOLS, UNKNOWN, WHO, fails, row, said
from tests.clients.running import ABSENT, CONTEXT_TOKENS, KEY, LIBRARY, LLM
from tests.clients.scripted_endpoint import BUSY, FAILING, RETRY_AFTER_S, SLOW

# Errors

for stream in (False, True):
    fails("an unknown model", UNKNOWN, "chat", {"model": "nope", "messages": HI, "stream": stream}, LLM)
    overflow = {"model": LLM, "messages": [{"role": "user", "content": "word " * CONTEXT_TOKENS}], "stream": stream}
    fails("a prompt that is too long", ("BadRequestError", 400, "context_length_exceeded"), "chat", overflow, str(CONTEXT_TOKENS))
    limited = ("RateLimitError", 429, "rate_limit_exceeded")
    fails("a limit of another service", limited, "chat", {"model": BUSY, "messages": HI, "stream": stream})
    away = ("InternalServerError", 503, "unavailable")
    fails("a model without a worker", away, "chat", {"model": ABSENT, "messages": HI, "stream": stream}, ABSENT)
fails("another service that is out of order", ("InternalServerError", 502, "backend_error"), "chat", {"model": FAILING, "messages": HI})
fails("a stream that breaks", ("APIError", None, "backend_error"), "chat", {"model": FAILING, "messages": HI, "stream": True})
fails("an unknown model looked for", UNKNOWN, "models.retrieve", {"model": "kb/none"})
for content in ("{", "[1]", '"x"', ""):
    fails("no JSON object", BAD, "bytes", {"content": content}, "JSON", clients=RAW)
WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "image_url"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"presence_penalty": 5}, "presence_penalty"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "x"}, "max_tokens"),
    ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
    ({"n": 0}, "n"),
    ({"n": 99}, "n"),
    ({"stop": 5}, "stop"),
    ({"seed": "x"}, "seed"),
    ({"stream_options": 5}, "stream_options"),
    ({"logprobs": "x"}, "logprobs"),
    ({"tools": "x"}, "tools"),
    ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "weather"}}}, "tool_choice"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}}, "nonsense"),
)
for given, words in WRONG:
    fails(f"a wrong value {json.dumps(given)[:40]}", BAD, "chat", {**SHORT, **given}, words)
fails("a completion without a prompt", BAD, "completions", {"model": LLM, "prompt": None}, "prompt")


@row("chat", {"model": BUSY, "messages": HI})
def a_limit_tells_when_to_come_again(outcome):
    assert 1 <= int(outcome["retry_after"]) <= RETRY_AFTER_S  # what is left of it: the gateway remembers


REFUSED = ("AuthenticationError", 401, "invalid_api_key")


@row("chat", {**SHORT, "max_tokens": 1}, key=KEY, guarded=True)
def the_right_key(outcome):
    assert said(outcome)


fails("a wrong key", REFUSED, "chat", SHORT, "wrong API key", key="wrong", guarded=True)
fails("a wrong key for a stream", REFUSED, "chat", {**SHORT, "stream": True}, "wrong API key", key="wrong", guarded=True)
fails("a wrong key for the list", REFUSED, "models.list", {}, key="wrong", guarded=True)
fails("no key", REFUSED, "models.list", {}, "an API key is needed", key="", guarded=True, clients=RAW)


# Clients that leave


@row("chat", {"model": LLM, "messages": TALE, "stream": True}, leave_after=2, frees=True)
def a_stream_is_left_in_the_middle(outcome):
    assert len(outcome["chunks"]) == 2


@row("chat", {"model": f"{LIBRARY}@{LLM}", "messages": QUESTION, "stream": True, "max_tokens": 400}, leave_after=1, frees=True)
def a_library_is_left_in_the_middle(outcome):
    assert len(outcome["chunks"]) == 1


for stream in (False, True):
    reading = [{"role": "system", "content": f"{WHO} {stream}"}, *LONG]
    asked: dict[str, Any] = {"model": LLM, "messages": reading, "stream": stream}
    fails("patience that ends while a prompt is read", ("APITimeoutError", None, None), "chat", asked, timeout_s=0.7, frees=True)
    fails("patience with another service", ("APITimeoutError", None, None), "chat", {**asked, "model": SLOW}, timeout_s=0.4)
fails("patience with an answer", ("APITimeoutError", None, None), "chat", {"model": LLM, "messages": TALE}, timeout_s=0.7, frees=True)


ALL_ROWS = tuple(ROWS)
