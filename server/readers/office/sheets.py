"""An Excel workbook (.xlsx) -> a document: each visible sheet is a section, each row a block that names its columns.

The parts are read as a stream: openpyxl takes 12 s for a million cells and as long for two million formatted empty ones, this 4.4 s
and 1.8 s, and openpyxl does not tell a formula without a stored result from an empty cell. Its rules for dates are used.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.language import language_of
from server.readers.office.container import opened
from server.readers.office.identity import is_title
from server.readers.office.package import Package
from server.readers.office.sheet_merges import Merges
from server.readers.rows import number_text, one_line, row_blocks
from server.readers.table_header import Row
from server.types import Document, Section

_COLUMNS = 16_384  # of a sheet, by the format
MAX_CHARACTERS = 200 * 2**20  # of all cells; a bomb refers to one long text many times
_REL_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
_EAST_ASIAN_DATES = frozenset((*range(27, 37), *range(50, 59)))  # built-in formats of Chinese, Japanese and Korean Excel
_ZEROS = re.compile(r"0{2,30}")  # a format that shows numbers with zeros in front
_COLUMN = re.compile(r"[A-Z]{1,3}")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # how the format writes characters that XML cannot


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet's name and its rows of cells, "" where empty; they are read while being taken."""

    name: str
    rows: Iterator[Row]


@dataclass(slots=True)
class _Book:
    """What the cells of all sheets need: the shared texts, the kind of each cell style, the first day, and what was missing."""

    texts: list[str]
    styles: list[str]  # "date", "duration", "percent", "000" for three digits at least, or ""
    epoch: datetime.datetime
    hidden: list[str] = field(default_factory=list)  # a line for each sheet with hidden rows or columns
    formulas: int = 0  # without a stored result
    characters: int = 0


def read_xlsx(path: Path) -> Document:
    """The visible sheets of a workbook; formulas by their stored results, dates as ISO, percentages as shown.

    Raises Unreadable when it is damaged, protected, another type of file, has no text or more rows than `rows.MAX_ROWS` on a sheet.
    """
    with opened(path) as archive:
        package = Package(archive)
        main = package.first("officeDocument")
        workbook = package.xml(main)
        parts = package.related(main)
        book = _Book(_shared_texts(package, main), _styles(package, main), _epoch(workbook))
        visible: list[Sheet] = []
        hidden: list[str] = []
        for sheet in workbook.iter("{*}sheet"):
            part = parts.get(sheet.get(_REL_ID, ""))
            if part is None or part.kind != "worksheet":  # charts and old macros have no cells
                continue
            if sheet.get("state", "visible") != "visible":
                hidden.append(sheet.get("name", ""))
            else:
                visible.append(Sheet(sheet.get("name", ""), _rows(package, part.name, sheet.get("name", ""), book)))
        title, _ = package.core()
        document = sheets_document(path, title, visible, hidden, book.hidden)
    if not book.formulas:
        return document
    warning = f"{book.formulas} formulas have no stored result and were left out; open the file in Excel or LibreOffice and save it"
    return replace(document, warnings=(*document.warnings, warning))


def sheets_document(path: Path, title: str, visible: Sequence[Sheet], hidden: Sequence[str], unseen: Sequence[str] = ()) -> Document:
    """The document of a workbook's sheets. `hidden` are the names of those left out; `unseen`, filled while the rows are taken, holds
    a line for each sheet with hidden rows or columns. Raises Unreadable when there is no text."""
    sections: list[Section] = []
    for sheet in visible:
        try:
            blocks = tuple(row_blocks(sheet.rows))
        except Unreadable as exc:
            raise Unreadable(f"sheet {sheet.name!r}: {exc}") from exc
        if blocks:
            sections.append(Section(1, (one_line(sheet.name) or path.stem,), 1, blocks))
    if not sections:
        place = " but on hidden sheets; show them" if hidden else " but in hidden rows and columns; show them" if unseen else ""
        raise Unreadable(f"the workbook holds no text{place}{' and save it again' if place else ''}")
    warnings = (f"hidden sheets were left out: {', '.join(hidden)}",) if hidden else ()
    sample = "\n".join(block.text for section in sections for block in section.blocks[:200])
    return Document(title if is_title(title) else path.stem, 1, language_of(sample), tuple(sections), (*warnings, *unseen))


def date_text(serial: float, epoch: datetime.datetime, *, duration: bool = False) -> str:
    """A count of days since `epoch` as an ISO date, time or both; a duration as hours:minutes:seconds; impossible days as numbers."""
    from openpyxl.utils.datetime import from_excel

    try:
        moment = from_excel(serial, epoch, timedelta=duration)
    except (OverflowError, ValueError):  # Excel shows ##### for these
        return number_text(serial)
    if isinstance(moment, datetime.timedelta):
        seconds = round(moment.total_seconds())
        return f"{'-' if seconds < 0 else ''}{abs(seconds) // 3600}:{abs(seconds) // 60 % 60:02}:{abs(seconds) % 60:02}"
    return moment.isoformat(" ").removesuffix(" 00:00:00") if isinstance(moment, datetime.datetime) else str(moment.isoformat())


