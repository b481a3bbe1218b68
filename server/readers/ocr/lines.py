"""Recognised strips of a straightened page -> its lines: words with boxes from the ink between them, font sizes that agree."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from server.language import CJK_MARKS, display_width, is_wide
from server.readers.ocr.engine import Strip
from server.readers.pdf.page import Line, Word, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from server.readers.ocr.engine import Pixels

_MARK = re.compile(f"[{CJK_MARKS}]")
_SPLIT = 0.8  # of the font size: a gap between columns or cells, wider than any between words
_UNUSUAL = 1.8  # times the line's median gap: justified lines of narrow columns have wide spaces throughout
_LONG = 1.5  # times the font size: text whose width tells its size
_BY_WIDTH = 0.75  # weight of the width in the size; the height keeps letters of one width (typewriter) from looking a quarter larger
_USUAL_HEIGHT = 1.42  # of a found box, in font sizes, where no line of the page is long
_ABOVE, _BELOW = 0.52, 0.68  # from the middle of a found box to the edges of its line, in font sizes, as fonts have them
_RULE = 0.9  # share of ink in a row of pixels that a letter does not have but the rule of a table
_SAME_SIZE = 0.12  # sizes nearer than this to a page's commonest are that one


class Found(NamedTuple):
    """A recognised strip, its place in pixels (x0, y0) and its pixels."""

    strip: Strip
    x0: int
    y0: int
    pixels: Pixels


class _Run(NamedTuple):
    """A word, or a run of Chinese up to a mark, from x0 to x1 in the strip's pixels; `glued` when no space stands before it."""

    text: str
    x0: float
    x1: float
    glued: bool


def lines_of(found: Sequence[Found], number: int, zoom: float) -> list[Line]:
    """The lines of page `number`, at `zoom` pixels a point; a strip with a wide gap becomes two."""
    runs = [_runs(one) for one in found]
    sizes = agreed([size / zoom for size in _sizes(found, runs)], [len(one.strip.places) for one in found])
    made: list[Line] = []
    for one, parts, size in zip(found, runs, sizes, strict=True):
        middle = (one.y0 + one.pixels.shape[0] / 2) / zoom
        y0, y1 = middle - _ABOVE * size, middle + _BELOW * size
        for part in _split(parts, _SPLIT * size * zoom):
            words = [Word(run.text, (one.x0 + run.x0) / zoom, y0, (one.x0 + run.x1) / zoom, y1, run.glued) for run in part]
            made.append(Line(number, words[0].x0, y0, words[-1].x1, y1, size, False, "", False, words))
    return made


def _runs(found: Found) -> list[_Run]:
    """The words of a strip. Where one ends and the next begins, there is a gap in the ink between the middles of two characters."""
    text, width = found.strip.text.strip(), found.pixels.shape[1]
    ink = _Ink(found.pixels)
    letters = [(at, char) for at, char in enumerate(text) if not char.isspace()]
    gaps = [ink.gap(left * width, right * width) for left, right in itertools.pairwise(found.strip.places)]
    spaced = [right[0] > left[0] + 1 for left, right in itertools.pairwise(letters)]
    runs: list[_Run] = []
    x0, glued, first = ink.left, False, 0
    for at, (_, char) in enumerate(letters):
        last = at + 1 == len(letters)
        space = not last and spaced[at]
        if not last and not space and is_wide(char) == is_wide(letters[at + 1][1]) and not _MARK.match(char):
            continue
        x1, following = (ink.right, ink.right) if last else gaps[at]
        if made := plain("".join(letter for _, letter in letters[first : at + 1])):
            runs.append(_Run(made, x0, max(x1, x0 + 1), glued))
        x0, glued, first = following, not space, at + 1
    return runs


