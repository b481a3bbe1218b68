"""What clients send, made plain."""

from __future__ import annotations

import pytest

from server.errors import Invalid
from server.serving.messages import plain_messages, plain_request, wants_usage, without_tools


def test_roles_and_parts_become_what_templates_know():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert plain_messages([{"role": "developer", "content": "brief"}, {"role": "user", "content": parts}]) == [
        {"role": "system", "content": "brief"},
        {"role": "user", "content": "one\ntwo"},
    ]


def test_tool_calls_are_kept_and_can_be_spoken():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain = plain_messages(
        [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": "9"}]
    )
    assert plain[0] == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert without_tools(plain) == [
        {"role": "assistant", "content": "I call f with {}."},
        {"role": "user", "content": "Result of the tool: 9"},
    ]


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        (None, "at least one"),
        ([], "at least one"),
        ("hi", "must be a list"),
        (["hi"], r"messages\[0\] must be an object"),
        ([{"role": "pirate", "content": "x"}], "known: developer"),
        ([{"role": "user", "content": 5}], "string or a list of parts"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "text only"),
    ],
)
def test_what_cannot_be_made_plain_is_refused_with_the_place(messages, word):
    with pytest.raises(Invalid, match=word):
        plain_messages(messages)


def test_nulls_go_and_the_new_name_of_max_tokens_wins():
    assert plain_request({"max_tokens": 5, "max_completion_tokens": 7, "stop": None, "user": "u"}) == {"max_tokens": 7, "user": "u"}
    assert plain_request({"max_tokens": -1, "user": "u"}) == {"user": "u"}  # clients of llama.cpp mean no limit


def test_usage_is_sent_only_on_demand():
    assert wants_usage({"stream_options": {"include_usage": True}})
    assert not any(wants_usage(body) for body in ({}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": 5}))
