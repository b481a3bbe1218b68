"""What a client may ask of port 20000, and what must come; in: nothing; out: ROWS, each a call and a check of its outcome.

rows_refused.py adds what must be refused.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.clients.running import EMBEDDER, LIBRARY, LLM
from tests.clients.scripted_endpoint import CALLER, CALLS

Outcome = Any  # see packages.py
RAW = ("raw",)


@dataclass(frozen=True, slots=True)
class Row:
    """One call. `leave_after`: chunks, after which the client goes. `frees`: afterwards the worker has nothing to do."""

    name: str
    call: str
    ask: dict[str, Any]
    check: Callable[[Outcome], None]
    key: str = "none"
    guarded: bool = False
    timeout_s: float = 60.0
    leave_after: int = 0
    frees: bool = False
    clients: tuple[str, ...] = ()  # none named: all


ROWS: list[Row] = []


def row(call: str, ask: dict[str, Any], **more: Any) -> Callable[[Callable[[Outcome], None]], None]:
    """The decorated function checks the outcome."""

    def add(check: Callable[[Outcome], None]) -> None:
        ROWS.append(Row(check.__name__.replace("_", " ").strip(), call, ask, check, **more))

    return add


def fails(name: str, expected: tuple[str, int | None, str | None], call: str, ask: dict[str, Any], words: str = "", **more: Any) -> None:
    """The client library must raise `expected`: class, status, code."""

    def check(outcome: Outcome) -> None:
        assert (outcome.get("error"), outcome.get("status"), outcome.get("code")) == expected, outcome
        assert words in outcome["message"]

    ROWS.append(Row(name, call, ask, check, **more))


def said(outcome: Outcome, index: int = 0) -> str:
    """The whole text of one choice."""
    if "answer" in outcome:
        choice = outcome["answer"]["choices"][index]
        return choice["text"] if "text" in choice else choice["message"]["content"]
    choices = [choice for chunk in outcome["chunks"] for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["text"] if "text" in choice else choice["delta"].get("content") or "" for choice in choices)


HI = [{"role": "user", "content": "Say hi."}]
GREETING = "Hello there! I'm here to help"  # the model's first eight tokens at temperature 0
SHORT = {"model": LLM, "messages": HI, "max_tokens": 8, "temperature": 0}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
COUNT = {"model": LLM, "prompt": "1 2 3", "max_tokens": 4, "temperature": 0}  # goes on with " 4 5"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Of a city", "parameters": CITY}}]
CALL_MESSAGES = [{"id": i, "type": "function", "function": {"name": name, "arguments": text}} for i, name, text in CALLS]
TALE = [{"role": "user", "content": "Tell a very long story."}]
WHO = "<client>"  # each client puts its own version there, so that none finds its prompt read by those before it
LONG = [{"role": "user", "content": f"{WHO} {'word ' * 900}"}]  # seconds of reading on one core
QUESTION = [{"role": "user", "content": "What did the weighted sum with a dense weight of 0.3 reach on COVID-QA?"}]


# Models


@row("models.list", {})
def local_models_online_models_libraries_and_embeddings_are_listed(outcome):
    assert {LLM, CALLER, EMBEDDER, LIBRARY} <= {model["id"] for model in outcome["answer"]["data"]}


for name in (LLM, CALLER, LIBRARY):

    @row("models.retrieve", {"model": name})
    def a_model_is_found_by_name(outcome, name=name):
        assert (outcome["answer"]["id"], outcome["answer"]["object"]) == (name, "model")


# Chats


@row("chat", SHORT)
def a_chat(outcome):
    assert (said(outcome), outcome["answer"]["choices"][0]["finish_reason"]) == (GREETING, "length")
    assert (outcome["answer"]["usage"]["completion_tokens"], outcome["answer"]["model"]) == (8, LLM)


@row("chat", {**SHORT, "stream": True})
def a_stream(outcome):
    assert said(outcome) == GREETING
    assert [choice["finish_reason"] for choice in outcome["chunks"][-1]["choices"]] == ["length"]


@row("chat", {**SHORT, **USAGE})
def a_stream_with_usage(outcome):
    assert (said(outcome), outcome["chunks"][-1]["choices"]) == (GREETING, [])
    assert outcome["chunks"][-1]["usage"]["completion_tokens"] == 8


@row("chat", {"model": LLM, "messages": HI, "max_completion_tokens": 2, "temperature": 0})
def max_completion_tokens(outcome):
    assert outcome["answer"]["usage"]["completion_tokens"] == 2


@row("chat", {**SHORT, "n": 2})
def two_answers(outcome):
    assert [said(outcome, index) for index in (0, 1)] == [GREETING] * 2
    assert outcome["answer"]["usage"]["completion_tokens"] == 16
    assert outcome["answer"]["usage"]["prompt_tokens"] < 50  # of the prompt once: it has 33


@row("chat", {**SHORT, "n": 2, **USAGE})
def two_streams(outcome):
    assert [said(outcome, index) for index in (0, 1)] == [GREETING] * 2
    assert outcome["chunks"][-1]["usage"]["prompt_tokens"] < 50


@row("chat", {**SHORT, "stop": ["!", "never"]})
def a_stop_word(outcome):
    assert (said(outcome), outcome["answer"]["choices"][0]["finish_reason"]) == ("Hello there", "stop")


@row("chat", {**SHORT, "temperature": 2, "top_p": 1, "seed": 7})
def a_seed(outcome):
    assert said(outcome) == SEEDED.setdefault("text", said(outcome))  # for all clients


SEEDED: dict[str, str] = {}


@row("chat", {**SHORT, "max_tokens": 2, "logprobs": True, "top_logprobs": 2})
def logprobs(outcome):
    content = outcome["answer"]["choices"][0]["logprobs"]["content"]
    assert [token["token"] for token in content] == ["Hello", " there"]
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for token in content)


@row("chat", {**SHORT, "max_tokens": 2, "logprobs": True, "top_logprobs": 2, "stream": True})
def logprobs_of_a_stream(outcome):
    choices = [choice for chunk in outcome["chunks"] for choice in chunk["choices"] if choice.get("logprobs")]
    assert [token["token"] for choice in choices for token in choice["logprobs"]["content"]] == ["Hello", " there"]


@row("chat", {**SHORT, "messages": [{"role": "developer", "content": "Be brief."}, *HI]})
def the_developer_role(outcome):
    assert said(outcome)


@row("chat", {**SHORT, "messages": [{"role": "user", "content": [{"type": "text", "text": "Say"}, {"type": "text", "text": "hi."}]}]})
def content_in_parts(outcome):
    assert said(outcome)


@row("chat", {**SHORT, "max_tokens": 60, "response_format": {"type": "json_object"}})
def a_json_object(outcome):
    assert isinstance(json.loads(said(outcome)), dict)


@row(
    "chat",
    {**SHORT, "max_tokens": 60, "response_format": {"type": "json_schema", "json_schema": {"name": "c", "strict": True, "schema": CITY}}},
)
def a_json_schema(outcome):
    assert list(json.loads(said(outcome))) == ["city"]


ODD = {
    "logit_bias": {"100": -100},
    "user": "u",
    "store": False,
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "parallel_tool_calls": True,
}


@row("chat", {**SHORT, **ODD, "max_tokens": 1, "frequency_penalty": 0.1, "presence_penalty": 0.1, "top_p": 0.9, "reasoning_effort": "low"})
def parameters_that_change_nothing(outcome):
    assert outcome["answer"]["usage"]["completion_tokens"] == 1


# Tools


@row("chat", {**SHORT, "tools": TOOLS, "tool_choice": "auto"})
def tools_that_the_model_does_not_know_of(outcome):
    assert said(outcome)


@row("chat", {"model": CALLER, "messages": HI, "tools": TOOLS, "tool_choice": "required"})
def calls_of_tools(outcome):
    (choice,) = outcome["answer"]["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == CALL_MESSAGES


@row("chat", {"model": CALLER, "messages": HI, "tools": TOOLS, **USAGE})
def calls_of_tools_in_a_stream(outcome):
    parts = [part for chunk in outcome["chunks"] for choice in chunk["choices"] for part in choice["delta"].get("tool_calls") or ()]
    for index, (call, name, arguments) in enumerate(CALLS):
        own = [part for part in parts if part["index"] == index]
        assert (own[0]["id"], own[0]["function"]["name"]) == (call, name)
        assert "".join(part["function"].get("arguments", "") for part in own) == arguments
    assert outcome["chunks"][-2]["choices"][0]["finish_reason"] == "tool_calls"


RESULTS = [{"role": "tool", "tool_call_id": call, "content": content} for (call, _, _), content in zip(CALLS, ("rain", "sun"), strict=True)]
CALLED = [*HI, {"role": "assistant", "content": None, "tool_calls": CALL_MESSAGES}, *RESULTS]


@row("chat", {"model": CALLER, "messages": CALLED, "tools": TOOLS})
def results_of_two_tools(outcome):
    assert said(outcome) == "call_a: rain and call_b: sun"


@row("chat", {**SHORT, "messages": CALLED, "tools": TOOLS})
def results_of_two_tools_for_the_local_model(outcome):
    assert outcome["answer"]["usage"]["prompt_tokens"] > 33


# Text completions


@row("completions", COUNT)
def a_completion(outcome):
    assert (said(outcome), outcome["answer"]["object"]) == (" 4 5", "text_completion")


@row("completions", {**COUNT, **USAGE})
def a_completion_in_a_stream(outcome):
    assert (said(outcome), outcome["chunks"][-1]["usage"]["total_tokens"]) == (" 4 5", 9)


@row("completions", {**COUNT, "echo": True})
def a_completion_with_its_prompt(outcome):
    assert said(outcome) == "1 2 3 4 5"


@row("completions", {**COUNT, "echo": True, "stream": True})
def a_completion_with_its_prompt_in_a_stream(outcome):
    assert said(outcome) == "1 2 3 4 5"


@row("completions", {**COUNT, "prompt": ["1 2 3", "5 6 7"], "echo": True})
def two_prompts(outcome):
    assert [said(outcome, index)[:5] for index in (0, 1)] == ["1 2 3", "5 6 7"]
    assert outcome["answer"]["usage"]["completion_tokens"] == 8


@row("completions", {**COUNT, "prompt": [33, 216, 34]})
def a_prompt_of_tokens(outcome):
    assert outcome["answer"]["usage"]["prompt_tokens"] == 3


@row("completions", {**COUNT, "max_tokens": 2, "logprobs": 2})
def logprobs_of_a_completion(outcome):
    logprobs = outcome["answer"]["choices"][0]["logprobs"]
    assert (logprobs["tokens"], logprobs["text_offset"]) == ([" ", "4"], [0, 1])
    assert all(len(top) == 2 for top in logprobs["top_logprobs"])
    assert all(logprob <= 0 for logprob in logprobs["token_logprobs"])


@row("completions", {**COUNT, "max_tokens": 2, "logprobs": 2, "stream": True})
def logprobs_of_a_completion_in_a_stream(outcome):
    choices = [choice for chunk in outcome["chunks"] for choice in chunk["choices"] if choice["logprobs"]]
    assert [(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"]) for choice in choices] == [([" "], [0]), (["4"], [1])]


# Embeddings

TEXTS = ["hybrid retrieval", "keyword search and vectors together", "a recipe for soup"]


@row("embeddings", {"model": EMBEDDER, "input": TEXTS, "encoding_format": "float"})
def embeddings_as_numbers(outcome):
    vectors = np.array([entry["embedding"] for entry in outcome["answer"]["data"]])
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert outcome["answer"]["usage"]["prompt_tokens"] > 9


@row("embeddings", {"model": EMBEDDER, "input": "hybrid retrieval", "encoding_format": "base64"})
def embeddings_as_base64(outcome):
    (entry,) = outcome["answer"]["data"]
    vector = np.frombuffer(base64.b64decode(entry["embedding"]), "<f4") if isinstance(entry["embedding"], str) else entry["embedding"]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@row("embeddings", {"model": EMBEDDER, "input": "hybrid retrieval"})
def embeddings_as_the_library_likes_them(outcome):
    assert len(outcome["answer"]["data"][0]["embedding"]) == 384


@row("embeddings", {"model": EMBEDDER, "input": TEXTS, "dimensions": 384})
def embeddings_of_the_dimension_there_is(outcome):
    assert len(outcome["answer"]["data"]) == 3


BAD = ("BadRequestError", 400, None)
for wrong in ([], "", ["a", ""]):
    fails("embeddings of nothing", BAD, "embeddings", {"model": EMBEDDER, "input": wrong}, "at least one text")
for wrong in ([1, 2, 3], [[1, 2], [3]]):
    fails("embeddings of tokens", BAD, "embeddings", {"model": EMBEDDER, "input": wrong}, "check_embedding_ctx_length=False")
fails("embeddings of another dimension", BAD, "embeddings", {"model": EMBEDDER, "input": "x", "dimensions": 64}, "384")
UNKNOWN = ("NotFoundError", 404, "model_not_found")
fails("embeddings of an unknown model", UNKNOWN, "embeddings", {"model": "nope", "input": "x"}, EMBEDDER)


# Libraries


@row("chat", {"model": LIBRARY, "messages": QUESTION, "depth": "quotes"}, clients=("openai node", "raw"))  # Python's takes it as extra_body
def a_library(outcome):
    message = outcome["answer"]["choices"][0]["message"]
    _is_proved(message, said(outcome))


@row("chat", {"model": LIBRARY, "messages": QUESTION})
def a_library_without_further_parameters(outcome):
    message = outcome["answer"]["choices"][0]["message"]
    _is_proved(message, said(outcome))


@row("chat", {"model": LIBRARY, "messages": QUESTION, **USAGE})
def a_library_in_a_stream(outcome):
    *words, last, usage = outcome["chunks"]
    assert (last["choices"][0]["finish_reason"], usage["choices"]) == ("stop", [])
    assert all("citations" not in chunk["choices"][0]["delta"] for chunk in words)
    _is_proved(last["choices"][0]["delta"], said(outcome))


@row("chat", {"model": f"{LIBRARY}@{CALLER}", "messages": QUESTION})
def a_library_with_a_named_model_that_answers(outcome):
    assert outcome["answer"]["model"] == f"{LIBRARY}@{CALLER}"


@row("chat", {"model": f"{LIBRARY}@{LLM}", "messages": QUESTION, "max_tokens": 8, "stream": True})
def a_library_with_the_local_model_in_a_stream(outcome):
    _is_proved(outcome["chunks"][-1]["choices"][0]["delta"], said(outcome))


def _is_proved(where: dict[str, Any], text: str) -> None:
    first = where["citations"][0]
    assert (where["refused"], first["index"], first["file"], first["page"], first["verified"]) == (False, 1, "notes.md", 1, True)
    assert "68.4" in first["quote"]
    assert "[1]" in text
    assert {"title", "boxes", "score", "url"} <= set(first)


fails("an unknown library", UNKNOWN, "chat", {"model": "kb/none", "messages": HI}, LIBRARY)
fails("a library with an unknown model", UNKNOWN, "chat", {"model": f"{LIBRARY}@nope", "messages": HI, "stream": True}, "nope")
fails("a library asked for two answers", BAD, "chat", {"model": LIBRARY, "messages": HI, "n": 2}, "n: ")
fails("a library asked for a completion", BAD, "completions", {"model": LIBRARY, "prompt": "x"}, "/v1/chat/completions")
