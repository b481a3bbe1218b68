"""Paragraphs -> which are headings, and at what level: by numbering, by known names, by size, weight and font."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from server.language import CJK
from server.readers.headings import MAX_HEADING, REFERENCES, is_known, number_level
from server.readers.pdf_paragraphs import REFERENCE_MARK, Body, Paragraph, is_caption

_SENTENCE_END = re.compile(r"[.!?;,。！？；，、]$")
_NUMBERED_END = re.compile(r"[.;,。；，、]$")
_WORD = re.compile(rf"[^\W\d_]{{3}}|[{CJK}]{{2}}")
_CHINESE_ITEM = re.compile(
    r"[一二三四五六七八九十]{1,3}\s*[、．.]|[（(]\s*[一二三四五六七八九十]{1,3}\s*[)）]|第[一二三四五六七八九十\d]+[章节]"
)
_MATH = re.compile(r"[=∑∫≤≥∈→∂√±×|{}<>\ufffd\U0001d400-\U0001d7ff]")
_NAME_START = re.compile(rf"[“\"'‘(\[【]?[A-ZÀ-ÖØ-Þ{CJK}]|[“\"'‘]?\d+\)?\s")
_TOP = re.compile(r"abstract|summary|key\s?words|index terms|摘\s*要|关键词|目\s*录|致\s*谢", re.IGNORECASE)
_INITIAL = re.compile(r"[A-Z]\.\s")
_ROMAN = re.compile(r"[IVX]+\.\s")
_DOTS = re.compile(r"(?:\. ?){4}|…{2}")  # an entry of a table of contents
_FILE_NAME = re.compile(r"\S+[._/]\S+")

Style = tuple[float, bool]


def heading_levels(paragraphs: Sequence[Paragraph], body: Body) -> dict[int, int]:
    """Level (from 1) of each paragraph that is a heading, by its index.

    Before the first numbered or known heading on the first two pages stand the title and its authors, no headings. Elsewhere a
    heading without a number must be set in the body's font or in that of a sure heading; labels inside figures are not.
    """
    sure = [at for at in range(len(paragraphs)) if _is_sure(paragraphs, at, body)]
    families = {paragraphs[at].lines[0].family for at in sure}
    families |= {line.family for paragraph in paragraphs for line in paragraph.lines if line.size == body.size} if len(sure) < 3 else set()
    start = next((at for at in sure if not (_INITIAL.match(paragraphs[at].text) and "," in paragraphs[at].text)), 0)
    if start and paragraphs[start].lines[0].page > 3:
        start = 0
    sure = _counting(paragraphs, [at for at in sure if at >= start], body)
    known = set(sure)
    guessed = [
        at
        for at in range(start, len(paragraphs))
        if at not in known and paragraphs[at].lines[0].family in families and _is_likely(paragraphs, at, body)
    ]
    return _levels(paragraphs, sorted([*sure, *guessed]))


def _counting(paragraphs: Sequence[Paragraph], sure: Sequence[int], body: Body) -> list[int]:
    """Without rows and list items that only look numbered: one number that heads four paragraphs or more, unless set large."""
    labels = {at: paragraphs[at].text.split()[0] for at in sure if number_level(paragraphs[at].text.strip())}
    times = Counter(labels.values())
    return [at for at in sure if times[labels.get(at, "")] < 4 or paragraphs[at].size >= 1.08 * body.size]


def _levels(paragraphs: Sequence[Paragraph], found: Sequence[int]) -> dict[int, int]:
    texts = {at: paragraphs[at].text.strip() for at in found}
    numbers = {at: number_level(texts[at]) for at in found}
    if any(_ROMAN.match(text) and not _INITIAL.match(text) for text in texts.values()):  # II. above A.
        numbers |= {at: 2 for at, text in texts.items() if _INITIAL.match(text) and not _ROMAN.match(text)}
    by_style: dict[Style, Counter[int]] = {}
    for at in found:
        if numbers[at]:
            by_style.setdefault(_style(paragraphs[at]), Counter())[numbers[at]] += 1
    usual = {style: counter.most_common(1)[0][0] for style, counter in by_style.items()}
    sizes = sorted({_style(paragraphs[at])[0] for at in found}, reverse=True)
    levels: dict[int, int] = {}
    for at in found:
        style = _style(paragraphs[at])
        if numbers[at]:
            levels[at] = numbers[at]
        elif REFERENCES.match(texts[at]) or _TOP.match(texts[at]):
            levels[at] = 1
        elif is_known(texts[at]) and (usual or style[0] == sizes[0]):
            levels[at] = min(usual.get(style, 1), 2)
        elif usual:
            smaller = [level for other, level in usual.items() if other[0] <= style[0] + 0.2 and (style[1] or not other[1])]
            levels[at] = usual.get(style) or (min(smaller) if smaller else max(usual.values()) + 1)
        else:
            levels[at] = min(sizes.index(style[0]) + 1, 4)
    return levels


def _style(paragraph: Paragraph) -> Style:
    return round(paragraph.size * 2) / 2, paragraph.bold


def _is_sure(paragraphs: Sequence[Paragraph], at: int, body: Body) -> bool:
    """Whether this is a heading by its number or its name."""
    paragraph = paragraphs[at]
    text = paragraph.text.strip()
    if not _could_be(paragraph, text) or at + 1 == len(paragraphs) or not _WORD.search(text):
        return False
    single = len(paragraph.lines) == 1
    line = paragraph.lines[0]
    strong = paragraph.size >= 1.08 * body.size or (paragraph.bold and not body.bold)
    capitals = text.isupper() and sum(map(str.isalpha, text)) >= 4
    middle = abs((line.x0 + line.x1) - (paragraph.left + paragraph.right)) < 2 * body.size
    centred = single and middle and line.x0 > paragraph.left + 2 * body.size
    if is_known(text):
        return single and (strong or capitals or centred or paragraph.gap > 0.2 or paragraph.first) and paragraph.size > 0.75 * body.size
    level = number_level(text)
    if not level or _NUMBERED_END.search(text) or paragraph.size < (0.75 if capitals else 0.9) * body.size:
        return False
    if strong or capitals or (centred and not _MATH.search(text)):
        return True
    apart = paragraph.gap > 0.2 or (at > 0 and len(paragraphs[at - 1].lines) == 1 and number_level(paragraphs[at - 1].text) > 0)
    plain = single and apart and len(text) < 70 and not _MATH.search(text)
    return plain and (level > 1 or _CHINESE_ITEM.match(text) is not None)


def _is_likely(paragraphs: Sequence[Paragraph], at: int, body: Body) -> bool:
    """Whether this looks like a heading without a number: larger or bold, short, alone, with text below."""
    paragraph = paragraphs[at]
    text = paragraph.text.strip()
    larger = paragraph.size >= 1.08 * body.size
    if not (larger or (paragraph.bold and not body.bold)) or not _could_be(paragraph, text) or paragraph.size < 0.9 * body.size:
        return False
    if _SENTENCE_END.search(text) or _MATH.search(text) or text.endswith((":", "：")) or not _NAME_START.match(text):
        return False
    words = len(text.split()) + len(re.findall(f"[{CJK}]", text)) / 2
    if words > 14 or not (paragraph.gap > 0.15 or paragraph.first) or not (larger or len(paragraph.lines) == 1):
        return False
    if _FILE_NAME.fullmatch(text) or (sum(map(str.isalpha, text)) < 0.6 * len(text.replace(" ", ""))):
        return False
    return _text_follows(paragraphs, at, body)


def _could_be(paragraph: Paragraph, text: str) -> bool:
    if paragraph.table or paragraph.reference or (any(line.cells for line in paragraph.lines) and not number_level(text)):
        return False
    if len(paragraph.lines) > 3 or paragraph.lines[0].code or _DOTS.search(text) or not 1 < len(text) <= MAX_HEADING:
        return False
    return any(map(str.isalpha, text)) and not is_caption(text, True) and not REFERENCE_MARK.match(text[:6].replace(".", ""))


def _text_follows(paragraphs: Sequence[Paragraph], at: int, body: Body) -> bool:
    """Whether running text stands below, at most two headings further."""
    for paragraph in paragraphs[at + 1 : at + 4]:
        if paragraph.table or (abs(paragraph.size - body.size) < 0.12 * body.size and len(paragraph.text) >= 30 and not paragraph.bold):
            return True
        if paragraph.size < 0.88 * body.size:
            return is_caption(paragraph.text, True)
    return False
