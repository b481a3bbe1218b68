"""The rows of a table element (HTML, JATS) -> one block of lines; spans are laid out, headers named in every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from server.readers.rows import pair, table_block
from server.readers.table_header import Merged, Row, is_banner

MAX_REPEATED = 10_000  # cells of a table that spans may repeat, so that "rowspan=65534" costs no memory
_MAX_COLUMNS = 1000  # what browsers allow
_LONGEST_REPEATED = 200  # characters; a longer cell stands once


class Lines(NamedTuple):
    """The text of a table, and how many of its lines to repeat where it is cut."""

    text: str
    header_lines: int = 0


def table_lines(table: Any, text_of: Callable[[Any], str]) -> Lines:
    """The lines of a table that holds no other table; `text_of` gives the text of a cell.

    Header rows are those of <th> alone or in <thead>. In a table of two columns whose first is <th>, each row reads "name: value". A
    cell that spans all columns is a line of its own.
    """
    rows: list[Row] = []
    header_rows = 0
    titles = pairs = True
    for marks, row in _grid(table, text_of):
        in_head, all_head, first_head = marks
        banner = is_banner(row)
        titles = titles and banner
        if header_rows == len(rows) and (in_head or (all_head and len(row) > 1) or titles):
            header_rows += 1
        pairs = pairs and (banner or (len(row) == 2 and first_head and not all_head))
        rows.append(row)
    if pairs and not all(map(is_banner, rows)):
        return Lines("\n".join(filter(None, map(pair, rows))))
    block = table_block(rows, header=header_rows)
    return Lines(block.text, block.header_lines) if block else Lines("")


def _grid(table: Any, text_of: Callable[[Any], str]) -> Iterator[tuple[tuple[bool, bool, bool], Row]]:
    """((in <thead>, all <th>, first <th>), texts) of each row; a cell that spans several places stands in each, if short."""
    room = MAX_REPEATED
    hanging: dict[int, tuple[int, str]] = {}  # column -> (further rows, text)
    for line in table.iter("tr"):
        row: list[str] = []
        heads: list[bool] = []
        merged: dict[int, int] = {}
        hung: list[int] = []
        for cell in line.iterchildren("td", "th"):
            room -= _hang(row, hanging, hung)
            text = text_of(cell)
            heads.append(cell.tag == "th")
            wide, high = _span(cell, "colspan"), _span(cell, "rowspan")
            if wide > 1:
                merged[len(row)] = wide
            repeated = text if len(text) <= _LONGEST_REPEATED else ""
            for at in range(min(wide, 1 + max(0, room))):
                if high > 1 and room > 0:
                    hanging[len(row)] = (high - 1, repeated)
                row.append(text if at == 0 else repeated)
            room -= wide - 1
            if len(row) > _MAX_COLUMNS:
                break
        room -= _hang(row, hanging, hung)
        if room <= 0:
            hanging.clear()
        if heads:
            yield (line.getparent().tag == "thead", all(heads), heads[0]), Merged(row, merged, hung)


def _hang(row: list[str], hanging: dict[int, tuple[int, str]], hung: list[int]) -> int:
    """Put the texts that hang down into the next places of `row`, which go into `hung`; how many there were."""
    count = 0
    while len(row) in hanging:
        left, text = hanging.pop(len(row))
        if left > 1:
            hanging[len(row)] = (left - 1, text)
        hung.append(len(row))
        row.append(text)
        count += 1
    return count


def _span(cell: Any, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(max(int(value), 1), _MAX_COLUMNS) if value.isascii() and value.isdigit() and len(value) < 8 else 1
