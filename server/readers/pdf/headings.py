"""Paragraphs -> which are headings, and at what level: by numbering, by known names, by size, weight and font."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from server.language import CJK
from server.readers.headings import MAX_HEADING, REFERENCES, is_known, number_level
from server.readers.pdf.paragraphs import REFERENCE_MARK, Body, Paragraph, is_caption

_SENTENCE_END = re.compile(r"[.!;,。！；，、]$")
_NUMBERED_END = re.compile(r"[.;,。；，、]$")
_WORD = re.compile(rf"[^\W\d_]{{3}}|[{CJK}]{{2}}")
_CHINESE = {  # numbering kinds from the highest down
    "part": re.compile(r"第\s*[一二三四五六七八九十百\d]+\s*[篇部]"),
    "chapter": re.compile(r"第\s*[一二三四五六七八九十百\d]+\s*章"),
    "section": re.compile(r"第\s*[一二三四五六七八九十百\d]+\s*[节節]"),
    "number": re.compile(r"[一二三四五六七八九十]{1,3}\s*[、．.]"),
    "bracket": re.compile(r"[（(]\s*[一二三四五六七八九十]{1,3}\s*[)）]"),
    "arabic": re.compile(r"\d{1,2}[.．、]\s*[^\d\s]"),
}
_MATH = re.compile(r"[=∑∫≤≥∈→∂√±×|{}<>\ufffd\U0001d400-\U0001d7ff]")
_NAME_START = re.compile(rf"[“\"'‘(\[【]?[A-ZÀ-ÖØ-Þ{CJK}]|[“\"'‘]?\d+\)?\s")
_TOP = re.compile(r"abstract|summary|key\s?words|index terms|摘\s*要|关键词|目\s*录|致\s*谢", re.IGNORECASE)
_THEOREM = re.compile(
    r"(?:(?:theorem|lemma|definition|proposition|corollary|remark|example|claim|conjecture|assumption|axiom|property|observation|fact|"
    r"satz|bemerkung|beispiel|folgerung|korollar|vermutung|annahme|hilfssatz|定理|引理|定义|命题|推论|性质|假设|例|注)\s*"
    r"(?:\d+(?:\.\d+)*|[A-Z])|proof|beweis|证明)\s*[.:：。]?\s*(?:[(（].*[)）])?[.:：。]?",
    re.IGNORECASE,
)
_CONTENTS = re.compile(r"(?:table of )?contents|inhalt(?:sverzeichnis)?|目\s*[录次]", re.IGNORECASE)
_PAGE_END = re.compile(r"\d[\s.…·]*$")
_AUTHORS = re.compile(r"authors?|作者", re.IGNORECASE)
_INITIAL = re.compile(r"[A-Z]\.\s")
_ROMAN = re.compile(r"[IVX]+\.\s")
_DOTS = re.compile(r"(?:\. ?){4}|…{2}")  # an entry of a table of contents
_FILE_NAME = re.compile(r"\S+[._/]\S+")

Style = tuple[float, bool, bool]  # size rounded to half points, bold, centred


def heading_levels(paragraphs: Sequence[Paragraph], body: Body) -> dict[int, int]:
    """Level (from 1) of each paragraph that is a heading, by its index.

    Before the first numbered or known heading on the first two pages stand the title and its authors, no headings. Elsewhere a
    heading without a number must be set in the body's font or in that of a sure heading; labels inside figures are not.
    """
    sure = [at for at in range(len(paragraphs)) if _is_sure(paragraphs, at, body)]
    families = {paragraphs[at].lines[0].family for at in sure}
    families |= {line.family for paragraph in paragraphs for line in paragraph.lines if line.size == body.size} if len(sure) < 3 else set()
    authors = [at for at in sure if _AUTHORS.fullmatch(paragraphs[at].text.strip()) and paragraphs[at].lines[0].page == 1]
    start = next((at for at in sure if at not in authors and not (_INITIAL.match(paragraphs[at].text) and "," in paragraphs[at].text)), 0)
    if start and paragraphs[start].lines[0].page > 3:
        start = 0
    entries = _contents_entries(paragraphs, sure)
    sure = _counting(paragraphs, [at for at in sure if at >= start and at not in entries], body)
    sure = sorted({*sure, *_plain_items(paragraphs, sure, start, body)})
    known = set(sure)
    middle = Counter(paragraphs[at].size for at in sure if _is_centred(paragraphs[at], body))
    guessed = [
        at
        for at in range(start, len(paragraphs))
        if at not in known
        and at not in entries
        and paragraphs[at].lines[0].family in families
        and (_is_likely(paragraphs, at, body) or (middle[paragraphs[at].size] > 1 and _is_like_centred(paragraphs, at, body)))
    ]
    return _levels(paragraphs, sorted({*authors, *sure, *guessed}), body)


def _contents_entries(paragraphs: Sequence[Paragraph], sure: Sequence[int]) -> set[int]:
    """Paragraphs below "Contents", on its page and the three after it, that end in the number of a page."""
    begun = next((at for at in sure if _CONTENTS.fullmatch(paragraphs[at].text.strip())), None)
    if begun is None:
        return set()
    last = paragraphs[begun].lines[0].page + 3
    return {
        at for at in range(begun + 1, len(paragraphs)) if paragraphs[at].lines[0].page <= last and _PAGE_END.search(paragraphs[at].text)
    }


def _counting(paragraphs: Sequence[Paragraph], sure: Sequence[int], body: Body) -> list[int]:
    """Without rows and list items that only look numbered: one number that heads four paragraphs or more, unless set large."""
    labels = {at: paragraphs[at].text.split()[0] for at in sure if number_level(paragraphs[at].text.strip())}
    times = Counter(labels.values())
    return [at for at in sure if times[labels.get(at, "")] < 4 or paragraphs[at].size >= 1.08 * body.size]


def _plain_items(paragraphs: Sequence[Paragraph], sure: Sequence[int], start: int, body: Body) -> list[int]:
    """Headings set like text that a list item would look like, where the numbering above them is there: A. under II., 1. under 一、."""
    texts = [paragraphs[at].text.strip() for at in sure]
    roman = sum(_ROMAN.match(text) is not None and number_level(text) > 0 for text in texts) > 1
    chinese = any(_CHINESE["number"].match(text) for text in texts)
    if not roman and not chinese:
        return []
    found = []
    for at in range(start, len(paragraphs)):
        paragraph = paragraphs[at]
        text = paragraph.text.strip()
        item = (roman and _INITIAL.match(text) and "," not in text) or (chinese and _CHINESE["arabic"].match(text))
        plain = len(paragraph.lines) == 1 and len(text) < 60 and abs(paragraph.size - body.size) < 0.15 * body.size
        if not item or not plain or paragraph.gap < 0.2 or _NUMBERED_END.search(text) or _MATH.search(text):
            continue
        if _could_be(paragraph, text) and _text_follows(paragraphs, at, body):
            found.append(at)
    return found


def _levels(paragraphs: Sequence[Paragraph], found: Sequence[int], body: Body) -> dict[int, int]:
    """Levels of the headings: their own number's, else that of numbered ones set alike, else by size; no level is left out."""
    texts = {at: paragraphs[at].text.strip() for at in found}
    numbers = _numbers(texts)
    styles = {at: _style(paragraphs[at], body) for at in found}
    by_style: dict[Style, Counter[int]] = {}
    for at in found:
        if numbers[at]:
            by_style.setdefault(styles[at], Counter())[numbers[at]] += 1
    few = sum(level > 0 for level in numbers.values()) < 0.2 * len(found)  # a stray number says nothing about the others
    usual = {} if few else {style: counter.most_common(1)[0][0] for style, counter in by_style.items()}
    sizes = sorted({style[0] for style in styles.values()}, reverse=True)
    levels: dict[int, int] = {}
    above: list[tuple[int, int]] = []  # (rank, level) of the headings that are open
    for at in found:
        rank = numbers[at] or _rank(texts[at], styles[at], usual, sizes)
        while above and above[-1][0] >= rank:
            above.pop()
        levels[at] = rank if numbers[at] else min(rank, above[-1][1] + 1 if above else 1)
        above.append((rank, levels[at]))
    return levels


