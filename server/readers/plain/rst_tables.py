"""The lines of a table in reStructuredText (grid, simple, csv-table, list-table) -> one block of lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from server.readers.table_header import Merged
from server.readers.table_lines import table_text

_GRID = re.compile(r"\s*\+(?:[-=]+\+)+\s*$")
_SIMPLE = re.compile(r"\s*=+(?:\s+=+)+\s*$")
_RUN = re.compile(r"=+")
_LIST_ROW, _LIST_CELL = re.compile(r"\* -(?:\s+|$)"), re.compile(r"  -(?:\s+|$)")
_MAX_COLUMNS = 1000

Plain = Callable[[str], str]


def is_grid(line: str) -> bool:
    """Whether this is a border of a grid table: "+----+----+"."""
    return line.lstrip().startswith("+-") and _GRID.match(line) is not None


def is_simple(line: str) -> bool:
    """Whether this is a border of a simple table: "==== ====", of two columns at least."""
    return line.lstrip().startswith("=") and _SIMPLE.match(line) is not None


def grid_text(lines: list[str]) -> str:
    """The table between the first and the last border; cells that span columns stand in the first of them, and those that span all in
    a line of their own."""
    edges = sorted({match.start() for line in lines if is_grid(line) for match in re.finditer(r"\+", line)})[: _MAX_COLUMNS + 1]
    rows: list[list[list[str]]] = []
    wide: list[dict[int, int]] = []
    header_rows = 0
    fresh = True
    for line in lines:
        if line.lstrip().startswith("+"):
            if "=" in line and not header_rows:
                header_rows = len(rows)
            fresh = True
            continue
        if fresh:
            rows.append([[] for _ in edges[1:]])
            wide.append({})
            fresh = False
        for column, columns, text in _cut(line, edges):
            rows[-1][column].append(text)
            if columns > 1:
                wide[-1][column] = columns
    texts = [[" ".join(filter(None, cell)) for cell in row] for row in rows]
    return table_text([Merged(row, spans) for row, spans in zip(texts, wide, strict=True)], header_rows)


def _cut(line: str, edges: list[int]) -> Iterator[tuple[int, int, str]]:
    """(first column, columns, text) of the cells in a line, cut where it has its bars."""
    bars = [column for column, edge in enumerate(edges) if line[edge : edge + 1] in ("|", "+")]
    for first, last in pairwise(bars):
        yield first, last - first, line[edges[first] + 1 : edges[last]].strip()


def simple_text(lines: list[str], plain: Plain) -> str:
    """The table from its first border to its last; a line whose first column is blank goes on with the row above."""
    columns = [match.start() for match in _RUN.finditer(lines[0])][:_MAX_COLUMNS]
    rows: list[list[str]] = []
    borders = [number for number, line in enumerate(lines) if is_simple(line)]
    header_rows = 0
    for number, line in enumerate(lines):
        if number == (borders[1] if len(borders) > 2 else -1):
            header_rows = len(rows)
        if not line.strip() or not line.strip("=- "):
            continue
        cells = [line[start:end].strip() for start, end in zip(columns, [*columns[1:], None], strict=True)]
        if rows and not cells[0] and len(rows) > header_rows:
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], map(plain, cells), strict=True)]
        else:
            rows.append([plain(cell) for cell in cells])
    return table_text(rows, header_rows)


def csv_text(lines: list[str], options: dict[str, str], plain: Plain) -> str:
    """The table of a csv-table directive, its header from the option or its first rows."""
    head = [options["header"]] if "header" in options else []
    try:
        rows = [
            [plain(" ".join(cell.split())) for cell in row] for row in csv.reader([*head, *filter(str.strip, lines)], skipinitialspace=True)
        ]
    except csv.Error:
        return "\n".join(line for line in lines if line.strip())
    return table_text(rows, len(head) or _count(options))


def list_text(lines: list[str], options: dict[str, str], plain: Plain) -> str:
    """The table of a list-table directive: "* - " begins a row, "  - " a cell."""
    rows: list[list[list[str]]] = []
    for line in lines:
        if match := _LIST_ROW.match(line):
            rows.append([[line[match.end() :]]])
        elif rows and (match := _LIST_CELL.match(line)):
            rows[-1].append([line[match.end() :]])
        elif rows:
            rows[-1][-1].append(line.strip())
    return table_text([[plain(" ".join(" ".join(cell).split())) for cell in row] for row in rows], _count(options))


def _count(options: dict[str, str]) -> int:
    value = options.get("header-rows", "0")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 4 else 0
