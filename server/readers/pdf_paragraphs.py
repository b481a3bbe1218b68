"""Columns of lines -> paragraphs, cut where the printing says so: a gap, an indent, a short line, another size or weight, a mark."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from server.language import CJK
from server.readers.headings import REFERENCES, is_known, number_level
from server.readers.pdf_layout import Column
from server.readers.pdf_page import Line
from server.readers.pdf_tables import table_rows

REFERENCE_MARK = re.compile(r"\[\d{1,3}\]|\[[A-Za-z+]{1,8}\d{2,4}[a-z]?\]|\d{1,3}\.(?:\s|(?=[A-Z]))|〔\d{1,3}〕|［\d{1,3}］")
_CAPTION = re.compile(
    r"(?:(?:supplementary|extended data|supp\.?)\s+)?(?:figure|fig\.|fig|table|tab\.|algorithm|listing|scheme|abbildung|tabelle)\s*"
    r"(?:S\s?)?(?:\d+|[IVX]+\b)(?:\.\d+)*[a-z]?\s*(?P<mark>[.:|–—-])?|(?:附?图|附?表|算法|代码)\s*[A-ZS]?\d+(?:[-–.．]\d+)*\s*(?P<zh>[:：.．|])?",
    re.IGNORECASE,
)
_BULLET = re.compile(r"[•▪■◦‣●○◆➢►∙·–—*]\s?(?=\S)|[-]\s")
_NUMBERED = re.compile(r"\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]\s|[（(]\d{1,2}[)）]|[①-⑳]|\d{1,2}）")
_ENDS = re.compile(r"[.!?:;。！？：；…][\"'”’)\]」』）]*$")


@dataclass(slots=True)
class Paragraph:
    """Lines that belong together. `first` and `last`: at the top or the end of its column; `gap`: white above, in font sizes."""

    lines: list[Line]
    left: float
    right: float
    first: bool
    gap: float
    table: bool = False
    reference: bool = False
    last: bool = False

    @property
    def text(self) -> str:
        """The lines with spaces between, for rules; not for showing."""
        return " ".join(line.text for line in self.lines)

    @property
    def size(self) -> float:
        """Font size of the first line."""
        return self.lines[0].size

    @property
    def bold(self) -> bool:
        """Whether every line is bold."""
        return all(line.bold for line in self.lines)


@dataclass(frozen=True, slots=True)
class Body:
    """How running text is set in this document: font size in points, line pitch in font sizes, whether bold."""

    size: float
    pitch: float
    bold: bool

    @classmethod
    def of(cls, pages: Sequence[Sequence[Column]]) -> Body:
        """Measured over all columns, weighed by characters."""
        styles: Counter[tuple[float, bool]] = Counter()
        for line in (line for columns in pages for column in columns for line in column):
            styles[(line.size, line.bold)] += sum(len(word.text) for word in line.words)
        size, bold = styles.most_common(1)[0][0] if styles else (10.0, False)
        pitches = [
            (line.y1 - before.y1) / size
            for column in (column for columns in pages for column in columns)
            for before, line in itertools.pairwise(column)
            if abs(line.size - size) < 0.3 and abs(before.size - size) < 0.3 and 0.8 * size < line.y1 - before.y1 < 3 * size
        ]
        return cls(size, median(pitches) if pitches else 1.2, bold)


def paragraphs(pages: Sequence[Sequence[Column]], body: Body) -> list[Paragraph]:
    """All paragraphs in reading order."""
    references = _References(body)
    result: list[Paragraph] = []
    for columns in pages:
        for column in columns:
            made = _of_column(column, body, references)
            if made:
                made[-1].last = True
            result += _whole_headings(made, body)
    return result


def is_caption(text: str, small: bool) -> bool:
    """Whether a paragraph is a caption: "Figure 3:" always, "Figure 3 Shape of" when set small or short."""
    match = _CAPTION.match(text)
    if not match:
        return False
    if match["mark"] or match["zh"]:
        return True
    rest = text[match.end() :].lstrip()
    return not rest or (small and (rest[0].isupper() or re.match(f"[{CJK}]", rest) is not None))


class _References:
    """Whether the list of references has begun, and whether its entries are numbered."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._heading_size = 0.0
        self.open = False
        self.marked = False

    def see(self, line: Line) -> bool:
        """Take note of a line that begins a paragraph; whether that paragraph is a reference."""
        text = line.text.strip()
        if REFERENCES.match(text):
            self.open, self.marked, self._heading_size = True, False, line.size
            return False
        if self.open and REFERENCE_MARK.match(text):
            self.marked = True
        elif self.open:
            strong = line.size > 1.08 * self._body.size or (line.bold and not self._body.bold)
            if is_known(text) or (strong and line.size > self._heading_size - 0.3 and len(text) < 100):
                self.open = False
        return self.open


