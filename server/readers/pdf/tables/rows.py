"""The cut lines of a table -> its rows: cells of several lines joined, labels of groups of rows carried to each of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from server.readers.pdf.page import Line
from server.readers.pdf.tables.columns import wraps
from server.readers.pdf.tables.grid import Cell, Layout, Printed, Row, is_number

_JUMP = 0.3  # of the font size: the least difference between white inside a row and white between rows
_OPEN, _CLOSED = "([（［【", ")]）］】"

Group = list[Printed]  # the lines of one row


def rows_of(layout: Layout) -> list[Row] | None:
    """The rows, top to bottom; None when it cannot be told to which rows a label in a column before the values belongs."""
    floating: list[Printed] = []
    groups = _one_a_band(layout) or _by_white(layout.bands, layout)
    if groups is None:
        bands, floating = _without_floating(layout.bands)
        groups = _by_white(bands, layout) or _by_fill(bands, layout)
    rows, places = _with_labels(groups, layout)
    return rows if _carry(rows, places, floating, layout) else None


def _one_a_band(layout: Layout) -> list[Group] | None:
    """A rule under each row, as tables with all their lines drawn have it."""
    several = [band for band in layout.bands if len(band) > 1]
    if len(layout.bands) < 2 or any(_clash(band, layout) for band in several):
        return None
    if layout.ruled is not None and layout.ruled.posts:
        return layout.bands
    return layout.bands if len(layout.bands) > 2 and all(_is_wrapped(band, layout) for band in several) else None


def _by_white(bands: Sequence[Sequence[Printed]], layout: Layout) -> list[Group] | None:
    """Rows set apart by more white than their lines; None when all white is alike or this puts two rows into one."""
    gaps: list[list[float]] = []
    for band in bands:
        bottom, own = band[0].line.y1, []
        for line in band[1:]:
            own.append(float("-inf") if _is_script(line, bottom, layout) else line.line.y0 - bottom)
            bottom = max(bottom, line.line.y1)
        gaps.append(own)
    white = sorted(gap for own in gaps for gap in own if gap > float("-inf"))
    jump, least = max(((high - low, (high + low) / 2) for low, high in itertools.pairwise(white)), default=(0.0, 0.0))
    if jump < _JUMP * layout.size:
        return None
    groups: list[Group] = []
    for band, own in zip(bands, gaps, strict=True):
        groups.append([band[0]])
        for line, gap in zip(band[1:], own, strict=True):
            if gap > least:
                groups.append([])
            groups[-1].append(line)
    return None if any(_clash(group, layout) for group in groups) or not _mostly_wrapped(groups, layout) else groups


def _clash(group: Sequence[Printed], layout: Layout) -> bool:
    """Whether these lines are more than one row: two of them fill most columns, and not with text that goes on."""
    full = [line for line in group if len(line.cells) >= max(2.0, 0.6 * layout.count)]
    for one, other in itertools.pairwise(full):
        common = [column for column in one.cells if column in other.cells]
        if layout.count > 3 or any(is_number(one.cells[c].text) and is_number(other.cells[c].text) for c in common):
            return True
        if not any(wraps(one.cells[column], other.cells[column], *layout.extents[column]) for column in common):
            return True
    return False


def _mostly_wrapped(groups: Sequence[Group], layout: Layout) -> bool:
    """Whether most cells of several lines have lines that were full."""
    answers: list[bool] = []
    for group in groups:
        above: dict[int, Line] = {}
        for line in group:
            answers += [wraps(above[column], piece, *layout.extents[column]) for column, piece in line.cells.items() if column in above]
            above |= line.cells
    return sum(answers) >= 0.5 * len(answers)


def _is_wrapped(band: Sequence[Printed], layout: Layout) -> bool:
    """Whether each line after the first goes on with cells above it."""
    return all(_goes_on(line, list(band[:at]), layout) for at, line in enumerate(band) if at)


def _by_fill(bands: Sequence[Sequence[Printed]], layout: Layout) -> list[Group]:
    """Rows that begin where a line is no continuation of the cells above it."""
    groups: list[Group] = []
    for band in bands:
        start = len(groups)
        for line in band:
            if len(groups) > start and _goes_on(line, groups[-1], layout):
                groups[-1].append(line)
            else:
                groups.append([line])
    return groups


def _goes_on(line: Printed, group: Group, layout: Layout) -> bool:
    """Whether a line carries on with the row above it."""
    if line.across or any(other.across for other in group):
        return False
    last = group[-1]
    if last.line.y1 - line.line.y0 > 0.4 * layout.size and not line.cells.keys() & last.cells.keys():
        return True  # cells set in the middle of their row
    if _is_script(line, last.line.y1, layout):
        return True
    few = layout.count > 4 and len(line.cells) <= 0.4 * layout.count and bool(line.cells.keys() - {0})
    if few and not line.cells.keys() & set(layout.keys[:1]):
        return True  # remarks under some values
    above = {column: piece for other in group for column, piece in other.cells.items()}
    if not line.cells.keys() <= above.keys():
        return False
    if list(line.cells) == [0] and _is_open("".join(other.cells[0].text for other in group if 0 in other.cells)):
        return True
    if len(line.cells) > max(1, layout.count // 2):
        return False
    return all(not is_number(piece.text) and wraps(above[column], piece, *layout.extents[column]) for column, piece in line.cells.items())


def _is_script(line: Printed, bottom: float, layout: Layout) -> bool:
    """Whether this is a line of small print that reaches into the line above it."""
    return line.line.size < 0.8 * layout.size and bottom - line.line.y0 > 0.3 * (line.line.y1 - line.line.y0)


def _is_open(text: str) -> bool:
    """Whether a bracket is still open."""
    return sum(text.count(mark) for mark in _OPEN) > sum(text.count(mark) for mark in _CLOSED)


def _without_floating(bands: Sequence[Sequence[Printed]]) -> tuple[list[list[Printed]], list[Printed]]:
    """The lines without those that hold only a label of the first two columns, set between two baselines; and these."""
    kept: list[list[Printed]] = []
    floating: list[Printed] = []
    for band in bands:
        kept.append([])
        for at, line in enumerate(band):
            near = [band[other].line for other in (at - 1, at + 1) if 0 <= other < len(band)]
            common = [min(line.line.y1, other.y1) - max(line.line.y0, other.y0) for other in near]
            if len(near) == 2 and len(line.cells) == 1 and max(line.cells) < 2 and max(common) > 0.15 * (line.line.y1 - line.line.y0):
                floating.append(line)
            else:
                kept[-1].append(line)
    return kept, floating


def _with_labels(groups: Sequence[Group], layout: Layout) -> tuple[list[Row], list[float]]:
    """Rows and the y of each; a line that holds only a label goes to the rows below it."""
    rows: list[Row] = []
    places: list[float] = []
    labels: list[Cell] = []
    fresh = False  # whether the row before was a label
    for at, group in enumerate(groups):
        cells: dict[int, Cell] = {}
        for line in group:
            for column, piece in [*line.cells.items(), *((0, phrase) for phrase in line.across)]:
                cells.setdefault(column, []).append(piece)
        if _is_label(group, groups[at + 1 :], layout):
            labels = [*labels, cells[0]] if fresh else [cells[0]]
            fresh = True
            continue
        fresh = False
        remark = not any(line.cells for line in group)
        rows.append(Row({}, [cells[0]]) if remark else Row(cells, list(labels)))
        places.append(sum(line.y for line in group) / len(group))
    return rows, places


def _is_label(group: Group, following: Sequence[Group], layout: Layout) -> bool:
    """Whether a lone line names the rows below it: it holds no value, and they do."""
    if not following or not _is_lone(group):
        return False
    below = next((other for other in following if not _is_lone(other)), None)
    line = group[0].line
    if below is None or is_number(line.text):
        return False
    indented = 0 in below[0].cells and below[0].cells[0].x0 > line.x0 + 0.5 * layout.size
    return bool(group[0].across) or layout.count > 2 or line.bold or indented


def _is_lone(group: Group) -> bool:
    return len(group) == 1 and not group[0].cells.keys() - {0}


def _carry(rows: Sequence[Row], places: Sequence[float], floating: Sequence[Printed], layout: Layout) -> bool:
    """Put a label that is printed once into all rows that it stands for; False when these cannot be told."""
    for column in range(min(2, layout.count - 1)):
        loose = [line for line in floating if column in line.cells]
        if not loose and all(column in row.cells for row in rows if row.cells):
            return True
        for low, high in itertools.pairwise([float("-inf"), *_cuts(column, layout), float("inf")]):
            near = [at for at, place in enumerate(places) if low < place < high and rows[at].cells]
            within = [line for line in loose if low < line.y < high]
            filled = [at for at in near if column in rows[at].cells]
            if len(near) > 1 and len(filled) + len(within) == 1 and (within or filled == near[:1] or layout.ruled):
                cell = [within[0].cells[column]] if within else rows[filled[0]].cells[column]
                _fill(rows, near, column, cell)
            elif within:
                if filled or not _share_out(rows, places, near, within, column):
                    return False
            elif filled and filled[0] == near[0]:
                for start, stop in itertools.pairwise([*filled, near[-1] + 1]):
                    _fill(rows, [at for at in near if start < at < stop], column, rows[start].cells[column])
    return True


def _cuts(column: int, layout: Layout) -> list[float]:
    """The y of the rules that go through a column."""
    right = layout.edges[column]
    middle = (layout.edges[column - 1] + right) / 2 if column else right - layout.size
    rules = (*layout.ruled.rules, *layout.ruled.partial) if layout.ruled else ()
    return sorted(rule.y for rule in rules if rule.x0 - 1 < middle < rule.x1 + 1)


def _share_out(rows: Sequence[Row], places: Sequence[float], near: Sequence[int], labels: Sequence[Printed], column: int) -> bool:
    """Give each row the nearest label; False unless each label stands in the middle of its rows."""
    for label in labels:
        own = [at for at in near if min(labels, key=lambda other: abs(other.y - places[at])) is label]
        if not own or abs(sum(places[at] for at in own) / len(own) - label.y) > 0.5 * (label.line.y1 - label.line.y0):
            return False
        _fill(rows, own, column, [label.cells[column]])
    return True


def _fill(rows: Sequence[Row], places: Sequence[int], column: int, cell: Cell) -> None:
    for at in places:
        rows[at].cells.setdefault(column, cell)
