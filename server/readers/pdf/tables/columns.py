"""Lines of a table -> where its columns end: at the posts, and at the gaps that all rows leave."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from server.language import display_width, is_wide
from server.readers.pdf.page import Line, Word
from server.readers.pdf.tables.ruled import Ruled

_CLOSING, _POINTS = "）】」", "：，。；、）】」"
_BRACKET_INK = 0.36  # of its box: where the ink of a closing bracket ends
_BRACKET = re.compile(r"(?<=[）】」])(?!$)|(?<!^)(?=[（【「])")
_SPACE = 0.42  # of the font size: words closer than this are one phrase; a word space is 0.25 to 0.35
_NARROWEST = 0.45  # of the font size: a gap between columns that two rows or more leave
_NARROWEST_ALONE = 1.0  # ... that one row leaves
MOST_COLUMNS = 40
_MOST_ROWS_TRIED = 200  # each is left out once: the square of it


def at_brackets(line: Line) -> Line:
    """The line with its runs of Chinese cut at full-width brackets, behind which a cell may end; its characters are of one width."""
    if not any(_BRACKET.search(word.text) for word in line.words):
        return line
    words: list[Word] = []
    for word in line.words:
        cuts = [match.start() for match in _BRACKET.finditer(word.text)]
        whole = display_width(word.text) or 1
        for start, end in itertools.pairwise([0, *cuts, len(word.text)]):
            x0, x1 = (word.x0 + (word.x1 - word.x0) * display_width(word.text[:at]) / whole for at in (start, end))
            words.append(Word(word.text[start:end], x0, word.y0, x1, word.y1, word.glued if not start else True))
    return replace(line, words=words)


def gap(before: Word, word: Word) -> float:
    """The white between two words, in points."""
    return word.x0 - (before.x1 if word.text[0] in _POINTS else _end(before))


def phrases(line: Line, size: float, posts: Sequence[float] = ()) -> list[Line]:
    """The line cut where two words stand further apart than words do, or a post stands between them."""
    pairs = enumerate(itertools.pairwise(line.words), 1)
    cuts = [at for at, (one, two) in pairs if gap(one, two) > _SPACE * size or any(one.x1 - 1 < x < two.x0 + 1 for x in posts)]
    return [piece_of(line, line.words[start:end]) for start, end in itertools.pairwise([0, *cuts, len(line.words)])]


def piece_of(line: Line, words: list[Word]) -> Line:
    """The part of `line` that these words make, as wide as its ink."""
    x0, x1 = min([word.x0 for word in words]), max(map(_end, words))
    return Line(line.page, x0, line.y0, x1, line.y1, line.size, line.bold, line.family, line.code, words, [], line.maths, line.table)


def _end(word: Word) -> float:
    """Where its ink ends."""
    if word.text[-1] not in _CLOSING:
        return word.x1
    return word.x1 - (1 - _BRACKET_INK) * (word.x1 - word.x0) * 2 / display_width(word.text)


def column_edges(body: Sequence[Line], cut: Sequence[list[Line]], head: Sequence[Line], posts: Sequence[float], size: float) -> list[float]:
    """The x at which each column but the last one ends; empty when there is but one column. `cut` are the phrases of the body's lines."""
    rows = [row for row in cut if len(row) > 1]
    ink = _common(rows)
    lone = [(row[0].x0, row[0].x1) for row in cut if len(row) == 1]
    ink = _with_lone(ink, lone, size)
    heads = [word for line in head for word in line.words]
    edges: list[float] = []
    for (_, left), (right, _) in itertools.pairwise(ink):
        inside = [post for post in posts if left - 1 < post < right + 1]
        if inside:
            edges.append(inside[0])
            continue
        both = sum(row[0].x1 <= left + 1 and row[-1].x0 >= right - 1 for row in rows)
        crossing = sum(x0 < left - 1 and x1 > right + 1 for x0, x1 in lone)
        width = (right - left) / size
        if width < (_NARROWEST if both > 1 else _NARROWEST_ALONE) or (crossing > max(1.0, 0.35 * both) and width < 1.5):
            continue
        edges.append(_between(left, right, heads))
    edges += [post for post in posts if not any(abs(post - edge) < size for edge in edges) and _is_free(post, body)]
    return sorted(edges)


def column_of(x: float, edges: Sequence[float]) -> int:
    """The number of the column that `x` lies in, from 0."""
    return sum(x > edge for edge in edges)


