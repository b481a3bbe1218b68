"""Pages of lines -> the same lines in reading order: running heads and line numbers dropped, columns found, rows put together.

A page is cut into bands by the lines that cross a gutter; inside a band the left column is read before the right one.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from server.language import is_wide
from server.readers.pdf.page import Line, Page, Word
from server.readers.pdf.scripts import with_scripts
from server.readers.pdf.tables.ruled import Ruled

TABLE_CAPTION = re.compile(
    r"\s*(?:(?:supplementary|extended data)\s+)?(?:table|tab\.|tabelle|附?表)\s*(?:[A-Z]?\d+|[IVX]+\b)", re.IGNORECASE
)
Column = list[Line]  # lines of one column in one band, top to bottom

_PAGE_NUMBER = re.compile(
    r"(?:page|p\.|seite|第)?\s*[-–—·]?\s*(?:\d{1,4}|[ivxlc]{1,7})\s*[-–—·]?\s*(?:页)?(?:\s*(?:of|/|von|共)\s*(?:第|共)?\s*\d{1,4}\s*页?)?",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")
_NOTICE = re.compile(r"https?://|www\.|doi\b|©|\bISSN\b|\(c\)|copyright", re.IGNORECASE)
_MARGIN = 0.13  # share of the page's height where running heads stand
_WIDE_GAP = 1.1  # of the font size: a gap that separates table cells


def drop_furniture(pages: Sequence[Page]) -> None:
    """Take running heads, feet, page numbers and line numbers out of `pages`, unless nothing else stands there."""
    kept: list[list[Line]] = []
    edges = {page.number: _edge_lines(page) for page in pages}
    seen: Counter[tuple[str, int]] = Counter()
    for page in pages:
        seen.update({_print(line) for line in edges[page.number]})
    often = max(2.0, min(4.0, 0.3 * len(pages)))
    slots = _head_slots(pages)
    for page in pages:
        dropped = _line_numbers(page) | _imprint(page)
        lines = [line for line in page.lines if id(line) not in dropped]
        half = page.height / 2
        top = [line for line in edges[page.number] if line.y0 < half and id(line) not in dropped]
        bottom = [line for line in reversed(edges[page.number]) if line.y0 > half and id(line) not in dropped]
        for margin in (top, bottom):
            for row in _level_rows(margin):
                repeated = [line for line in row if _times(seen, line) >= often or _slot(line) in slots]
                rest = [line for line in row if line not in repeated]
                alone = len(rest) == 1 and len(pages) > 1 and not any(_same_baseline(rest[0], other) for other in lines if other not in row)
                if alone and _PAGE_NUMBER.fullmatch(rest[0].text.strip()):
                    repeated.append(rest.pop())
                dropped |= {id(line) for line in repeated}
                if rest:
                    break  # what lies further in is text
        kept.append([line for line in page.lines if id(line) not in dropped or line.table])
    if any(kept):
        for page, lines in zip(pages, kept, strict=True):
            page.lines = lines


def columns(page: Page) -> list[Column]:
    """The lines of a page as columns in reading order; pieces on one baseline are joined, `cells` says where the gaps were.

    A ruled table is one thing for the layout, whatever stands in it.
    """
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


def _edge_lines(page: Page) -> list[Line]:
    """Lines in the top and bottom margins, top to bottom."""
    top, bottom = page.height * _MARGIN, page.height * (1 - _MARGIN)
    return sorted((line for line in page.lines if line.y1 < top or line.y0 > bottom), key=lambda line: line.y0)


def _level_rows(lines: list[Line]) -> Iterator[list[Line]]:
    """Neighbouring lines of about one height."""
    row: list[Line] = []
    for line in lines:
        if row and abs(line.y0 - row[0].y0) > 3:
            yield row
            row = []
        row.append(line)
    if row:
        yield row


def _times(seen: Counter[tuple[str, int]], line: Line) -> int:
    text, height = _print(line)
    return seen[text, height] + seen[text, height - 1] + seen[text, height + 1]


def _print(line: Line) -> tuple[str, int]:
    """What repeats: the words without their numbers, unless there are none; and the height."""
    text = line.text.lower()
    return (_DIGITS.sub("#", text) if sum(map(str.isalpha, text)) >= 2 else text)[:80], round(line.y0 / 4)


def _slot(line: Line) -> tuple[int, float]:
    return round(line.y0 / 2), line.size


def _head_slots(pages: Sequence[Page]) -> set[tuple[int, float]]:
    """Heights at which most pages of a long document begin with a line that stands apart: heads that name the section."""
    if len(pages) < 6:
        return set()
    counts: Counter[tuple[int, float]] = Counter()
    for page in pages:
        if not page.lines:
            continue
        top = min(page.lines, key=lambda line: line.y0)
        below = min((line.y0 for line in page.lines if line.y0 > top.y1 - 1), default=page.height)
        if top.y1 < page.height * _MARGIN and below - top.y1 > 0.9 * top.size:
            counts[_slot(top)] += 1
    return {slot for slot, times in counts.items() if times >= 0.6 * len(pages)}


def _line_numbers(page: Page) -> set[int]:
    """Ids of numbers that count the lines in a margin: five or more, one below the other, evenly counted."""
    numbers = [line for line in page.lines if len(line.words) == 1 and line.words[0].text.isdigit() and len(line.words[0].text) <= 4]
    if len(numbers) < 5:
        return set()
    dropped: set[int] = set()
    body = [line for line in page.lines if len(line.words) > 3]
    if not body:
        return set()
    left, right = median(line.x0 for line in body), median(line.x1 for line in body)
    for side in ([line for line in numbers if line.x1 < left], [line for line in numbers if line.x0 > right]):
        side.sort(key=lambda line: line.y0)
        values = [int(line.words[0].text) for line in side]
        steps = Counter(b - a for a, b in itertools.pairwise(values))
        if len(side) >= 5 and steps and (step := steps.most_common(1)[0])[0] in (1, 5) and step[1] >= 0.8 * (len(side) - 1):
            dropped |= {id(line) for line in side}
    return dropped


def _imprint(page: Page) -> set[int]:
    """Ids of the lines at the foot of page one that name the journal: small, apart from the text, with an address or a notice."""
    if page.number != 1 or not page.lines:
        return set()
    foot = [line for line in page.lines if line.y0 > page.height * (1 - 0.5 * _MARGIN)]
    text = [line for line in page.lines if line.y0 <= page.height * (1 - 0.5 * _MARGIN)]
    if not foot or not text or not any(_NOTICE.search(line.text) for line in foot):
        return set()
    apart = min(line.y0 for line in foot) - max(line.y1 for line in text) > 2 * foot[0].size
    small = all(line.size < median(other.size for other in text) for line in foot)
    return {id(line) for line in foot} if apart and small and len({round(line.y0) for line in foot}) < 3 else set()


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
            if _same_baseline(row[0], line):
                row.append(line)
                break
        else:
            rows.append([line])
    return [_joined(row) for row in rows]


def _same_baseline(one: Line, other: Line) -> bool:
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
