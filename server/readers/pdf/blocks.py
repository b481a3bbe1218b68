"""Paragraphs -> blocks under their headings: captions, tables, equations, notes, references told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.readers.headings import Outline
from server.readers.pdf.floats import floats_of, whole_captions, without_ticks
from server.readers.pdf.formula_order import in_order
from server.readers.pdf.headings import heading_levels
from server.readers.pdf.joining import whole
from server.readers.pdf.layout import TABLE_CAPTION, Column
from server.readers.pdf.page import Line, Page
from server.readers.pdf.paragraphs import Body, Paragraph, is_caption, paragraphs
from server.readers.pdf.run_in import run_in_heads
from server.readers.pdf.tables.grid import Grid
from server.readers.pdf.tables.text import grid_of, table_text
from server.readers.pdf.text import Vocabulary, block_text
from server.types import Block, BlockKind

_CELLS, _LINES = " | ", " "  # between cells; the other keeps lines as lines


@dataclass(frozen=True, slots=True)
class _Part:
    """A block to be; `labels` are the lines of the figure that a caption stands under."""

    kind: BlockKind
    lines: list[Line]
    labels: list[Line] = field(default_factory=list)


def build_outline(pages: Sequence[Page], columns: Sequence[Sequence[Column]], vocabulary: Vocabulary) -> Outline:
    """The sections of the document with their blocks; a figure's labels stand behind its caption at the end of its section."""
    body = Body.of(columns)
    found = paragraphs(columns, body)
    found, levels = whole(found, heading_levels(found, body), body)
    found, levels = whole_captions(found, levels, body)
    if len(levels) == len(found):  # headings of nothing
        levels = {}
    heads = run_in_heads(found, levels)
    labels = floats_of(found, levels, body)
    apart = {at for ats in labels.values() for at in ats}
    outline = Outline()
    blocks = _Blocks(pages, vocabulary, outline)
    for at, paragraph in enumerate(found):
        if at in apart:
            continue
        if at in levels:
            blocks.flush()
            title = block_text(paragraph.lines, pages, vocabulary)[0]
            outline.open(levels[at], title.strip(), paragraph.lines[0].page)
            continue
        kind = _kind(paragraph, body)
        if at in heads and kind == "paragraph":
            blocks.flush()
            outline.open(*heads[at], paragraph.lines[0].page)
        lines = in_order(paragraph.lines) if kind == "formula" else paragraph.lines
        blocks.waiting.append(_Part(kind, lines, without_ticks([line for other in labels.get(at, ()) for line in found[other].lines])))
    blocks.flush()
    return outline


class _Blocks:
    """The parts of the open section, which become blocks when it ends."""

    def __init__(self, pages: Sequence[Page], vocabulary: Vocabulary, outline: Outline) -> None:
        self.waiting: list[_Part] = []
        self._pages, self._vocabulary, self._outline = pages, vocabulary, outline
        self._grid: Grid | None = None  # of the last table, for one that goes on without a head

    def flush(self) -> None:
        """Add the blocks: a table's caption before it, figures with labels last."""
        parts = _captions_first(self.waiting)
        for part in (part for part in parts if not part.labels):
            self._add(part)
        for part in (part for part in parts if part.labels):
            self._add(part)
            self._add_text("caption", part.labels, _LINES)
        self.waiting.clear()

    def _add(self, part: _Part) -> None:
        if part.kind != "table":
            self._add_text(part.kind, part.lines, _LINES if part.kind == "code" else "")
            return
        grid = grid_of(part.lines, self._pages, self._grid)
        if grid is None:
            self._add_text("table", part.lines, _CELLS)
            return
        self._grid = grid
        text, spans = table_text(grid, self._pages, self._vocabulary)
        self._outline.add(Block("table", text, part.lines[0].page, spans, header_lines=0 if any(grid.heads) else 1))

    def _add_text(self, kind: BlockKind, lines: Sequence[Line], separator: str) -> None:
        text, spans = block_text(lines, self._pages, self._vocabulary, separator)
        if text.strip():
            self._outline.add(Block(kind, text, lines[0].page, spans, header_lines=int(kind == "table")))


def _captions_first(parts: Sequence[_Part]) -> list[_Part]:
    """The parts with the caption that is printed below a table before it."""
    ordered = list(parts)
    at = 0
    while at + 1 < len(ordered):
        table, caption = ordered[at], ordered[at + 1]
        below = table.kind == "table" and _is_table_caption(caption) and caption.lines[0].page == table.lines[-1].page
        if below and not (at and _is_table_caption(ordered[at - 1])) and not _is_nearer(caption, table, ordered[at + 2 : at + 3]):
            ordered[at], ordered[at + 1] = caption, table
            at += 1
        at += 1
    return ordered


def _is_table_caption(part: _Part) -> bool:
    return part.kind == "caption" and TABLE_CAPTION.match(part.lines[0].text) is not None


def _is_nearer(caption: _Part, table: _Part, following: Sequence[_Part]) -> bool:
    """Whether the caption belongs to a table that follows it."""
    if not following or following[0].kind != "table" or following[0].lines[0].page != caption.lines[-1].page:
        return False
    return following[0].lines[0].y0 - caption.lines[-1].y1 < caption.lines[0].y0 - table.lines[-1].y1


def _kind(paragraph: Paragraph, body: Body) -> BlockKind:
    if paragraph.table:
        return "table"
    if paragraph.formula:
        return "formula"
    if paragraph.note:
        return "footnote"
    if all(line.code for line in paragraph.lines) and not paragraph.reference:
        return "code"
    if is_caption(paragraph.text, paragraph.size < 0.95 * body.size or len(paragraph.lines) <= 2):
        return "caption"
    return "reference" if paragraph.reference else "paragraph"
