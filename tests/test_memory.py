"""The five ways of remembering, on a conversation of four turns counted in words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from server.memory import Memory, remembered
from server.types import Message

HISTORY = [
    *(Message("user", "q1 a"), Message("assistant", "a1 b c")),
    *(Message("user", "q2 a"), Message("assistant", "a2 b c d")),
    *(Message("user", "q3"), Message("assistant", "a3 b")),
]


def names(messages: Sequence[Message]) -> str:
    return " ".join(message.content.split()[0] for message in messages)


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("way", "turns", "tokens", "kept"),
    [
        ("none", 3, 99, ""),
        ("buffer", 1, 1, "q1 a1 q2 a2 q3 a3"),
        ("window", 1, 1, "q3 a3"),
        ("window", 2, 1, "q2 a2 q3 a3"),
        ("window", 9, 1, "q1 a1 q2 a2 q3 a3"),
        ("window", 0, 1, ""),
        ("token_window", 1, 3, "q3 a3"),
        ("token_window", 1, 8, "q3 a3"),  # a2 would fit, but an answer without its question says nothing
        ("token_window", 1, 9, "q2 a2 q3 a3"),
        ("token_window", 1, 13, "q2 a2 q3 a3"),
        ("token_window", 1, 14, "q1 a1 q2 a2 q3 a3"),
        ("token_window", 1, 2, ""),
    ],
)
def test_what_is_kept(way: Memory, turns: int, tokens: int, kept: str) -> None:
    assert names(remembered(way, HISTORY, turns=turns, tokens=tokens, count=words)) == kept


def test_a_summary_stands_for_what_does_not_fit_and_is_made_only_then() -> None:
    asked: list[str] = []

    def summarise(older: Sequence[Message]) -> str:
        asked.append(names(older))
        return "they talked"

    first, *rest = remembered("summary_buffer", HISTORY, turns=1, tokens=9, count=words, summarise=summarise, language="zh")
    assert (first.role, first.content, names(rest)) == ("system", "此前对话的摘要：they talked", "q2 a2 q3 a3")
    assert names(remembered("summary_buffer", HISTORY, turns=1, tokens=14, count=words, summarise=summarise)) == "q1 a1 q2 a2 q3 a3"
    assert asked == ["q1 a1"]
    assert remembered("summary_buffer", [], turns=1, tokens=9, count=words, summarise=summarise) == []
