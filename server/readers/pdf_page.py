"""One PDF page -> its printed lines: words with boxes as displayed, font size, weight. Nothing is ordered or dropped here yet.

One text page serves two outputs of MuPDF: "words" (boxes) and "dict" (fonts, sizes); the slower character output is not needed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from server.language import WIDE, display_width

# Ligatures, full-width letters and Kangxi radicals as plain characters; Chinese punctuation stays. The T1 and OT1 codes are what
# TeX fonts without a character map leave behind ("ine\x1eciency").
_PLAIN = {ord(char): unicodedata.normalize("NFKC", char) for char in "ﬀﬁﬂﬃﬄﬅﬆ"}
_PLAIN |= {code: unicodedata.normalize("NFKC", chr(code)) for code in (*range(0x2F00, 0x2FD6), 0x2E9F, 0x2EF3)}
_PLAIN |= {code: chr(code - 0xFEE0) for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_PLAIN |= dict(zip(range(0x1B, 0x20), ("ff", "fi", "fl", "ffi", "ffl"), strict=True))
_PLAIN |= dict(zip(range(0x0E, 0x17), ("ffi", "ffl", "“", "”", "„", "«", "»", "–", "—"), strict=True))
_NOTHING = (*range(0x09), 0x0B, 0x17, 0x18, 0x19, 0x1A, 0x7F, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0xE000, 0xF900))
_PLAIN |= dict.fromkeys(_NOTHING, "")  # controls, zero widths, private use
_PLAIN |= {0xAD: "-", 0x2010: "-", 0x2011: "-", 0xA0: " ", 0x3000: " "}
_ACCENTS = {"´": "\u0301", "¨": "\u0308", "ˆ": "\u0302", "˜": "\u0303", "ˇ": "\u030c", "¸": "\u0327", "˚": "\u030a"}
_ACCENTED = re.compile(f"([{''.join(_ACCENTS)}])([A-Za-zı])")
_HAS_WIDE = re.compile(f"[{WIDE}]")
_RUNS = re.compile(f"[{WIDE}]+|[^{WIDE}]+")
_FAMILY_END = re.compile(r"[-,]|\d+$")
_CODE_NAME = re.compile(r"mono|courier|consol|typewriter|CMTT|txtt|inconsolata", re.IGNORECASE)
_BOLD_NAME = re.compile(r"bold|black|heavy|semibd|demi|[-,]bd|medi(?:um)?\b|CMBX|SFBX|SimHei|黑体", re.IGNORECASE)

TEXT_FLAGS = 64  # pymupdf.TEXT_MEDIABOX_CLIP: ligatures come as letters, white space as spaces, unknown characters as U+FFFD
_BOLD, _MONOSPACED = 16, 8  # bits of a span's flags


class Word(NamedTuple):
    """A printed word, or a run of Chinese inside one; `glued` when no space stands before it."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    glued: bool


@dataclass(slots=True)
class Line:
    """Words on one baseline without a wide gap between them; `size`, `bold`, `family` and `code` (one width) as most of them are."""

    page: int
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool
    family: str
    code: bool
    words: list[Word]
    cells: list[int] = field(default_factory=list)  # indexes of words that begin a new cell after a wide gap

    @property
    def text(self) -> str:
        """The words with spaces where they are printed."""
        return "".join(word.text if word.glued else f" {word.text}" for word in self.words).lstrip()


@dataclass(slots=True)
class Page:
    """The lines of one page in reading coordinates, where text runs to the right; `number` counts from 1.

    `display` (a, b, c, d, e, f) turns reading coordinates into those of the page as displayed; None when they are the same.
    """

    number: int
    width: float
    height: float
    lines: list[Line]
    display: tuple[float, ...] | None = None

    def displayed(self, word: Word) -> tuple[float, float, float, float]:
        """The box of `word` on the page as displayed."""
        if self.display is None:
            return word.x0, word.y0, word.x1, word.y1
        return _moved(self.display, word.x0, word.y0, word.x1, word.y1)


def page_lines(page: Any, number: int) -> Page:
    """The lines of a pymupdf page that run in the direction most of its text runs in; a stamp along the margin is left out."""
    textpage = page.get_textpage(flags=TEXT_FLAGS)
    words: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
    for word in textpage.extractWORDS():
        words.setdefault((word[5], word[6]), []).append(word)
    rows: dict[tuple[int, int], list[Line]] = {}
    for at, block in enumerate(textpage.extractDICT()["blocks"]):
        for row, line in enumerate(block.get("lines", ())):
            found = words.get((at, row))
            across, down = line["dir"]
            direction = (round(across), round(down)) if max(abs(across), abs(down)) > 0.99 else (0, 0)
            if found and (made := _line(number, line["spans"], found)):
                rows.setdefault(direction, []).append(made)
    rows.pop((0, 0), None)  # slanted: a watermark
    whole = page.rect * page.derotation_matrix
    width, height = abs(whole.width), abs(whole.height)
    direction = max(rows, key=lambda key: sum(len(line.words) for line in rows[key]), default=(1, 0))
    lines = rows.get(direction, [])
    turn, back = _turns(direction, width, height)
    if turn:
        lines = [_turned(line, turn) for line in lines]
        width, height = (height, width) if direction[0] == 0 else (width, height)
    display = _then(back, tuple(page.rotation_matrix) if page.rotation else ())
    return Page(number, width, height, lines, display)


