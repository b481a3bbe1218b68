"""Rows whose header is known from markup -> the lines of a table block: "header: value | header: value" in every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.readers.rows import Row, named, table_block


def table_text(rows: Sequence[Row], header_rows: int) -> str:
    """The lines of a table whose first `header_rows` rows name its columns; empty when no cell holds text.

    Several header rows are joined column by column ("Precision / @5"). With none, the first row may look like one (rows.table_block).
    """
    filled = [row for row in rows if any(row)]
    header_rows -= sum(not any(row) for row in rows[:header_rows])
    if header_rows <= 0 or not filled:
        block = table_block(filled)
        return block.text if block else ""
    if len(filled) <= header_rows:
        return "\n".join(" | ".join(filter(None, row)) for row in filled)
    header = list(_merged(filled[:header_rows]))
    return "\n".join(named(header, row) for row in filled[header_rows:])


def _merged(rows: Sequence[Row]) -> Iterator[str]:
    for column in range(max(map(len, rows))):
        yield " / ".join(dict.fromkeys(row[column] for row in rows if column < len(row) and row[column]))
