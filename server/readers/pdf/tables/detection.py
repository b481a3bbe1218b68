"""A column of lines -> which of them are rows of a table: those between printed rules, and lines with wide gaps, several in sequence."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from server.readers.headings import number_level
from server.readers.pdf.layout import TABLE_CAPTION, Column
from server.readers.pdf.page import Line

_LIST_MARK = re.compile(r"[•▪■◦‣●○◆➢►∙·–—*-]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]|[（(]\d{1,2}[)）]|\[\d{1,3}\]")
_EQUATION_NUMBER = re.compile(r"[(（]\s*[A-Z]?\.?\d+(?:\.\d+)*[a-z]?\s*[)）]")
_DOTS = re.compile(r"(?:\. ?){4}")
_MOST_MATHS = 0.2  # mean share of maths characters in the lines of a table without a caption; above it they are equations
_LONGEST_CELL_LINE = 90  # characters; longer ones are running text


def table_rows(column: Column, size: float) -> dict[int, int]:
    """The lines of `column` that are rows, by their index, each with a number that its table has in this column; `size` is of text.

    Without rules two rows suffice near a table's caption; elsewhere four, three of them with three cells or more.
    """
    rows = [not line.table and _is_row(line) for line in column]
    found = {at: line.table for at, line in enumerate(column) if line.table}
    at = 0
    while at < len(column):
        if not rows[at]:
            at += 1
            continue
        last = _last_row(column, rows, at, size)
        count = sum(rows[at : last + 1])
        wide = sum(len(line.cells) > 1 for line in column[at : last + 1])
        text = sum(line.maths for line in column[at : last + 1]) < _MOST_MATHS * (last + 1 - at)
        if (_caption_near(column, at, last) and count >= 2) or (count >= 4 and wide >= 3 and text):
            found |= dict.fromkeys(range(at, last + 1), -1 - at)
            _align(column[at : last + 1])
        at = last + 1
    return found


def _last_row(column: Column, rows: list[bool], first: int, size: float) -> int:
    """The last row of the table that may begin at `first`; up to two lines between rows may be further lines of a cell."""
    last = at = first
    while at < len(column) and at - last < 3 and column[at].y0 - column[last].y1 < 2.5 * size:
        if rows[at]:
            last = at
        elif column[at].table or len(column[at].text) > _LONGEST_CELL_LINE or TABLE_CAPTION.match(column[at].text):
            break
        at += 1
    return last


def _align(rows: list[Line]) -> None:
    """Begin a cell where the cells of other rows begin, also when the gap before it is narrow."""
    starts = Counter(round(line.words[cell].x0) for line in rows for cell in line.cells)
    usual = [start for start, times in starts.items() if times >= max(2, 0.3 * len(rows))]
    for line in rows:
        cells = set(line.cells)
        for at, (before, word) in enumerate(itertools.pairwise(line.words), 1):
            if at not in cells and word.x0 - before.x1 > 0.2 * line.size and any(abs(word.x0 - start) < 1.5 for start in usual):
                cells.add(at)
        line.cells = sorted(cells)


def _is_row(line: Line) -> bool:
    if not line.cells or _DOTS.search(line.text):
        return False
    if len(line.cells) > 1:
        return True
    first = " ".join(word.text for word in line.words[: line.cells[0]])
    last = "".join(word.text for word in line.words[line.cells[0] :])
    if number_level(f"{first} X") or _LIST_MARK.fullmatch(first) or _EQUATION_NUMBER.fullmatch(last):
        return False
    return len(line.text) <= _LONGEST_CELL_LINE


def _caption_near(column: Column, first: int, last: int) -> bool:
    return any(TABLE_CAPTION.match(line.text) for line in (*column[max(0, first - 6) : first], *column[last + 1 : last + 3]))
