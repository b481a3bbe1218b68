"""Splitter `chinese_recursive`: ChineseRecursiveTextSplitter of Langchain-Chatchat 0.2, sizes in characters.

Text is parted by the first separator that occurs, parts that are too long by the next one, and neighbouring parts are put together again.
What that splitter leaves longer than `chunk_size`, a clause without commas, is parted by two separators more: white space, then characters.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

from configs.settings import Splitting
from server.splitting.counting import CountTokens
from server.splitting.running_text import RunningText
from server.splitting.sections import packed
from server.splitting.slices import Slice, chunk_of, groups
from server.types import Block, BlockKind, Chunk, Document

SEPARATORS = tuple(
    re.compile(separator) for separator in (r"\n\n", r"\n", r"。|！|？", r"\.\s|\!\s|\?\s", r"；|;\s", r"，|,\s", r"\s+")
)  # each part ends with its separator


def split_chinese_recursive(document: Document, splitting: Splitting, count_tokens: CountTokens) -> list[Chunk]:
    """Chunks of up to `chunk_size` characters, of one section each; `chunk_overlap` characters at most are repeated from the one before.

    Blocks stand in the text as paragraphs with an empty line between them. Tables are cut between rows.
    """
    return [
        chunk_of(section, number, slices, group)
        for number, section in enumerate(document.sections)
        for group, blocks in groups(section)
        for slices in _chunks(group, blocks, splitting.chunk_size, splitting.chunk_overlap)
    ]


def _chunks(group: BlockKind, blocks: list[Block], size: int, overlap: int) -> Iterator[list[Slice]]:
    if group == "table":
        return packed(blocks, size + 1, lambda text: len(text) + 1)  # a character for the newline between two slices
    running = RunningText(blocks, "\n\n")
    return running.chunks(_parted(running.text, 0, len(running.text), 0, size, overlap))


def _parted(text: str, start: int, end: int, level: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Stretches of text[start:end], in which the separators before `level` do not occur, or have been parted at."""
    while level < len(SEPARATORS) and not SEPARATORS[level].search(text, start, end):
        level += 1
    if level == len(SEPARATORS):
        for at in range(start, max(start + 1, end - overlap), size - overlap):
            yield at, min(at + size, end)
        return
    short: list[tuple[int, int]] = []
    for part in _parts(text, start, end, SEPARATORS[level]):
        if part[1] - part[0] < size:
            short.append(part)
            continue
        yield from _merged(short, size, overlap)
        short = []
        yield from _parted(text, *part, level + 1, size, overlap)
    yield from _merged(short, size, overlap)


def _parts(text: str, start: int, end: int, separator: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    for match in separator.finditer(text, start, end):
        yield start, match.end()
        start = match.end()
    if start < end:
        yield start, end


def _merged(parts: Iterable[tuple[int, int]], size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Neighbouring parts put together up to `size`; the next stretch begins with the last parts of the one before, up to `overlap`."""
    held: deque[tuple[int, int]] = deque()
    length = 0
    for part in parts:
        added = part[1] - part[0]
        if held and length + added > size:
            yield held[0][0], held[-1][1]
            while held and (length > overlap or length + added > size):
                first = held.popleft()
                length -= first[1] - first[0]
        held.append(part)
        length += added
    if held:
        yield held[0][0], held[-1][1]
