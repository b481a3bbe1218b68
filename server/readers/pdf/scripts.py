"""Lines of a page -> the same lines with superscripts and subscripts, which MuPDF gives as lines of their own, put into their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.readers.pdf.page import Line, Word
from server.readers.pdf.powers import power

_MOST_LOOKED_AT = 60  # lines above and below
_LONGEST = 12  # characters; a longer small line is text
_SMALLER = 0.86  # of the font size beside it
_TOUCHING = 0.3  # share of its height that a script has in common with its line
_GLUED = (-0.6, 0.12)  # of the font size: a script this far from the end of the word before belongs to it


def with_scripts(lines: list[Line]) -> list[Line]:
    """A small short line that reaches into the height of a larger one, above or below one of its words, becomes words of it."""
    order = sorted(lines, key=lambda line: line.y0)
    scripts: dict[int, list[Word]] = {}  # id of a line -> the words that come into it
    gone: set[int] = set()
    largest = _SMALLER * max((line.size for line in lines), default=0.0)
    short = [at for at, line in enumerate(order) if line.size <= largest and len(line.words) <= 3 and len(line.text) <= _LONGEST + 2]
    for at in sorted(short, key=lambda at: order[at].size):  # a script of a script first
        line, host = order[at], _host(order, at)
        if host is not None:
            scripts.setdefault(id(host), []).extend([*line.words, *scripts.pop(id(line), [])])
            gone.add(id(line))
    return [_with(line, scripts.get(id(line), [])) for line in lines if id(line) not in gone] if gone else lines


def _host(order: list[Line], at: int) -> Line | None:
    """The line, too large to be a script itself, that shares most height with order[at]."""
    line, host = order[at], None
    best = _TOUCHING * (line.y1 - line.y0)
    for step in (-1, 1):
        near = at + step
        while 0 <= near < len(order) and abs(near - at) < _MOST_LOOKED_AT and abs(order[near].y0 - line.y0) < 3 * line.size:
            other = order[near]
            common = min(line.y1, other.y1) - max(line.y0, other.y0)
            if common > best and line.size <= _SMALLER * other.size and _beside_a_word(line, other):
                best, host = common, other
            near += step
    return host


def _beside_a_word(script: Line, line: Line) -> bool:
    return line.x0 - 0.5 < script.x0 and script.x1 < line.x1 + 0.2 * line.size + (script.x1 - script.x0)


def _with(line: Line, scripts: list[Word]) -> Line:
    """The line with these words where they are printed, from left to right."""
    if not scripts:
        return line
    added = set(map(id, scripts))
    middle = (line.y0 + line.y1) / 2
    words: list[Word] = []
    raised: list[int] = []  # words of one superscript
    after_script = False
    for word in sorted([*line.words, *scripts], key=lambda word: word.x0):
        near = bool(words) and _GLUED[0] * line.size < word.x0 - words[-1].x1 < _GLUED[1] * line.size
        if id(word) in added and near and (word.y0 + word.y1) / 2 < middle:
            raised.append(len(words))
        else:
            _raise(words, raised)
            raised = []
        beside = id(word) in added or after_script  # what follows a script closely, a comma, belongs to it too
        words.append(word._replace(glued=near) if beside else word)
        after_script = id(word) in added
    _raise(words, raised)
    return replace(line, words=words, x0=min(word.x0 for word in words), x1=max(word.x1 for word in words))


def _raise(words: list[Word], raised: Sequence[int]) -> None:
    """Write the superscript that the last words are behind the word before them."""
    if not raised or not raised[0]:
        return
    superscript = "".join(words[at].text for at in raised)
    if made := power(words[raised[0] - 1].text, superscript):
        first = words[raised[0]]
        words[raised[0]] = first._replace(text=made[: 1 + len(first.text)])