def _rows(package: Package, part: str, sheet: str, book: _Book) -> Iterator[Row]:
    """The visible rows of a sheet in order, one empty row where numbers are skipped; cells without content are not looked at."""
    from lxml import etree

    filled = etree.XPath("*[*]")
    with package.open(part) as stream:
        merges = Merges(stream)
    expected = 1
    unseen_rows = 0
    hidden: set[int] = set()  # columns
    unseen_columns: set[int] = set()  # those of them that hold text
    for row in _elements(package, part, "row", "col"):
        if row.tag.endswith("}col"):
            if _is_hidden(row):
                hidden.update(range(int(row.get("min", 1)) - 1, min(int(row.get("max", 1)), _COLUMNS)))
            continue
        number = int(row.get("r", expected))
        if number > expected:
            yield []
        expected = number + 1
        cells: list[str] = []
        for cell in filled(row):
            if text := _cell(cell, book):
                reference = cell.get("r")
                place = _column(reference.rstrip("0123456789")) if reference else len(cells)
                cells += [""] * (place + 1 - len(cells))
                if place in hidden:
                    unseen_columns.add(place)
                    text = ""
                cells[place] = text
        laid = merges.laid(number, cells)
        if _is_hidden(row):
            unseen_rows += any(cells)
        else:
            yield laid
    unseen = ((unseen_rows, "rows"), (len(unseen_columns), "columns"))
    if any(count for count, _ in unseen):
        book.hidden.append(f"sheet {sheet!r}: hidden {' and '.join(f'{kind} ({count})' for count, kind in unseen if count)} were left out")


def _is_hidden(element: Any) -> bool:
    return element.get("hidden") in ("1", "true")


def _elements(package: Package, name: str, *tags: str) -> Iterator[Any]:
    """The elements with these tags, one by one, each forgotten when the next is asked for."""
    from lxml import etree

    with package.open(name) as stream:
        for _, element in etree.iterparse(
            stream, tag=[f"{{*}}{tag}" for tag in tags], resolve_entities=False, no_network=True, load_dtd=False
        ):
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


def _cell(cell: Any, book: _Book) -> str:
    """The text of a cell in one line, "" when it shows none."""
    value, formula, text = "", False, ""
    for child in cell:
        tag = child.tag.rpartition("}")[2]
        if tag == "v":
            value = child.text or ""
        elif tag == "is":
            text = _plain(child)
        formula = formula or tag == "f"
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        value = text
    elif not value:
        book.formulas += formula and kind != "str"  # a formula may well result in an empty text
    elif kind == "s":
        value = book.texts[int(value)]
    elif kind == "b":
        value = "TRUE" if value == "1" else "FALSE"
    elif kind == "d":
        value = value.replace("T", " ").removesuffix(" 00:00:00")
    elif kind == "n":
        value = _number(value, book, int(cell.get("s", 0)))
    book.characters += len(value)
    if book.characters > MAX_CHARACTERS:
        raise Unreadable(f"the workbook holds more than {MAX_CHARACTERS // 2**20} million characters; split it into smaller files")
    return one_line(value)


def _number(value: str, book: _Book, style: int) -> str:
    number = float(value)
    kind = book.styles[style] if style < len(book.styles) else ""
    if kind == "percent":
        return f"{number_text(number * 100)}%"
    if kind[:1] == "0":
        return number_text(number).zfill(len(kind)) if number.is_integer() else number_text(number)
    return date_text(number, book.epoch, duration=kind == "duration") if kind else number_text(number)


@functools.lru_cache(_COLUMNS)
def _column(letters: str) -> int:
    """The place of a column from 0: "A" -> 0, "AB" -> 27."""
    if not _COLUMN.fullmatch(letters):
        raise Unreadable(f"the workbook is damaged: it has a column {letters[:20]!r}")
    place = 0
    for letter in letters:
        place = 26 * place + ord(letter) - 64
    return place - 1


def _shared_texts(package: Package, main: str) -> list[str]:
    name = package.first("sharedStrings", main)
    return [_plain(element) for element in _elements(package, name, "si")] if name else []


def _plain(element: Any) -> str:
    """The text of a string item: its runs, without the phonetic guides of East Asian text."""
    if len(element) == 1 and element[0].tag.endswith("}t"):
        text = element[0].text or ""
    else:
        text = "".join(run.text or "" for run in element.iter("{*}t") if not run.getparent().tag.endswith("}rPh"))
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def _epoch(workbook: Any) -> datetime.datetime:
    from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH

    mac = any(element.get("date1904") in ("1", "true") for element in workbook.iter("{*}workbookPr"))
    epoch: datetime.datetime = MAC_EPOCH if mac else WINDOWS_EPOCH
    return epoch


def _styles(package: Package, main: str) -> list[str]:
    """The kind of each cell style, in the order in which cells refer to them."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format

    name = package.first("styles", main)
    if not name:
        return []
    root = package.xml(name)
    codes = {**BUILTIN_FORMATS, **{int(code.get("numFmtId")): code.get("formatCode", "") for code in root.iter("{*}numFmt")}}
    kinds: list[str] = []
    for style in root.iterfind("{*}cellXfs/{*}xf"):
        number = int(style.get("numFmtId", 0))
        code = codes.get(number, "yyyy-mm-dd" if number in _EAST_ASIAN_DATES else "General")
        bare = _QUOTED.sub("", code)
        duration = "duration" if is_timedelta_format(code) else "date"
        zeros = _ZEROS.fullmatch(bare.partition(";")[0])
        kinds.append("percent" if "%" in bare else duration if is_date_format(code) else zeros[0] if zeros else "")
    return kinds
