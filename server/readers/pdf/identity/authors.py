"""The lines below a title -> the authors: rows that hold names and nothing else, in one list, one a row or side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from server.readers.names import names_in, share_of_names
from server.readers.pdf.identity.title import Title
from server.readers.pdf.page import Line, Page

Row = list[Line]  # cells of one row, left to right

_ABSTRACT_LIKE = re.compile(
    r"\W*(?:a\s*b\s*s\s*t\s*r\s*a\s*c\s*t|s\s*u\s*m\s*m\s*a\s*r\s*y|zusammenfassung|kurzfassung|résumé|摘\s*要|内容提要|关键词|"
    r"key\s?words|index terms|"
    r"article info\w*|a\s?r\s?t\s?i\s?c\s?l\s?e\s+i\s?n\s?f\s?o|(?:\d\.?|I\.)?\s*introduction\W*$|(?:1\.?|一、)?\s*引\s*言\W*$|0\s*引言|"
    r"(?:table of )?contents\W*$|目\s*录\W*$|inhaltsverzeichnis|vorwort\W*$|preface\W*$)",
    re.IGNORECASE,
)
_HEADING = re.compile(r"\W*(?:authors?|作\s*者|verfasser(?:in)?)\s*[:：]?\s*$", re.IGNORECASE)
_CUE = re.compile(
    r"\W*(?:by|von|par|written by|submitted by|presented by|vorgelegt von|authors?|作\s*者|学生姓名|研究生)\s*[:：]?\s*$", re.IGNORECASE
)
_OTHERS = re.compile(
    r"\W*(?:(?:thesis )?(?:supervis|advis|adviser|committee|examin|edit|review|academic editor|handling|betreu|gutacht|referent|correspond|"
    r"contact|communicated)\w*|导\s*师|指导教师|责任编辑|通[信讯]作者|基金)",
    re.IGNORECASE,
)
_NOTE = re.compile(r"\s*(?:[\d*∗†‡§¶]|[a-h](?=\s?[A-Z])|\(\d|（\d|[①-⑳])")
_LETTER_NOTE = re.compile(r"\s*a\s?[A-Z][\w.]+.*\b(?:Univers|Depart|Instit|School|Colleg|Laborat|Inc|Cent(?:er|re)|Facult)")
_SEPARATED = re.compile(r"[,;，；、·&]|\band\b|\bund\b|\d|[*∗†‡§¶]")
_MOST_ROWS = 80


def authors_of(pages: Sequence[Page], title: Title) -> tuple[str, ...]:
    """The authors printed below the title on the first of `pages`, under a heading "Authors" also over the next; empty when unsure."""
    if not title.lines:
        return ()
    rows = list(_rows(pages[0], title))
    at = next((at for at, row in enumerate(rows) if _HEADING.fullmatch(_text(row))), None)
    if at is not None:
        rows = rows[at + 1 :]
        if len(pages) > 1 and not any(_ABSTRACT_LIKE.match(line.text) for line in pages[0].lines):
            rows += list(_rows(pages[1], Title()))
    common = _PlainWords(pages)
    lettered = any(_LETTER_NOTE.match(line.text) for row in rows for line in row)
    found = _of_rows(rows[:_MOST_ROWS], common, lettered, stacked=at is not None)
    return tuple(dict.fromkeys(found))


def front_lines(page: Page, title: Title) -> list[Line]:
    """The lines between the title and the abstract or the first heading, as far as they do not stand in a margin left of the title."""
    upper = sorted((line for line in page.lines if line.y0 > title.bottom - 1 and not title.holds(line)), key=lambda line: line.y0)
    stop = next((line.y0 for line in upper if _ABSTRACT_LIKE.match(line.text) and len(line.text) < 2000), None)
    if stop is None:
        sparse = len(page.lines) < 40 or title.bottom == 0
        stop = page.height if sparse or any(_HEADING.fullmatch(line.text) for line in upper) else 0.6 * page.height
    left = min((line.x0 for line in title.lines), default=0.0)
    centred = not title.lines or abs(title.lines[0].x0 + title.lines[0].x1 - page.width) < 0.06 * page.width
    return [line for line in upper if line.y1 < stop + 1 and (centred or line.x0 > left - 6)]


def _rows(page: Page, title: Title) -> Iterator[Row]:
    """Front lines by baseline; pieces that stand closer than two letters are one cell."""
    row: Row = []
    for line in sorted(front_lines(page, title), key=lambda line: (round(line.y1 / 2), line.x0)):
        if row and abs(line.y1 - row[0].y1) < 0.45 * max(line.size, row[0].size):
            row.append(line)
        else:
            if row:
                yield sorted(row, key=lambda line: line.x0)
            row = [line]
    if row:
        yield sorted(row, key=lambda line: line.x0)


def _cells(row: Row) -> list[tuple[str, Line]]:
    """The texts of a row with the line each begins with; a mark that was set as a line of its own belongs to what it follows."""
    made: list[tuple[str, Line, float]] = []
    largest = max(line.size for line in row)
    for line in row:
        mark = len(line.text) < 6
        if made and line.x0 - made[-1][2] < 2 * line.size and (mark or abs(made[-1][1].size - line.size) < 0.3 * line.size):
            made[-1] = (f"{made[-1][0]} {line.text}", made[-1][1], line.x1)
        elif line.size > 0.75 * largest:  # smaller print beside it is a margin's
            made.append((line.text, line, line.x1))
    return [(text, line) for text, line, _ in made]


def _text(row: Row) -> str:
    return " ".join(line.text for line in row)


class _PlainWords:
    """Words that the first pages print in small letters: what consists of them is no name, however it is capitalised."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = pages

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(word.text.rstrip(".,;:") for page in self._pages for line in page.lines for word in line.words)

    def __contains__(self, word: str) -> bool:
        return word in self._words


