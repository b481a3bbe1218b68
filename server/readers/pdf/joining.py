"""Paragraphs in reading order -> the same, those that a column end, a page end, a float or a note had cut in two whole again.

What stands between the two halves comes after the paragraph: captions, tables, listings, notes, the labels of a figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from server.language import is_wide
from server.readers.pdf.page import Line
from server.readers.pdf.paragraphs import LIST_MARK, REFERENCE_MARK, Body, Paragraph, is_caption

# "short" is a line of running text's size that fills no line: the end of a paragraph, a label, a formula
Part = Literal["heading", "text", "reference", "float", "code", "small", "short"]

_UNFINISHED = re.compile(
    r"[^.!?:。！？：…\"”)）]$|\b(?:e\.g|i\.e|et al|cf|vs|resp|approx|figs?|eqs?|secs?|refs?|bzw|z\. ?B|d\. ?h|vgl|abb)\.$", re.IGNORECASE
)
_SMALL = 0.93  # of the font size of running text: below it is small print
_FARTHEST = 80  # paragraphs looked back: the labels of one large figure


def whole(found: Sequence[Paragraph], levels: Mapping[int, int], body: Body) -> tuple[list[Paragraph], dict[int, int]]:
    """`found` with the halves of paragraphs joined, and the level of each heading by its new index."""
    parts = [_part(paragraph, at in levels, body) for at, paragraph in enumerate(found)]
    columns: list[int] = []
    for paragraph in found:
        columns.append((columns[-1] if columns else 0) + paragraph.first)
    halves: dict[int, int] = {}  # index of a second half -> index of the paragraph that it belongs to
    for at, paragraph in enumerate(found):
        if parts[at] not in ("text", "reference", "short") or not (paragraph.first or (at and parts[at - 1] in ("float", "code", "small"))):
            continue
        before = _first_half(found, parts, columns, at)
        if before is not None:
            halves[at] = before = halves.get(before, before)
            found[before].lines.extend(paragraph.lines)
            found[before].left, found[before].right, found[before].last = paragraph.left, paragraph.right, paragraph.last
    kept = [at for at in range(len(found)) if at not in halves]
    return [found[at] for at in kept], {new: levels[old] for new, old in enumerate(kept) if old in levels}


def _part(paragraph: Paragraph, is_heading: bool, body: Body) -> Part:
    line = paragraph.lines[0]
    if is_heading:
        return "heading"
    if line.code and not paragraph.table:
        return "code"
    if paragraph.table or is_caption(line.text, paragraph.size < 0.95 * body.size or len(paragraph.lines) <= 2):
        return "float"
    if paragraph.reference:
        return "reference"
    if paragraph.note or paragraph.size < _SMALL * body.size:
        return "small"
    if paragraph.formula:
        return "short"
    return "text" if any(map(_is_running, paragraph.lines)) else "short"


def _is_running(line: Line) -> bool:
    """Whether a line is long enough for running text, and no formula."""
    return line.x1 - line.x0 > 10 * line.size and line.maths < 0.3 and (len(line.words) > 3 or is_wide(line.words[0].text[0]))


def _first_half(found: Sequence[Paragraph], parts: Sequence[Part], columns: Sequence[int], at: int) -> int | None:
    """The index of the paragraph that found[at] goes on with; None when it begins one.

    Short lines are passed, as labels of a figure, only where their column also holds a caption or a table between the halves.
    """
    wanted = "reference" if parts[at] == "reference" else "text"
    floats: set[int] = set()
    labels: set[int] = set()
    for before in range(at - 1, max(-1, at - _FARTHEST), -1):
        part = parts[before]
        if part in ("float", "code"):
            floats.add(columns[before])
        elif part == wanted:
            same_column = columns[before] == columns[at]
            if not labels <= floats or (same_column and "float" not in parts[before + 1 : at]):
                return None
            if (same_column or parts[at] == "short") and _begins_large(found[before], found[at]):
                return None
            goes_on = _entry_goes_on if wanted == "reference" else _goes_on
            return before if goes_on(found[before], found[at], bool(floats) or parts[at] == "short") else None
        elif part == "short" and parts[at] != "reference":
            labels.add(columns[before])
        elif part != "small":
            return None
    return None


def _begins_large(first: Paragraph, second: Paragraph) -> bool:
    """Whether `second` begins as a sentence does, and no hyphen before it says otherwise."""
    start = second.lines[0].text[0]
    return not start.islower() and not is_wide(start) and not first.lines[-1].text.endswith("-")


def _goes_on(first: Paragraph, second: Paragraph, apart: bool) -> bool:
    """Whether `second` finishes what `first` began; `apart`: a float stands between, so that more must speak for it."""
    before, line = first.lines[-1], second.lines[0]
    text, start = before.text, line.text[0]
    if not _same_style(before, line) or _UNFINISHED.search(text) is None or LIST_MARK.match(line.text):
        return False
    indented = len(second.lines) > 1 and line.x0 > second.lines[1].x0 + 0.7 * line.size
    full = before.x1 > first.right - max(2.5 * line.size, 0.15 * (first.right - first.left))
    if is_wide(text[-1]) or is_wide(start):
        return full and not indented
    if start.islower() or (text.endswith("-") and start.isalpha()):
        return not apart or (full and not indented)
    return full and not indented


def _entry_goes_on(first: Paragraph, second: Paragraph, apart: bool) -> bool:
    """Whether `second` is the rest of the reference `first`: it bears no mark, and hangs as entries do or begins in small letters."""
    before, line = first.lines[-1], second.lines[0]
    if REFERENCE_MARK.match(line.text) or not _same_style(before, line):
        return False
    if line.x0 > second.left + 0.4 * line.size or line.text[0].islower():
        return True
    hanging = any(other.x0 > first.lines[0].x0 + 0.4 * line.size for other in first.lines[1:2])
    return _UNFINISHED.search(before.text) is not None and not hanging and not apart


def _same_style(before: Line, line: Line) -> bool:
    return abs(before.size - line.size) <= 0.1 * line.size and before.bold == line.bold
