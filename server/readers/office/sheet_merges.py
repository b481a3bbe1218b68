"""The merged cells of a worksheet -> its rows with the text of a merged cell in every row that it covers."""

from __future__ import annotations

import re
from typing import IO

from server.readers.table_header import Merged, Row

MOST_RANGES = 200_000  # of a sheet; Excel itself becomes unusable with more
MOST_REPEATED = 1_000_000  # cells of a sheet that are filled in from above; the others stay empty
LONGEST_REPEATED = 200  # characters; a longer cell stands once
_BLOCK = 2**20  # bytes
_LONGEST_TAG = 2**16  # bytes
_RANGE = re.compile(rb"""mergeCell\s[^<>]*?\bref=["']\$?([A-Z]{1,3})\$?(\d{1,7}):\$?([A-Z]{1,3})\$?(\d{1,7})["']""")


class Merges:
    """The ranges of one sheet, and what hangs down from the rows above the next one."""

    def __init__(self, sheet: IO[bytes]) -> None:
        self._starts: dict[int, list[tuple[int, int, int]]] = {}  # row -> (column, columns, last row) of what begins there
        self._hanging: dict[int, tuple[str, int, int]] = {}  # column -> text, columns, last row
        self._room = MOST_REPEATED
        self._read(sheet)

    def laid(self, number: int, cells: list[str]) -> Row:
        """Row `number` (from 1; they are asked for in order) with what hangs into it; a row without text of its own stays as it is."""
        if not any(cells):
            return cells
        hung: list[int] = []
        wide: dict[int, int] = {}
        for column, (text, columns, last) in list(self._hanging.items()):
            if number > last or self._room <= 0:
                del self._hanging[column]
                continue
            self._room -= 1
            cells += [""] * (column + 1 - len(cells))
            if not cells[column]:
                cells[column] = text
                hung.append(column)
                if columns > 1:
                    wide[column] = columns
        for column, columns, last in self._starts.pop(number, ()):
            if column < len(cells) and cells[column]:
                if columns > 1:
                    wide[column] = columns
                if last > number and len(cells[column]) <= LONGEST_REPEATED:
                    self._hanging[column] = (cells[column], columns, last)
        return Merged(cells, wide, hung) if wide or hung else cells

    def _read(self, sheet: IO[bytes]) -> None:
        """They stand behind the rows; the bytes are searched, because to parse a sheet twice takes twice as long."""
        count = 0
        rest = b""
        while (block := sheet.read(_BLOCK)) and count < MOST_RANGES:
            rest += block
            if b"mergeCell" in rest:
                for first, top, end, bottom in _RANGE.findall(rest):
                    count += 1
                    column = _place(first)
                    self._starts.setdefault(int(top), []).append((column, _place(end) - column + 1, int(bottom)))
            rest = rest[rest.rfind(b"<") :][-_LONGEST_TAG:] if b"<" in rest else b""


def _place(letters: bytes) -> int:
    place = 0
    for letter in letters:
        place = 26 * place + letter - 64
    return place - 1
