"""A table of an OpenDocument file -> its rows with merged cells laid out, and how many of them it marks as its header."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from server.readers.table_header import Merged, Row

TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_COVERED = f"{TABLE}covered-table-cell"
_HEADER = f"{TABLE}table-header-rows"
_GROUPS = (_HEADER, f"{TABLE}table-row-group", f"{TABLE}table-rows")
_MOST_REPEATED = 64  # columns and rows that one element may stand for and that are still written out


def rows_of(table: Any) -> Iterator[Any]:
    """The rows of a table, also those in groups and headers; not those of tables inside it."""
    for child in table:
        if child.tag == f"{TABLE}table-row":
            yield child
        elif child.tag in _GROUPS:
            yield from rows_of(child)


def header_count(rows: Sequence[Any]) -> int:
    """How many rows at the top stand in the group of header rows."""
    return len(list(takewhile(lambda row: any(group.tag == _HEADER for group in row.iterancestors(*_GROUPS)), rows)))


def is_covered(cell: Any) -> bool:
    """Whether a cell lies under a merged one, so that nobody sees what it holds."""
    return bool(cell.tag == _COVERED)


def laid_rows(rows: Sequence[Any], text_of: Callable[[Any], str]) -> list[Row]:
    """The texts of all cells at the places of their columns; a cell merged with those below stands in each of its rows.

    `text_of` is asked for every cell, and what it says of a covered one is left out.
    """
    laid: list[Row] = []
    hanging: dict[int, tuple[int, int, str]] = {}  # column -> further rows, columns, text
    for row in rows:
        texts: list[str] = []
        wide: dict[int, int] = {}
        hung: list[int] = []
        for cell in row:
            text = text_of(cell)
            columns, lines = _number(cell, "number-columns-spanned"), _number(cell, "number-rows-spanned")
            for _ in range(_number(cell, "number-columns-repeated")):
                place = len(texts)
                if is_covered(cell):
                    lines, columns, text = hanging.pop(place, (0, 1, ""))
                    if text:
                        hung.append(place)
                if columns > 1:
                    wide[place] = columns
                if lines > 1:
                    hanging[place] = (lines - 1, columns, text)
                texts.append(text)
        times = _number(row, "number-rows-repeated") if any(texts) else 1
        laid += [Merged(texts, wide, hung)] * times
    return laid


def _number(element: Any, name: str) -> int:
    return max(1, min(int(element.get(f"{TABLE}{name}", 1)), _MOST_REPEATED))
