"""Quotes with proof; in: a passage and a stretch of it, or words that should stand in it; out: a Citation with page and boxes.

A quote is always cut out of the passage by code, never taken from a model: what is shown as verbatim is verbatim.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from server.language import display_width, is_wide
from server.types import Box, Citation, Passage, Span

LONGEST_QUOTE_WORDS = 60
MOST_CITATIONS = 5
CJK_CHARACTERS_A_WORD = 1.5  # mean length of a Chinese word; 60 words are 90 characters


def cite(passage: Passage, start: int, end: int, index: int, score: float) -> Citation:
    """The citation of `passage.text[start:end]`, cut to 60 words, with the page and boxes where it is printed."""
    start, end = _shortened(passage.text, start, end)
    boxes = boxes_of(passage.spans, passage.text, start, end)
    return Citation(
        index=index,
        kb=passage.kb,
        file=passage.file,
        title=passage.title,
        page=boxes[0].page if boxes else passage.page,
        boxes=boxes,
        quote=passage.text[start:end].replace("\n", " "),
        verified=True,
        score=score,
    )


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Where `quote` stands in `text`, as (start, end), not minding case, spaces, hyphens, ligatures, full-width forms; None if nowhere."""
    needle, _ = _normalised(quote)
    haystack, places = _normalised(text)
    at = haystack.find(needle) if needle else -1
    return (places[at], places[at + len(needle) - 1] + 1) if at >= 0 else None


def boxes_of(spans: Sequence[Span], text: str, start: int, end: int) -> tuple[Box, ...]:
    """The boxes that enclose `text[start:end]`, one for each printed line; a part of a span gets its share of the span's width."""
    boxes: list[Box] = []
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        box = _part(span, text, max(start, span.start), min(end, span.end))
        last = boxes[-1] if boxes else None
        if last is not None and _same_line(last, box):
            boxes[-1] = Box(last.page, min(last.x0, box.x0), min(last.y0, box.y0), max(last.x1, box.x1), max(last.y1, box.y1))
        else:
            boxes.append(box)
    return tuple(Box(b.page, *(round(value, 1) for value in b[1:])) for b in boxes)


def word_count(text: str) -> float:
    """Words of a text: runs of letters count one, CJK characters 1/1.5 each."""
    wide = sum(is_wide(c) for c in text)
    return len(re.findall(r"\S+", "".join(" " if is_wide(c) else c for c in text))) + wide / CJK_CHARACTERS_A_WORD


def _shortened(text: str, start: int, end: int) -> tuple[int, int]:
    """Cut at the last word that still fits; LONGEST_QUOTE_WORDS is the contract's limit."""
    if word_count(text[start:end]) <= LONGEST_QUOTE_WORDS:
        return start, end
    low, high = start, end
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if word_count(text[start:middle]) <= LONGEST_QUOTE_WORDS else (low, middle)
    cut = low
    while cut > start + 1 and cut < end and not text[cut].isspace() and not is_wide(text[cut]) and not text[cut - 1].isspace():
        cut -= 1
    cut = cut if cut > start + 1 else low
    return start, start + len(text[start:cut].rstrip())


def _part(span: Span, text: str, start: int, end: int) -> Box:
    whole = display_width(text[span.start : span.end]) or 1
    before, inside = display_width(text[span.start : start]), display_width(text[start:end])
    width = span.x1 - span.x0
    x0 = span.x0 + width * before / whole
    return Box(span.page, x0, span.y0, x0 + width * inside / whole, span.y1)


def _same_line(left: Box, right: Box) -> bool:
    overlap = min(left.y1, right.y1) - max(left.y0, right.y0)
    height = min(left.y1 - left.y0, right.y1 - right.y0)
    return left.page == right.page and overlap > 0.5 * height and -height < right.x0 - left.x1 < 2 * height


def _normalised(text: str) -> tuple[str, list[int]]:
    """The text without spaces and hyphens, NFKC, lower case; and for each of its characters the place it came from."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in _foldable(text):
        characters.append(character)
        places.append(place)
    return "".join(characters), places


def _foldable(text: str) -> Iterator[tuple[int, str]]:
    for place, original in enumerate(text):
        for character in unicodedata.normalize("NFKC", original).casefold():
            if not character.isspace() and unicodedata.category(character) not in ("Pd", "Cf"):
                yield place, _QUOTES.get(character, character)


_QUOTES = {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "，": ",", "。": ".", "−": ""}