def plain(text: str) -> str:
    """The word with ligatures, stray TeX codes, full-width letters and loose accents made plain."""
    text = text.translate(_PLAIN)
    if _ACCENTED.search(text):
        text = _ACCENTED.sub(_composed, text)
    text = text.strip()
    return "" if set(text) == {"\ufffd"} else text


def _composed(match: re.Match[str]) -> str:
    letter = "i" if match[2] == "ı" else match[2]
    made = unicodedata.normalize("NFC", letter + _ACCENTS[match[1]])
    return made if len(made) == 1 else match.group()


def _line(number: int, spans: list[dict[str, Any]], found: list[tuple[Any, ...]]) -> Line | None:
    words: list[Word] = []
    if not all(span["text"].isprintable() for span in spans):
        found = _mended("".join(span["text"] for span in spans), found)
    for x0, y0, x1, y1, text, *_ in found:
        if text.isascii() and text.isprintable():
            words.append(Word(text, x0, y0, x1, y1, False))
        elif _HAS_WIDE.search(text):
            words += _runs(spans, Word(text, x0, y0, x1, y1, False))
        elif made := plain(text):
            words.append(Word(made, x0, y0, x1, y1, False))
    if not words:
        return None
    weights: dict[tuple[float, bool, str, bool], int] = {}
    for span in spans:
        font = span["font"]
        style = (
            round(span["size"], 1),
            bool(span["flags"] & _BOLD) or _BOLD_NAME.search(font) is not None,
            font,
            bool(span["flags"] & _MONOSPACED),
        )
        weights[style] = weights.get(style, 0) + len(span["text"].strip())
    size, _, font, code = max(weights, key=lambda style: weights[style])
    bold = sum(weight for style, weight in weights.items() if style[1]) > 0.8 * sum(weights.values())
    return Line(number, *_around(words), size, bold, _FAMILY_END.split(font)[0], code or _CODE_NAME.search(font) is not None, words)


def _around(words: list[Word]) -> tuple[float, float, float, float]:
    return min(word.x0 for word in words), min(word.y0 for word in words), max(word.x1 for word in words), max(word.y1 for word in words)


def _mended(line: str, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """MuPDF ends words at control codes; where such a code is a ligature ("ine\x1eciency") its two halves are one word again."""
    made: list[list[Any]] = []
    done = 0
    for word in found:
        at = line.find(word[4], done)
        if at < 0:
            return found
        between = line[done:at]
        text = between.lstrip(" \xa0") + word[4] if not made or (between and " " not in between and "\xa0" not in between) else word[4]
        if made and text != word[4]:
            last = made[-1]
            made[-1] = [min(last[0], word[0]), min(last[1], word[1]), max(last[2], word[2]), max(last[3], word[3]), last[4] + text]
        else:
            made.append([*word[:4], text])
        done = at + len(word[4])
    made[-1][4] += line[done:].split(" ")[0]
    return [tuple(word) for word in made]


def _runs(spans: list[dict[str, Any]], word: Word) -> list[Word]:
    """A word with Chinese in it as runs of one script; edges between runs come from font changes, else from printed widths."""
    edges = [span["bbox"][0] for span in spans if word.x0 < span["bbox"][0] < word.x1]
    whole = display_width(word.text) or 1
    made: list[Word] = []
    x0, done = word.x0, 0
    for match in _RUNS.finditer(word.text):
        done += display_width(match.group())
        x1 = word.x0 + (word.x1 - word.x0) * done / whole
        near = min(edges, key=lambda edge: abs(edge - x1), default=x1)
        if match.end() == len(word.text):
            x1 = word.x1
        elif abs(near - x1) < 0.5 * (word.y1 - word.y0) and near > x0:
            x1 = near
        text = plain(match.group())
        if text:
            made.append(Word(text, x0, word.y0, x1, word.y1, bool(made)))
        x0 = x1
    return made


def _turns(direction: tuple[int, int], width: float, height: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Matrices that turn text running in `direction` upright, and back; empty when it is upright."""
    if direction == (0, -1):  # upwards
        return (0, 1, -1, 0, height, 0), (0, -1, 1, 0, 0, height)
    if direction == (0, 1):  # downwards
        return (0, -1, 1, 0, 0, width), (0, 1, -1, 0, width, 0)
    if direction == (-1, 0):  # upside down
        return (-1, 0, 0, -1, width, height), (-1, 0, 0, -1, width, height)
    return (), ()


def _then(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, ...] | None:
    """The matrix that applies `first`, then `second`."""
    if not first or not second:
        return first or second or None
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _turned(line: Line, matrix: tuple[float, ...]) -> Line:
    words = [Word(word.text, *_moved(matrix, word.x0, word.y0, word.x1, word.y1), word.glued) for word in line.words]
    return Line(
        line.page, *_moved(matrix, line.x0, line.y0, line.x1, line.y1), line.size, line.bold, line.family, line.code, words, line.cells
    )


def _moved(matrix: tuple[float, ...], x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    a, b, c, d, e, f = matrix
    xs, ys = (x0 * a + y0 * c + e, x1 * a + y1 * c + e), (x0 * b + y0 * d + f, x1 * b + y1 * d + f)
    return min(xs), min(ys), max(xs), max(ys)
