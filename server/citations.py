"""Quotes with proof; in: a passage and a stretch of it, or words that should stand in it; out: a Citation with page and boxes.

A quote is always cut out of the passage by code, never taken from a model: what is shown as verbatim is verbatim.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

from server.language import display_width, is_wide
from server.splitting import sentences
from server.stores.words import question_terms
from server.types import Box, Citation, Passage, Span

LONGEST_QUOTE_WORDS = 60
MOST_CITATIONS = 5
CJK_CHARACTERS_A_WORD = 1.5  # mean length of a Chinese word; 60 words are 90 characters
_MARK = re.compile(r"\[(\d{1,2})\]")


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


def support(answer: str, passages: Sequence[Passage]) -> tuple[str, tuple[Citation, ...]]:
    """(the answer with its marks renumbered, its citations): for each sentence the sentence of the passages that supports it best.

    A mark [n] of the model says where to look first; marks that point nowhere are removed. Sentences without a mark get one when
    a passage shares at least half of their terms.
    """
    cited: list[Citation] = []
    parts: list[str] = []
    at = 0
    for start, end in sentences(answer):
        sentence = answer[start:end]
        marks = [int(n) for n in _MARK.findall(sentence) if 1 <= int(n) <= len(passages)]
        numbers = []
        for passage, need in [(passages[n - 1], 0.0) for n in dict.fromkeys(marks)] or [(p, 0.5) for p in passages]:
            found = _best_sentence(_MARK.sub("", sentence), passage)
            if found is None or found[2] < need:
                continue
            number = _numbered(cited, cite(passage, found[0], found[1], len(cited) + 1, found[2]))
            if number:
                numbers.append(number)
            if not marks:
                break
        tail = "".join(f"[{n}]" for n in dict.fromkeys(numbers))
        parts.append(answer[at:start] + _marked(_MARK.sub("", sentence).rstrip(), tail))
        at = end
    return "".join(parts) + answer[at:], tuple(cited)


def _marked(sentence: str, tail: str) -> str:
    if not tail:
        return sentence
    stop = sentence[-1:] if sentence[-1:] in ".。!！?？" else ""
    body = sentence[: len(sentence) - len(stop)].rstrip()
    return f"{body} {tail}{stop}" if not is_wide(body[-1:] or " ") else f"{body}{tail}{stop}"


def _numbered(cited: list[Citation], citation: Citation) -> int | None:
    for other in cited:
        if (other.kb, other.file, other.quote) == (citation.kb, citation.file, citation.quote):
            return other.index
    if len(cited) >= MOST_CITATIONS:
        return None
    cited.append(replace(citation, index=len(cited) + 1))
    return len(cited)


def _best_sentence(claim: str, passage: Passage) -> tuple[int, int, float] | None:
    """(start, end, share of the claim's terms that it holds) of the passage's sentence nearest to the claim."""
    terms = set(question_terms(claim))
    best: tuple[int, int, float] | None = None
    for start, end in sentences(passage.text):
        share = len(terms & set(question_terms(passage.text[start:end]))) / len(terms) if terms else 0.0
        if best is None or share > best[2]:
            best = (start, end, share)
    return best


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