def _rank(text: str, style: Style, usual: Mapping[Style, int], sizes: Sequence[float]) -> int:
    """The level of a heading without a number, before gaps are closed."""
    if REFERENCES.match(text) or _TOP.match(text):
        return 1
    if is_known(text) and (usual or style[0] == sizes[0]):
        return min(usual.get(style, 1), 2)
    if usual:
        smaller = [level for other, level in usual.items() if other[0] <= style[0] + 0.2 and (style[1] or not other[1])]
        return usual.get(style) or (min(smaller) if smaller else max(usual.values()) + 1)
    return min(sizes.index(style[0]) + 1, 4)


def _numbers(texts: Mapping[int, str]) -> dict[int, int]:
    """The level that each heading's number says, 0 without one; II. stands above A., and 第一章 above 一、 above （一） above 1."""
    numbers = {at: number_level(text) for at, text in texts.items()}
    if any(_ROMAN.match(text) and not _INITIAL.match(text) for text in texts.values()):
        numbers |= {at: 2 for at, text in texts.items() if _INITIAL.match(text) and not _ROMAN.match(text)}
    kinds = {at: kind for at, text in texts.items() if numbers[at] for kind, pattern in _CHINESE.items() if pattern.match(text)}
    if any(kind in ("number", "bracket") for kind in kinds.values()):
        used = [kind for kind in _CHINESE if kind in kinds.values()]
        numbers |= {at: used.index(kind) + 1 for at, kind in kinds.items()}
    return numbers


