"""The head of a table -> for each column the path of cells above it: a head over several columns first, its own name last."""

from __future__ import annotations

from collections.abc import Sequence

from server.readers.pdf.page import Line
from server.readers.pdf.tables.columns import column_of, phrases
from server.readers.pdf.tables.grid import Cell, Layout, cut_at
from server.readers.pdf.tables.ruled import Rule


def heads_of(layout: Layout) -> list[list[Cell]]:
    """The paths, one a column; an empty one where nothing is printed above it."""
    spans: dict[tuple[int, ...], Cell] = {}
    own: list[Cell] = [[] for _ in range(layout.count)]
    middles = _middles(layout)
    for at, line in enumerate(layout.head):
        parts = phrases(line, layout.size)
        rules = [_rule_below(phrase, layout) for phrase in parts]
        below = _columns_with_text(layout, at + 1)
        for phrase, rule in zip(parts, rules, strict=True):
            sharing = [other for other, its in zip(parts, rules, strict=True) if its == rule]
            columns = _under(phrase, rule, sharing, middles) if rule else _touched(phrase, layout)
            if len(columns) > 1 and (rule or set(columns) <= below):
                spans.setdefault(tuple(columns), []).append(phrase)
                continue
            for piece in cut_at(phrase, layout.edges, layout.size):
                own[column_of((piece.x0 + piece.x1) / 2, layout.edges)].append(piece)
    ordered = sorted(spans.items(), key=lambda item: (item[1][0].y0, -len(item[0])))
    return [[*(cell for columns, cell in ordered if at in columns), *([own[at]] if own[at] else [])] for at in range(layout.count)]


def _rule_below(phrase: Line, layout: Layout) -> Rule | None:
    """The short rule under a head, which shows the columns that it stands over."""
    if layout.ruled is None:
        return None
    middle, height = (phrase.x0 + phrase.x1) / 2, (phrase.y0 + phrase.y1) / 2
    end = min(phrase.y1 + layout.size, *(line.line.y0 + 2 for band in layout.bands for line in band))
    near = [rule for rule in layout.ruled.partial if height < rule.y < end and rule.x0 < middle < rule.x1]
    return min(near, key=lambda rule: rule.y, default=None)


def _middles(layout: Layout) -> dict[int, float]:
    """The middle of each column's ink."""
    middles: dict[int, list[float]] = {}
    for line in (line for band in layout.bands for line in band):
        for column, piece in line.cells.items():
            middles.setdefault(column, []).append((piece.x0 + piece.x1) / 2)
    return {column: sum(xs) / len(xs) for column, xs in sorted(middles.items())}


def _under(phrase: Line, rule: Rule, sharing: Sequence[Line], middles: dict[int, float]) -> list[int]:
    """The columns under the rule; where several heads share it, those that are nearest to this one."""
    columns = [column for column, x in middles.items() if rule.x0 - 2 < x < rule.x1 + 2]
    if len(sharing) < 2:
        return columns
    return [column for column in columns if min(sharing, key=lambda other: abs(other.x0 + other.x1 - 2 * middles[column])) is phrase]


def _touched(phrase: Line, layout: Layout) -> list[int]:
    first, last = (column_of(x, layout.edges) for x in (phrase.x0 + 0.3 * layout.size, phrase.x1 - 0.3 * layout.size))
    return list(range(first, last + 1))


def _columns_with_text(layout: Layout, start: int) -> set[int]:
    """Columns that have a head of their own in the lines from `start` on."""
    return {
        column_of((piece.x0 + piece.x1) / 2, layout.edges)
        for line in layout.head[start:]
        for phrase in phrases(line, layout.size)
        for piece in cut_at(phrase, layout.edges, layout.size)
    }
