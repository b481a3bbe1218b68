"""csv and tsv -> a document of one section; every row is a block "header: value | header: value", so that it can stand alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from server.errors import Unreadable
from server.language import language_of
from server.readers.plain.text import read_decoded
from server.readers.rows import one_line, row_blocks
from server.types import Document, Section

MAX_CELL = 1_000_000  # characters
_DELIMITERS = ",;\t|"


def read_csv(path: Path) -> Document:
    """The rows of a comma-, semicolon-, tab- or bar-separated file."""
    text, warnings = read_decoded(path)
    return _document(path, text, _delimiter(text), warnings)


def read_tsv(path: Path) -> Document:
    """The rows of a tab-separated file."""
    text, warnings = read_decoded(path)
    return _document(path, text, "\t", warnings)


def _document(path: Path, text: str, delimiter: str, warnings: list[str]) -> Document:
    blocks = tuple(row_blocks(_rows(text, delimiter)))
    if not blocks:
        raise Unreadable("the table has no rows")
    sample = "\n".join(block.text for block in blocks[:500])
    return Document(path.stem, 1, language_of(sample), (Section(1, (path.stem,), 1, blocks),), tuple(warnings))


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """Rows with their cells' white space reduced to single spaces."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    limit = csv.field_size_limit(MAX_CELL)
    try:
        for row in reader:
            yield [one_line(cell) for cell in row]
    except csv.Error as exc:
        raise Unreadable(f"row {reader.line_num} is not valid CSV: {exc}") from exc
    finally:
        csv.field_size_limit(limit)


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
