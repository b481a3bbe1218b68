"""The rows of a table element (HTML, JATS) -> one block of lines; spans are laid out, headers named in every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from server.readers.rows import named
from server.readers.table_lines import table_text

MAX_REPEATED = 10_000  # cells of a table that spans may repeat, so that "rowspan=65534" costs no memory
_MAX_COLUMNS = 1000  # what browsers allow
_LONGEST_REPEATED = 200  # characters; a longer cell stands once


def table_lines(table: Any, text_of: Callable[[Any], str]) -> str:
    """The text of a table that holds no other table; `text_of` gives the text of a cell. Header rows are those of <th> alone or in
    <thead>; in a table of two columns whose first is <th>, each row reads "name: value"."""
    rows: list[list[str]] = []
    header_rows = 0
    pairs = True
    for marks, row in _grid(table, text_of):
        in_head, all_head, first_head = marks
        if header_rows == len(rows) and (in_head or (all_head and len(row) > 1)):
            header_rows += 1
        pairs = pairs and len(row) == 2 and first_head and not all_head
        rows.append(row)
    if pairs and rows:
        return "\n".join(filter(None, (named(row[:1], ["", row[1]]) if not row[0] else _pair(row) for row in rows)))
    return table_text(rows, header_rows)


def _pair(row: list[str]) -> str:
    name, value = row
    return f"{name.rstrip(':：')}: {value}" if value else name


def _grid(table: Any, text_of: Callable[[Any], str]) -> Iterator[tuple[tuple[bool, bool, bool], list[str]]]:
    """((in <thead>, all <th>, first <th>), texts) of each row; a cell that spans several places stands in each, if short."""
    room = MAX_REPEATED
    hanging: dict[int, tuple[int, str]] = {}  # column -> (further rows, text)
    for line in table.iter("tr"):
        row: list[str] = []
        heads: list[bool] = []
        for cell in line.iterchildren("td", "th"):
            room -= _hang(row, hanging)
            text = text_of(cell)
            heads.append(cell.tag == "th")
            wide, high = _span(cell, "colspan"), _span(cell, "rowspan")
            repeated = text if len(text) <= _LONGEST_REPEATED else ""
            for at in range(min(wide, 1 + max(0, room))):
                if high > 1 and room > 0:
                    hanging[len(row)] = (high - 1, repeated)
                row.append(text if at == 0 else repeated)
            room -= wide - 1
            if len(row) > _MAX_COLUMNS:
                break
        room -= _hang(row, hanging)
        if room <= 0:
            hanging.clear()
        if heads:
            yield (line.getparent().tag == "thead", all(heads), heads[0]), row


def _hang(row: list[str], hanging: dict[int, tuple[int, str]]) -> int:
    """Put the texts that hang down into the next places of `row`; how many there were."""
    count = 0
    while len(row) in hanging:
        left, text = hanging.pop(len(row))
        if left > 1:
            hanging[len(row)] = (left - 1, text)
        row.append(text)
        count += 1
    return count


def _span(cell: Any, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(max(int(value), 1), _MAX_COLUMNS) if value.isascii() and value.isdigit() and len(value) < 8 else 1
