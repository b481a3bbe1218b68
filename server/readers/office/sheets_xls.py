"""An Excel workbook of the format before 2007 (.xls) -> a document like that of .xlsx: sheets as sections, rows as blocks."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.office.container import require, told
from server.readers.office.sheets import Sheet, date_text, sheets_document
from server.readers.rows import number_text, one_line
from server.types import Document

MAX_BYTES = 500 * 2**20  # the whole file is held in memory


def read_xls(path: Path) -> Document:
    """The visible sheets of a workbook; formulas by their stored results, dates as ISO; percentages as plain shares (25% is 0.25).

    Raises Unreadable when it is damaged, protected, another type of file, has no text or more rows than `rows.MAX_ROWS` on a sheet.
    """
    import xlrd

    require(path)
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"the workbook is larger than {MAX_BYTES // 2**20} MiB; split it into smaller files")
    with told(path):
        try:
            book = xlrd.open_workbook(file_contents=path.read_bytes(), logfile=io.StringIO(), on_demand=True, ragged_rows=True)
        except xlrd.XLRDError as exc:
            if "encrypted" in str(exc):
                raise Unreadable("the workbook is protected with a password; open it in Excel, remove the password, save it again") from exc
            raise
        with book:
            sheets = [(name, book.sheet_by_name(name)) for name in book.sheet_names()]
            visible = [Sheet(name, _rows(sheet, book.datemode)) for name, sheet in sheets if not sheet.visibility]
            return sheets_document(path, "", visible, [name for name, sheet in sheets if sheet.visibility])


def _rows(sheet: Any, datemode: int) -> Iterator[list[str]]:
    from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH

    epoch = MAC_EPOCH if datemode else WINDOWS_EPOCH
    for row in range(sheet.nrows):
        yield [_text(kind, value, epoch) for kind, value in zip(sheet.row_types(row), sheet.row_values(row), strict=True)]


def _text(kind: int, value: Any, epoch: datetime.datetime) -> str:
    import xlrd

    if kind == xlrd.XL_CELL_TEXT:
        return one_line(value)
    if kind == xlrd.XL_CELL_NUMBER:
        return number_text(value)
    if kind == xlrd.XL_CELL_DATE:
        return date_text(value, epoch)
    if kind == xlrd.XL_CELL_BOOLEAN:
        return "TRUE" if value else "FALSE"
    return str(xlrd.error_text_from_code.get(value, "")) if kind == xlrd.XL_CELL_ERROR else ""
