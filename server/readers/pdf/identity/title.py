"""Page one -> the block of lines that is the paper's title: large print in the upper part, with the subtitle set below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.language import CJK
from server.readers.names import share_of_names
from server.readers.pdf.page import Line, Page
from server.readers.pdf.text import Vocabulary, block_text

UPPER = 0.6  # share of the page's height in which a title stands
_MOST_LINES = 9
_MOST_CHARACTERS = 400
_FURNITURE = re.compile(
    r"(?:research|original|review|short|full|regular|invited|technical|case|brief|data|software|survey)?\s*"
    r"(?:articles?|papers?|reports?|letters?|communications?|notes?|contributions?|reviews?|editorial|perspectives?|preprint|open access)$|"
    r".*\b(?:journal of|journal$|transactions on|proceedings of|issn|isbn|https?:|www\.|vol(?:ume)?\.?\s*\d|arxiv\s*:|doi\s*[:.]|@)|"
    r"(?:the\s+)?(?:journal|annals|archives|bulletin|proceedings|acta|frontiers in|contents lists)\b|"
    r"(?:published|received|accepted|submitted|available|preprint|draft)\s*(?::|online|in|at|on|to|for|by|from|version|\d|$)|under review|"
    r"to appear in|downloaded from|copyright\W*(?:©|\d)|©|edited by|citation:|"
    r"(?:master|bachelor|doctoral|phd|ph\.d\.|m\.sc\.|diploma|term|seminar)['’s.]*\s*(?:thesis|dissertation|paper)s?$|"
    r"(?:a )?(?:thesis|dissertation)(?: submitted| presented|$)|(?:bachelor|master|diplom|doktor|seminar)arbeit$|dissertation$|"
    r"(?:university|universität|université|faculty|department|school|institut) (?:of|de|für|zu) [\w ]+$|"
    r".* (?:university|universität|institute)$|"
    r".*(?:学报|大学|学院)$|第\s*\d+\s*卷|(?:博士|硕士|学士|本科).{0,6}论文|分类号|密级|学校代码|研究论文$|综述$|论著$|论文$|"
    r"(?:abstract|summary|zusammenfassung|contents|inhaltsverzeichnis|introduction|authors?|目\s*录|摘\s*要|引\s*言)\W*$",
    re.IGNORECASE,
)
_MARKS_AT_END = re.compile(r"(?<=[^\s\d])\s*[*∗＊†‡§¶⋆★☆✩]+$|(?<=[^\W\d_]{2})[¹²³]+$")
_NOTE_NUMBER = re.compile(r"(?<=[a-z]{3})\d$|(?<=[\u4e00-\u9fff])[\d①②]$")
_ADDRESS = re.compile(
    r"\b(?:University|Universität|Université|Department|Institut\w*|College|Faculty|Laboratory|Collaboration|Consortium)\b.*,|@|"
    r"(?:Collaboration|Consortium|Group|Team)$|大学.*[,，]|学院.*[,，]"
)
_DATED = re.compile(r"\b(?:19|20)\d\d$|\d\s*年")
_CJK = re.compile(f"[{CJK}]")


@dataclass(frozen=True, slots=True)
class Title:
    """The title as printed and the lines it stands on, top to bottom; no lines when page one shows none. `body` is the font size, in
    points, of running text.
    """

    text: str = ""
    lines: tuple[Line, ...] = ()
    body: float = 10.0

    def holds(self, line: Line) -> bool:
        """Whether this very line is one of the title's."""
        return any(line is own for own in self.lines)

    @property
    def bottom(self) -> float:
        """The y below it; 0 without lines."""
        return max((line.y1 for line in self.lines), default=0.0)


def title_of(pages: Sequence[Page], metadata: str, vocabulary: Vocabulary) -> Title:
    """The title on the first of `pages`. `metadata` is the one in the file: it decides between large prints, or stands in for none."""
    page, body = pages[0], body_size(pages[:3])
    groups = _groups(page, body)
    wanted = letters(metadata)

    def text_of(lines: Sequence[Line]) -> str:
        return _text(lines, pages, vocabulary)

    scored = sorted(((_score(group, text_of(group), body, wanted), -at) for at, group in enumerate(groups)), reverse=True)
    if not scored or scored[0][0] < 1.0:
        return Title(metadata, body=body)
    at = -scored[0][1]
    lines = _with_subtitle(groups[at], page, body, wanted, text_of)
    for group in groups[:at]:  # one short word in larger print, of which this is the subtitle
        if group[0].size > groups[at][0].size and len(longer := _with_subtitle(group, page, body, wanted, text_of)) > len(group):
            lines = longer if any(line is groups[at][0] for line in longer) else lines
    return Title(_without_marks(text_of(lines), page, body), tuple(lines), body)


