"""Splitter `sections`: a section's paragraphs grouped up to a token budget; tables and references in chunks of their own.

Chunks do not overlap: the windows inside them do, and those are what is embedded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from configs.settings import Splitting
from server.splitting.counting import CountTokens, limited
from server.splitting.cutting import cut, furthest, look_ahead
from server.splitting.slices import Slice, chunk_of, groups, trim
from server.types import Block, Chunk, Document, Section

LARGEST_HEADER = 3  # header lines and first cells that take more than a third of a chunk are not repeated

_NAME = re.compile(r"[^:|\n]{1,200}: ")  # in front of a value
_CELL_END = re.compile(r" \| ")  # the bar stays with the cell before it


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

    Rows of a table stay whole where they fit, and are cut between their cells where not. The further pieces of a table begin with its
    header lines, those of a row with its first cell.
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
    header, header_cost = _header(block, rows, budget, count)
    pending, used = list(header), header_cost
    for row in rows[len(header) :]:
        key, key_cost = _key(block, row, budget - header_cost, count)
        for start, end in _stretches(text, row, budget - header_cost, key_cost, count):
            cost = count(text[start:end])
            if len(pending) > len(header) and used + cost > budget:
                yield pending, used
                repeated = [*header, *key] if start > row[0] else header
                pending = [replace(part, repeated=part.end - part.start) for part in repeated]
                used = header_cost + (key_cost if start > row[0] else 0)
            pending.append(Slice(block, start, end))
            used += cost
    yield pending, used


def _key(block: Block, row: tuple[int, int], budget: int, count: CountTokens) -> tuple[list[Slice], int]:
    """The first cell of a row that must be cut, to be repeated in its further pieces, and its cost; none when it takes too much of them."""
    first = _CELL_END.search(block.text, *row)
    if first is None or count(block.text[slice(*row)]) <= budget:
        return [], 0
    key = Slice(block, row[0], first.start())
    cost = count(key.text)
    return ([key], cost) if cost <= budget // LARGEST_HEADER else ([], 0)


def _stretches(text: str, row: tuple[int, int], budget: int, key_cost: int, count: CountTokens) -> Iterator[tuple[int, int]]:
    """A row cut between its cells, which keep their names; after the first stretch the budget has to hold the row's key too."""
    start, end = row
    room = budget
    while start < end:
        view = look_ahead(text, start, end, room, count)
        edges = [match.start() + 2 for match in _CELL_END.finditer(text, start, view)] + [end] * (view == end)
        stop = furthest(text, start, edges, room, count)
        if stop > start:
            yield trim(text, start, stop)
        else:  # a cell that is too long by itself
            cell = _CELL_END.search(text, start, end)
            stop = cell.start() + 2 if cell else end
            value = _NAME.match(text, start, stop)
            name_cost = count(value[0]) if value else 0
            if value is None or name_cost > budget // LARGEST_HEADER:
                value, name_cost = None, 0
            for first, last in cut(text, value.end() if value else start, stop, budget - key_cost - name_cost, count):
                yield (start if value and first == value.end() else first), last
        start = trim(text, stop, end)[0]
        room = budget - key_cost


def _header(block: Block, rows: Sequence[tuple[int, int]], budget: int, count: CountTokens) -> tuple[list[Slice], int]:
    """The lines to repeat and their cost; none when they are all there is, or too large."""
    if not 0 < block.header_lines < len(rows):
        return [], 0
    lines = [Slice(block, start, end) for start, end in rows[: block.header_lines]]
    cost = sum(count(line.text) for line in lines)
    return (lines, cost) if cost <= budget // LARGEST_HEADER else ([], 0)
