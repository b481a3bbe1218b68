"""A text that is above a budget -> stretches within it: cut at sentences, else at clauses, words, characters."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence

from server.language import CJK, CJK_MARKS
from server.splitting.counting import CountTokens
from server.splitting.sentences import sentences
from server.splitting.slices import trim

_CLAUSE = re.compile(r"[，、：；,;:—]+[”’)）]*|\s[-–]\s|\n")
_WORD_EDGE = re.compile(rf"\s+|(?<=[{CJK}{CJK_MARKS}])(?![{CJK_MARKS}])")


def cut(text: str, start: int, end: int, budget: int, count: CountTokens) -> Iterator[tuple[int, int]]:
    """Stretches of text[start:end] within the budget, each as long as it can be, without white space at their ends."""
    while start < end:
        view = look_ahead(text, start, end, budget, count)
        if view == end and count(text[start:end]) <= budget:
            yield start, end
            return
        stop = start
        for edges in _edges(text, start, view):
            stop = furthest(text, start, [edge for edge in edges if edge < view or view == end], budget, count)
            if stop > start:
                break
        stop = stop if stop > start else start + 1
        yield trim(text, start, stop)
        start = trim(text, stop, end)[0]


def look_ahead(text: str, start: int, end: int, budget: int, count: CountTokens) -> int:
    """A place beyond the budget, at most `end`: cuts are looked for up to it, so that a paragraph of megabytes costs linear time."""
    size = 8 * budget + 64  # characters
    while start + size < end and count(text[start : start + size]) <= budget:
        size *= 2
    return min(start + size, end)


def furthest(text: str, start: int, edges: Sequence[int], budget: int, count: CountTokens) -> int:
    """The last edge up to which text from `start` stays within the budget; `start` when none does."""
    fitting = bisect.bisect_right(edges, budget, key=lambda edge: count(text[start:edge]))
    return edges[fitting - 1] if fitting else start


def word_edges(text: str, start: int, end: int) -> list[int]:
    """Places in text[start:end] where a word ends: before white space, and after each Chinese character with its marks."""
    return [match.start() for match in _WORD_EDGE.finditer(text, start, end) if match.start() > start]


def _edges(text: str, start: int, end: int) -> Iterator[Sequence[int]]:
    part = text[start:end]
    yield [start + stop for _, stop in sentences(part)]
    yield [start + match.end() for match in _CLAUSE.finditer(part)]
    yield word_edges(text, start, end)
    yield range(start + 1, end)
