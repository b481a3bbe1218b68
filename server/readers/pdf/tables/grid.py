"""The printed lines of a table -> its columns, and each line cut at them: what its rows and heads are then made from."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from server.readers.pdf.page import Line, Word
from server.readers.pdf.tables.columns import MOST_COLUMNS, at_brackets, column_edges, column_of, gap, phrases, piece_of, posts_of
from server.readers.pdf.tables.ruled import Ruled

Cell = list[Line]  # pieces of lines, top to bottom; never empty

_FRACTION = re.compile(r"\d\.\d")
_WORD_GAP = 0.12  # of the font size: the least space between two words
_MOST_HEAD_LINES = 8


@dataclass(slots=True)
class Row:
    """The cells of a row by their column, from 0; `labels` are those of the group of rows that it stands in, outermost first."""

    cells: dict[int, Cell]
    labels: list[Cell] = field(default_factory=list)


@dataclass(slots=True)
class Grid:
    """`heads` holds for each column the path of cells above it, outermost first; empty paths when the table has no head."""

    heads: list[list[Cell]]
    rows: list[Row]
    edges: list[float]


@dataclass(slots=True)
class Printed:
    """A line of the table: its pieces by column, and the phrases that stand across columns."""

    line: Line
    cells: dict[int, Line]
    across: list[Line]

    @property
    def y(self) -> float:
        """Its middle."""
        return (self.line.y0 + self.line.y1) / 2


@dataclass(slots=True)
class Layout:
    """What is known before the rows are: lines of the head, lines of the body between each two rules, columns, font size."""

    head: list[Line]
    bands: list[list[Printed]]
    edges: list[float]
    size: float
    ruled: Ruled | None
    extents: dict[int, tuple[float, float]] = field(default_factory=dict)  # where the ink of each column begins and ends
    keys: list[int] = field(default_factory=list)  # columns that all lines fill which fill most of them

    def __post_init__(self) -> None:
        """Measure the columns."""
        lines = [line for band in self.bands for line in band]
        for line in lines:
            for column, piece in line.cells.items():
                x0, x1 = self.extents.get(column, (piece.x0, piece.x1))
                self.extents[column] = (min(x0, piece.x0), max(x1, piece.x1))
        full = [line for line in lines if len(line.cells) >= 0.7 * self.count]
        self.keys = [column for column in range(self.count) if full and all(column in line.cells for line in full)]

    @property
    def count(self) -> int:
        """How many columns."""
        return len(self.edges) + 1


def layout_of(lines: Sequence[Line], ruled: Ruled | None) -> Layout | None:
    """The columns of a table and its lines cut at them; None when there are no columns or values stand across them."""
    size = median(line.size for line in lines)
    lines = [at_brackets(line) for line in lines]
    head, bands = _head_and_bands(_bands(lines, ruled), size)
    body = [line for band in bands for line in band if not _is_remark(band, size)]
    if not body:
        return None
    posts = posts_of(ruled, body)
    cut = [phrases(line, size, posts) for line in body]
    edges = column_edges(body, cut, head, posts, size)
    if not 1 <= len(edges) < MOST_COLUMNS:
        return None
    sides, left = _sides(cut), iter(cut)
    made = [
        [Printed(band[0], {}, band)] if _is_remark(band, size) else [printed(line, next(left), edges, sides, size) for line in band]
        for band in bands
    ]
    if any(line.across and line.cells for band in made for line in band):
        return None
    return Layout(head, made, edges, size, ruled)


def printed(line: Line, parts: Sequence[Line], edges: Sequence[float], sides: set[int], size: float) -> Printed:
    """The line, whose phrases are `parts`, cut at the edges of the columns; a phrase that leaves no space there stands across.

    A phrase that is alone on its line is cut only if cells of other lines begin or end there too: `sides` are their x, rounded.
    """
    cells: dict[int, Line] = {}
    across: list[Line] = []
    for phrase in parts:
        pieces = cut_at(phrase, edges, size)
        aligned = all(sides & set(_near(piece.x0)) or sides & set(_near(piece.x1)) for piece in pieces[1:])
        if len(parts) == 1 and not (aligned and not any(_crosses(piece, edges, size) for piece in pieces)):
            pieces = [phrase]
        for piece in pieces:
            column = column_of((piece.x0 + piece.x1) / 2, edges)
            if _crosses(piece, edges, size):
                across.append(piece)
            elif column in cells:
                cells[column] = piece_of(line, [*cells[column].words, *piece.words])
            else:
                cells[column] = piece
    return Printed(line, cells, across)


def _crosses(piece: Line, edges: Sequence[float], size: float) -> bool:
    return any(piece.x0 < edge - 0.25 * size and piece.x1 > edge + 0.25 * size for edge in edges)


def _sides(cut: Sequence[list[Line]]) -> set[int]:
    """Where phrases of two lines or more begin, or end, that stand beside others."""
    rows = [row for row in cut if len(row) > 1]
    starts = Counter(round(piece.x0) for row in rows for piece in row)
    ends = Counter(round(piece.x1) for row in rows for piece in row)
    return {x for found in (starts, ends) for x in found if sum(found[near] for near in _near(x)) > 1}


def _near(x: float) -> tuple[int, int, int]:
    return round(x) - 1, round(x), round(x) + 1


def cut_at(phrase: Line, edges: Sequence[float], size: float) -> list[Line]:
    """The phrase cut at the edges of the columns where there is a space."""
    if _column(phrase.words[0], edges) == _column(phrase.words[-1], edges):
        return [phrase]
    cuts = [0]
    for at, (before, word) in enumerate(itertools.pairwise(phrase.words), 1):
        if gap(before, word) > _WORD_GAP * size and _column(before, edges) != _column(word, edges):
            cuts.append(at)
    return [piece_of(phrase, phrase.words[start:end]) for start, end in itertools.pairwise([*cuts, len(phrase.words)])]


def is_number(text: str) -> bool:
    """Whether a cell is a value: it begins with a digit, a sign or a bracket, and has few letters."""
    digits = sum(map(str.isdigit, text))
    return digits > 0 and not text[0].isalpha() and sum(map(str.isalpha, text)) <= digits + 2


def _column(word: Word, edges: Sequence[float]) -> int:
    return column_of((word.x0 + word.x1) / 2, edges)


def _bands(lines: Sequence[Line], ruled: Ruled | None) -> list[list[Line]]:
    """The lines between each two rules that go all the way across, those without any left out."""
    if ruled is None:
        return [list(lines)]
    bands: list[list[Line]] = [[] for _ in range(len(ruled.rules) + 1)]
    for line in lines:
        bands[sum(rule.y < (line.y0 + line.y1) / 2 for rule in ruled.rules)].append(line)
    return [band for band in bands if band]


def _head_and_bands(bands: list[list[Line]], size: float) -> tuple[list[Line], list[list[Line]]]:
    """The head is what stands above the first rule; without a rule the bold lines, or the lines of words above lines of numbers."""
    first, rest = bands[0], bands[1:]
    values = [_is_values(line, size) for line in first]
    if len(first) == 1 and rest and not _has_fractions(first) and _has_fractions([line for band in rest for line in band]):
        return first, rest  # "8k", "1M" or years above measured values
    if rest and len(first) <= _MOST_HEAD_LINES and (len(rest) == 1 or sum(values) <= 0.5 * len(first)):
        return first, rest
    bold = next((at for at, line in enumerate(first) if not line.bold), len(first))
    words = next((at for at, value in enumerate(values) if value), len(first))
    if 0 < bold <= 4 and sum(line.bold for line in first[bold:]) <= 0.3 * len(first[bold:]):
        return first[:bold], [first[bold:], *rest]
    if 0 < words <= 3 and sum(values) >= max(2.0, 0.7 * len(first[words:])):
        return first[:words], [first[words:], *rest]
    return [], bands


def _is_remark(band: Sequence[Line], size: float) -> bool:
    """A sentence between two rules."""
    if len(band) != 1 or len(band[0].text) <= 30:
        return False
    return all(gap(before, word) < size for before, word in itertools.pairwise(band[0].words))


def _has_fractions(lines: Sequence[Line]) -> bool:
    """Whether most lines hold numbers with a decimal point."""
    return sum(_FRACTION.search(line.text) is not None for line in lines) > 0.7 * len(lines)


def _is_values(line: Line, size: float) -> bool:
    """Whether at least half of the phrases after the first are numbers."""
    rest = phrases(line, size)[1:]
    return bool(rest) and sum(is_number(phrase.text) for phrase in rest) >= 0.5 * len(rest)
