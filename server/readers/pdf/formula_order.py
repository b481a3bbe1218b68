"""The lines of a displayed equation -> the same words in the order in which they are read, row by row, its number last.

Words of one baseline are read from left to right; what stands above and below them is put in where it stands, the upper part of a
fraction before the lower, limits behind their sum. MuPDF mixes baselines in one line, so that only the boxes of words are believed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

from server.readers.pdf.page import Line, Word

NUMBER = re.compile(r"[(（\[]\s?(?:[A-Z]{1,2}[.\-]?)?\d{1,3}(?:[.\-–]\d{1,3}){0,2}[a-z]?[′']?\s?[)）\]]")
RELATION = re.compile(r"[=≤≥<>≪≫≈∼≃≅≡≜≐∝→←⇒⇔⟶⟹⟺↦∈⊂⊆∑∏∫]")
_MARK = re.compile(r"[=≤≥≪≫≈∼≃≅≡≜≐∝→←⇒⇔⟶⟹⟺↦∈⊂⊆]")
_OPERATOR = re.compile(r"[∑∏∐∫∮⋃⋂⨁⨂√]+")
_LARGE = 0.75  # of the usual height: lower words are limits and indices
_ROW = 0.6  # of the usual height: relations further apart are in two rows
_FAR = 1.35  # of the usual height: words further from every relation are a row without one
_BASELINE = 0.33  # of the usual height: how far a word's middle may be from that of its row
_WORD_GAP = 0.5  # of the usual height: words closer than this go together
_ALIGNED = 12.0  # points; a brace may belong to the first case


def in_order(lines: Sequence[Line]) -> list[Line]:
    """One line for each row of the equation."""
    words = [word for line in lines for word in line.words]
    right = max(word.x1 for word in words)
    numbers = [word for word in words if NUMBER.fullmatch(word.text) and word.x1 > right - 2]
    rest = [word for word in words if word not in numbers] or words
    if len(rest) == len(words):
        numbers = []
    heights = sorted(word.y1 - word.y0 for word in rest if any(map(str.isalnum, word.text))) or [rest[0].y1 - rest[0].y0]
    usual = heights[3 * len(heights) // 4]
    rows = [_read(row, middle, usual) for middle, row in _rows(rest, numbers, usual)]
    rows = _with_cases(rows)
    rows[-1] = [*rows[-1], *(word._replace(glued=False) for word in numbers)]
    return [_line(lines[0], row) for row in rows]


def _line(like: Line, words: list[Word]) -> Line:
    x0, y0 = min(word.x0 for word in words), min(word.y0 for word in words)
    x1, y1 = max(word.x1 for word in words), max(word.y1 for word in words)
    return replace(like, words=words, x0=x0, y0=y0, x1=x1, y1=y1, cells=[])


def _rows(words: Sequence[Word], numbers: Sequence[Word], usual: float) -> list[tuple[float, list[Word]]]:
    """(middle, words) of each row: a row is where relations stand at one height, and has all words that are nearest to it."""
    large = [word for word in words if _LARGE * usual <= word.y1 - word.y0 <= 2 * usual]
    marks = [word for word in large if _MARK.search(word.text)] or list(numbers[:1]) or large[:1] or list(words[:1])
    near = [_middle(word) for word in marks]
    near += [_middle(word) for word in large if min(abs(_middle(word) - middle) for middle in near) > _FAR * usual]
    middles: list[list[float]] = []
    for middle in sorted(near):
        if middles and middle - middles[-1][-1] < _ROW * usual:
            middles[-1].append(middle)
        else:
            middles.append([middle])
    centres = [sum(group) / len(group) for group in middles]
    rows: list[list[Word]] = [[] for _ in centres]
    for word in words:
        rows[min(range(len(centres)), key=lambda at: abs(centres[at] - _middle(word)))].append(word)
    return [(centre, row) for centre, row in zip(centres, rows, strict=True) if row]


def _read(row: Sequence[Word], middle: float, usual: float) -> list[Word]:
    """The words of a row in reading order."""
    main = sorted((word for word in row if abs(_middle(word) - middle) <= _BASELINE * usual), key=lambda word: word.x0)
    centres = [(word.x0 + word.x1) / 2 for word in main]
    slots: list[list[list[Word]]] = [[] for _ in range(len(main) + 1)]  # before each word of the baseline, and behind the last
    placed = set(map(id, main))
    for part in _parts([word for word in row if id(word) not in placed], centres, usual):
        slots[_slot(part, main, centres)].append(part)
    words: list[Word] = []
    for slot, word in itertools.zip_longest(slots, main):
        words += [inner for part in _stacked(slot) for inner in (part[0]._replace(glued=False), *part[1:])]
        words += [word] if word else []
    return words


def _slot(part: Sequence[Word], main: Sequence[Word], centres: Sequence[float]) -> int:
    """The place of a part: behind the word of the baseline above or below which it stands, else by its middle."""
    x0, x1 = part[0].x0, part[-1].x1
    for at, word in enumerate(main, 1):
        if min(x1, word.x1) - max(x0, word.x0) > 0.5 * min(x1 - x0, word.x1 - word.x0):
            return at
    return sum(centre < (x0 + x1) / 2 for centre in centres)


def _parts(words: Sequence[Word], centres: Sequence[float], usual: float) -> list[list[Word]]:
    """Words off the baseline that go together: beside each other at one height, no word of the baseline between them."""
    parts: list[list[Word]] = []
    for word in sorted(words, key=lambda word: word.x0):
        for part in parts:
            last = part[-1]
            close = -0.3 * usual < word.x0 - last.x1 < _WORD_GAP * usual and abs(_middle(word) - _middle(last)) < 0.35 * usual
            if close and not any(last.x1 < centre < word.x0 for centre in centres):
                part.append(word)
                break
        else:
            parts.append([word])
    return parts


def _stacked(parts: Sequence[list[Word]]) -> list[list[Word]]:
    """Left before right; of those above each other an operator first, then the upper ones."""
    stacks: list[list[list[Word]]] = []
    for part in sorted(parts, key=lambda part: part[0].x0):
        if stacks and part[0].x0 < max(other[-1].x1 for other in stacks[-1]):
            stacks[-1].append(part)
        else:
            stacks.append([part])
    return [part for stack in stacks for part in sorted(stack, key=lambda part: (not _OPERATOR.fullmatch(part[0].text), _middle(part[0])))]


def _with_cases(rows: list[list[Word]]) -> list[list[Word]]:
    """Rows with a distinction of cases read as it is: first what stands left of all cases, then case by case."""
    for at, row in enumerate(rows):
        near = [other for other in (at - 1, at + 1) if 0 <= other < len(rows)]
        starts = [min(word.x0 for word in rows[other]) for other in near]
        if not starts or max(starts) - min(starts) > _ALIGNED or min(word.x0 for word in row) > min(starts) - _ALIGNED:
            continue
        left = [word for word in row if (word.x0 + word.x1) / 2 < min(starts)]
        if left and any(RELATION.search(word.text) for word in left) and len(near) == 2:
            rest = [word for word in row if word not in left]
            return [*rows[: at - 1], left, rows[at - 1], *([rest] if rest else []), *rows[at + 1 :]]
    return rows


def _middle(word: Word) -> float:
    return (word.y0 + word.y1) / 2
