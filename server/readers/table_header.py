"""Rows of cells -> which of them name the columns: judged by how a row differs from what stands below it, and by merged cells.

A row is only taken for a header when that cannot turn data into names: a number above numbers is data, a year may name a column.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

_MOST_LEVELS = 5  # rows of a header
_LONGEST_LABEL = 120  # characters; longer cells are text, neither the name of a column nor that of a value
_LONGEST_VALUE = 100  # characters; the patterns below cost more than linear time
_VALUE = re.compile(
    r"[(<>≤≥~±]?\s*[-+−]?[$€£¥]?(?:\d[\d.,  ]*|\.\d+)(?:[eE][-+]?\d+)?\s*[%‰)]?|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T][\d:.]+)?|[\d:.]+"
    r"|TRUE|FALSE|#\w+[/!?]?\w*[!?]?|NaN|NA|N/A|null|-+|—",
    re.IGNORECASE,
)
_SPREAD = re.compile(r"[<>≤≥~≈]?\s*[-+−]?\d[\d.,]*\s*[%‰]?\s*(?:±|\+/-|[(\[])[\d\s.,;:%‰±()\[\]+/<>=*†‡–−-]*")  # 30 (5%), 0.9 ± 0.1
_MISSING = re.compile(r"#\w+[/!?]?\w*[!?]?|NaN|NA|N/A|null|-+|—", re.IGNORECASE)
_YEAR = re.compile(r"1[5-9]\d\d|2[01]\d\d")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T][\d:.]+)?")
_FIELD = re.compile(  # what forms ask for; two of them below each other name values, not columns
    r"(?:(?:full|first|last|family|given) )?names?|age|sex|gender|(?:date of )?birth(?:day)?|date|address|city|country|phone|e-?mail|"
    r"nationality|occupation|income|height|weight|"
    r"姓名|名字|年龄|性别|出生日期|日期|地址|城市|国家|国籍|电话|邮箱|职业|收入|身高|体重",
    re.IGNORECASE,
)

Row = Sequence[str]


class Merged(list[str]):
    """A row with merged cells: `wide` is how many columns the cell at a place takes, where more than one; the cells at the places
    `hung` hang down from the row above and are repeated here."""

    __slots__ = ("hung", "wide")

    def __init__(self, cells: Iterable[str], wide: dict[int, int], hung: Iterable[int] = ()) -> None:
        super().__init__(cells)
        self.wide = wide
        self.hung = frozenset(hung)


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a table's columns, and for each whether text (True) or values (False) stand below it, None when that is open."""

    names: list[str]
    holds_text: list[bool | None]

    def fit(self, rows: Sequence[Row]) -> bool:
        """Whether further rows go on below these names: in no other column, and with the same kind of cells in each."""
        for at in range(max(map(len, rows))):
            cells = _column(rows, at)
            if any(cells) and (at >= len(self.names) or (not self.names[at] and self.holds_text[at] is None)):
                return False
            kinds = {self.holds_text[at] if at < len(self.names) else None, _holds_text(cells)}
            if kinds == {True, False}:
                return False
        return True


def columns_of(header: Sequence[Row], below: Sequence[Row]) -> Columns:
    """The columns that `header` names, with the rows below it."""
    names = joined_names(header)
    return Columns(names, [_holds_text(_column(below, at)) for at in range(len(names))])


def joined_names(header: Sequence[Row]) -> list[str]:
    """The names in rows of headers, column by column: "group / name". A group ends where the next one begins."""
    spread = [_spread(row, header[number + 1 :]) for number, row in enumerate(header)]
    width = max(map(len, spread), default=0)
    return [" / ".join(dict.fromkeys(row[at] for row in spread if at < len(row) and row[at])) for at in range(width)]


