"""Rows whose header is known from markup -> the lines of a table block: "header: value | header: value" in every row."""

from __future__ import annotations

from collections.abc import Sequence

from server.readers.rows import table_block
from server.readers.table_header import Row


def table_text(rows: Sequence[Row], header_rows: int) -> str:
    """The lines of a table whose first `header_rows` rows name its columns; empty when no cell holds text.

    Several header rows are joined column by column ("Precision / @5"). With none, the first row may look like one (rows.table_block).
    """
    block = table_block(rows, header=header_rows)
    return block.text if block else ""
