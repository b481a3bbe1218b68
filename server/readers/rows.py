"""Rows of cells -> table blocks that can stand alone: the header is found, and every value carries the name of its column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, takewhile

from server.errors import Unreadable
from server.types import Block

MAX_ROWS = 200_000
_SAMPLE = 30  # rows of a table among which its header is looked for
_LONGEST_NAME = 200  # characters of a column's name that every value repeats
_VALUE = re.compile(
    r"[(<>≤≥~±]?\s*[-+−]?[$€£¥]?(?:\d[\d.,  ]*|\.\d+)(?:[eE][-+]?\d+)?\s*[%‰)]?|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T][\d:.]+)?|[\d:.]+"
    r"|TRUE|FALSE|#\w+[/!?]?\w*[!?]?|NaN|NA|N/A|null|-+|—",
    re.IGNORECASE,
)

Row = Sequence[str]


def row_blocks(rows: Iterable[Row]) -> Iterator[Block]:
    """One block for each row of a sheet: "column: value | column: value"; what stands above the header is a paragraph.

    Rows are lists of cells with single spaces, "" where empty; an empty row parts two tables, the second of which may bring a
    header of its own. Columns grouped under a wider heading are named "group / column". Raises Unreadable above MAX_ROWS rows.
    """
    source = _counted(rows)
    names: list[str] = []
    for first in source:
        if not any(first):
            continue
        table = takewhile(any, chain([first], source))
        sample = list(islice(table, _SAMPLE))
        start, depth = _find_header(sample)
        if max(sum(map(bool, row)) for row in sample) == 1:  # titles and notes around the tables, or a list
            start, depth = len(sample), 0
        elif names and not (depth and _is_new_header(sample, start, depth)):
            start, depth = 0, 0
        for row in sample[:start]:
            yield Block("paragraph", " | ".join(filter(None, row)), 1)
        if depth:
            names = _names(sample[start : start + depth])
            if len(sample) == start + depth:  # a header without rows says something as well
                yield Block("table", " | ".join(filter(None, names)), 1)
        for row in chain(sample[start + depth :], table):
            yield Block("table", named(names, row), 1)


def table_block(rows: Sequence[Row], page: int = 1) -> Block | None:
    """A table of a text as one block with a line for each row, None when it is empty.

    Where the first row looks like a header (text, distinct), each line names its columns; else cells are joined by " | ".
    """
    rows = [row for row in rows if any(row)]
    if not rows:
        return None
    depth = 2 if len(rows) > 2 and _is_group(rows[0], rows[1]) else 1
    header = [cell for cell in rows[0] if cell]
    words = len(header) > 1 and all(rows[0][1:]) and len(set(header)) == len(header) and all(map(is_text, header))
    if depth == 2 or (words and len(rows) > 1):
        names = _names(rows[:depth])
        return Block("table", "\n".join(named(names, row) for row in rows[depth:]), page)
    return Block("table", "\n".join(" | ".join(filter(None, row)) for row in rows), page)


def named(names: Row, row: Row) -> str:
    """A row in one line, each cell with the name of its column: "name: cell | name: cell"; empty cells are left out."""
    return " | ".join(
        f"{names[column]}: {cell}" if column < len(names) and names[column] else cell for column, cell in enumerate(row) if cell
    )


def is_text(cell: str) -> bool:
    """Whether a cell holds words, no number, date or truth value."""
    return bool(cell) and not _VALUE.fullmatch(cell)


def one_line(text: str) -> str:
    """`text` with its white space reduced to single spaces."""
    return " ".join(text.split())


def number_text(value: float) -> str:
    """A number with the 15 digits that Excel shows at most, so that 0.1 + 0.2 is 0.3."""
    return f"{value + 0.0:.15g}"  # -0.0 + 0.0 is 0.0


def _counted(rows: Iterable[Row]) -> Iterator[Row]:
    number = 0
    for row in rows:
        number += any(row)
        if number > MAX_ROWS + 1:  # and a header
            raise Unreadable(f"the table has more than {MAX_ROWS} rows; split it into smaller files")
        yield row


def _find_header(sample: Sequence[Row]) -> tuple[int, int]:
    """(first row, number of rows) of the header; (0, 0) without one.

    It is the first row at least half as wide as the widest with three quarters of the most text cells, and the row of groups
    above or the row of names below it.
    """
    filled = [sum(map(bool, row)) for row in sample]
    words = [sum(map(is_text, row)) for row in sample]
    wide = [at for at in range(len(sample)) if 2 * filled[at] >= max(filled)]
    most = max(words[at] for at in wide)
    if most == 0:
        return 0, 0
    start = next(at for at in wide if words[at] >= 0.75 * most)
    if start and _is_group(sample[start - 1], sample[start]):
        return start - 1, 2
    if len(sample) > start + 2 and _is_group(sample[start], sample[start + 1]):
        return start, 2
    return start, 1


def _is_new_header(sample: Sequence[Row], start: int, depth: int) -> bool:
    """For a further table on a sheet: a row of distinct words with values below; else it goes on with the names above."""
    cells = [cell for cell in sample[start] if cell]
    values = any(cell and not is_text(cell) for row in sample[start + depth :] for cell in row)
    return len(cells) > 1 and all(map(is_text, cells)) and len(set(cells)) == len(cells) and values


def _is_group(upper: Row, lower: Row) -> bool:
    """Whether `upper` names groups of the columns that `lower` names: it leaves gaps to its right that `lower` fills."""
    top = [at for at, cell in enumerate(upper) if cell]
    low = [at for at, cell in enumerate(lower) if cell]
    if not top or len(low) < 2 or not all(is_text(upper[at]) for at in top) or not all(is_text(lower[at]) for at in low):
        return False
    if not any(at > top[0] and at not in top for at in low):
        return False
    names = [lower[at] for at in low]
    return len(set(names)) < len(names) or not set(top) <= set(low) or (len(top) > 1 and top[0] > low[0])


def _names(header: Sequence[Row]) -> list[str]:
    header = [[cell[:_LONGEST_NAME] for cell in row] for row in header]
    if len(header) == 1:
        return list(header[0])
    upper, lower = header
    names: list[str] = []
    group = ""
    for at in range(max(len(upper), len(lower))):
        above, below = (row[at] if at < len(row) else "" for row in (upper, lower))
        group = above or (group if below else "")
        names.append(" / ".join(dict.fromkeys(filter(None, (group, below)))))
    return names