def _of_rows(rows: Sequence[Row], common: _PlainWords, lettered: bool, stacked: bool) -> list[str]:
    found: list[str] = []
    style: tuple[float, bool, str] | None = None
    before: Row = []
    foreign = False  # a row that holds no names has been seen since the last that does
    at = 0
    while at < len(rows):
        row = rows[at]
        cells = _cells(row)
        cued = bool(before) and _CUE.fullmatch(_text(before)) is not None
        others = _OTHERS.match(_text(row)) is not None or (bool(before) and _OTHERS.match(_text(before)) is not None and not found)
        names, used = ([], 1) if others else _names_at(rows, at, cells, common, lettered)
        if names and found and not cued and not _may_follow(style, cells[0][1], before, foreign, stacked):
            names, used = [], 1
        if names:
            style = style or _style(cells[0][1])
            found += names
            foreign = False
        else:
            foreign = True
        before = rows[at + used - 1]
        at += used
    return found


def _may_follow(style: tuple[float, bool, str] | None, line: Line, before: Row, foreign: bool, stacked: bool) -> bool:
    """Whether names in `line` can be further authors: set like the first, after their addresses only where something sets them apart."""
    if style is None or abs(style[0] - line.size) > 0.04 * line.size or style[1:] != _style(line)[1:]:
        return False
    if not foreign:
        return True
    apart = _style(before[-1]) != style or "@" in _text(before) or line.y0 - before[0].y1 > 0.9 * line.size
    return stacked or apart


def _style(line: Line) -> tuple[float, bool, str]:
    return line.size, line.bold, line.family


def _names_at(rows: Sequence[Row], at: int, cells: list[tuple[str, Line]], common: _PlainWords, lettered: bool) -> tuple[list[str], int]:
    """The names that begin in rows[at], and how many rows they take."""
    text = cells[0][0]
    if len(cells) > 1:
        listed = [_people(text, common, lettered) for text, _ in cells]
        if all(listed):
            return [name for names in listed for name in names], 1
        alone = [names for names in listed if names]
        return (list(alone[0]), 1) if len(alone) == 1 and (len(rows) < 8 or len(alone[0]) > 1) else ([], 1)
    if _NOTE.match(text) and not text.lstrip().startswith("•"):
        return [], 1
    last = at + 1
    if _SEPARATED.search(text) and share_of_names(text) >= 0.4:  # else running text would be tried at each of its lines
        while last < len(rows) and last < at + 30 and _same_list(rows[last - 1], rows[last]):
            last += 1
    for stop in range(last, at, -1):
        if names := _people(" ".join(_cells(row)[0][0] for row in rows[at:stop]), common, lettered):
            if stop - at > 1 and len(names) == 1:
                continue
            return list(names), stop - at
    head = re.split(r"[,，(（]", text)[0]
    if len(head) < len(text) and re.search(r"univers|institut|college|大学|学院|研究", text, re.IGNORECASE):
        return list(_people(head, common, lettered)), 1
    return [], 1


def _same_list(row: Row, following: Row) -> bool:
    """Whether a list of names can go on in the next row: set alike, close, and not the beginning of a note."""
    one, other = row[0], following[0]
    return (
        abs(one.size - other.size) < 0.06 * one.size
        and one.bold == other.bold
        and other.y0 - one.y1 < 0.7 * one.size
        and not _NOTE.match(other.text)
        and len(_cells(following)) == 1
    )


def _people(text: str, common: _PlainWords, lettered: bool) -> tuple[str, ...]:
    """The names in `text`, unless most of them are made of words that the paper uses as words."""
    names = names_in(text, lettered=lettered)
    plain = [
        name
        for name in names
        if sum(len(token) > 2 and token.lower() != token and token.lower() in common for token in name.split())
        >= max(1, 0.5 * len(name.split()))
    ]
    return names if len(plain) <= 0.3 * len(names) else ()
