"""A table of a Word file -> its rows with merged cells laid out, and how many of them it marks as its header."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from server.readers.office.word_styles import W
from server.readers.table_header import Merged

CONTAINERS = frozenset(f"{W}{tag}" for tag in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag"))
_MOST_COLUMNS = 64  # that one cell or gap may take and that are still written out


def rows_of(table: Any) -> list[Any]:
    """The rows of a table that no change deletes, those inside controls and changes too."""
    return [row for row in _inside(table, "tr") if row.find(f"{W}trPr/{W}del") is None]


def cells_of(row: Any) -> list[Any]:
    """The cells of a row, those inside controls and changes too."""
    return list(_inside(row, "tc"))


def header_count(rows: Sequence[Any]) -> int:
    """How many rows at the top are marked to be repeated on every page."""
    return len(list(takewhile(_is_header, rows)))


def laid_rows(rows: Sequence[Any], text_of: Callable[[Any], str]) -> list[Merged]:
    """The texts of all cells at the places of their columns; a cell merged with those below stands in each of its rows."""
    laid: list[Merged] = []
    for row in rows:
        texts = [""] * _number(row, f"{W}trPr/{W}gridBefore", 0)
        wide: dict[int, int] = {}
        hung: list[int] = []
        for cell in cells_of(row):
            place, span = len(texts), max(1, _number(cell, f"{W}tcPr/{W}gridSpan", 1))
            text = text_of(cell)
            if not text and laid and place < len(laid[-1]) and laid[-1][place] and _continues(cell):
                text = laid[-1][place]
                hung.append(place)
            if span > 1:
                wide[place] = span
            texts += [text, *[""] * (span - 1)]
        laid.append(Merged(texts, wide, hung))
    return laid


def _inside(parent: Any, tag: str) -> Iterator[Any]:
    for child in parent:
        if child.tag == f"{W}{tag}":
            yield child
        elif child.tag in CONTAINERS:
            yield from _inside(child, tag)


def _is_header(row: Any) -> bool:
    mark = row.find(f"{W}trPr/{W}tblHeader")
    return mark is not None and mark.get(f"{W}val", "true") not in ("0", "false", "off")


def _continues(cell: Any) -> bool:
    merge = cell.find(f"{W}tcPr/{W}vMerge")
    return merge is not None and merge.get(f"{W}val", "continue") == "continue"


def _number(element: Any, path: str, default: int) -> int:
    found = element.find(path)
    return default if found is None else min(int(found.get(f"{W}val") or default), _MOST_COLUMNS)
