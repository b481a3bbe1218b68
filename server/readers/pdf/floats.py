"""Paragraphs in reading order -> captions whole and before their tables, and the labels inside figures told from text.

A figure's area reaches from its caption up to the text above (or, with the caption on top, down to the text below). What stands in it
in short lines of another font or size, or away from the left edge, is a label. Numbers that count evenly along an axis are ticks.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from server.language import is_wide
from server.readers.pdf.page import Line, Word
from server.readers.pdf.paragraphs import Body, Paragraph, is_caption

_LABEL_ALONE = re.compile(r"\s*(?:table|tab\.|tabelle|fig(?:ure|\.)?|附?[表图])\s*(?:[A-Z]?\d+|[IVX]+)\s*[.:：]?\s*", re.IGNORECASE)
_FIGURE = re.compile(r"\s*(?:(?:supplementary|extended data|supp\.?)\s+)?(?:fig|scheme|abb|附?图)", re.IGNORECASE)
_NUMBER = re.compile(r"[−–-]?\d+(?:[.,]\d+)?%?")
_WORD = re.compile(r"[^\W\d_]{2}")
_LONGEST_LABEL = 60  # columns of display width; a longer line is text, unless it is very small
_SMALL, _LARGE, _TINY = 0.93, 1.1, 0.8  # of the font size of running text
_FEWEST_BELOW = 3  # labels below a caption before they are believed; most captions stand below their figure
_CLOSE = 1.2  # of the font size: white between a caption's number and its text
_EVEN = (0.8, 1.25)  # ratio of two steps between ticks


def whole_captions(found: list[Paragraph], levels: dict[int, int], body: Body) -> tuple[list[Paragraph], dict[int, int]]:
    """`found` with captions whose number stands on a line of its own joined with their text, and `levels` by the new indexes."""
    joined: set[int] = set()
    for at, (paragraph, following) in enumerate(itertools.pairwise(found)):
        line, below = paragraph.lines[-1], following.lines[0]
        if (
            at in joined
            or len(paragraph.lines) > 1
            or not _LABEL_ALONE.fullmatch(line.text)
            or following.table
            or is_caption(below.text, True)
        ):
            continue
        near = line.page == below.page and -line.size < below.y0 - line.y1 < _CLOSE * line.size
        if near and below.size <= 1.02 * body.size:
            paragraph.lines.extend(following.lines)
            paragraph.last = following.last
            joined.add(at + 1)
    kept = [at for at in range(len(found)) if at not in joined]
    return [found[at] for at in kept], {new: levels[old] for new, old in enumerate(kept) if old in levels}


def floats_of(found: Sequence[Paragraph], levels: Mapping[int, int], body: Body) -> dict[int, list[int]]:
    """For each caption of a figure, by its index, the indexes of the paragraphs that are labels of the figure."""
    family = _family(found, body)
    front = min(levels, default=0)  # title and authors stand before the first heading
    by_page: dict[int, list[int]] = {}
    for at, paragraph in enumerate(found):
        for page in {line.page for line in paragraph.lines}:
            by_page.setdefault(page, []).append(at)
    labels: dict[int, list[int]] = {}
    taken: set[int] = set()
    for at, paragraph in enumerate(found):
        if at in levels or not _is_figure_caption(paragraph, body):
            continue
        page = paragraph.lines[0].page
        others = [other for other in by_page[page] if other != at and other not in taken]
        small = {other for other in others if other >= front and other not in levels and _is_label(found[other], page, body, family)}
        lines = [line for other in others if other not in small for line in found[other].lines if line.page == page]
        inside = _inside(found, small, lines, paragraph, above=True)
        if not inside and len(below := _inside(found, small, lines, paragraph, above=False)) >= _FEWEST_BELOW:
            inside = below
        if inside:
            labels[at] = inside
            taken.update(inside)
    return labels


def without_ticks(lines: Sequence[Line]) -> list[Line]:
    """The labels of a figure without the numbers along its axes; nothing when no word of two letters is among them."""
    if not lines:
        return []
    words = [word for line in lines for word in line.words if _NUMBER.fullmatch(word.text)]
    ticks = _ticks(words, lambda word: round(word.y0 + word.y1), lambda word: (word.x0 + word.x1) / 2)
    for side in (lambda word: round(word.x1), lambda word: round(word.x0), lambda word: round((word.x0 + word.x1) / 2)):
        ticks |= _ticks(words, side, lambda word: (word.y0 + word.y1) / 2)
    kept = [replace(line, words=[word for word in line.words if id(word) not in ticks], cells=[]) for line in lines]
    kept = [line for line in kept if line.words]
    return kept if any(_WORD.search(line.text) for line in kept) else []


def _family(found: Sequence[Paragraph], body: Body) -> str:
    """The font family of running text."""
    families: Counter[str] = Counter()
    for line in (line for paragraph in found for line in paragraph.lines):
        if line.size == body.size:
            families[line.family] += len(line.words)
    return families.most_common(1)[0][0] if families else ""


def _is_figure_caption(paragraph: Paragraph, body: Body) -> bool:
    if not _FIGURE.match(paragraph.lines[0].text):
        return False
    text = paragraph.text
    caption = is_caption(text, paragraph.size < 0.95 * body.size or len(paragraph.lines) <= 2)
    return caption and not paragraph.table


def _is_label(paragraph: Paragraph, page: int, body: Body, family: str) -> bool:
    """Whether nothing in this paragraph looks like running text, a caption, a note, a listing or an equation."""
    lines = paragraph.lines
    if any(line.page != page or line.table for line in lines) or paragraph.reference or is_caption(lines[0].text, True):
        return False
    if paragraph.formula and (paragraph.size > _SMALL * body.size or len(lines) > 2):
        return False
    return all(_is_label_line(line, paragraph, body, family) for line in lines)


def _is_label_line(line: Line, paragraph: Paragraph, body: Body, family: str) -> bool:
    if line.size < _TINY * body.size:
        return True
    longest = max((sum(1 + is_wide(char) for char in part) for part in _parts(line)), default=0)
    if longest > _LONGEST_LABEL or (line.code and longest > 20):
        return False
    other_style = line.family != family or not _SMALL * body.size < line.size < _LARGE * body.size
    return other_style or line.x0 > paragraph.left + 2 * line.size


def _parts(line: Line) -> list[str]:
    """The texts between the wide gaps of a line."""
    return [" ".join(word.text for word in line.words[start:end]) for start, end in itertools.pairwise([0, *line.cells, len(line.words)])]


def _inside(found: Sequence[Paragraph], small: set[int], lines: Sequence[Line], caption: Paragraph, *, above: bool) -> list[int]:
    """The labels between a caption and the nearest text above it, or below it, in the width of its column."""
    top, bottom = caption.lines[0].y0, caption.lines[-1].y1
    left = min(caption.left, *(line.x0 for line in caption.lines))
    right = max(caption.right, *(line.x1 for line in caption.lines))
    beside = [line for line in lines if line.x0 < right and line.x1 > left]
    if above:
        low, high = max((line.y1 for line in beside if line.y1 < top + 2), default=float("-inf")), top
    else:
        low, high = bottom, min((line.y0 for line in beside if line.y0 > bottom - 2), default=float("inf"))
    chosen = []
    for at in sorted(small):
        own = found[at].lines
        within = all(low - 2 < line.y0 and line.y1 < high + 2 for line in own)
        if within and min(line.x0 for line in own) < right and max(line.x1 for line in own) > left:
            chosen.append(at)
    return chosen


def _ticks(words: Sequence[Word], side: Callable[[Word], int], along: Callable[[Word], float]) -> set[int]:
    """Ids of numbers that stand on one line (of equal `side`), three or more with even steps in value and `along` it."""
    rows: dict[int, list[Word]] = {}
    for word in words:
        rows.setdefault(side(word), []).append(word)
    found: set[int] = set()
    for row in rows.values():
        row.sort(key=along)
        for one, two, three in zip(row, row[1:], row[2:], strict=False):
            steps = along(two) - along(one), along(three) - along(two)
            values = [_value(word.text) for word in (one, two, three)]
            even = abs((values[1] - values[0]) - (values[2] - values[1])) < 1e-6 * (1 + max(map(abs, values)))
            if even and values[0] != values[1] and steps[0] > 0 and _EVEN[0] < steps[1] / steps[0] < _EVEN[1]:
                found |= {id(one), id(two), id(three)}
    return found


def _value(text: str) -> float:
    return float(text.replace("−", "-").replace("–", "-").replace(",", ".").rstrip("%"))
