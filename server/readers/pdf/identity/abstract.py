"""The sections of a document -> its abstract: the text under or after the word Abstract, else the paragraph set apart on page one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.language import CJK, display_width, language_of
from server.readers.headings import is_known, number_level
from server.readers.pdf.page import Line, Page
from server.readers.pdf.text import Vocabulary, block_text
from server.types import Block, Language, Section

LAST_PAGE = 4  # an abstract begins on one of the first pages
LONGEST = 8000  # characters; a longer one is a whole paper without headings
LONGEST_SUMMARY = 3500  # characters; a longer "Summary" is the paper itself
_SHORTEST = 80  # columns of a fixed-pitch font

_NAMES = r"abstract|executive summary|zusammenfassung|kurzfassung|résumé|resumen|摘要|内容摘要|中文摘要|英文摘要|提要|内容提要"
_HEADING = re.compile(rf"(?:\d\.?|[IVX]+\.)?[\[【〔]?(?:{_NAMES})[\]】〕]?[:：.]?", re.IGNORECASE)
_SUMMARY = re.compile(r"(?:\d\.?)?summary[:.]?", re.IGNORECASE)
_RUN_IN = re.compile(
    r"\s*(?:[\[【〔]\s*(?:摘\s*要|abstract)\s*[\]】〕]\s*[:：]?|(?:内\s*容\s*)?摘\s*要\s*[:：—]*|"
    r"(?:abstract|zusammenfassung|kurzfassung|résumé|resumen|提\s*要)\s*(?:[:：.—–-]+|\s(?=(?-i:[A-Z]))))\s*",
    re.IGNORECASE,
)
_SUMMARY_RUN_IN = re.compile(r"\s*summary\s*[:.—–-]+\s*", re.IGNORECASE)
_STOP = re.compile(
    r"\s*[\[【〔]?\s*(?:key\s*-?\s?words?(?: and phrases)?|index terms|schlüsselwörter|schlagwörter|mots[- ]clés|palabras clave|"
    r"关\s*键\s*[词字]|主\s*题\s*词|"
    r"jel\b|msc\b|pacs\b|ams subject|acm reference|ccs concepts|general terms|categories and subject|"
    r"中图分类号|中图法分类号|分类号|文献标[识志]码|"
    r"doi\s*[:：]|article (?:history|info)|correspond(?:ence|ing author)|\*\s*correspond|received\s*[:：]|收稿日期|基金项目|引用格式|"
    r"©|copyright|plain language summary|significance statement|highlights\b|graphical abstract|abbreviations\s*[:：]|author summary)",
    re.IGNORECASE,
)
_INLINE_STOP = re.compile(
    r"\s+(?=(?:key\s?words?|index terms)\s*[:：—–-])|"
    r"\s*(?=[\[【]?关\s*键\s*[词字]\s*[\]】]?\s*[:：])|(?<=[。！？])\s*(?=关\s*键\s*[词字])|\s*(?=中图分类号\s*[:：])",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(?:background|objectives?|aims?|purpose|introduction|context|importance|motivation|rationale|design|setting|"
    r"patients|participants|methods?|"
    r"materials and methods|methodology|"
    r"findings|results?|outcomes?|main outcome measures?|conclusions?|interpretation|significance|discussion|"
    r"limitations|originality|trial registration|(?:background|objectives?)(?: and \w+)?|methods? and \w+|results and \w+|"
    r"背景|目的|背景与目的|方法|材料与方法|结果|结论|讨论|意义)\s*[:：.]?",
    re.IGNORECASE,
)
_FIRST_PART = re.compile(
    r"(?:background|objective|aim|purpose|context|importance|motivation|rationale|introduction|背景|目的)", re.IGNORECASE
)
_CLOSING_PART = re.compile(r"(?:conclusion|interpretation|结论)", re.IGNORECASE)
_AFFILIATION = re.compile(r"universit|department|institut|faculty|laborator|@|大学|学院|研究所", re.IGNORECASE)
_STOP_WORDS = frozenset(
    re.findall(r"\w+", "the we is are that this in to with for by was were our which be der die und ist wir eine dass wird")
)
_INITIAL = re.compile(r"[A-HJ-UW-Z]\. ")  # of a name; I. and V. are numbers
_SENTENCE = re.compile(r"[.!?](?:\s|$)|[。！？]")


def abstract_of(sections: Sequence[Section], language: Language, pages: Sequence[Page], vocabulary: Vocabulary, body: float) -> str:
    """The abstract in the document's `language` when it has several; empty when it has none. `pages` are the first as printed, `body`
    is the font size, in points, of running text.

    A section "Summary" counts when nothing is called Abstract and it is short enough.
    """
    found = _named(sections)
    proper = [text for summary, text in found if not summary] or [text for _, text in found if len(text) <= LONGEST_SUMMARY]
    if not proper:
        return _below_label(pages, vocabulary) or _unnamed(sections, pages, vocabulary, body)
    return next((text for text in proper if language_of(text) == language), proper[0])


def _named(sections: Sequence[Section]) -> list[tuple[bool, str]]:
    """Every abstract that is called so, and whether it is only a "Summary"."""
    collector = _Collector()
    headed = False
    for section in sections:
        if section.page > LAST_PAGE:
            break
        if section.path:
            collector.heading(section.path[-1], first=not headed)
            headed = True
        for block in section.blocks:
            if block.kind in ("paragraph", "formula", "code") and block.page <= LAST_PAGE + 1:
                collector.block(block.text)
    texts = ((summary, _joined(parts)) for summary, parts in collector.found)
    return [(summary, text) for summary, text in texts if display_width(text) >= _SHORTEST and len(text) <= LONGEST]


class _Collector:
    """Walks over headings and blocks in reading order; `found` holds every abstract that is called so: (whether "Summary", its parts)."""

    def __init__(self) -> None:
        self.found: list[tuple[bool, list[str]]] = []
        self._open: list[str] | None = None  # the parts of the abstract that is being read
        self._structured = False  # its parts have headings of their own

    def heading(self, text: str, first: bool) -> None:
        """Close the open abstract or go on with its next part; open one. `first`: no other heading came before."""
        squeezed = text.replace(" ", "")
        goes_on = self._structured or (self._open == [] and _FIRST_PART.match(text) is not None)
        if self._open is not None and goes_on and _PART.fullmatch(text.strip()) and not number_level(text):
            self._structured = not _CLOSING_PART.match(text)
            self._open.append(text.rstrip(" .:：") + ("：" if re.search(f"[{CJK}]", text) else ":"))
            return
        self._open = None
        summary = first and _SUMMARY.fullmatch(squeezed) is not None
        if summary or _HEADING.fullmatch(squeezed):
            self.begin(summary)

    def begin(self, summary: bool) -> list[str]:
        """Open an abstract."""
        self._open, self._structured = [], False
        self.found.append((summary, self._open))
        return self._open

    def block(self, text: str) -> None:
        """Take the text of a block, from the word Abstract or up to the keywords when they stand inside it."""
        parts = self._open
        run_in = _RUN_IN.match(text) or _SUMMARY_RUN_IN.match(text)
        if run_in and display_width(text) > _SHORTEST:
            parts = parts if parts == [] else self.begin(text.lower().lstrip().startswith("summary"))
            text = text[run_in.end() :]
        elif _HEADING.fullmatch(text.replace(" ", "")):
            self.begin(False)
            return
        elif _STOP.match(text):
            self._open = parts = None
        if parts is None:
            return
        cut = _INLINE_STOP.search(text)
        parts.append(text[: cut.start()] if cut else text)
        if cut or sum(map(len, parts)) > LONGEST:
            self._open = None


def _joined(parts: Sequence[str]) -> str:
    """Paragraphs as one text; no space between Chinese ones."""
    made = ""
    for part in parts:
        wide = made and (re.search(f"[{CJK}，。：；？！）]$", made) is not None)
        made += part.strip() if not made or wide else f" {part.strip()}"
    return made.strip()


def _below_label(pages: Sequence[Page], vocabulary: Vocabulary) -> str:
    """The lines below the word Abstract on page one, where other things stand beside them and the sections have mixed both."""
    page = pages[0]
    label = next((line for line in page.lines if _HEADING.fullmatch(line.text.replace(" ", ""))), None)
    if label is None:
        return ""
    under = sorted((line for line in page.lines if line.y0 > label.y1 - 1 and line.x1 > label.x0), key=lambda line: line.y0)
    taken: list[Line] = []
    for line in under:
        last = taken[-1] if taken else label
        if line.x0 < (taken[0].x0 if taken else label.x0) - 6 or (taken and line.x0 > taken[0].x0 + 4 * line.size):
            continue
        if line.y0 - last.y1 > (1.2 if taken else 4) * line.size or (taken and abs(line.size - last.size) > 0.06 * line.size):
            break
        if _STOP.match(line.text):
            break
        taken.append(line)
    text = block_text(taken, pages, vocabulary)[0]
    return text if display_width(text) >= _SHORTEST else ""


def _unnamed(sections: Sequence[Section], pages: Sequence[Page], vocabulary: Vocabulary, body: float) -> str:
    """Running text on page one before the first heading that is numbered or known, when it stands there too, or that is set apart."""
    found: list[tuple[str, list[Line]]] = []
    headed = False
    for section in sections:
        heading = section.path[-1] if section.path else ""
        if heading and (is_known(heading) or (number_level(heading) and not _INITIAL.match(heading))):
            headed = section.page == 1
            break
        if section.page > 1:
            break
        for block in section.blocks:
            if block.page == 1 and block.kind == "paragraph" and _is_prose(block.text):
                lines = _longest_run(_lines_of(block, pages[0]))
                found.append((block_text(lines, pages, vocabulary)[0] if lines else block.text, lines))
    if headed:
        made = _joined([text for text, _ in found])
        return made if display_width(made) <= LONGEST_SUMMARY else ""
    return next((text for text, lines in found[:2] if _set_apart(lines, pages[0], body)), "")


def _longest_run(lines: Sequence[Line]) -> list[Line]:
    """The most text without a gap: a line of authors above, which no full stop ended, may have been taken for its beginning."""
    runs: list[list[Line]] = []
    for line in lines:
        if runs and line.y0 - runs[-1][-1].y1 < line.size:
            runs[-1].append(line)
        else:
            runs.append([line])
    return max(runs, key=lambda run: sum(len(line.text) for line in run), default=[])


def _is_prose(text: str) -> bool:
    """Sentences, sixty words or 120 characters of Chinese at least; no address."""
    if display_width(text) < 240 or _STOP.match(text) or len(_SENTENCE.findall(text)) < 2:
        return False
    words = text.lower().split()
    wide = len(re.findall(f"[{CJK}]", text)) > 0.3 * len(text)
    return (wide or sum(word in _STOP_WORDS for word in words) >= 0.1 * len(words)) and len(_AFFILIATION.findall(text)) < 3


def _set_apart(own: Sequence[Line], page: Page, body: float) -> bool:
    """Whether the lines are bold, smaller or narrower than the running text of the page."""
    mine = set(map(id, own))
    others = [line for line in page.lines if id(line) not in mine and len(line.text) > 30 and abs(line.size - body) < 0.06 * body]
    if not own or len(others) < 4:
        return False
    if all(line.bold for line in own) and not all(line.bold for line in others):
        return True
    if own[0].size < 0.97 * body or own[0].size > 1.04 * body:
        return True
    left, right = min(line.x0 for line in others), max(line.x1 for line in others)
    return min(line.x0 for line in own) > left + 1.5 * body and max(line.x1 for line in own) < right - 1.5 * body


def _lines_of(block: Block, page: Page) -> list[Line]:
    boxes = {(round(span.x0), round(span.y0)) for span in block.spans}
    return [line for line in page.lines if (round(line.words[0].x0), round(line.words[0].y0)) in boxes]
