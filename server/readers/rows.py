"""Rows of cells -> table blocks that can stand alone: every value carries the name of its column, or of its row in a form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile

from server.errors import Unreadable
from server.readers.table_header import (
    Columns,
    Merged,
    Row,
    are_form,
    are_pairs,
    columns_of,
    header_rows,
    is_banner,
    is_group,
    joined_names,
    label_count,
    title_rows,
)
from server.types import Block

MAX_ROWS = 200_000
_SAMPLE = 30  # rows of a table among which its header is looked for
_JUDGED = 300  # rows of a table in a text: a header is told by those, so that a table of thousands of columns costs no minutes
_LONGEST_NAME = 200  # characters of a column's name that every value repeats; the whole name stands once above them


def row_blocks(rows: Iterable[Row]) -> Iterator[Block]:
    """One block for each row of a sheet: "column: value | column: value"; what stands above the header is a paragraph.

    Rows are lists of cells with single spaces, "" where empty. An empty row parts two tables; the second goes on below the names of
    the first if it has the same kinds of cells and no header of its own. Columns grouped under a wider heading are named
    "group / column"; two columns without a header read "name: value". Raises Unreadable above MAX_ROWS rows.
    """
    source = _counted(rows)
    known: Columns | None = None
    lone: Row = ()  # a single row right above, which may be the header of the next table
    for first in source:
        if not any(first):
            continue
        table = takewhile(any, chain([first], source))
        sample = list(islice(table, _SAMPLE))
        if all(is_banner(row) or sum(map(bool, row)) == 1 for row in sample):  # titles and notes around the tables, or a list
            yield from (Block("paragraph", plain(row), 1) for row in sample)
            continue
        layout = _layout(sample, known, lone)
        header, below = sample[layout.above : layout.above + layout.depth], sample[layout.above + layout.depth :]
        yield from (Block("paragraph", plain(row), 1) for row in sample[: layout.above])
        names: Row = ()
        if layout.columns is None:
            known = known if len(sample) == 1 else None
        else:
            known = layout.columns
            if header and (any(len(name) > _LONGEST_NAME for name in known.names) or not _all_used(known.names, below)):
                yield Block("table", " | ".join(filter(None, known.names)), 1)
            names = _shortened(known.names)
        for row in chain(below, table):
            yield Block("table", pair(row) if layout.pairs else named(names, row), 1)
        lone = sample[0] if len(sample) == 1 and layout.columns is None else ()


def table_block(rows: Sequence[Row], page: int = 1, header: int = 0) -> Block | None:
    """A table of a text as one block with a line for each row, None when it is empty; titles across the table are lines of their own.

    `header` rows are said to name the columns; with 0 they are looked for. Each line names its columns then; two columns without a
    header read "name: value"; else cells are joined by " | ", and the first line is the one to repeat where the table is cut.
    """
    header -= sum(not any(row) for row in rows[:header])
    rows = [row for row in rows if any(row)]
    if not rows:
        return None
    above = title_rows(rows, merged=header > 0)
    header -= above
    lines, body = [plain(row) for row in rows[:above]], rows[above:]
    if header <= 0 and are_pairs(body):
        return Block("table", "\n".join([*lines, *map(pair, body)]), page, header_lines=above)
    depth = header if header > 0 else header_rows(body[:_JUDGED], 0)
    if not 0 < depth < len(body):
        return Block("table", "\n".join([*lines, *map(plain, body)]), page, header_lines=above + (len(body) > 1))
    across = [row for at, row in enumerate(body[:depth]) if is_banner(row) and not is_group(row, body[at + 1])]
    lines += map(plain, across)
    names, below = joined_names([row for row in body[:depth] if row not in across]), body[depth:]
    if any(len(name) > _LONGEST_NAME for name in names) or not _all_used(names, below):
        lines.append(" | ".join(filter(None, names)))
    names = _shortened(names)
    return Block("table", "\n".join([*lines, *(named(names, row) for row in below)]), page, header_lines=above)


def named(names: Row, row: Row) -> str:
    """A row in one line, each cell with the name of its column: "name: cell | name: cell"; empty cells are left out.

    One cell across several columns belongs to none of them and stands alone.
    """
    if not names or is_banner(row):
        return plain(row)
    return " | ".join(
        f"{names[column]}: {cell}" if column < len(names) and names[column] else cell for column, cell in enumerate(row) if cell
    )


def plain(row: Row) -> str:
    """The cells of a row in one line, joined by " | "; one across several columns stands once."""
    cells: list[str] = []
    end = 0
    for at, cell in enumerate(row):
        if cell and (at >= end or cell != cells[-1]):
            cells.append(cell)
            end = at + (row.wide.get(at, 1) if isinstance(row, Merged) else 1)
    return " | ".join(cells)


def pair(row: Row) -> str:
    """The label and the value of a row as "label: value"; without a value, or without a label, the other alone."""
    cells = list(filter(None, row))
    if len(cells) < 2 or is_banner(row):
        return plain(row)
    return f"{cells[0].rstrip(':： ') or cells[0]}: {' | '.join(cells[1:])}"


def one_line(text: str) -> str:
    """`text` with its white space reduced to single spaces."""
    return " ".join(text.split())


def number_text(value: float) -> str:
    """A number with the 15 digits that Excel shows at most, so that 0.1 + 0.2 is 0.3."""
    return f"{value + 0.0:.15g}"  # -0.0 + 0.0 is 0.0


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the first rows of a table are read: `above` rows of titles, `depth` rows of a header, its columns; or pairs."""

    above: int
    depth: int = 0
    columns: Columns | None = None
    pairs: bool = False


