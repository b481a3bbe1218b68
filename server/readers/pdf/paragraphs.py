"""Columns of lines -> paragraphs, cut where the printing says so: a gap, an indent, a short line, another size or weight, a mark."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from server.language import CJK
from server.readers.headings import REFERENCES, is_known, number_level
from server.readers.pdf.formulas import formula_lines
from server.readers.pdf.layout import Column
from server.readers.pdf.page import Line
from server.readers.pdf.tables.detection import table_rows

REFERENCE_MARK = re.compile(r"\[\d{1,3}\]|\[[A-Za-z+]{1,8}\d{2,4}[a-z]?\]|\d{1,3}\.(?:\s|(?=[A-Z]))|〔\d{1,3}〕|［\d{1,3}］")
_CAPTION = re.compile(
    r"(?:(?:supplementary|extended data|supp\.?)\s+)?(?:figure|fig\.|fig|table|tab\.|algorithm|listing|scheme|abbildung|tabelle)\s*"
    r"(?:S\s?)?(?:\d+|[IVX]+\b)(?:\.\d+)*[a-z]?\s*(?P<mark>[.:|–—-])?|(?:附?图|附?表|算法|代码)\s*[A-ZS]?\d+(?:[-–.．]\d+)*\s*(?P<zh>[:：.．|])?",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"中|所示|[显展]示了?|给出|说明|比较了|识别了?|报告|列出|总结了|汇总了|表明|描述了?|可见|可知"
)  # "表 1 表明 ..." is text
_BULLET = re.compile(r"[•▪■◦‣●○◆➢►∙·–—*]\s?(?=\S)|[-]\s")
_NUMBERED = re.compile(r"\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]\s|[（(]\d{1,2}[)）]|[①-⑳]|\d{1,2}）")
_BARE_CHAPTER = re.compile(
    r"(?:chapter|part|kapitel|teil)\s+(?:\d{1,2}|[IVX]{1,5})[.:]?|第\s*[一二三四五六七八九十百\d]+\s*[章篇部]", re.IGNORECASE
)
_NOTE_MARK = re.compile(rf"(?:\d{{1,2}}|[*∗†‡§¶])\s?[A-Za-z“\"(\[{CJK}]")
LIST_MARK = re.compile(f"{_BULLET.pattern}|{_NUMBERED.pattern}")
_ENDS = re.compile(r"[.!?:;。！？：；…][\"'”’)\]」』）]*$")


@dataclass(slots=True)
class Paragraph:
    """Lines that belong together. `first` and `last`: at the top or the end of its column; `gap`: white above, in font sizes;
    `note`: small print below the text of its column, the first of it with a mark.
    """

    lines: list[Line]
    left: float
    right: float
    first: bool
    gap: float
    table: bool = False
    reference: bool = False
    last: bool = False
    note: bool = False
    formula: bool = False

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
        heights = [line.y0 for column in columns for line in column]
        middle = (min(heights) + max(heights)) / 2 if heights else 0.0
        for column in columns:
            made = _of_column(column, body, references)
            if made:
                made[-1].last = True
                _mark_notes(made, body, middle)
            result += _whole_headings(made, body)
    return result


def _mark_notes(made: Sequence[Paragraph], body: Body, middle: float) -> None:
    """Find the notes at the end of a column: small print in the lower half of the page, begun by a mark."""
    small = len(made)
    while small and made[small - 1].size < 0.93 * body.size and made[small - 1].lines[0].y0 > middle:
        small -= 1
    begun = False
    for paragraph in made[small:]:
        begun = begun or _NOTE_MARK.match(paragraph.lines[0].text) is not None
        paragraph.note = begun and not paragraph.table and not paragraph.reference and not is_caption(paragraph.lines[0].text, True)


def is_caption(text: str, small: bool) -> bool:
    """Whether a paragraph is a caption: "Figure 3:" always, "Figure 3 Shape of" when set small or short."""
    match = _CAPTION.match(text)
    if not match:
        return False
    if match["mark"] or match["zh"]:
        return True
    rest = text[match.end() :].lstrip()
    if _REFERS.match(rest):
        return False
    return not rest or (small and (rest[0].isupper() or re.match(f"[{CJK}]", rest) is not None))


class _References:
    """Whether the list of references has begun, and whether its entries are numbered."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._heading: Line | None = None
        self._size = 0.0  # of its entries, as the first one is set
        self.open = False
        self.marked = False

    def see(self, line: Line) -> bool:
        """Take note of a line that begins a paragraph; whether that paragraph is a reference. Labels of figures are not."""
        text = line.text.strip()
        if REFERENCES.match(text):
            self.open, self.marked, self._heading, self._size = True, False, line, 0.0
            return False
        if self.open and REFERENCE_MARK.match(text):
            self.marked = True
        elif self.open and (is_known(text) or self._is_heading(line)):
            self.open = False
        if self.open and not self._size:
            self._size = line.size
        return self.open and abs(line.size - self._size) < 0.13 * self._size

    def _is_heading(self, line: Line) -> bool:
        heading = self._heading
        if heading is None or len(line.text) > 100 or line.size < heading.size - 0.3:
            return False
        return line.bold if heading.bold and not self._body.bold else line.size > 1.08 * self._body.size


