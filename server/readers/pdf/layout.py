"""A page of lines -> the same lines in reading order: columns found, pieces on one baseline put together.

A page is cut into bands by the lines that cross a gutter; inside a band the left column is read before the right one.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from statistics import median

from server.language import is_wide
from server.readers.pdf.page import Line, Page, Word
from server.readers.pdf.scripts import with_scripts
from server.readers.pdf.tables.ruled import Ruled

TABLE_CAPTION = re.compile(
    r"\s*(?:(?:supplementary|extended data)\s+)?(?:table|tab\.|tabelle|附?表)\s*(?:[A-Z]?\d+|[IVX]+\b)", re.IGNORECASE
)
Column = list[Line]  # lines of one column in one band, top to bottom

_WIDE_GAP = 1.1  # of the font size: a gap that separates table cells


def columns(page: Page) -> list[Column]:
    """The lines of a page as columns in reading order; pieces on one baseline are joined, `cells` says where the gaps were.

    A ruled table is one thing for the layout, whatever stands in it. What is set sideways comes last.
    """
    return [*_columns(page), *(_rows(part) for part in _parts(with_scripts(page.sideways.lines), 2))]


def _columns(page: Page) -> list[Column]:
    lines = with_scripts(page.lines)
    tables: dict[int, list[Line]] = {}
    for line in lines:
        if line.table:
            tables.setdefault(line.table, []).append(line)
    if not tables:
        return [_rows(part) for part in _parts(lines, 2)]
    stand_ins = [_stand_in(page.number, page.ruled[number - 1], lines, number) for number, lines in tables.items()]
    parts = _parts([*(line for line in lines if not line.table), *stand_ins], 2)
    return [_rows_and_tables(part, tables) for part in parts]


def _rows_and_tables(part: list[Line], tables: dict[int, list[Line]]) -> Column:
    column = _rows([line for line in part if not line.table])
    for stand_in in (line for line in part if line.table):
        at = sum(_middle(line) < _middle(stand_in) for line in column)
        column[at:at] = _rows(tables[stand_in.table])
    return column


def _stand_in(page: int, area: Ruled, lines: list[Line], number: int) -> Line:
    """One line as large as the table."""
    y0, y1 = min(line.y0 for line in lines), max(line.y1 for line in lines)
    return Line(page, area.x0, y0, area.x1, y1, lines[0].size, False, "", False, [Word(" ", area.x0, y0, area.x1, y1, False)], table=number)


def _parts(lines: list[Line], depth: int) -> list[list[Line]]:
    """Cut `lines` into columns, at most `depth` times one inside the other."""
    gutter = _gutter(lines) if depth else None
    beside = gutter is None and depth == 2
    if beside:
        gutter = _sidebar(lines)
    if gutter is None:
        return [lines] if lines else []
    reach = 0.0 if beside else 1.0  # of the font size: punctuation may hang into the gutter, a formula stick out
    across = [line for line in lines if line.x0 < gutter - max(1, reach * line.size) and line.x1 > gutter + max(1, reach * line.size)]
    if not beside:
        across += _wide_tables(lines, across, gutter)
        across += _last_lines(lines, across, gutter)
    result: list[list[Line]] = []
    whole: list[Line] = []
    for band, below in _bands(lines, across):
        left, right = _halves(band, gutter)
        if beside and not _is_sidebar(left, right):
            whole += band
        elif band:
            result += [whole, *_parts(left, depth - 1), *_parts(right, depth - 1)]
            whole = []
        whole += below
    return [part for part in (*result, whole) if part]


def _bands(lines: list[Line], across: list[Line]) -> Iterator[tuple[list[Line], list[Line]]]:
    """(lines between two crossing lines, the crossing line below them), top to bottom."""
    ids = {id(line) for line in across}
    rest = sorted((line for line in lines if id(line) not in ids), key=_middle)
    done = 0
    for line in sorted(across, key=_middle):
        stop = bisect.bisect_left(rest, _middle(line), lo=done, key=_middle)
        yield rest[done:stop], [line]
        done = stop
    yield rest[done:], []


def _middle(line: Line) -> float:
    return (line.y0 + line.y1) / 2


def _halves(lines: list[Line], gutter: float) -> tuple[list[Line], list[Line]]:
    left = [line for line in lines if line.x0 + line.x1 <= 2 * gutter]
    return left, [line for line in lines if line.x0 + line.x1 > 2 * gutter]


def _is_prose(line: Line) -> bool:
    """A line long enough to be running text, not a cell or a label."""
    return line.x1 - line.x0 >= 10 * line.size and (len(line.words) >= 3 or is_wide(line.words[0].text[0]))


def _edges(lines: list[Line]) -> list[float]:
    """Where a right column may begin: just left of where three lines or more begin."""
    return [3.0 * start - 3.0 for start, times in Counter(round(line.x0 / 3) for line in lines).items() if times >= 3]


def _gutter(lines: list[Line]) -> float | None:
    """The x of the gap between two columns of running text; None when no gap has four lines on each side and few across."""
    prose = [line for line in lines if _is_prose(line)]
    best: tuple[float, float] | None = None
    for edge in _edges(prose):
        left, right = [line for line in prose if line.x1 <= edge], [line for line in prose if line.x0 >= edge]
        crossing = len(prose) - len(left) - len(right)
        if min(len(left), len(right)) < 4 or crossing > 0.5 * len(prose) or not _beside(left, right):
            continue
        gap = edge - max(line.x1 for line in left)
        score = crossing - 0.5 * min(len(left), len(right)) - 0.02 * gap
        if best is None or score < best[0]:
            best = (score, edge - gap / 2)
    return best[1] if best else None


def _sidebar(lines: list[Line]) -> float | None:
    """The x of the gap between running text and a narrow column of notes; None when there is none."""
    ends = [3.0 * end + 3.0 for end, times in Counter(round(line.x1 / 3) for line in lines).items() if times >= 3]
    for edge in sorted([*ends, *_edges(lines)]):
        across = [line for line in lines if line.x0 < edge - 1 and line.x1 > edge + 1]
        if len(across) < 0.4 * len(lines) and any(_is_sidebar(*_halves(band, edge)) for band, _ in _bands(lines, across)):
            return edge
    return None


def _is_sidebar(left: list[Line], right: list[Line]) -> bool:
    """Whether four short lines or more stand beside running text; numbers and bullets are too narrow for that."""
    notes, text = (left, right) if sum(map(_is_prose, right)) > sum(map(_is_prose, left)) else (right, left)
    if len(notes) < 4 or sum(map(_is_prose, text)) < 6 or not _beside(left, right):
        return False
    baselines = {round(line.y1 / 2) for line in text}
    if sum(not baselines.isdisjoint(range(round(line.y1 / 2) - 1, round(line.y1 / 2) + 2)) for line in notes) > 0.8 * len(notes):
        return False  # cells of a table
    widths = [line.x1 - line.x0 for line in notes]
    room = max(line.x1 for line in text) - min(line.x0 for line in text)
    return median(widths) > 3 * notes[0].size and max(widths) < 0.4 * room


def _beside(left: list[Line], right: list[Line]) -> bool:
    """Whether the two stand beside each other for at least the height of three lines."""
    top = max(min(line.y0 for line in left), min(line.y0 for line in right))
    bottom = min(max(line.y1 for line in left), max(line.y1 for line in right))
    return bottom - top > 3 * (left[0].y1 - left[0].y0)


def _wide_tables(lines: list[Line], across: list[Line], gutter: float) -> list[Line]:
    """Cells of tables that stand over both columns: what lies next to a caption over both and is not running text of a column."""
    ids = {id(line) for line in across}
    rest = sorted((line for line in lines if id(line) not in ids), key=_middle)
    captions = [line for line in lines if TABLE_CAPTION.match(line.text) and (id(line) in ids or _centred(line, gutter))]
    found: dict[int, Line] = {}
    for caption in captions:
        at = bisect.bisect_left(rest, _middle(caption), key=_middle)
        for part in (rest[at:], rest[at - 1 :: -1] if at else []):
            cells: list[Line] = []
            edge = caption
            for line in part:
                room = gutter - min(other.x0 for other in lines) if line.x1 <= gutter + 1 else max(other.x1 for other in lines) - gutter
                distance = max(line.y0 - edge.y1, edge.y0 - line.y1)
                if (
                    line.x1 - line.x0 > 0.8 * room
                    or distance > 6 * caption.size
                    or (TABLE_CAPTION.match(line.text) and line is not caption)
                ):
                    break
                cells.append(line)
                edge = line
            left, right = _halves(cells, gutter)
            if len(cells) >= 6 and left and right:
                found |= {id(line): line for line in (*cells, caption) if id(line) not in ids}
    return list(found.values())


def _last_lines(lines: list[Line], across: list[Line], gutter: float) -> list[Line]:
    """Lines that end a paragraph set over both columns: close below a crossing line, as far left, as large, alone at their height."""
    ids = {id(line) for line in across}
    rest = sorted((line for line in lines if id(line) not in ids), key=lambda line: line.y0)
    found: list[Line] = []
    for above in across:
        at = bisect.bisect_left(rest, above.y0 + 0.5 * above.size, key=lambda line: line.y0)
        for line in rest[at : at + 8]:
            if line.y0 > above.y1 + 0.4 * above.size:
                break
            same = abs(line.x0 - above.x0) < 2 and abs(line.size - above.size) < 0.2 and line.bold == above.bold
            if same and line.x1 <= gutter + 1 and not any(other.x0 > gutter - 1 and _level(line, other) for other in rest[at : at + 8]):
                found.append(line)
    return found


def _level(one: Line, other: Line) -> bool:
    return min(one.y1, other.y1) - max(one.y0, other.y0) > 0.5 * min(one.y1 - one.y0, other.y1 - other.y0)


def _centred(line: Line, gutter: float) -> bool:
    return abs(line.x0 + line.x1 - 2 * gutter) < 4 * line.size


def _rows(lines: list[Line]) -> Column:
    """Lines top to bottom; those on one baseline become one, from left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.y0 + line.y1) / 2):
        for row in reversed(rows[-3:]):
            if same_baseline(row[0], line):
                row.append(line)
                break
        else:
            rows.append([line])
    return [_joined(row) for row in rows]


def same_baseline(one: Line, other: Line) -> bool:
    """Whether two lines share most of their height and stand beside each other: pieces of one printed line."""
    overlap = min(one.y1, other.y1) - max(one.y0, other.y0)
    slack = 0.5 * max(one.size, other.size)  # an index may stand below an exponent
    return overlap > 0.6 * min(one.y1 - one.y0, other.y1 - other.y0) and (other.x0 >= one.x1 - slack or other.x1 <= one.x0 + slack)


def _joined(row: list[Line]) -> Line:
    if len(row) == 1:
        return row[0]
    row.sort(key=lambda line: line.x0)
    main = max(row, key=lambda line: len(line.text))
    words, cells = list(row[0].words), []
    for before, line in itertools.pairwise(row):
        if line.x0 - before.x1 > _WIDE_GAP * main.size:
            cells.append(len(words))
        words += line.words
    return Line(
        main.page,
        row[0].x0,
        min(line.y0 for line in row),
        max(line.x1 for line in row),
        max(line.y1 for line in row),
        main.size,
        all(line.bold for line in row),
        main.family,
        main.code,
        words,
        cells,
        sum(line.maths * len(line.text) for line in row) / sum(len(line.text) for line in row),
        main.table,
    )