def _style(paragraph: Paragraph, body: Body) -> Style:
    return round(paragraph.size * 2) / 2, paragraph.bold, _is_centred(paragraph, body)


def _is_centred(paragraph: Paragraph, body: Body) -> bool:
    line = paragraph.lines[0]
    middle = abs((line.x0 + line.x1) - (paragraph.left + paragraph.right)) < 2 * body.size
    return middle and len(paragraph.lines) == 1 and line.x0 > paragraph.left + 2 * body.size


def _is_sure(paragraphs: Sequence[Paragraph], at: int, body: Body) -> bool:
    """Whether this is a heading by its number or its name."""
    paragraph = paragraphs[at]
    text = paragraph.text.strip()
    if not _could_be(paragraph, text) or at + 1 == len(paragraphs) or not (_WORD.search(text) or is_known(text)):
        return False
    single = len(paragraph.lines) == 1
    strong = paragraph.size >= 1.08 * body.size or (paragraph.bold and not body.bold)
    capitals = text.isupper() and sum(map(str.isalpha, text)) >= 4
    centred = _is_centred(paragraph, body)
    if is_known(text):
        return single and (strong or capitals or centred or paragraph.gap > 0.2 or paragraph.first) and paragraph.size > 0.75 * body.size
    level = number_level(text)
    if sum(map(str.isalpha, text)) < 0.4 * len(text.replace(" ", "")):
        return False
    if not level or _NUMBERED_END.search(text) or paragraph.size < (0.75 if capitals else 0.9) * body.size:
        return False
    if strong or capitals or (centred and not _MATH.search(text)):
        return True
    apart = paragraph.gap > 0.2 or (at > 0 and len(paragraphs[at - 1].lines) == 1 and number_level(paragraphs[at - 1].text) > 0)
    plain = single and apart and len(text) < 70 and not _MATH.search(text)
    return plain and (level > 1 or any(_CHINESE[kind].match(text) for kind in ("chapter", "number", "bracket")))


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
    line = paragraph.lines[0]
    if line.x0 > paragraph.left + 2 * paragraph.size and not _is_centred(paragraph, body):
        return False  # a cell, a label
    if _FILE_NAME.fullmatch(text) or (sum(map(str.isalpha, text)) < 0.6 * len(text.replace(" ", ""))):
        return False
    return _text_follows(paragraphs, at, body)


def _is_like_centred(paragraphs: Sequence[Paragraph], at: int, body: Body) -> bool:
    """Whether a line in the size of running text is a heading, where others are set so: short, centred, apart, with text below."""
    paragraph = paragraphs[at]
    text = paragraph.text.strip()
    if not _is_centred(paragraph, body) or paragraph.gap < 0.3 or not _could_be(paragraph, text) or len(text) > 60:
        return False
    if _SENTENCE_END.search(text) or _MATH.search(text) or not _NAME_START.match(text) or paragraph.lines[0].maths > 0.1:
        return False
    return _text_follows(paragraphs, at, body)


def _could_be(paragraph: Paragraph, text: str) -> bool:
    if paragraph.table or paragraph.formula or paragraph.reference or paragraph.note or _THEOREM.fullmatch(text):
        return False
    if any(line.cells for line in paragraph.lines) and not number_level(text) and not is_known(text):
        return False
    if len(paragraph.lines) > 3 or paragraph.lines[0].code or _DOTS.search(text) or not 1 < len(text) <= MAX_HEADING:
        return False
    return any(map(str.isalpha, text)) and not is_caption(text, True) and not REFERENCE_MARK.match(text[:6].replace(".", ""))


def _text_follows(paragraphs: Sequence[Paragraph], at: int, body: Body) -> bool:
    """Whether running text stands below, at most four headings or short lines further."""
    for paragraph in paragraphs[at + 1 : at + 6]:
        if paragraph.table or (abs(paragraph.size - body.size) < 0.12 * body.size and len(paragraph.text) >= 30 and not paragraph.bold):
            return True
        if paragraph.size < 0.88 * body.size:
            return is_caption(paragraph.text, True)
    return False