def _layout(sample: Sequence[Row], known: Columns | None, lone: Row) -> _Layout:
    """The reading of a table below another one with the columns `known` and below the single row `lone`, if there are any."""
    above = title_rows(sample)
    body = sample[above:]
    if are_form(body):
        return _Layout(above, pairs=True)
    start, depth = _find_header(sample, above)
    own = columns_of(sample[start : start + depth], sample[start + depth :]) if depth else None
    if own is None or all(own.holds_text):  # it may as well go on with what stands above
        if known is not None and known.fit(body):
            return _Layout(above, columns=known)
        if lone and header_rows([lone, *body], 0) == 1 and not are_pairs([lone, *body]):
            return _Layout(above, columns=columns_of([lone], body))
    if are_pairs(body):
        return _Layout(above, pairs=True)
    return _Layout(start, depth, own)


def _find_header(sample: Sequence[Row], above: int) -> tuple[int, int]:
    """(first row, number of rows) of the header, which is below `above` rows of titles; no rows without one.

    It begins with the first row at least half as wide as the widest with three quarters of the most words and years, or with the
    groups above that row.
    """
    filled = [sum(map(bool, row)) for row in sample]
    labels = [label_count(row) for row in sample]
    wide = [at for at in range(above, len(sample)) if 2 * filled[at] >= max(filled)]
    most = max(labels[at] for at in wide)
    start = next(at for at in wide if labels[at] >= 0.75 * most)
    while start > 0 and is_group(sample[start - 1], sample[start]):
        start -= 1
    depth = header_rows(sample, start)
    return (start, depth) if depth else (above, 0)


def _counted(rows: Iterable[Row]) -> Iterator[Row]:
    number = 0
    for row in rows:
        number += any(row)
        if number > MAX_ROWS + 1:  # and a header
            raise Unreadable(f"the table has more than {MAX_ROWS} rows; split it into smaller files")
        yield row


def _shortened(names: Sequence[str]) -> list[str]:
    return [name[:_LONGEST_NAME] for name in names]


def _all_used(names: Sequence[str], below: Sequence[Row]) -> bool:
    used = {at for row in below if not is_banner(row) for at, cell in enumerate(row) if cell}
    return all(at in used for at, name in enumerate(names) if name)