@dataclass(frozen=True, slots=True)
class _Edges:
    """Where the lines of a column begin and end; `justified` when most of them end exactly there."""

    left: float
    right: float
    justified: bool
    hanging: bool

    @classmethod
    def of(cls, column: Column, size: float) -> _Edges:
        long = [line for line in column if len(line.words) > 3 or len(line.text) > 20] or column
        lefts, rights = sorted(line.x0 for line in long), sorted(line.x1 for line in long)
        left = lefts[len(lefts) // 20]
        usual = Counter(round(line.x1) for line in long).most_common(1)[0][0]
        justified = len(long) > 3 and sum(abs(line.x1 - usual) < 1.2 for line in long) > 0.4 * len(long)
        hanging = sum(line.x0 > left + 0.5 * size for line in column) > 0.35 * len(column)
        return cls(left, usual if justified else rights[-1 - len(rights) // 20], justified, hanging)


def _of_column(column: Column, body: Body, references: _References) -> list[Paragraph]:
    edges = _Edges.of(column, body.size)
    tables = table_rows(column, body.size)
    result: list[Paragraph] = []
    for at, line in enumerate(column):
        before = column[at - 1] if at else None
        if before is not None and (at in tables) == result[-1].table and (at in tables or not _begins(column, at, result[-1], edges, body)):
            goes_on = not references.open or not result[-1].reference or not _entry_begins(line, before, edges, references)
            if goes_on or at in tables:
                result[-1].lines.append(line)
                continue
        gap = (line.y1 - before.y1) / body.size - body.pitch if before else 9.0
        made = Paragraph([], edges.left, edges.right, before is None, gap, at in tables)
        made.reference = references.see(line)
        made.lines.append(line)
        result.append(made)
    return result


def _entry_begins(line: Line, before: Line, edges: _Edges, references: _References) -> bool:
    """Whether this line begins a new reference where nothing else shows it."""
    if references.marked:
        return REFERENCE_MARK.match(line.text) is not None and line.x0 < edges.left + 2.5 * line.size
    out = line.x0 < edges.left + 0.4 * line.size
    return edges.hanging and out and (before.x0 > edges.left + 0.4 * line.size or _ENDS.search(before.text) is not None)


def _begins(column: Column, at: int, paragraph: Paragraph, edges: _Edges, body: Body) -> bool:
    """Whether column[at] begins a new paragraph after `paragraph`, whose last line is the one above."""
    line, before, lines = column[at], column[at - 1], paragraph.lines
    size, text = line.size, line.text
    pitch = line.y1 - before.y1
    usual = lines[-1].y1 - lines[-2].y1 if len(lines) > 1 else body.pitch * max(size, before.size)
    symbols = min(len(text), len(before.text)) < 3  # their size and weight say nothing
    if pitch > 1.3 * usual + 0.15 * size and pitch > 1.1 * body.pitch * size:
        return not line.code or not before.code or pitch > 3 * size
    if paragraph.reference and REFERENCE_MARK.match(lines[0].text):
        return abs(size - before.size) > 0.15 * size and not symbols and pitch > 1.1 * body.pitch * size
    if line.code != before.code and not symbols and max(len(text), len(before.text)) > 8:
        return True
    if line.code:
        return False
    if abs(size - before.size) > 0.1 * size and not symbols:
        return True
    if REFERENCES.match(before.text.strip()) or REFERENCES.match(text.strip()):
        return True
    if line.bold != before.bold and not symbols:
        return True
    if paragraph.reference and edges.hanging:
        return False
    return _set_apart(column, at, lines, edges, body)


def _set_apart(column: Column, at: int, lines: list[Line], edges: _Edges, body: Body) -> bool:
    """Whether indents, short lines or marks make column[at] the beginning of a paragraph."""
    line, before = column[at], column[at - 1]
    left, right, size, text = edges.left, edges.right, line.size, line.text
    ended = _ENDS.search(before.text) is not None
    short = before.x1 < right - max(2.5 * size, 0.08 * (right - left))
    middle = abs((line.x0 + line.x1) - (left + right)) < 2 * size
    was_middle = abs((before.x0 + before.x1) - (left + right)) < 2 * size
    centred = middle and was_middle
    if short and (ended or (edges.justified and not centred)):
        return True
    if was_middle and before.x0 > left + 2 * size and not (middle and line.x0 > left + size):
        return True
    if len(lines) == 1 and short and (is_known(before.text) or (number_level(before.text) and number_level(text))):
        return True
    shift = line.x0 - before.x0
    if not centred and shift > 0.7 * size and not (_BULLET.match(before.text) or _NUMBERED.match(before.text)):
        following = column[at + 1] if at + 1 < len(column) else None
        return following is None or following.x0 < line.x0 - 0.4 * size or ended
    if not centred and shift < -0.7 * size and len(lines) > 1:
        return ended or short
    if _BULLET.match(text) and (ended or short or shift < -0.3 * size):
        return True
    if is_caption(text, size < 0.95 * body.size) and (ended or short):
        return True
    return _NUMBERED.match(text) is not None and ended and (short or shift < -0.3 * size)


def _whole_headings(found: list[Paragraph], body: Body) -> list[Paragraph]:
    """A numbered heading whose second line hangs below its words, or is centred, becomes one paragraph."""
    result: list[Paragraph] = []
    for paragraph in found:
        before = result[-1] if result else None
        if before is not None and len(before.lines) < 3 and len(paragraph.lines) == 1 and not before.table and not paragraph.table:
            one, other = before.lines[-1], paragraph.lines[0]
            styled = one.bold > body.bold or one.size > 1.08 * body.size
            same = one.size == other.size and one.bold == other.bold and one.family == other.family
            close = other.y1 - one.y1 < 1.6 * one.size and not _ENDS.search(one.text)
            if styled and same and close and number_level(before.text) and not number_level(other.text):
                before.lines.append(other)
                before.last = paragraph.last
                continue
        result.append(paragraph)
    return result