def wraps(above: Line, below: Line, left: float, right: float) -> bool:
    """Whether `below` may go on with the text of `above` in a column with ink from `left` to `right`: its first word fitted no more."""
    word = below.words[0]
    needed = above.size if is_wide(word.text[0]) else word.x1 - word.x0 + 0.25 * above.size
    if above.x0 < left + 0.5 * above.size:
        return above.x1 + needed > right - 0.3 * above.size
    return above.x1 - above.x0 + needed > right - left - 0.3 * above.size


def _common(rows: Sequence[Sequence[Line]]) -> list[tuple[float, float]]:
    """Where the rows have ink; a row that closes a gap of the others (a value for two columns) is left out, up to one in eight."""
    intervals = [[(piece.x0, piece.x1) for piece in row] for row in rows]
    ink = _merged([interval for row in intervals for interval in row])
    usual = median(map(len, intervals)) if intervals else 0
    for _ in range(max(1, len(rows) // 8) if 3 <= len(rows) <= _MOST_ROWS_TRIED else 0):
        if len(ink) >= usual:
            break
        rests = [[*intervals[:at], *intervals[at + 1 :]] for at in range(len(intervals))]
        inks = [_merged([interval for row in rest for interval in row]) for rest in rests]
        best = max(range(len(inks)), key=lambda at: len(inks[at]))
        if len(inks[best]) <= len(ink):
            break
        intervals, ink = rests[best], inks[best]
    return ink


def _merged(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for x0, x1 in sorted(intervals):
        if merged and x0 <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(x1, merged[-1][1]))
        else:
            merged.append((x0, x1))
    return merged


def _with_lone(ink: list[tuple[float, float]], lone: Sequence[tuple[float, float]], size: float) -> list[tuple[float, float]]:
    """The columns' ink with phrases that stand alone on their baseline, where they widen one column or are one of their own.

    One that would close a gap between columns names a group of rows or is a remark.
    """
    for x0, x1 in lone:
        widened = _merged([*ink, (x0, x1)])
        if _open_gaps(widened, size) >= _open_gaps(ink, size):
            ink = widened
    return ink


def _open_gaps(ink: Sequence[tuple[float, float]], size: float) -> int:
    return sum(right - left >= _NARROWEST * size for (_, left), (right, _) in itertools.pairwise(ink))


def posts_of(ruled: Ruled | None, body: Sequence[Line]) -> list[float]:
    """The x of vertical lines that go along most of the body."""
    if ruled is None or not ruled.posts:
        return []
    top, bottom = min(line.y0 for line in body), max(line.y1 for line in body)
    lengths: list[list[float]] = []
    for post in sorted(ruled.posts):
        along = max(0.0, min(post.y1, bottom) - max(post.y0, top))
        if lengths and post.x - lengths[-1][0] < 3:
            lengths[-1][1] += along
        else:
            lengths.append([post.x, along])
    return [x for x, along in lengths if along > 0.6 * (bottom - top)]


def _is_free(x: float, body: Sequence[Line]) -> bool:
    """Whether (nearly) no word stands across `x`, and words stand on both sides."""
    words = [word for line in body for word in line.words]
    crossing = sum(word.x0 < x - 1 and word.x1 > x + 1 for word in words)
    return crossing <= 0.05 * len(body) and any(word.x1 <= x + 1 for word in words) and any(word.x0 >= x - 1 for word in words)


def _between(left: float, right: float, heads: Sequence[Word]) -> float:
    """Where in a gap of the body the edge goes: into the widest gap that the words of the head leave there, else into the middle."""
    ink = _merged([(word.x0, word.x1) for word in heads if word.x1 > left and word.x0 < right])
    if not ink:
        return (left + right) / 2
    gaps = [(min(b, right) - max(a, left), (max(a, left) + min(b, right)) / 2) for a, b in _gaps(ink, left, right)]
    best = max(gaps, default=(0.0, 0.0))
    return best[1] if best[0] > 0 else (left + right) / 2


def _gaps(ink: Sequence[tuple[float, float]], left: float, right: float) -> list[tuple[float, float]]:
    ends = [left - 1, *(x1 for _, x1 in ink)]
    starts = [*(x0 for x0, _ in ink), right + 1]
    return [(a, b) for a, b in zip(ends, starts, strict=True) if b > a]
