"""A pymupdf page and its lines -> the areas of its tables that printed rules enclose: top and bottom rule, rules and posts between.

The drawings of a page are looked at only where its text speaks of a table (a caption, rows with gaps): for all pages that would cost
as much as reading them.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from server.readers.pdf.layout import TABLE_CAPTION
from server.readers.pdf.page import Line, Page
from server.readers.pdf.rotation import rotation_of
from server.readers.pdf.tables.ruled import Post, Rule, Ruled

_TABLE = ("table", "tab.", "tabelle", "表", "附表", "supplementary", "extended")
_FIGURE = ("fig", "abb", "图", "附图")
_LISTING = re.compile(r"\s*(?:algorithm|algorithmus|listing|code|算法|代码)\b", re.IGNORECASE)
_THIN = 2.0  # points; a thicker bar is no rule
_SHORTEST_RULE, _SHORTEST_POST = 4.0, 3.0  # points
_NARROWEST_TABLE = 60.0  # points
_JOINT = 2.6  # points between pieces of one rule
_SAME_EDGE = 3.0  # points by which rules of one table may differ at their ends
_LOW, _FOOT = 0.8, 0.92  # shares of the page's height: a table that ends lower may go on, and where running feet begin
_MOST_PATHS, _MOST_RULES = 20_000, 500  # more is a map or a plot, not a table


def ruled_areas(source: Any, page: Page, before: Page | None) -> list[Ruled]:
    """The ruled tables of a page, top to bottom, in the reading coordinates of `page`; `before` is the page before it.

    The lines in them get the number of their table.
    """
    last = before.ruled[-1] if before and before.ruled and before.ruled[-1].y1 > _LOW * before.height else None
    if last is None and not _speaks_of_a_table(page.lines):
        return []
    rules, posts = _pieces(source, page)
    lines = [line for line in page.lines if line.y1 < _FOOT * page.height]
    areas = [area for stack in _stacks(rules) for area in _areas(stack, rules, posts, lines)]
    captions = [line for line in lines if _is_caption(line)]
    high = (1 - _LOW) * page.height
    kept = [area for area in areas if _is_table(area, lines, captions, last is not None and area.y0 < high and _as_wide(area, last))]
    kept = [area for area in kept if not any(other is not area and _inside(area, other) for other in kept)]
    kept.sort(key=lambda area: (area.y0, area.x0))
    for number, area in enumerate(kept, 1):
        for line in lines:
            if _holds(area, line):
                line.table = number
    return kept


def _speaks_of_a_table(lines: Sequence[Line]) -> bool:
    """A table's caption; or, on a page without a figure, three short lines at one x where no long ones begin, each beside another."""
    if any(line.words[0].text.lower().startswith(_TABLE) and _is_caption(line) for line in lines):
        return True
    if any(map(_is_figure, lines)):
        return False
    leftmost: dict[int, float] = {}
    for line in lines:
        at = round(line.y1 / 2)
        leftmost[at] = min(line.x1, leftmost.get(at, line.x1))
    aligned: Counter[int] = Counter()
    for line in lines:
        if line.code or line.x1 - line.x0 > 14 * line.size:
            aligned[round(line.x0 / 3)] -= 3  # a column of text
            continue
        at = round(line.y1 / 2)
        if any(line.x0 > leftmost.get(near, line.x1) + line.size for near in (at - 1, at, at + 1)):
            aligned[round(line.x0 / 3)] += 1
    return any(times >= 3 for times in aligned.values())


def _is_caption(line: Line) -> bool:
    """Whether a table's caption begins here; "Table 3 shows" is text."""
    match = TABLE_CAPTION.match(line.text)
    return match is not None and not line.text[match.end() :].lstrip()[:1].islower()