class _Ink:
    """Which columns of a strip hold ink; `left` and `right` are the edges of it all, in pixels."""

    def __init__(self, pixels: Pixels) -> None:
        import numpy as np

        height = pixels.shape[0]
        grey = pixels.mean(axis=2)[height // 6 : height - height // 6]  # neighbouring lines reach into the rest
        contrast = np.abs(grey - np.median(grey))
        spots = contrast > 0.4 * np.percentile(contrast, 99)
        self._ink: NDArray[np.bool_] = spots[spots.mean(axis=1) < _RULE].any(axis=0)
        inked = np.flatnonzero(self._ink)
        self.left, self.right = (float(inked[0]), float(inked[-1] + 1)) if len(inked) else (0.0, float(len(self._ink)))

    def gap(self, left: float, right: float) -> tuple[float, float]:
        """The widest gap between two places; the middle between them when there is none."""
        start, best = int(left), (0, 0)
        for column in range(int(left), min(int(right) + 1, len(self._ink))):
            if self._ink[column]:
                start = column + 1
            elif column + 1 - start > best[1] - best[0]:
                best = (start, column + 1)
        if best[1] == best[0]:
            return (left + right) / 2, (left + right) / 2
        return float(best[0]), float(best[1])


def _sizes(found: Sequence[Found], runs: Sequence[Sequence[_Run]]) -> list[float]:
    """Font sizes in pixels: by width and height; shorter text, mostly in tables, has the size of the line nearest in height.

    The width is compared with that of Times. What a found box is higher than its font differs from page to page and is measured there.
    """
    widths = [_size_by_width(parts) for parts in runs]
    heights = [one.pixels.shape[0] for one in found]
    usual = median([height / size for height, size in zip(heights, widths, strict=True) if size] or [_USUAL_HEIGHT])
    sizes = [size**_BY_WIDTH * (height / usual) ** (1 - _BY_WIDTH) for height, size in zip(heights, widths, strict=True)]
    middles = [one.y0 + height / 2 for one, height in zip(found, heights, strict=True)]
    long = [at for at, size in enumerate(sizes) if size]
    for at, height in enumerate(heights):
        if not sizes[at]:
            nearest = min(long, key=lambda other: abs(middles[other] - middles[at]), default=None)
            sizes[at] = height / usual if nearest is None else sizes[nearest]
    return sizes


def _size_by_width(runs: Sequence[_Run]) -> float:
    """Font size in pixels from the width of the words; 0 when they are too short to tell."""
    wanted = printed = 0.0
    for run in runs:
        white = 0.6 if _MARK.match(run.text[-1]) else 0.1 if is_wide(run.text[0]) else 0.06  # beside the ink; marks fill half their cell
        wanted += _ems(run.text) - white
        printed += run.x1 - run.x0
    return printed / wanted if wanted > _LONG else 0.0


def _ems(text: str) -> float:
    """How wide `text` is in font sizes: Latin as in Times, Chinese and Hangul full width."""
    import pymupdf

    narrow = "".join(char for char in text if display_width(char) < 2)
    return len(text) - len(narrow) + float(pymupdf.get_text_length(narrow, "tiro", 1))


def agreed(sizes: Sequence[float], weights: Sequence[int]) -> list[float]:
    """Font sizes to the half point: those near the commonest become that one, then those near the commonest of the rest."""
    left: Counter[int] = Counter()  # tenths of a point -> how much is set so
    for size, weight in zip(sizes, weights, strict=True):
        left[round(10 * size)] += weight
    result: dict[int, float] = {}
    while left:
        around = {tenth: [other for other in left if abs(other - tenth) <= _SAME_SIZE / 2 * tenth] for tenth in left}
        centre = max(left, key=lambda tenth: (sum(left[other] for other in around[tenth]), -tenth))
        weight = sum(left[other] for other in around[centre])
        middle = sum(other * left[other] for other in around[centre]) / weight if weight else centre
        for tenth in [tenth for tenth in left if tenth == centre or abs(tenth - middle) <= _SAME_SIZE * middle]:
            result[tenth] = max(1, round(middle / 5)) / 2
            del left[tenth]
    return [result[round(10 * size)] for size in sizes]


def _split(runs: Sequence[_Run], widest: float) -> list[list[_Run]]:
    """Cut where the gap is wider than `widest`; the half empty cell of a Chinese mark, often read as an ASCII one, is no gap."""
    parts = [list(runs[:1])] if runs else []
    gaps = sorted(run.x0 - before.x1 for before, run in itertools.pairwise(runs) if not run.glued)
    widest = max(widest, _UNUSUAL * gaps[len(gaps) // 2]) if len(gaps) > 2 else widest
    for before, run in itertools.pairwise(runs):
        last, first = before.text[-1], run.text[0]
        marked = (is_wide(last) or is_wide(first)) and not (last.isalnum() and first.isalnum())
        if run.x0 - before.x1 > (2 * widest if marked else widest):
            parts.append([run._replace(glued=False)])
        else:
            parts[-1].append(run)
    return parts
