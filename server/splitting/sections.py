"""Splitter `sections`: a section's paragraphs grouped up to a token budget; tables and references in chunks of their own.

Chunks do not overlap: the windows inside them do, and those are what is embedded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from configs.settings import Splitting
from server.splitting.counting import CountTokens, limited
from server.splitting.cutting import cut
from server.splitting.slices import Slice, chunk_of, groups, trim
from server.types import Block, Chunk, Document, Section

LARGEST_HEADER = 3  # header lines that take more than a third of a chunk are not repeated


def split_sections(document: Document, splitting: Splitting, count_tokens: CountTokens) -> list[Chunk]:
    """Chunks of up to `chunk_tokens` tokens."""
    budget = splitting.chunk_tokens
    count = limited(count_tokens, budget)
    return [chunk for number, section in enumerate(document.sections) for chunk in section_chunks(section, number, budget, count)]


def section_chunks(section: Section, number: int, budget: int, count: CountTokens) -> Iterator[Chunk]:
    """The chunks of one section, `number` in its document."""
    for group, blocks in groups(section):
        for slices in packed(blocks, budget, count):
            yield chunk_of(section, number, slices, group)


def packed(blocks: Sequence[Block], budget: int, count: CountTokens) -> Iterator[list[Slice]]:
    """Blocks put together up to the budget, as the sum of `count`; only one that is above it by itself is cut.

    Rows of a table stay whole where they fit, and the further pieces of a table begin with its header lines.
    """
    pending: list[Slice] = []
    used = 0
    for parts, cost in (piece for block in blocks for piece in _pieces(block, budget, count)):
        if pending and used + cost > budget:
            yield pending
            pending, used = [], 0
        pending += parts
        used += cost
    if pending:
        yield pending


def _pieces(block: Block, budget: int, count: CountTokens) -> Iterator[tuple[list[Slice], int]]:
    """(slices, cost) of each piece of one block."""
    text = block.text
    whole = Slice(block, *trim(text, 0, len(text)))
    cost = count(text)
    if cost <= budget:
        yield [whole], cost
    elif block.kind == "table":
        yield from _table_pieces(block, budget, count)
    else:
        for start, end in cut(text, whole.start, whole.end, budget, count):
            yield [Slice(block, start, end)], count(text[start:end])


def _table_pieces(block: Block, budget: int, count: CountTokens) -> Iterator[tuple[list[Slice], int]]:
    text = block.text
    rows = [trim(text, match.start(), match.end()) for match in re.finditer(r"[^\n]+", text)]
    rows = [(start, end) for start, end in rows if start < end]
    header, used = _header(block, rows, budget, count)
    header_cost, pending = used, list(header)
    for start, end in (piece for row in rows[len(header) :] for piece in cut(text, *row, budget - header_cost, count)):
        cost = count(text[start:end])
        if len(pending) > len(header) and used + cost > budget:
            yield pending, used
            pending, used = [replace(part, repeated=part.end - part.start) for part in header], header_cost
        pending.append(Slice(block, start, end))
        used += cost
    yield pending, used


def _header(block: Block, rows: Sequence[tuple[int, int]], budget: int, count: CountTokens) -> tuple[list[Slice], int]:
    """The lines to repeat and their cost; none when they are all there is, or too large."""
    if not 0 < block.header_lines < len(rows):
        return [], 0
    lines = [Slice(block, start, end) for start, end in rows[: block.header_lines]]
    cost = sum(count(line.text) for line in lines)
    return (lines, cost) if cost <= budget // LARGEST_HEADER else ([], 0)
