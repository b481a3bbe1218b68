"""One PDF page -> its printed lines: words with boxes as displayed, font size, weight. Nothing is ordered or dropped here yet.

The page's content is interpreted once, into a drawing list. A text page made from that serves two outputs of MuPDF: "words" (boxes)
and "dict" (fonts, sizes); the slower character output is needed only for lines under suspicion of being hidden.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from server.language import WIDE
from server.readers.pdf.hidden.text import find_hidden
from server.readers.pdf.powers import SUPERSCRIPT, with_powers
from server.readers.pdf.rotation import Matrix, moved, rotation_of, then, upright_size
from server.readers.pdf.tables.ruled import Ruled
from server.types import Hidden

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
_MATHS_NAME = re.compile(
    r"CM(?:MI|SY|EX|BSY)|MS[AB]M|EU[FRS][BM]\d|Math|STIX(?!\w*Text)|XITS|Symbol|MT-?Extra|NewTXB?MI|[pt]x(?:b?mi|b?sy|b?ex)", re.ASCII
)
_MATHS = re.compile("[\u2190-\u21ff\u2200-\u22ff\u27c0-\u27ef\u2980-\u2aff\U0001d400-\U0001d7ff]")
_BOLD_NAME = re.compile(r"bold|black|heavy|semibd|demi|[-,]bd|medi(?:um)?\b|CMBX|SFBX|SimHei|黑体", re.IGNORECASE)

_FAR = 1e7  # points; no page is as high
_SIDEWAYS_ROWS, _SIDEWAYS_WORDS = 5, 4  # lines, and words in each, of text; labels along an axis have fewer
_STAMPS = 0.07  # share of the page's width where stamps stand: arXiv's ends at 0.065
TEXT_FLAGS = 64  # pymupdf.TEXT_MEDIABOX_CLIP: ligatures come as letters, white space as spaces, unknown characters as U+FFFD
_BOLD, _MONOSPACED = 16, 8  # bits of a span's flags
_STYLE = itemgetter("size", "flags", "font")
_LINE_OF_WORD = itemgetter(5, 6)


class Word(NamedTuple):
    """A printed word, or a run of Chinese inside one; `glued` when no space stands before it."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    glued: bool


_WORD = partial(tuple.__new__, Word)  # Word() without its detour through Python: there are hundreds on a page


