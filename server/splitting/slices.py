"""Slices of blocks -> a chunk: their text joined by newlines; spans moved along; pages, kind, language and windows set."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from server.language import display_width, language_of
from server.splitting.windows import window_bounds
from server.types import Block, BlockKind, Chunk, Section, Span

_TABLE_CAPTION = re.compile(r"\s*(?:supplementary\s+)?(?:table|tab\.|tabelle|附?表)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Slice:
    """`block.text[start:end]`, without white space at its ends; its first `repeated` characters stand in an earlier chunk too."""

    block: Block
    start: int
    end: int
    repeated: int = 0

    @property
    def text(self) -> str:
        """What it says."""
        return self.block.text[self.start : self.end]


def groups(section: Section) -> Iterator[tuple[BlockKind, list[Block]]]:
    """Neighbours that may share a chunk: running text with its formulas, captions and notes; tables with theirs; references.

    Blocks of white space are left out.
    """
    blocks = [block for block in section.blocks if block.text.strip()]
    kinds = [_group(blocks, at) for at in range(len(blocks))]
    for kind, members in groupby(zip(kinds, blocks, strict=True), key=lambda member: member[0]):
        yield kind, [block for _, block in members]


def chunk_of(section: Section, number: int, slices: Sequence[Slice], group: BlockKind) -> Chunk:
    """The chunk of `slices`, which lie in section `number` of the document. Slices of several kinds give a chunk of kind `group`."""
    lines: list[str] = []
    spans: list[Span] = []
    offset = repeated = 0
    for part in slices:
        lines.append(part.text)
        spans += _shifted(part, offset)
        if part.repeated:
            repeated = offset + part.repeated
        offset += len(lines[-1]) + 1
    text = "\n".join(lines)
    pages = [span.page for span in spans] or [part.block.page for part in slices]
    kinds = {part.block.kind for part in slices}
    return Chunk(
        text=text,
        section=section.path,
        page=min(pages),
        page_end=max(pages),
        kind=kinds.pop() if len(kinds) == 1 else group,
        language=language_of(text),
        spans=tuple(spans),
        windows=tuple(window_bounds(text)),
        section_number=number,
        repeated=repeated,
    )


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch without the white space at its ends; (end, end) or an empty stretch before it when there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _group(blocks: Sequence[Block], at: int) -> BlockKind:
    kind = blocks[at].kind
    if kind == "caption" and _TABLE_CAPTION.match(blocks[at].text):
        near = blocks[max(0, at - 1) : at + 2]
        return "table" if any(block.kind == "table" for block in near) else "paragraph"
    return kind if kind in ("table", "reference") else "paragraph"


def _shifted(part: Slice, offset: int) -> Iterator[Span]:
    """Spans of a slice in the chunk's text; one that the cut goes through keeps its share of the box, by printed width."""
    text, spans = part.block.text, part.block.spans
    first = bisect.bisect_right(spans, part.start, key=lambda span: span.end)  # they are sorted and do not overlap
    for at in range(first, len(spans)):
        span = spans[at]
        if span.start >= part.end:
            return
        start, end = max(span.start, part.start), min(span.end, part.end)
        x0, x1 = span.x0, span.x1
        if (start, end) != (span.start, span.end):
            whole = display_width(text[span.start : span.end]) or 1
            scale = (span.x1 - span.x0) / whole
            x0 = span.x0 + scale * display_width(text[span.start : start])
            x1 = span.x1 - scale * display_width(text[end : span.end])
        yield Span(start - part.start + offset, end - part.start + offset, span.page, x0, span.y0, x1, span.y1)