def body_size(pages: Sequence[Page]) -> float:
    """The font size, in points, in which most of `pages` is set, by the length of the lines."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[line.size] += round(line.x1 - line.x0)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def letters(text: str) -> str:
    """Only letters and digits, lower case: what two prints of one title have in common."""
    return "".join(char for char in text.casefold() if char.isalnum())


def _groups(page: Page, body: float) -> list[list[Line]]:
    """Runs of neighbouring lines of one size in the upper part of the page; all of it when the page holds little more than a title."""
    lowest = page.height * (1.0 if len(page.lines) < 12 else UPPER)
    upper = sorted((line for line in page.lines if line.y0 < lowest), key=lambda line: (round(line.y0), line.x0))
    groups: list[list[Line]] = []
    for line in upper:
        text = line.text
        if line.size < 0.95 * body or not any(map(str.isalpha, text)) or _FURNITURE.match(text.strip()):
            continue
        for group in reversed(groups[-4:]):
            if _goes_on(group[-1], line) and (line.bold == group[-1].bold or line.size > 1.15 * body):
                group.append(line)
                break
        else:
            groups.append([line])
    return groups


def _goes_on(last: Line, line: Line) -> bool:
    """Whether `line` is set like `last` and stands on the same row or the next."""
    difference = abs(last.size - line.size) / line.size
    same = difference < 0.06 or (difference < 0.15 and last.bold == line.bold and last.family == line.family)
    beside = abs(line.y0 - last.y0) < 0.5 * line.size and line.x0 - last.x1 < 2.5 * line.size
    below = -0.6 * line.size < line.y0 - last.y1 < 1.2 * line.size and line.x0 < last.x1 and line.x1 > last.x0
    return same and (beside or below)


def _score(group: Sequence[Line], text: str, body: float, wanted: str) -> float:
    """How likely the group is the title: its size in units of running text, more when the metadata agrees, less when it is short."""
    own = letters(text)
    if len(group) > _MOST_LINES or len(text) > _MOST_CHARACTERS or len(own) < 2:
        return 0.0
    score = group[0].size / body + 0.15 * all(line.bold for line in group)
    if len(text.split()) + 0.5 * len(_CJK.findall(text)) < 3:
        score = min(0.8 * score, 1.25)  # a logo, unless nothing else is large
    if wanted and (own in wanted or wanted in own) and min(len(own), len(wanted)) >= 0.3 * max(len(own), len(wanted)):
        score += 2.0
    if score < 1.1 and not all(line.bold for line in group):
        return 0.5 * score
    if score < 1.5 and (_is_people(text) or _ADDRESS.search(text)):
        score *= 0.5
    return score


def _is_people(text: str) -> bool:
    """Whether this is a line of authors. "Reference Modelling and Uncertainty Quantification" reads like two names, so that a title of
    two such parts must be marked or end early to be one.
    """
    share = share_of_names(text)
    return share >= 0.5 and ("," in text or "，" in text or len(text.split()) < 9)


def _with_subtitle(group: list[Line], page: Page, body: float, wanted: str, text_of: Callable[[Sequence[Line]], str]) -> list[Line]:
    """The title's lines and those of a smaller line set close below it, or of whatever the metadata says is still missing."""
    lines = list(group)
    below = sorted((line for line in page.lines if line.y0 > lines[-1].y1 - 0.3 * lines[-1].size), key=lambda line: (line.y0, line.x0))
    at = 0
    while at < len(below):
        part = [below[at]]
        while at + len(part) < len(below) and _goes_on(part[-1], below[at + len(part)]) and below[at + len(part)].size == part[0].size:
            part.append(below[at + len(part)])
        after = below[at + len(part)].y0 - part[-1].y1 if at + len(part) < len(below) else page.height
        whole = letters(text_of([*lines, *part]))
        told = wanted.startswith(whole) and len(whole) > len(letters(text_of(lines)))
        if not told and not _is_subtitle(lines, part, after, body, text_of(part)):
            break
        lines += part
        at += len(part)
    return lines


def _is_subtitle(lines: Sequence[Line], part: Sequence[Line], after: float, body: float, text: str) -> bool:
    first, last = lines[0], lines[-1]
    gap = part[0].y0 - last.y1
    middle = abs((part[0].x0 + part[0].x1) - (first.x0 + first.x1)) < 2 * first.size
    aligned = middle or abs(part[0].x0 - first.x0) < 3
    open_end = last.text.rstrip().endswith((":", "：", "—", "–"))
    if not aligned or part[0].size < 1.08 * body or part[0].size > 1.06 * first.size or len(part) > 4 or _FURNITURE.match(text):
        return False
    if any(_DATED.search(line.text) for line in part) or _ADDRESS.search(text) or (not open_end and _is_people(text)):
        return False
    close = gap < 0.95 * part[0].size and after > 1.4 * max(gap, 0.2 * part[0].size)
    return close or (open_end and gap < 1.5 * part[0].size and after > gap)


def _text(lines: Sequence[Line], pages: Sequence[Page], vocabulary: Vocabulary) -> str:
    """The lines as one, with a space between parts of Chinese that were set in two sizes and have no mark between them."""
    parts: list[list[Line]] = []
    for line in lines:
        if parts and abs(parts[-1][-1].size - line.size) < 0.15 * line.size:
            parts[-1].append(line)
        else:
            parts.append([line])
    made = ""
    for part in parts:
        text = block_text(part, pages, vocabulary)[0]
        made += text if not made or re.search("[：？！。—]$", made) or text.startswith("——") else f" {text}"
    return " ".join(made.split())


def _without_marks(text: str, page: Page, body: float) -> str:
    """The title without the marks that point to a footnote; a number goes only when a footnote with it stands below."""
    text = _MARKS_AT_END.sub("", text)
    if match := _NOTE_NUMBER.search(text):
        notes = (line for line in page.lines if line.y0 > UPPER * page.height and line.size < 0.97 * body)
        if any(note.text.startswith(match.group()) and not note.text[1:2].isdigit() for note in notes):
            return text[: match.start()]
    return text.strip()
