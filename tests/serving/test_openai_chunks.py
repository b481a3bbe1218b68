"""Events and chunks: cut, ended, merged."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BackendFailed
from server.serving.openai_chunks import DONE, event, finished, merged, whole_events


async def each(items: Iterable[Any], error: Exception | None = None) -> AsyncGenerator[Any, None]:
    for item in items:
        yield item
    if error:
        raise error


def listed(source: AsyncGenerator[Any, None]) -> list[Any]:
    async def collect() -> list[Any]:
        return [item async for item in source]

    return asyncio.run(collect())


@given(st.lists(st.text(min_size=1), max_size=5), st.lists(st.integers(0, 200), max_size=8), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
def test_events_are_whole_however_the_network_cuts_them(texts, cuts, end):
    events = [b"data: " + json.dumps(text).encode() + end for text in texts]
    data = b"".join(events)
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[start:stop] for start, stop in itertools.pairwise(places)]
    assert listed(whole_events(each(pieces))) == events


def test_a_rest_without_an_end_is_ended():
    assert listed(whole_events(each([b"data: 1\n\ndata: 2\n"]))) == [b"data: 1\n\n", b"data: 2\n\n\n"]


def test_done_is_added_once():
    assert listed(finished(each([b"data: 1\n\n"]))) == [b"data: 1\n\n", DONE]
    assert listed(finished(each([b"data: 1\n\n", b"data: [DONE]\r\n\r\n"]))) == [b"data: 1\n\n", b"data: [DONE]\r\n\r\n"]
    assert listed(finished(each([]))) == [DONE]


def test_an_error_is_an_event_once_the_stream_has_begun():
    out = listed(finished(each([b"data: 1\n\n"], BackendFailed("it broke"))))
    body = {"error": {"message": "it broke", "type": "server_error", "param": None, "code": "backend_error"}}
    assert out == [b"data: 1\n\n", event(body), DONE]
    with pytest.raises(BackendFailed):
        listed(finished(each([], BackendFailed("it broke"))))


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": list(choices), **more}


def test_the_chunks_of_two_chats_and_of_tool_calls_become_one_answer():
    call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "find", "arguments": ""}}
    chunks = [
        chunk({"index": 0, "delta": {"role": "assistant", "content": None}}),
        chunk({"index": 1, "delta": {"role": "assistant", "content": "B"}, "logprobs": {"content": [{"token": "B"}]}}),
        chunk({"index": 0, "delta": {"content": "A"}}),
        chunk({"index": 0, "delta": {"tool_calls": [call]}}),
        chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}}),
        chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}}),
        chunk({"index": 1, "delta": {"content": "b"}, "logprobs": {"content": [{"token": "b"}]}, "finish_reason": "stop"}),
        chunk({"index": 0, "delta": {}, "finish_reason": "tool_calls"}),
        chunk(usage={"total_tokens": 5}),
    ]
    answer = asyncio.run(merged(each(chunks)))
    called = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
    assert answer == {
        "id": "c",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "usage": {"total_tokens": 5},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A", "tool_calls": [called]},
                "logprobs": None,
                "finish_reason": "tool_calls",
            },
            {
                "index": 1,
                "message": {"role": "assistant", "content": "Bb"},
                "logprobs": {"content": [{"token": "B"}, {"token": "b"}]},
                "finish_reason": "stop",
            },
        ],
    }


def test_the_chunks_of_a_completion_become_a_text():
    parts = [{"index": 0, "text": "a", "finish_reason": None}, {"index": 0, "text": "b", "finish_reason": "length"}]
    answer = asyncio.run(merged(each([{**chunk(part), "object": "text_completion"} for part in parts])))
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [{"index": 0, "text": "ab", "logprobs": None, "finish_reason": "length"}]