def _pieces(source: Any, page: Page) -> tuple[list[Rule], list[Post]]:
    """Straight thin strokes and bars of the page, pieces in one line joined."""
    import pymupdf

    move = None
    if page.display is not None:
        move = pymupdf.Matrix(*rotation_of(source)) * ~pymupdf.Matrix(*page.display)
    rules: list[Rule] = []
    posts: list[Post] = []
    drawings = source.get_cdrawings()
    if sum(len(drawing["items"]) for drawing in drawings) > _MOST_PATHS:
        return [], []
    for drawing in drawings:
        for x0, y0, x1, y1 in _strokes(drawing):
            if move is not None:
                box = pymupdf.Rect(x0, y0, x1, y1) * move
                x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
            if y1 - y0 < _THIN and x1 - x0 > _SHORTEST_RULE:
                rules.append(Rule((y0 + y1) / 2, x0, x1))
            elif x1 - x0 < _THIN and y1 - y0 > _SHORTEST_POST:
                posts.append(Post((x0 + x1) / 2, y0, y1))
    return [Rule(*piece) for piece in _merged(rules)], [Post(*piece) for piece in _merged(posts)]


def _strokes(drawing: dict[str, Any]) -> Iterator[tuple[float, float, float, float]]:
    for item in drawing["items"]:
        if item[0] == "l":
            (x0, y0), (x1, y1) = item[1], item[2]
            yield min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
        elif item[0] == "re":
            x0, y0, x1, y1 = item[1][:4]
            if min(x1 - x0, y1 - y0) < _THIN:
                yield x0, y0, x1, y1
            elif "s" in drawing["type"]:
                yield from ((x0, y0, x1, y0), (x0, y1, x1, y1), (x0, y0, x0, y1), (x1, y0, x1, y1))


def _merged(pieces: Iterable[tuple[float, float, float]]) -> list[list[float]]:
    """(place, from, to) of strokes; those within a point of one line that touch or overlap are one."""
    levels: list[list[tuple[float, float, float]]] = []
    for piece in sorted(pieces):
        if not levels or piece[0] - levels[-1][0][0] > 1:
            levels.append([])
        levels[-1].append(piece)
    merged: list[list[float]] = []
    for level in levels:
        first = len(merged)
        for place, start, end in sorted(level, key=lambda piece: piece[1:]):
            if len(merged) > first and start <= merged[-1][2] + _JOINT:
                merged[-1][2] = max(merged[-1][2], end)
            else:
                merged.append([place, start, end])
    return merged


def _stacks(rules: Sequence[Rule]) -> Iterator[list[Rule]]:
    """Rules that begin and end at the same x, two or more, top to bottom; a double rule counts once."""
    rest = sorted((rule for rule in rules if rule.x1 - rule.x0 >= _NARROWEST_TABLE), key=lambda rule: rule.y)
    while 1 < len(rest) <= _MOST_RULES:
        same: list[Rule] = []
        others: list[Rule] = []
        for rule in rest:
            (same if abs(rule.x0 - rest[0].x0) + abs(rule.x1 - rest[0].x1) < _SAME_EDGE else others).append(rule)
        rest = others
        if len(same) > 1:
            yield [rule for at, rule in enumerate(same) if not at or rule.y - same[at - 1].y > 1.5 * _THIN]


def _areas(stack: Sequence[Rule], rules: Sequence[Rule], posts: Sequence[Post], lines: Sequence[Line]) -> Iterator[Ruled]:
    """The tables that a stack of rules makes: cut where a caption, running text or nothing stands between two rules."""
    beside = [line for line in lines if line.x1 > stack[0].x0 and line.x0 < stack[0].x1]
    open_: list[Rule] = []
    for upper, lower in itertools.pairwise(stack):
        if _is_band([line for line in beside if upper.y - 2 < _middle(line) < lower.y + 2], upper):
            open_ = [*(open_ or [upper]), lower]
        elif open_:
            yield _area(open_, rules, posts)
            open_ = []
    if not open_:
        return
    below = [line for line in beside if _middle(line) > stack[-1].y]
    if len(open_) == 2 and open_[1].y - open_[0].y < 4 * beside[0].size and below and _is_band(below, open_[0]):
        open_.append(Rule(max(line.y1 for line in below) + 1, open_[0].x0, open_[0].x1))  # goes on over the page
    yield _area(open_, rules, posts)


def _middle(line: Line) -> float:
    return (line.y0 + line.y1) / 2


