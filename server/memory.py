"""What a model is told of a conversation; in: all turns so far, and a way of remembering; out: the messages that go before the question.

The ways and their names are LangChain's: none, buffer (all), window (the last `turns` questions with their answers), token_window (as many
of the last messages as fit into `tokens`), summary_buffer (those, and a summary of what came before them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from server.types import Message

Memory = Literal["none", "buffer", "window", "token_window", "summary_buffer"]
SUMMARY = {"en": "Summary of the conversation so far: {}", "zh": "此前对话的摘要：{}"}


def remembered(
    way: Memory,
    history: Sequence[Message],
    *,
    turns: int,
    tokens: int,
    count: Callable[[str], int],
    summarise: Callable[[Sequence[Message]], str] | None = None,
    language: str = "en",
) -> list[Message]:
    """The messages to put in front of the next question. They begin with a question, or with the summary as a system message.

    `count` gives the tokens of a text; `summarise` makes one text of the older messages, and is asked only when some do not fit.
    """
    if way == "none":
        return []
    if way == "buffer":
        return list(history)
    if way == "window":
        starts = [at for at, message in enumerate(history) if message.role == "user"]
        return list(history[starts[-turns] :]) if turns and len(starts) > turns else list(history) if turns else []
    first = _first_that_fits(history, tokens, count)
    older, recent = history[:first], list(history[first:])
    if way == "token_window" or not older or summarise is None:
        return recent
    return [Message("system", SUMMARY[language].format(summarise(older))), *recent]


def _first_that_fits(history: Sequence[Message], tokens: int, count: Callable[[str], int]) -> int:
    """Where the longest end of the history begins that fits into `tokens` and opens with a question."""
    left, first = tokens, len(history)
    for at in range(len(history) - 1, -1, -1):
        left -= count(history[at].content)
        if left < 0:
            break
        if history[at].role == "user":
            first = at
    return first