def header_rows(rows: Sequence[Row], start: int) -> int:
    """How many rows from `start` name the columns of those below; 0 when the row at `start` may as well be data."""
    depth = _depth(rows, start)
    header, below = rows[start : start + depth], [row for row in rows[start + depth :] if not is_banner(row)]
    if not below:
        return 0
    verdicts = [_names_column(cell, _column(below, at)) for row in header for at, cell in enumerate(row) if cell]
    if min(verdicts, default=-1) < 0:
        return 0
    return depth if depth > 1 or max(verdicts) > 0 or _may_be_names(header[0], below) else 0


def title_rows(rows: Sequence[Row], *, merged: bool = False) -> int:
    """How many rows at the top are titles of the whole table: one cell above rows of several; only `merged` cells where it says so."""
    if max((len(_filled(row)) for row in rows if not is_banner(row)), default=0) < 2:
        return 0
    titles = len(list(takewhile(lambda row: is_banner(row) or (not merged and len(_filled(row)) == 1), rows)))
    return titles - (0 < titles < len(rows) and is_group(rows[titles - 1], rows[titles]))


def is_banner(row: Row) -> bool:
    """Whether a row is one cell across several columns, with nothing beside it: a title, or the name of the rows below."""
    if not isinstance(row, Merged) or not row.wide:
        return False
    filled = _filled(row)
    alone = len({row[at] for at in filled}) == 1
    return alone and filled[0] in row.wide and filled[-1] < filled[0] + row.wide[filled[0]]


def are_pairs(rows: Sequence[Row]) -> bool:
    """Whether rows of two columns read "name: value": distinct short labels, and no name above the values."""
    labels, values = _two_columns(rows)
    if not labels or len(set(labels)) < len(labels) or not all(is_text(label) and len(label) <= _LONGEST_LABEL for label in labels):
        return False
    return are_form(rows) or _holds_text(values[1:]) is not False or _kind(values[0]) == "number"


def are_form(rows: Sequence[Row]) -> bool:
    """Whether rows of two columns are a form: its labels end with colons, or the first and another are what forms ask for."""
    labels = list(filter(None, _two_columns(rows)[0]))
    colons = sum(label.endswith((":", "：")) for label in labels)
    fields = [_FIELD.fullmatch(label.rstrip(":： ")) is not None for label in labels]
    return bool(labels) and (2 * colons > len(labels) or (fields[0] and sum(fields) > 1))


def is_group(upper: Row, lower: Row) -> bool:
    """Whether `upper` names groups of the columns that `lower` names: its cells stand above several, or leave gaps that `lower` fills."""
    top, low = _filled(upper), _filled(lower)
    if not top or len(low) < 2 or not all(is_text(upper[at]) for at in top) or not all(_is_label(lower[at]) for at in low):
        return False
    if isinstance(upper, Merged) and upper.wide:
        if is_banner(upper) and top[0] <= low[0] and low[-1] < top[0] + upper.wide[top[0]]:
            return False  # a title of all columns
        own = [at for at in low if not (isinstance(lower, Merged) and at in lower.hung)]
        return any(bisect.bisect_left(own, at + wide) - bisect.bisect_left(own, at) > 1 for at, wide in upper.wide.items())
    if not any(at > top[0] and at not in top for at in low):
        return False
    names = [lower[at] for at in low]
    return len(set(names)) < len(names) or not set(top) <= set(low) or (len(top) > 1 and top[0] > low[0])


def is_text(cell: str) -> bool:
    """Whether a cell holds words, no number, date or truth value."""
    return len(cell) > _LONGEST_VALUE or (bool(cell) and not _VALUE.fullmatch(cell) and not _SPREAD.fullmatch(cell))


def label_count(row: Row) -> int:
    """How many cells of a row may be names: words and years."""
    return sum(map(_is_label, row))


def _depth(rows: Sequence[Row], start: int) -> int:
    """Rows of the header that begins at `start`, if one does: groups above names, merged cells, then additions to the names."""
    end = start + 1
    grouped = False
    while end + 1 < len(rows) and end < start + _MOST_LEVELS:
        upper, lower, below = rows[end - 1], rows[end], rows[end + 1 :]
        if is_group(upper, lower) and (end == start + 1 or isinstance(upper, Merged)):
            grouped = True
        elif not (_hangs(lower, below, grouped) or _goes_on(lower, below)):
            break
        end += 1
    return end - start


