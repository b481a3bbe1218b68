"""The lines of a table -> the text of its block, one line a row, each value behind the name of its column, with a span for each word.

"Method: BM25 | Test / Recall: 66.0". Nothing is said that is not printed: only names and labels of groups are repeated, and their
spans point at the one place where they stand.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.readers.pdf.page import Line, Page
from server.readers.pdf.tables.grid import Grid, layout_of
from server.readers.pdf.tables.heads import heads_of
from server.readers.pdf.tables.rows import rows_of
from server.readers.pdf.text import Vocabulary, block_text
from server.types import Span

Text = tuple[str, tuple[Span, ...]]

_BETWEEN_CELLS, _AFTER_NAME, _BETWEEN_NAMES = " | ", ": ", " / "
_SAME_EDGE = 8.0  # points by which columns may move from page to page


def grid_of(lines: Sequence[Line], pages: Sequence[Page], before: Grid | None) -> Grid | None:
    """The grid of a table's lines, top to bottom, all of one page; without a head it takes that of `before`, if its columns fit.

    None when columns or rows are not sure.
    """
    number = lines[0].table
    layout = layout_of(lines, pages[lines[0].page - 1].ruled[number - 1] if number else None)
    rows = rows_of(layout) if layout else None
    if layout is None or not rows:
        return None
    heads = heads_of(layout)
    if before is not None and not any(heads) and _same_columns(before.edges, layout.edges):
        heads = before.heads
    named = sum(map(bool, heads))
    if any(heads) and named < max(2, layout.count - 2):
        return None
    if not any(heads) and (len(rows) < 2 or not number):
        return None
    return Grid(heads, rows, layout.edges)


def table_text(grid: Grid, pages: Sequence[Page], vocabulary: Vocabulary) -> Text:
    """The rows of the grid, and their spans."""
    cells = _CellVocabulary(vocabulary)
    names = [_joined([block_text(cell, pages, cells) for cell in path], _BETWEEN_NAMES) for path in grid.heads]
    rows: list[Text] = []
    for row in grid.rows:
        parts = [block_text(label, pages, cells) for label in row.labels]
        for column, cell in sorted(row.cells.items()):
            parts.append(_joined([name for name in (names[column],) if name[0]] + [block_text(cell, pages, cells)], _AFTER_NAME))
        rows.append(_joined(parts, _BETWEEN_CELLS))
    return _joined(rows, "\n")


def _same_columns(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) < _SAME_EDGE for a, b in zip(one, other, strict=True))


def _joined(parts: Sequence[Text], separator: str) -> Text:
    texts: list[str] = []
    spans: list[Span] = []
    length = 0
    for text, own in parts:
        if texts:
            length += len(separator)
        spans += [Span(start + length, end + length, page, x0, y0, x1, y1) for start, end, page, x0, y0, x1, y1 in own]
        texts.append(text)
        length += len(text)
    return separator.join(texts), tuple(spans)


class _CellVocabulary(Vocabulary):
    """In a narrow column a line ends at a hyphen of the word itself; it goes only when the paper writes the word without one."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary._words

    def keeps_hyphen(self, before: str, after: str) -> bool:
        first = before.lower().lstrip("([\"'“")
        second = after.lower().rstrip(".,;:()[]'\"”")
        return not self._words[first[:-1] + second]
