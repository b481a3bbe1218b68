"""A column of lines -> its displayed equations: which lines each of them is made of.

An equation stands apart from the text, is mostly signs, and may bear a number at the right edge. Inline formulas stay text. Exponents
and indices follow their base without a sign of their own ("x2" for x², "xi"): what is not printed would have no box.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from server.language import CJK
from server.readers.pdf.formula_order import NUMBER, RELATION
from server.readers.pdf.page import Line

_SIGN = re.compile(r"[=≤≥<>≪≫≈∼≃≅≡≜≐∝→←↔⇒⇔⟶⟹⟺↦∈∉⊂⊆∪∩∀∃±∓×·∗∘⊕⊗∑∏∫∮√∂∇∧∨⊤⊥∞∆|{}\[\]()+−\-/^�\u2190-\u22ff\u27c0-\u27ef\u2980-\u2aff]")
_LETTERS = re.compile(rf"[A-Za-zÀ-ÿ]{{2,}}|[{CJK}]")
_SHORT = re.compile(  # words of two and three letters that no formula holds; other such runs may be variables
    "the|are|was|has|had|not|but|can|its|one|two|our|we|is|to|of|as|be|by|it|an|at|this|ist|sei|für|von|der|die|das|dem|den|des|ein|auf"
    "|aus|bei|zum|zur|man|nur|wir|es|zu|da|im|am|als|gilt"
)
_NAMES = re.compile(
    "sinh|cosh|tanh|arctan|arcsin|arccos|argmin|argmax|diag|rank|sign|span|trace|prob|softmax|sigmoid|relu|clip|mean|median|mode|where"
    "|with|otherwise|else|such|that|subject|minimi[sz]e|maximi[sz]e|falls|sonst|wenn"
)
_MATHS = 0.25  # least share of maths characters in a line of an equation without a number
_MOST_PROSE, _MOST_PROSE_NUMBERED = 0.25, 0.9  # shares of characters in words
_MOST_WORDS = 2  # words in a line of an equation without a number
_LEADING = 1.5  # of the font size: lines closer than this may be one paragraph
_REACH = 0.9  # of the font size: white inside an equation
_OPENING = re.compile(r"[A-ZÄÖÜ][a-zäöüß]+[.:,]*")
_LIST_MARK = re.compile(r"[•▪■◦‣●–—*-]\s|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.):]\s")


def formula_lines(column: Sequence[Line], left: float, right: float, size: float) -> dict[int, int]:
    """The lines of `column` that are displayed equations, by their index, each with the index of its equation's first line.

    `left` and `right` are the edges of running text, `size` is its font size.
    """
    found: dict[int, int] = {}
    spans: list[tuple[int, int]] = []
    for at in range(len(column)):
        if (not spans or at > spans[-1][1]) and _is_core(column, at, left, right, size):
            first, last = _grown(column, at, left, right, size)
            if spans and first <= spans[-1][1]:
                first = spans.pop()[0]
            spans.append((first, last))
    for first, last in spans:
        for start, stop in _by_number(column, first, last, right, size):
            if len(column[start].words) > 1 or stop - start > 1:
                found |= dict.fromkeys(range(start, stop), start)
    return found


def is_numbered(line: Line, right: float, size: float) -> bool:
    """Whether the line ends with an equation's number at the right edge."""
    last = line.words[-1]
    if not NUMBER.fullmatch(last.text) or line.x1 < right - 1.5 * size:
        return False
    if len(line.words) == 1 or last.x0 - line.words[-2].x1 > 0.8 * size:
        return True
    return line.maths >= _MATHS and _prose(line) < _MOST_PROSE


def _words(line: Line) -> list[str]:
    found = [match.lower() for match in _LETTERS.findall(line.text)]
    return [word for word in found if _SHORT.fullmatch(word) or ((len(word) > 3 or word[0] > "\u2fff") and not _NAMES.fullmatch(word))]


def _prose(line: Line) -> float:
    """Share of the characters that stand in words of running text, as far as those in maths fonts leave any."""
    return min(1 - line.maths, sum(map(len, _words(line))) / max(1, sum(len(word.text) for word in line.words)))


