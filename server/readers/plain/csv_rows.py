"""csv and tsv -> a document of one section; every row is a block "header: value | header: value", so that it can stand alone."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from server.errors import Unreadable
from server.language import language_of
from server.readers.plain.text import read_decoded
from server.readers.rows import one_line, row_blocks
from server.types import Document, Section

MAX_CELL = 1_000_000  # characters
_DELIMITERS = ",;\t|"
_LINE_END = re.compile(r"\r\n|\r|\n")
_TOLD = re.compile(r'"?sep=([^\w\s"]|\t)"?[^\S\n]*\r?\n', re.IGNORECASE)


def read_csv(path: Path) -> Document:
    """The rows of a comma-, semicolon-, tab- or bar-separated file; a first line "sep=;" says which."""
    text, warnings = read_decoded(path)
    return _document(path, text, "", warnings)


def read_tsv(path: Path) -> Document:
    """The rows of a tab-separated file."""
    text, warnings = read_decoded(path)
    return _document(path, text, "\t", warnings)


def _document(path: Path, text: str, delimiter: str, warnings: list[str]) -> Document:
    if told := _TOLD.match(text):  # Excel's own way to say it
        delimiter, text = told[1], text[told.end() :]
    delimiter = delimiter or _delimiter(text)
    rows = _rows(text, delimiter)
    if '"' in text and _swallows(text, delimiter):
        rows = _line_rows(text, delimiter)
        warnings = [*warnings, "a quotation mark in the table is never closed; each of its lines was read as a row"]
    blocks = tuple(row_blocks(rows))
    if not blocks:
        raise Unreadable("the table has no rows")
    sample = "\n".join(block.text for block in blocks[:500])
    return Document(path.stem, 1, language_of(sample), (Section(1, (path.stem,), 1, blocks),), tuple(warnings))


def _rows(text: str, delimiter: str, *, quotes: bool = True) -> Iterator[list[str]]:
    """Rows with their cells' white space reduced to single spaces; `quotes` may hold cells together."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
    limit = csv.field_size_limit(MAX_CELL)
    try:
        for row in reader:
            yield [one_line(cell) for cell in row]
    except csv.Error as exc:
        raise Unreadable(f"row {reader.line_num} is not valid CSV: {exc}") from exc
    finally:
        csv.field_size_limit(limit)


def _swallows(text: str, delimiter: str) -> bool:
    """Whether a stray quotation mark takes further rows into its cell.

    One that opens and never closes, or closes in the middle of another cell, does; between tabs also a cell of several lines that
    holds tabs, since what is written with tabs seldom quotes anything.
    """
    text = re.sub(rf'" +(?={re.escape(delimiter)}|[\r\n]|\Z)', '"', text)  # spaces after a closing mark are harmless
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(MAX_CELL)
    before = 0  # lines
    try:
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return False
            except csv.Error:  # a row of one line may be written sloppily
                swallowed = reader.line_num - before > 1
            else:
                swallowed = delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in row)
            if swallowed:
                return True
            before = reader.line_num
    finally:
        csv.field_size_limit(limit)


def _line_rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """Each line as a row; quotation marks only count in those where each of them is closed."""
    for line in _LINE_END.split(text):
        closed = True
        try:
            list(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error:
            closed = False
        yield from _rows(line, delimiter, quotes=closed) if line else [[]]


def _delimiter(text: str) -> str:
    """The mark that cuts the first lines into the most columns, the same number in each."""

    def fitness(mark: str) -> tuple[int, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=mark)]
        usual = max(set(counts), key=counts.count)
        return (counts.count(usual) * (usual > 1), usual)

    lines = text[:20_000].splitlines()[:20]
    try:
        return max(_DELIMITERS, key=fitness) if lines else ","
    except csv.Error:
        return ","
