"""Pages of lines -> the same pages without running heads, feet, page numbers, line numbers and the journal's imprint.

What repeats in a margin is furniture, word for word or but for a number that counts the pages. Headings, captions and the titles of
slides repeat in a margin too: what is set larger than the text, or bolder, counts only word for word, and a caption never.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from server.readers.headings import number_level
from server.readers.pdf.layout import same_baseline
from server.readers.pdf.page import Line, Page
from server.readers.pdf.paragraphs import is_caption

_PAGE_NUMBER = re.compile(
    r"(?:page|p\.|seite|第)?\s*[-–—·]?\s*(?:\d{1,4}|[ivxlc]{1,7})\s*[-–—·]?\s*(?:页)?(?:\s*(?:of|/|von|共)\s*(?:第|共)?\s*\d{1,4}\s*页?)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,5}|\b[ivxlc]{1,7}\b")
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_NOTICE = re.compile(r"https?://|www\.|doi\b|©|\bISSN\b|\(c\)|copyright", re.IGNORECASE)
_MARGIN = 0.13  # share of the page's height where running heads stand
_LARGER = 1.08  # times the size of the text: a heading or the title of a slide
_AS_LARGE = 0.95  # the same for a bold heading; bold heads of pages are set smaller
_NUMBER_LARGER = 1.5  # the same for a page number alone, which is often set a little larger
_MOST_PAGES = 0.4  # share of the pages that carry a large line word for word before it is furniture: heads of left and right pages differ
_ECHOED = 0.5  # share of the lines at one height that name what stands elsewhere too, as heads that name the section do


class _Look(NamedTuple):
    """The font size of most of the document's text, and whether it is bold."""

    size: float
    bold: bool

    def larger(self, line: Line, times: float = _LARGER) -> bool:
        return line.size > times * self.size

    def stands_out(self, line: Line) -> bool:
        return self.larger(line) or (line.bold and not self.bold and line.size > _AS_LARGE * self.size)


def drop_furniture(pages: Sequence[Page]) -> None:
    """Take running heads, feet, page numbers and line numbers out of `pages`, unless nothing else stands there."""
    kept: list[list[Line]] = []
    repeats = _Repeats(pages)
    for page in pages:
        dropped = _line_numbers(page) | _imprint(page)
        lines = [line for line in page.lines if id(line) not in dropped]
        half = page.height / 2
        edge = [line for line in _edge_lines(page) if id(line) not in dropped]
        for margin in ([line for line in edge if line.y0 < half], [line for line in reversed(edge) if line.y0 > half]):
            for row in _level_rows(margin):
                repeated = [line for line in row if repeats.has(line)]
                rest = [line for line in row if line not in repeated]
                alone = len(rest) == 1 and len(pages) > 1 and not any(same_baseline(rest[0], other) for other in lines if other not in row)
                if alone and _PAGE_NUMBER.fullmatch(rest[0].text.strip()) and not repeats.look.larger(rest[0], _NUMBER_LARGER):
                    repeated.append(rest.pop())
                dropped |= {id(line) for line in repeated}
                if rest:
                    break  # what lies further in is text
        kept.append([line for line in page.lines if id(line) not in dropped or line.table])
    if any(kept):
        for page, lines in zip(pages, kept, strict=True):
            page.lines = lines


class _Repeats:
    """What stands in the margins of several pages at one height: word for word, but for a page number, or a head for each section."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._count = len(pages)
        self._often = max(2.0, min(4.0, 0.3 * len(pages)))
        self.look = _look(pages)
        self._same: Counter[tuple[str, int]] = Counter()
        self._counting: Counter[tuple[str, int]] = Counter()
        for page in pages:
            edge = _edge_lines(page)
            self._same.update({(_bare(line), _height(line)) for line in edge})
            self._counting.update({(text, _height(line)) for line in edge for text in _counted(line)})
        self._slots = _head_slots(pages)

    def has(self, line: Line) -> bool:
        """Whether `line` is one of those."""
        if is_caption(line.text, True):
            return False
        same = self._times(self._same, _bare(line), line)
        if self.look.larger(line):
            return 1 < same >= min(self._count, max(3, _MOST_PAGES * self._count))
        if same >= self._often or (_slot(line) in self._slots and not self.look.stands_out(line)):
            return True
        if self.look.stands_out(line) or number_level(line.text.strip()):
            return False
        return any(self._times(self._counting, text, line) >= self._often for text in _counted(line))

    def _times(self, seen: Counter[tuple[str, int]], text: str, line: Line) -> int:
        height = _height(line)
        return seen[text, height] + seen[text, height - 1] + seen[text, height + 1]


def _look(pages: Sequence[Page]) -> _Look:
    looks: Counter[tuple[float, bool]] = Counter()
    for page in pages:
        for line in page.lines:
            looks[line.size, line.bold] += len(line.text)
    return _Look(*looks.most_common(1)[0][0]) if looks else _Look(0.0, True)


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


def _bare(line: Line) -> str:
    return line.text.lower()[:80]


def _height(line: Line) -> int:
    return round(line.y0 / 4)


def _counted(line: Line) -> Iterator[str]:
    """The words with one number each time put as its distance from the page's: alike on all pages when it counts them."""
    text = _bare(line)
    if sum(map(str.isalpha, text)) < 2:
        return
    for match in _NUMBER.finditer(text):
        number = _value(match.group())
        yield f"{text[: match.start()]}\x00{number - line.page}\x00{text[match.end() :]}"


def _value(number: str) -> int:
    if number.isdigit():
        return int(number)
    values = [_ROMAN[letter] for letter in number]
    return sum(-value if value < after else value for value, after in itertools.zip_longest(values, values[1:], fillvalue=0))


def _slot(line: Line) -> tuple[int, float]:
    return round(line.y0 / 2), line.size


def _head_slots(pages: Sequence[Page]) -> set[tuple[int, float]]:
    """Heights at which most pages of a long document begin with a line that stands apart: heads that name the section.

    Their words stand elsewhere too, as a heading or as the head of another page. Slides have titles there instead.
    """
    if len(pages) < 6:
        return set()
    tops: dict[tuple[int, float], list[Line]] = {}
    for page in pages:
        if not page.lines or page.width > page.height:
            continue
        top = min(page.lines, key=lambda line: line.y0)
        below = min((line.y0 for line in page.lines if line.y0 > top.y1 - 1), default=page.height)
        if top.y1 < page.height * _MARGIN and below - top.y1 > 0.9 * top.size:
            tops.setdefault(_slot(top), []).append(top)
    often = {slot: lines for slot, lines in tops.items() if len(lines) >= 0.6 * len(pages)}
    if not often:
        return set()
    known = Counter(_letters(line) for page in pages for line in page.lines)
    return {slot for slot, lines in often.items() if sum(known[_letters(line)] > 1 for line in lines) >= _ECHOED * len(lines)}


def _letters(line: Line) -> str:
    return "".join(filter(str.isalpha, line.text.casefold()))


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
