"""Paragraphs -> blocks under their headings: captions, tables, notes, references told apart; paragraphs joined over page ends."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from server.language import is_wide
from server.readers.headings import Outline
from server.readers.pdf_headings import heading_levels
from server.readers.pdf_layout import Column
from server.readers.pdf_page import Line, Page
from server.readers.pdf_paragraphs import Body, Paragraph, is_caption, paragraphs
from server.readers.pdf_text import Vocabulary, block_text
from server.types import Block, BlockKind

_FRONT_PAGES = 3  # where "Abstract—The text" opens a section
_RUN_IN = re.compile(r"(abstract|summary|keywords|key words|index terms|摘\s*要|关键词|关键字)\s*(?:[:：—–.-]|】)\s*", re.IGNORECASE)
_NOTE = re.compile(r"(?:\d{1,2}|[*∗†‡§¶])\s?[A-Z\u4e00-\u9fff“(h]")
_WORD = re.compile(r"[^\W\d_]{3,}|[\u4e00-\u9fff]{2,}")
_MATH = re.compile(r"[=∑∫≤≥∈→∂√±×∏∀∃⊂∪∩+<>|\u2100-\u214f\U0001d400-\U0001d7ff\ufffd]")
_EQUATION_NUMBER = re.compile(r"[(（]\s*[A-Z]?\.?\d+(?:\.\d+)*[a-z]?\s*[)）]$")
_SEPARATORS: dict[BlockKind, str] = {"table": " | ", "code": " "}
_UNFINISHED = re.compile(r"[^.!?:。！？：…\"”)）\]]$")


def build_outline(pages: Sequence[Page], columns: Sequence[Sequence[Column]], vocabulary: Vocabulary) -> Outline:
    """The sections of the document with their blocks."""
    body = Body.of(columns)
    found = paragraphs(columns, body)
    levels = heading_levels(found, body)
    if len(levels) == len(found):  # headings of nothing
        levels = {}
    outline = Outline()
    waiting: list[tuple[BlockKind, list[Line]]] = []  # blocks of the open section; lines may still be added

    def flush() -> None:
        for kind, lines in waiting:
            text, spans = block_text(lines, pages, vocabulary, _SEPARATORS.get(kind, ""))
            if text.strip():
                outline.add(Block(kind, text, lines[0].page, spans))
        waiting.clear()

    for at, paragraph in enumerate(found):
        if at in levels:
            flush()
            title = block_text(paragraph.lines, pages, vocabulary)[0]
            outline.open(levels[at], title.strip(), paragraph.lines[0].page)
            continue
        kind = _kind(found, at, body)
        match = _RUN_IN.match(paragraph.text) if kind == "paragraph" and paragraph.lines[0].page <= _FRONT_PAGES else None
        if match and len(paragraph.text) > match.end():
            flush()
            outline.open(1, match[1].strip(), paragraph.lines[0].page)
        target = _continued(waiting, paragraph, kind)
        if target is not None:
            target.extend(paragraph.lines)
        else:
            waiting.append((kind, list(paragraph.lines)))
    flush()
    return outline


def _kind(found: Sequence[Paragraph], at: int, body: Body) -> BlockKind:
    paragraph = found[at]
    if paragraph.table:
        return "table"
    if all(line.code for line in paragraph.lines) and not paragraph.reference:
        return "code"
    small = paragraph.size < 0.95 * body.size
    if is_caption(paragraph.text, small or len(paragraph.lines) <= 2):
        return "caption"
    if paragraph.reference:
        return "reference"
    if paragraph.size < 0.93 * body.size and _NOTE.match(paragraph.text):
        for other in itertools.islice(found, at, None):
            if other.size >= 0.93 * body.size:
                break
            if other.last:
                return "footnote"
    return "formula" if _is_formula(paragraph.text) else "paragraph"


def _is_formula(text: str) -> bool:
    """Whether a short paragraph is mostly symbols."""
    if len(text) > 200 or not (_MATH.search(text) or _EQUATION_NUMBER.search(text)):
        return len(text) < 4
    return sum(map(len, _WORD.findall(text))) < 0.35 * len(text.replace(" ", ""))


def _continued(waiting: list[tuple[BlockKind, list[Line]]], paragraph: Paragraph, kind: BlockKind) -> list[Line] | None:
    """The lines of the paragraph that this one goes on with, from the column or page before."""
    if kind == "formula" and waiting and waiting[-1][0] == "formula" and not paragraph.first:
        return waiting[-1][1]
    if not paragraph.first or kind not in ("paragraph", "reference"):
        return None
    for other, lines in reversed(waiting):
        if other == kind:
            before, line = lines[-1], paragraph.lines[0]
            if before.size < 0.93 * line.size:
                continue  # small print at the end of a page
            if abs(before.size - line.size) > 0.1 * line.size or before.bold != line.bold:
                return None
            start, text = line.text[0], before.text
            indented = line.x0 > paragraph.left + 0.7 * line.size and len(paragraph.lines) > 1
            goes_on = start.islower() or (text.endswith("-") and start.isalpha()) or (_UNFINISHED.search(text) is not None and not indented)
            if kind == "paragraph" and is_wide(text[-1]):
                goes_on = _UNFINISHED.search(text) is not None and not indented
            return lines if goes_on and (start.islower() or _UNFINISHED.search(text)) else None
        if other not in ("caption", "footnote", "table", "code"):
            return None
    return None