@dataclass(frozen=True, slots=True)
class _Edges:
    """Where the lines of a column begin and end; `justified` when most of them end exactly there; `hanging` when the lines of its
    references, or of all where there are none, do not begin at the left.
    """

    left: float
    right: float
    justified: bool
    hanging: bool

    @classmethod
    def of(cls, column: Column, size: float, in_references: bool) -> _Edges:
        text = [line for line in column if not line.table and len(line.cells) < 2] or column
        long = [line for line in text if len(line.words) > 3 or len(line.text) > 20] or text
        lefts, rights = sorted(line.x0 for line in long), sorted(line.x1 for line in long)
        left = lefts[len(lefts) // 20]
        begin, times = Counter(round(line.x0) for line in long).most_common(1)[0]
        if times > 0.4 * len(long) and begin - left < size:  # punctuation hangs out
            left = max(left, begin - 0.5)
        usual = Counter(round(line.x1) for line in long).most_common(1)[0][0]
        there = sum(abs(line.x1 - usual) < 1.2 for line in long)
        justified = len(long) > 3 and there > 0.4 * len(long)
        begin_at = 0 if in_references else next((at for at, line in enumerate(column) if REFERENCES.match(line.text.strip())), 0)
        entries = column[begin_at:]
        hanging = sum(line.x0 > left + 0.5 * size for line in entries) > 0.35 * len(entries)
        often = justified or (there > 2 and usual > median(rights))  # formulas and tables may stick out
        return cls(left, usual if often else rights[-1 - len(rights) // 20], justified, hanging)


def _of_column(column: Column, body: Body, references: _References) -> list[Paragraph]:
    edges = _Edges.of(column, body.size, references.open)
    column = _inline_code(column, edges, body)
    tables = table_rows(column, body.size)
    formulas = formula_lines(column, edges.left, edges.right, body.size)
    formulas = {at: first for at, first in formulas.items() if at not in tables}
    result: list[Paragraph] = []
    for at, line in enumerate(column):
        before = column[at - 1] if at else None
        fixed = at in tables or at in formulas
        same = before is not None and tables.get(at) == tables.get(at - 1) and formulas.get(at) == formulas.get(at - 1)
        if before is not None and same and (fixed or not _begins(column, at, result[-1], edges, body)):
            goes_on = not references.open or not result[-1].reference or not _entry_begins(line, before, edges, references)
            if goes_on or fixed:
                result[-1].lines.append(line)
                continue
        gap = (line.y1 - before.y1) / body.size - body.pitch if before else 9.0
        made = Paragraph([], edges.left, edges.right, before is None, gap, at in tables, formula=at in formulas)
        made.reference = references.see(line) and not made.formula
        made.lines.append(line)
        result.append(made)
    return result


def _inline_code(column: Column, edges: _Edges, body: Body) -> Column:
    """`column` with the lines of a paragraph that are mostly names of functions taken for text: they fill the column from edge to
    edge, or end a sentence that the line above has not ended.
    """
    made = list(column)
    for at, line in enumerate(column):
        flush = abs(line.x0 - edges.left) < 1.5 or (at > 0 and abs(line.x0 - column[at - 1].x0) < 1.5)
        if line.code and flush and 0.75 * body.size < line.size < 1.15 * body.size:
            fills = edges.justified and abs(line.x1 - edges.right) < 2 and line.size > 0.93 * body.size
            before = made[at - 1] if at else line
            goes_on = not before.code and before.x1 > edges.right - 2 * line.size and not _ENDS.search(before.text)
            if fills or (goes_on and before.size > 0.93 * body.size and line.y1 - before.y1 < 1.15 * body.pitch * body.size):
                made[at] = replace(line, code=False, size=body.size)
    return made


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
    flows = _flows(column, at, lines, edges, usual)
    if abs(size - before.size) > (0.15 if flows else 0.1) * size and not symbols:
        return True
    if REFERENCES.match(before.text.strip()) or REFERENCES.match(text.strip()):
        return True
    if line.bold != before.bold and not symbols and not (flows and (len(lines) > 1 or is_caption(lines[0].text, True))):
        return True
    if paragraph.reference and abs(line.x0 - lines[0].x0) > 0.4 * size:
        return line.x0 < lines[0].x0
    if paragraph.reference and (edges.hanging or any(each.x0 > lines[0].x0 + 0.4 * size for each in lines)):
        return not edges.hanging
    return _set_apart(column, at, lines, edges, body)


def _flows(column: Column, at: int, lines: list[Line], edges: _Edges, usual: float) -> bool:
    """Whether the line above fills its column without ending a sentence, and column[at] stands below it as lines of text do."""
    line, before = column[at], column[at - 1]
    full = before.x1 > edges.right - line.size or _as_long(lines)
    flush = line.x0 < edges.left + 0.5 * line.size or abs(line.x0 - before.x0) < 1.5
    return full and flush and not _ENDS.search(before.text) and line.y1 - before.y1 < 1.2 * usual


def _as_long(lines: list[Line]) -> bool:
    """Whether the last line ends where the one above it does: the right edge of a paragraph narrower than its column."""
    return len(lines) > 1 and abs(lines[-1].x1 - lines[-2].x1) < 1.5


def _set_apart(column: Column, at: int, lines: list[Line], edges: _Edges, body: Body) -> bool:
    """Whether indents, short lines or marks make column[at] the beginning of a paragraph."""
    line, before = column[at], column[at - 1]
    left, right, size, text = edges.left, edges.right, line.size, line.text
    ended = _ENDS.search(before.text) is not None
    short = before.x1 < right - max(2.5 * size, 0.08 * (right - left)) and not _as_long(lines)
    middle = abs((line.x0 + line.x1) - (left + right)) < 2 * size
    was_middle = abs((before.x0 + before.x1) - (left + right)) < 2 * size and before.x1 < right - 0.5 * size
    centred = middle and was_middle
    shift = line.x0 - before.x0
    if short and (ended or (edges.justified and not centred)):
        return True
    if was_middle and before.x0 > left + 2 * size and not (middle and line.x0 > left + size) and abs(shift) > 1.5:
        return True
    if len(lines) == 1 and short and (is_known(before.text) or (number_level(before.text) and number_level(text))):
        return True
    if len(lines) == 1 and before.x1 < left + 0.6 * (right - left) and len(text) > len(before.text) and number_level(before.text):
        return True  # so short a first line is a heading
    goes_on = not ended and before.x1 > right - 0.5 * size  # indented or not, this is the next line of its sentence
    if not centred and not goes_on and shift > 0.7 * size and not (_BULLET.match(before.text) or _NUMBERED.match(before.text)):
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
            named = (
                _BARE_CHAPTER.fullmatch(before.text) is not None and other.size > one.size - 0.3 and other.y0 - one.y1 < 2.5 * other.size
            )
            if (styled and same and close and number_level(before.text) and not number_level(other.text)) or (styled and named):
                before.lines.append(other)
                before.last = paragraph.last
                continue
        result.append(paragraph)
    return result
