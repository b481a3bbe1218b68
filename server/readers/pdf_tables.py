"""A column of lines -> which of them are rows of a table: lines with wide gaps, several in sequence, no vector graphics needed."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from server.readers.headings import number_level
from server.readers.pdf_layout import TABLE_CAPTION, Column
from server.readers.pdf_page import Line

_LIST_MARK = re.compile(r"[•▪■◦‣●○◆➢►∙·–—*-]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]|[（(]\d{1,2}[)）]|\[\d{1,3}\]")
_EQUATION_NUMBER = re.compile(r"[(（]\s*[A-Z]?\.?\d+(?:\.\d+)*[a-z]?\s*[)）]")
_DOTS = re.compile(r"(?:\. ?){4}")
_LONGEST_CELL_LINE = 90  # characters; longer ones are running text


def table_rows(column: Column, size: float) -> set[int]:
    """Indexes of rows in `column`, `size` being that of running text.

    Two rows suffice near a table's caption; without one, four, three of them with three cells or more.
    """
    rows = [_is_row(line) for line in column]
    found: set[int] = set()
    at = 0
    while at < len(column):
        if not rows[at]:
            at += 1
            continue
        last = _last_row(column, rows, at, size)
        count = sum(rows[at : last + 1])
        wide = sum(len(line.cells) > 1 for line in column[at : last + 1])
        if (_caption_near(column, at, last) and count >= 2) or (count >= 4 and wide >= 3):
            found |= set(range(at, last + 1))
            _align(column[at : last + 1])
        at = last + 1
    return found


def _last_row(column: Column, rows: list[bool], first: int, size: float) -> int:
    """The last row of the table that may begin at `first`; up to two lines between rows may be further lines of a cell."""
    last = at = first
    while at < len(column) and at - last < 3 and column[at].y0 - column[last].y1 < 2.5 * size:
        if rows[at]:
            last = at
        elif len(column[at].text) > _LONGEST_CELL_LINE or TABLE_CAPTION.match(column[at].text):
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
