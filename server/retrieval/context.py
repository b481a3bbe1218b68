"""Passages that were found -> passages with what stands around them in their section, for a model that reads before it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from server.types import Passage

Around = Callable[[Passage, int], list[Passage]]  # a passage, how many to each side -> those of its section, itself included, in order
LONGEST_CONTEXT = 6000  # characters: about 1,500 English tokens
WHOLE_SECTION = 100  # chunks to each side


def widened(passages: Sequence[Passage], context: Literal["passage", "neighbours", "section"], around: Around) -> list[Passage]:
    """Each passage with its neighbours, or its section as far as LONGEST_CONTEXT goes, in the order of the passages.

    A passage that an earlier one holds by now is left out: no text stands there twice.
    """
    if context == "passage":
        return list(passages)
    seen: set[int] = set()
    wide: list[Passage] = []
    for passage in passages:
        if passage.chunk_id in seen:
            continue
        chunks = around(passage, 1 if context == "neighbours" else WHOLE_SECTION)
        kept = _nearest(chunks, passage, seen)
        seen |= {chunk.chunk_id for chunk in kept}
        wide.append(_joined(passage, kept))
    return wide


def _nearest(chunks: Sequence[Passage], passage: Passage, seen: set[int]) -> list[Passage]:
    """The passage and the chunks next to it, without a gap: as many as LONGEST_CONTEXT allows, none of those already seen."""
    at = next((place for place, chunk in enumerate(chunks) if chunk.chunk_id == passage.chunk_id), None)
    if at is None:
        return [passage]  # removed since it was found
    first = last = at
    left = LONGEST_CONTEXT - len(passage.text)
    while True:
        sides = [place for place in (last + 1, first - 1) if 0 <= place < len(chunks) and chunks[place].chunk_id not in seen]
        sides = [place for place in sides if len(chunks[place].text) <= left]
        if not sides:
            return list(chunks[first : last + 1])
        place = min(sides, key=lambda side: abs(side - at))
        first, last = min(first, place), max(last, place)
        left -= len(chunks[place].text)


def _joined(passage: Passage, chunks: Sequence[Passage]) -> Passage:
    """One passage of them, under the number of the one that was found; its spans lead to every word."""
    text = ""
    spans = []
    for place, chunk in enumerate(chunks):
        cut = chunk.repeated if place else 0
        gap = "" if cut or not place else "\n"
        offset = len(text) + len(gap) - cut
        spans += [s._replace(start=max(s.start, cut) + offset, end=s.end + offset) for s in chunk.spans if s.end > cut]
        text += gap + chunk.text[cut:]
    return replace(
        passage,
        text=text,
        spans=tuple(spans),
        page=min(chunk.page for chunk in chunks),
        page_end=max(chunk.page_end for chunk in chunks),
        repeated=chunks[0].repeated,
    )