def _is_core(column: Sequence[Line], at: int, left: float, right: float, size: float) -> bool:
    """Whether this line alone shows that an equation stands here."""
    line = column[at]
    if line.code or line.table:
        return False
    if is_numbered(line, right, size):
        if len(line.words) == 1:
            return True
        apart = line.x0 > left + 1.2 * size and line.words[-1].x0 - line.words[-2].x1 > 2 * size
        most = _MOST_PROSE_NUMBERED if apart else 0.5
        return _prose(line) < most and line.x0 > left - size and (line.maths > 0.05 or RELATION.search(line.text) is not None)
    if line.maths < _MATHS or not RELATION.search(line.text) or len(line.text) < 4 or _opens_a_sentence(line):
        return False
    if line.x0 < left + 1.2 * size or line.x1 > right + size or line.size < 0.85 * size:
        return False
    return _prose(line) < _MOST_PROSE and len(_words(line)) <= _MOST_WORDS and not _in_paragraph(column, at, size)


def _opens_a_sentence(line: Line) -> bool:
    return _LIST_MARK.match(line.text) is not None or _OPENING.fullmatch(line.words[0].text) is not None


def _in_paragraph(column: Sequence[Line], at: int, size: float) -> bool:
    """Whether the line above or below is text that begins at the same x and stands as close as lines of a paragraph do."""
    line = column[at]
    near = [column[other] for other in (at - 1, at + 1) if 0 <= other < len(column)]
    return any(
        abs(other.x0 - line.x0) < 1.5 and abs(other.y1 - line.y1) < _LEADING * size and len(_words(other)) > _MOST_WORDS for other in near
    )


def _grown(column: Sequence[Line], at: int, left: float, right: float, size: float) -> tuple[int, int]:
    """The first and last line of the equation around column[at]."""
    first = last = at
    top, bottom = column[at].y0, column[at].y1
    numbered = is_numbered(column[at], right, size)
    grown = True
    while grown:
        grown = False
        if first and _joins(column, first - 1, top - column[first - 1].y1, left, right, size, numbered):
            first, grown = first - 1, True
        if last + 1 < len(column) and _joins(column, last + 1, column[last + 1].y0 - bottom, left, right, size, numbered):
            last, grown = last + 1, True
        top, bottom = min(column[first].y0, top), max(column[last].y1, bottom)
        numbered = numbered or is_numbered(column[first], right, size) or is_numbered(column[last], right, size)
    return first, last


def _joins(column: Sequence[Line], at: int, white: float, left: float, right: float, size: float, numbered: bool) -> bool:
    """Whether column[at], `white` points from an equation, which may bear a number already, is part of it."""
    line = column[at]
    if white > _REACH * size or line.code or line.table or (line.bold and line.maths < 0.5):
        return False
    if is_numbered(line, right, size):
        return _is_core(column, at, left, right, size)
    if line.size < 0.86 * size and white < 0.2 * size and line.x0 > left + size and len(line.text) < 25:
        return True  # a limit
    if len(_words(line)) > _MOST_WORDS + 6 * numbered or _in_paragraph(column, at, size) or (not numbered and _opens_a_sentence(line)):
        return False
    if line.x0 < left + 0.5 * size:
        above = column[at - 1] if at else None
        if above is not None and len(_words(above)) > _MOST_WORDS and line.y1 - above.y1 < _LEADING * size:
            return False  # the last line of a paragraph
        return line.maths > 0.4 and _prose(line) < 0.1
    if _prose(line) < _MOST_PROSE and (line.maths >= _MATHS or (len(line.text) <= 6 and not line.text.isalpha()) or _mostly_signs(line)):
        return True
    inside = line.x0 > left + 3 * size and line.x1 < right - 3 * size and numbered
    return inside and (line.maths > 0 or RELATION.search(line.text) is not None or len(line.text) < 25)  # a case in words


def _mostly_signs(line: Line) -> bool:
    text = line.text.replace(" ", "")
    return len(_SIGN.findall(text)) + sum(map(str.isdigit, text)) > 0.5 * len(text)


def _by_number(column: Sequence[Line], first: int, last: int, right: float, size: float) -> list[tuple[int, int]]:
    """(start, stop) of the equations between two lines: one for each number, cut at the widest white between two numbers."""
    numbered = [at for at in range(first, last + 1) if is_numbered(column[at], right, size)]
    cuts = [first]
    for one, other in itertools.pairwise(numbered):
        white = {at: column[at].y0 - max(line.y1 for line in column[first:at]) for at in range(one + 1, other + 1)}
        cuts.append(max(white, key=lambda at: (round(white[at]), -at)))
    return list(itertools.pairwise([*cuts, last + 1]))