def _is_band(between: Sequence[Line], rule: Rule) -> bool:
    """Whether the lines between two rules may be rows of a table."""
    if not between or any(TABLE_CAPTION.match(line.text) for line in between):
        return False
    if any(line.x0 < rule.x0 - line.size or line.x1 > rule.x1 + line.size for line in between):
        return False
    return sum(_is_prose(line, rule.x1 - rule.x0) for line in between) < 3


def _is_prose(line: Line, width: float) -> bool:
    return line.x1 - line.x0 > 0.85 * width and len(line.text) > 40 and not _gaps(line)


def _is_figure(line: Line) -> bool:
    return line.words[0].text.lower().startswith(_FIGURE)


def _gaps(line: Line) -> bool:
    """Whether two neighbouring words of the line stand further apart than words do."""
    return any(word.x0 - before.x1 > 0.7 * line.size for before, word in itertools.pairwise(line.words))


def _area(stack: Sequence[Rule], rules: Sequence[Rule], posts: Sequence[Post]) -> Ruled:
    x0, x1, y0, y1 = stack[0].x0, stack[0].x1, stack[0].y, stack[-1].y
    inner = [rule for rule in rules if y0 - 1 <= rule.y <= y1 + 1 and rule.x0 > x0 - _SAME_EDGE and rule.x1 < x1 + _SAME_EDGE]
    within = [post for post in posts if x0 + 4 < post.x < x1 - 4 and post.y0 > y0 - 4 and post.y1 < y1 + 4]
    return Ruled(x0, y0, x1, y1, tuple(stack), tuple(rule for rule in inner if rule not in stack), tuple(within))


def _is_table(area: Ruled, lines: Sequence[Line], captions: Sequence[Line], goes_on: bool) -> bool:
    """Near a table's caption, or where a table of the page before goes on; else three rules, a head and rows of several pieces."""
    inside = [line for line in lines if _holds(area, line)]
    if len(inside) < 3 and sum(map(_gaps, inside)) < 2:
        return False
    others = [line for line in lines if not _holds(area, line) and line.x1 > area.x0 and line.x0 < area.x1]
    if any(_adjoins(area, caption, others) for caption in captions if caption in others):
        return True
    head = [line for line in inside if _middle(line) < area.rules[1].y]
    if any(_LISTING.match(line.text) for line in head):
        return False
    if goes_on:
        return True
    if len(area.rules) < 3 or not 0 < len(head) <= 12:
        return False
    if any(_is_prose(line, area.x1 - area.x0) for line in inside) or _pieces_beside(head) < 2:
        return False
    return _pieces_beside(inside) >= 0.5 * len(inside)


def _pieces_beside(lines: Sequence[Line]) -> int:
    """How many of the lines stand beside another on their baseline, or have gaps themselves."""
    baselines = Counter(round(line.y1 / 2) for line in lines)
    return sum(times for times in baselines.values() if times > 1) + sum(2 * _gaps(line) for line in lines)


def _adjoins(area: Ruled, caption: Line, others: Sequence[Line]) -> bool:
    """Whether between the caption and the area stand at most the caption's own further lines."""
    if caption.y1 <= area.y0 + 3:
        between = [line for line in others if caption.y1 - 1 < line.y1 and line.y0 < area.y0 - 1 and line is not caption]
        return len({round(line.y1 / 2) for line in between}) <= 10 and area.y0 - caption.y0 < 14 * caption.size
    between = [line for line in others if area.y1 - 1 < line.y0 and line.y1 < caption.y0 + 1]
    return not between and caption.y0 - area.y1 < 4 * caption.size


def _holds(area: Ruled, line: Line) -> bool:
    return area.holds(line.x0, line.y0, line.x1, line.y1)


def _as_wide(area: Ruled, other: Ruled) -> bool:
    return abs(area.x0 - other.x0) + abs(area.x1 - other.x1) < 4 * _SAME_EDGE


def _inside(area: Ruled, other: Ruled) -> bool:
    return area.x0 >= other.x0 - 1 and area.x1 <= other.x1 + 1 and area.y0 >= other.y0 - 1 and area.y1 <= other.y1 + 1
