"""What runs over several libraries came to -> the lines that a command prints at its end: a table, a sum, and each failed file's reason."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from server.ingestion import Progress

HEAD = ("library", "action", "files", "read", "unchanged", "removed", "failed", "pages", "chunks", "seconds")


@dataclass(frozen=True, slots=True)
class Line:
    """One run: the library, what was done, and how it ended."""

    library: str
    action: str
    end: Progress


def closing_table(lines: Sequence[Line]) -> str:
    """The table, in columns of a terminal; a sum when there are several lines; then `FAILED library/file: reason`."""
    numbers = [_numbers(line.end) for line in lines]
    rows = [HEAD, *((line.library, line.action, *map(_said, row)) for line, row in zip(lines, numbers, strict=True))]
    if len(lines) > 1:
        rows.append(("together", "", *(_said(sum(column)) for column in zip(*numbers, strict=True))))
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    table = [_row(row, widths) for row in rows]
    failed = [f"FAILED {line.library}/{file}: {reason}" for line in lines for file, reason in sorted(line.end.failed.items())]
    return "\n".join([*table, *failed])


def _numbers(end: Progress) -> tuple[float, ...]:
    return (end.total, end.read, end.unchanged, end.removed, len(end.failed), end.pages, end.chunks, end.seconds)


def _said(number: float) -> str:
    return f"{number:.1f}" if isinstance(number, float) else str(number)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    gaps = [" " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(cell + gap if place < 2 else gap + cell for place, (cell, gap) in enumerate(zip(cells, gaps, strict=True))).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal; Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