@dataclass(slots=True)
class Line:
    """Words on one baseline without a wide gap between them; `size`, `bold`, `family` and `code` (one width) as most of them are.

    `maths` is the share of characters in maths fonts or of maths alphabets, 0..1; `table` the number of the ruled table that the
    line stands in, from 1 on each page, else 0.
    """

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
    maths: float = 0.0
    table: int = 0
    _text: str = field(default="", init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The words with spaces where they are printed; made once, so `words` must not change afterwards."""
        if not self._text:
            self._text = "".join([word.text if word.glued else f" {word.text}" for word in self.words]).lstrip()
        return self._text


@dataclass(slots=True)
class Sideways:
    """Text that runs in a second direction: a table set sideways. Its `lines` are turned upright and lie `_FAR` below the page.

    `given` are the same lines as they stand on the page before its rotation; `display` turns `lines` into the page as displayed.
    """

    lines: list[Line] = field(default_factory=list)
    given: list[Line] = field(default_factory=list)
    display: Matrix = ()


@dataclass(slots=True)
class Page:
    """The lines of one page in reading coordinates, where text runs to the right; `number` counts from 1; `ruled` are its tables.

    `display` (a, b, c, d, e, f) turns reading coordinates into those of the page as displayed; None when they are the same.
    """

    number: int
    width: float
    height: float
    lines: list[Line]
    display: tuple[float, ...] | None = None
    ruled: list[Ruled] = field(default_factory=list)
    aside: str = ""  # what runs in other directions than the lines: a stamp along the margin
    hidden: list[Hidden] = field(default_factory=list)  # text that nobody sees, left out of `lines`
    sideways: Sideways = field(default_factory=lambda: Sideways())

    @property
    def is_turned(self) -> bool:
        """Whether boxes of words have to be moved for display."""
        return self.display is not None or bool(self.sideways.lines)

    def displayed(self, word: Word) -> tuple[float, float, float, float]:
        """The box of `word` on the page as displayed."""
        if self.sideways.lines and word.y0 > _FAR:
            return moved(self.sideways.display, word.x0, word.y0, word.x1, word.y1)
        if self.display is None:
            return word.x0, word.y0, word.x1, word.y1
        return moved(self.display, word.x0, word.y0, word.x1, word.y1)


def page_lines(page: Any, number: int) -> Page:
    """The lines of a pymupdf page that run in the direction most of its text runs in; a stamp along the margin is left out."""
    import pymupdf

    drawn = _drawing_list(page)
    textpage = pymupdf.TextPage(drawn.get_textpage(flags=TEXT_FLAGS))
    all_words = textpage.extractWORDS()
    words = {key: list(group) for key, group in groupby(all_words, key=_LINE_OF_WORD)}
    blocks = textpage.extractDICT()["blocks"]
    found = find_hidden(page, number, drawn, textpage, blocks, all_words)
    rows: dict[tuple[int, int], list[Line]] = {}
    for at, block in enumerate(blocks):
        for row, line in enumerate(block.get("lines", ())):
            spans, printed = line["spans"], words.get((at, row), [])
            if (at, row) in found.kept:
                spans, printed = found.kept[at, row]
            elif not (whole := "".join([span["text"] for span in spans])).isprintable() and printed:
                printed = _mended(whole, printed)
            if any(span["flags"] & SUPERSCRIPT for span in spans):
                printed = with_powers(spans, printed)
            across, down = line["dir"]
            direction = (round(across), round(down)) if max(abs(across), abs(down)) > 0.99 else (0, 0)
            if printed and (made := _line(number, spans, printed)):
                rows.setdefault(direction, []).append(made)
    rows.pop((0, 0), None)  # slanted: a watermark
    width, height = upright_size(page)
    direction = max(rows, key=lambda key: sum(len(line.words) for line in rows[key]), default=(1, 0))
    lines = rows.get(direction, [])
    rotation = rotation_of(page) if page.rotation else ()
    sideways = _sideways({key: others for key, others in rows.items() if key != direction}, width, height, rotation)
    read = {id(line) for line in sideways.given}
    aside = " ".join(line.text for key, others in rows.items() if key != direction for line in others if id(line) not in read)
    turn, back = _turns(direction, width, height)
    if turn:
        lines = [_turned(line, turn) for line in lines]
        width, height = (height, width) if direction[0] == 0 else (width, height)
    return Page(number, width, height, lines, then(back, rotation), aside=aside, hidden=found.hidden, sideways=sideways)


def _sideways(others: dict[tuple[int, int], list[Line]], width: float, height: float, rotation: Matrix) -> Sideways:
    """What runs in a second direction and is more than labels and stamps: five lines of four words or more, one below the other.

    Lines in the margins are stamps, however long.
    """
    for direction, given in others.items():
        turn, back = _turns(direction, width, height)
        if len(given) < _SIDEWAYS_ROWS or not turn:
            continue
        across = width if direction[0] == 0 else height
        turned = [(line, _turned(line, turn)) for line in given]
        inner = [(line, made) for line, made in turned if _STAMPS * across < (made.y0 + made.y1) / 2 < (1 - _STAMPS) * across]
        words: dict[int, int] = {}  # half of a line's height -> words at that height
        for _, line in inner:
            row = round((line.y0 + line.y1) / line.size)
            words[row] = words.get(row, 0) + len(line.words)
        rows = sorted(row for row, count in words.items() if count >= _SIDEWAYS_WORDS)
        near = sum(after - before <= 6 for before, after in pairwise(rows))
        if near + 1 >= _SIDEWAYS_ROWS:
            down = [_turned(line, (1, 0, 0, 1, 0, 2 * _FAR)) for _, line in inner]
            display = then(then((1, 0, 0, 1, 0, -2 * _FAR), back) or (), rotation) or ()
            return Sideways(down, [line for line, _ in inner], display)
    return Sideways()


def _drawing_list(page: Any) -> Any:
    """What the page paints, in coordinates from before its rotation."""
    rotation = page.rotation
    if rotation:
        page.set_rotation(0)
    try:
        return page.get_displaylist()
    finally:
        if rotation:
            page.set_rotation(rotation)


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
    letters = "".join([word[4] for word in found])
    if letters.isascii() and letters.isprintable():
        words = [_WORD((word[4], word[0], word[1], word[2], word[3], False)) for word in found]
    else:
        for x0, y0, x1, y1, text, *_ in found:
            if text.isascii() and text.isprintable():
                words.append(Word(text, x0, y0, x1, y1, False))
            elif _HAS_WIDE.search(text):
                words += _runs(spans, Word(text, x0, y0, x1, y1, False))
            elif made := plain(text):
                words.append(Word(made, x0, y0, x1, y1, False))
    if not words:
        return None
    (size, _, name, fixed), bold, maths = _look(spans)
    font = _font(name)
    return Line(number, *_around(words), size, bold, font.family, fixed or font.code, words, maths=maths)


def _look(spans: list[dict[str, Any]]) -> tuple[tuple[float, bool, str, bool], bool, float]:
    """(size, bold, font, of one width) of most characters, whether they are bold all in all, and the share of maths."""
    styles = set(map(_STYLE, spans))
    if len(styles) == 1 and "".join(span["text"] for span in spans).isascii():
        (style,) = styles
        look = _styled(*style)
        return look, look[1], float(_font(style[2]).maths)
    counts: dict[tuple[float, int, str], int] = {}
    maths = 0
    for span in spans:
        text = span["text"]
        if text == " ":  # one that MuPDF added
            continue
        style = _STYLE(span)
        count = len(text.strip())
        counts[style] = counts.get(style, 0) + count
        if _font(style[2]).maths:
            maths += count
        elif not text.isascii():
            maths += len(_MATHS.findall(text))
    weights: dict[tuple[float, bool, str, bool], int] = {}
    for style, count in counts.items():
        look = _styled(*style)
        weights[look] = weights.get(look, 0) + count
    whole = sum(weights.values())
    bold = sum([weight for look, weight in weights.items() if look[1]]) > 0.8 * whole
    return max(weights, key=weights.__getitem__), bold, maths / max(1, whole)


def _styled(size: float, flags: int, name: str) -> tuple[float, bool, str, bool]:
    return round(size, 1), bool(flags & _BOLD) or _font(name).bold, name, bool(flags & _MONOSPACED)


class _Font(NamedTuple):
    """What a font's name tells; `family` is the name without its weight and number."""

    family: str
    bold: bool
    code: bool
    maths: bool


@lru_cache(maxsize=1024)
def _font(name: str) -> _Font:
    family = _FAMILY_END.split(name)[0]
    return _Font(family, _BOLD_NAME.search(name) is not None, _CODE_NAME.search(name) is not None, _MATHS_NAME.search(name) is not None)


def _around(words: list[Word]) -> tuple[float, float, float, float]:
    _, x0, y0, x1, y1, _ = zip(*words, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


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
    wide, narrow = _widths(word, max(span["size"] for span in spans))
    made: list[Word] = []
    x0 = x1 = word.x0
    for match in _RUNS.finditer(word.text):
        run = match.group()
        x1 = x0 + (wide if _HAS_WIDE.match(run) else narrow) * len(run)
        near = min(edges, key=lambda edge: abs(edge - x1), default=x1)
        if match.end() == len(word.text):
            x1 = word.x1
        elif abs(near - x1) < 0.5 * (word.y1 - word.y0) and near > x0:
            x1 = near
        text = plain(run)
        if text:
            made.append(Word(text, x0, word.y0, x1, word.y1, bool(made)))
        x0 = x1
    return made


def _widths(word: Word, em: float) -> tuple[float, float]:
    """Widths in points of a Chinese and of another character of `word`: an em, and what is left; two to one when that cannot be."""
    chinese = len(_HAS_WIDE.findall(word.text))
    others = len(word.text) - chinese
    left = (word.x1 - word.x0 - chinese * em) / max(1, others)
    if 0.3 * em < left < 0.9 * em:
        return em, left
    unit = (word.x1 - word.x0) / (2 * chinese + others or 1)
    return 2 * unit, unit


def _turns(direction: tuple[int, int], width: float, height: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Matrices that turn text running in `direction` upright, and back; empty when it is upright."""
    if direction == (0, -1):  # upwards
        return (0, 1, -1, 0, height, 0), (0, -1, 1, 0, 0, height)
    if direction == (0, 1):  # downwards
        return (0, -1, 1, 0, 0, width), (0, 1, -1, 0, width, 0)
    if direction == (-1, 0):  # upside down
        return (-1, 0, 0, -1, width, height), (-1, 0, 0, -1, width, height)
    return (), ()


def _turned(line: Line, matrix: tuple[float, ...]) -> Line:
    words = [Word(word.text, *moved(matrix, word.x0, word.y0, word.x1, word.y1), word.glued) for word in line.words]
    box = moved(matrix, line.x0, line.y0, line.x1, line.y1)
    return Line(line.page, *box, line.size, line.bold, line.family, line.code, words, line.cells, line.maths)
