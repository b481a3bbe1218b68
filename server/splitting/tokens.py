"""Splitter `tokens`: windows of a fixed number of tokens with an overlap, as the embedding model counts them, never inside a word.

Like TokenTextSplitter of LangChain, which counts with tiktoken and cuts inside words and even characters.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from configs.settings import Splitting
from server.splitting.counting import CountTokens, limited
from server.splitting.cutting import furthest, look_ahead, word_edges
from server.splitting.running_text import RunningText
from server.splitting.sections import packed
from server.splitting.slices import Slice, chunk_of, groups, trim
from server.types import Block, BlockKind, Chunk, Document


def split_tokens(document: Document, splitting: Splitting, count_tokens: CountTokens) -> list[Chunk]:
    """Chunks of up to `chunk_tokens` tokens; each begins with up to `chunk_overlap` tokens of the one before. Tables are cut between rows.

    Only a word above `chunk_tokens` is cut inside.
    """
    count = limited(count_tokens, splitting.chunk_tokens)
    return [
        chunk_of(section, number, slices, group)
        for number, section in enumerate(document.sections)
        for group, blocks in groups(section)
        for slices in _chunks(group, blocks, splitting, count)
    ]


def _chunks(group: BlockKind, blocks: list[Block], splitting: Splitting, count: CountTokens) -> Iterator[list[Slice]]:
    if group == "table":
        return packed(blocks, splitting.chunk_tokens, count)
    running = RunningText(blocks, "\n")
    return running.chunks(_windows(running.text, splitting.chunk_tokens, splitting.chunk_overlap, count))


def _windows(text: str, budget: int, overlap: int, count: CountTokens) -> Iterator[tuple[int, int]]:
    start, end = trim(text, 0, len(text))
    done = start  # where the last window ended
    while done < end:
        view = look_ahead(text, start, end, budget, count)
        edges = word_edges(text, start, view) + [end] * (view == end)
        stop = furthest(text, start, edges, budget, count)
        if stop <= done and start < done:  # the next word has no room beside the overlap
            start = trim(text, done, end)[0]
            continue
        if stop <= start:  # not even one word fits
            stop = max(start + 1, furthest(text, start, range(start + 1, view + 1), budget, count))
        yield start, stop
        done = stop
        following = trim(text, stop, end)[0]
        start = min(following, trim(text, _overlap_start(text, start, stop, edges, overlap, count), end)[0])


def _overlap_start(text: str, start: int, stop: int, edges: list[int], overlap: int, count: CountTokens) -> int:
    """The first word edge of text[start:stop] from which at most `overlap` tokens are left; `stop` when there is none."""
    if not overlap:
        return stop
    inside = edges[: bisect.bisect_left(edges, stop)]
    place = bisect.bisect_left(inside, -overlap, key=lambda edge: -count(text[edge:stop]))
    return inside[place] if place < len(inside) else stop