def _hangs(row: Row, below: Sequence[Row], grouped: bool) -> bool:
    """Whether cells of the header hang down into this row, which names columns where it has cells of its own."""
    if not isinstance(row, Merged) or not row.hung:
        return False
    own = [at for at in _filled(row) if at not in row.hung]
    return all(_is_label(row[at]) and (grouped or _names_column(row[at], _column(below, at)) > 0) for at in own)


def _goes_on(row: Row, below: Sequence[Row]) -> bool:
    """Whether a row below a header adds to its names (units, numbers of cases): words above values, and nothing in the first column."""
    filled = _filled(row)
    return (
        len(filled) > 1
        and filled[0] > 0
        and any(_column(below, 0))
        and all(is_text(row[at]) and _holds_text(_column(below, at)) is False for at in filled)
    )


def _names_column(cell: str, below: Sequence[str]) -> int:
    """1 when a cell differs from those below it as a name does, -1 when it is one of them, 0 when that is open."""
    kinds = [kind for kind in map(_kind, below) if kind]
    kind = _kind(cell)
    if not kinds or not kind:
        return 0
    if kind == "number" or (kind != "text" and 2 * kinds.count(kind) > len(kinds)):
        return -1
    return int(2 * kinds.count("text") < len(kinds))


def _may_be_names(row: Row, below: Sequence[Row]) -> bool:
    """Whether a row above words may name their columns: short distinct words without a gap, none of which comes again in its column."""
    filled = _filled(row)
    cells = [row[at] for at in filled]
    if len(cells) < 2 or len(set(cells)) < len(cells) or not all(row[1 : filled[-1] + 1]):
        return False
    if not all(_is_label(cell) and len(cell) <= _LONGEST_LABEL for cell in cells):
        return False
    others = [other for other in below if list(other) != list(row)]  # a header that is printed again on the next page
    return not any(row[at] in _column(others, at) for at in filled)


def _spread(row: Row, lower: Sequence[Row]) -> Row:
    """A row of a header with each group in all of its columns: those that it is merged over, else up to the next one."""
    if not lower:
        return row
    spread = list(row) + [""] * (max(map(len, lower)) - len(row))
    if isinstance(row, Merged) and row.wide:
        for at, wide in row.wide.items():
            for covered in range(at + 1, min(at + wide, len(spread))):
                spread[covered] = spread[covered] or spread[at]
        return spread
    group = ""
    for at, cell in enumerate(spread):
        below = any(at < len(other) and other[at] for other in lower)
        group = cell or (group if below else "")
        spread[at] = group
    return spread


def _two_columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """The cells of the two columns that several rows have, nothing when there are more or fewer; titles are no rows."""
    rows = [row for row in rows if not is_banner(row)]
    places = sorted({at for row in rows for at in _filled(row)})
    if len(places) != 2 or len(rows) < 2:
        return [], []
    return _column(rows, places[0]), _column(rows, places[1])


def _column(rows: Sequence[Row], at: int) -> list[str]:
    return [row[at] if at < len(row) else "" for row in rows]


def _filled(row: Row) -> list[int]:
    return [at for at, cell in enumerate(row) if cell]


def _holds_text(cells: Sequence[str]) -> bool | None:
    kinds = [kind for kind in map(_kind, cells) if kind]
    words = 2 * kinds.count("text")
    return None if words == len(kinds) else words > len(kinds)


def _is_label(cell: str) -> bool:
    return _kind(cell) in ("text", "year", "date")


def _kind(cell: str) -> str:
    """ "text", "number", "year" or "date"; "" for an empty cell and for marks of missing values, which fit into any column."""
    if is_text(cell):
        return "text"
    if not cell or _MISSING.fullmatch(cell):
        return ""
    return "year" if _YEAR.fullmatch(cell) else "date" if _DATE.fullmatch(cell) else "number"
