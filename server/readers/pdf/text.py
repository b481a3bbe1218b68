"""Lines -> the text of a block with its spans: words joined over line ends, hyphens of broken words removed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from server.language import is_wide
from server.readers.pdf.page import Line, Page, Word
from server.types import Span

_FIRST_WIDE = "\u3000"  # of all that is_wide
_BROKEN = re.compile(r".*[^\W\d_]-")
_LIGATURES = ("fi", "ff", "fl", "ffi", "ffl")
_LINK_END = re.compile(r"(?:https?://|www\.|doi\.org|10\.\d{4}).*[/._=&?%-]$")


class Vocabulary:
    """The words of a document that stand inside a line: tells whether "data-" + "base" was database or data-base."""

    def __init__(self, pages: Sequence[Page]) -> None:
        printed = Counter([word.text for page in pages for line in page.lines for word in line.words[:-1]])
        self._words: Counter[str] = Counter()
        for text, times in printed.items():  # a tenth of all words
            self._words[_bare(text)] += times

    def keeps_hyphen(self, before: str, after: str) -> bool:
        """Whether the hyphen at the end of `before` belongs to the word."""
        if not after[:1].islower():
            return True
        first = before.lower().lstrip("([\"'“")
        second = after.lower().rstrip(".,;:()[]'\"”")
        if self._words[first[:-1] + second]:
            return False
        return self._words[first + second] > 0 or "-" in first[:-1]

    def mended(self, word: str) -> str:
        """`word` with its unknown character as the ligature that makes it a word of this document; as it is when none or two do."""
        found = [made for made in (word.replace("\ufffd", ligature) for ligature in _LIGATURES) if self._words[_bare(made)]]
        return found[0] if len(found) == 1 else word


def _bare(word: str) -> str:
    return word.lower().strip(".,;:()[]'\"“”")


def block_text(lines: Sequence[Line], pages: Sequence[Page], vocabulary: Vocabulary, separator: str = "") -> tuple[str, tuple[Span, ...]]:
    """The text of `lines`, and a span for each printed word. With `separator`, lines stay lines, as of tables and
    code, and it goes between cells.
    """
    parts: list[str] = []
    spans: list[Span] = []
    length = 0
    for row, line in enumerate(lines):
        number = line.page
        turned = pages[number - 1].displayed if pages[number - 1].is_turned else None
        cells = set(line.cells) if separator else set()
        for at, word in enumerate(line.words):
            text, x0, y0, x1, y1, glued = word
            if "\ufffd" in text:
                text = vocabulary.mended(text)
            if at in cells:
                gap = separator
            elif at:
                gap = "" if glued or (text[0] >= _FIRST_WIDE and _spaceless(line.words[at - 1], word)) else " "
            elif row:
                gap = "\n" if separator else _line_gap(parts, spans, lines[row - 1], text, vocabulary)
                if gap == "-":
                    gap = ""
                    parts[-1] = parts[-1][:-1]
                    length -= 1
                    spans[-1] = spans[-1]._replace(end=length)
            else:
                gap = ""
            parts += (gap, text)
            start = length + len(gap)
            length = start + len(text)
            spans.append(Span(start, length, number, *turned(word)) if turned else Span(start, length, number, x0, y0, x1, y1))
    return "".join(parts), tuple(spans)


def _spaceless(before: Word, word: Word) -> bool:
    """A space between Chinese characters that only justification made."""
    return is_wide(before.text[-1]) and is_wide(word.text[0]) and word.x0 - before.x1 < 0.6 * (word.y1 - word.y0)


def _line_gap(parts: list[str], spans: list[Span], before: Line, after: str, vocabulary: Vocabulary) -> str:
    """What goes between a line and the next word; "-" for nothing and the hyphen before it removed."""
    last = parts[-1]
    if not last or is_wide(last[-1]) or is_wide(after[0]):
        return ""
    if len(last) > 1 and _BROKEN.fullmatch(last):
        return "" if vocabulary.keeps_hyphen(last, after) else "-"
    if last.endswith("—") or _LINK_END.match(last):
        return ""
    return " "
