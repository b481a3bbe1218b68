"""Rich Text source -> its visible text as paragraphs and tables, what is hidden in it, its title and its authors.

Read here: striprtf knows no hidden or deleted text, no notes, no styles and no fonts with an encoding of their own, and marks cells with
signs that a text can hold too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from server.errors import Unreadable
from server.readers.office.look import UNKNOWN, WHITE, Look, hidden_by
from server.readers.office.rtf_definitions import Definitions, encoding_of
from server.readers.office.rtf_story import Story
from server.readers.office.text import Paragraph, join_lines
from server.readers.office.word_math import M, math_text
from server.types import Block, HiddenReason

_LONGEST = 2000  # characters of a title, a label or an instruction
_DEEPEST = 1000  # groups within groups; what programs write stays below 100
_TOKEN = re.compile(r"\\([a-zA-Z]{1,40})(-?\d{1,10})? ?|((?:\\'[0-9a-fA-F]{2}[\r\n]*)+)|\\([^a-zA-Z'])|([{}])|([^\\{}]+)", re.DOTALL)
_LINES = str.maketrans("", "", "\r\n")  # line breaks of the source mean nothing
_SIGNS = {"tab": "\t", "line": "\n", "lbr": "\n", "softline": "\n", "emdash": "—", "endash": "–", "bullet": "•"}
_SIGNS |= {"lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ", "qmspace": " "}
_SIGNS |= {"nestcell": " | "}
_MARKS = {"~": "\u00a0", "_": "-", "{": "{", "}": "}", "\\": "\\", "\t": "\t"}
_UNSEEN = (  # groups whose text is not part of the page's text
    "pict header headerl headerr headerf footer footerl footerr footerf ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn nonshppict shprslt "
    "annotation atnid atnauthor xe tc rxe filetbl template nextfile operator comment"
)
_PARTS = dict.fromkeys(_UNSEEN.split(), "unseen")  # groups -> what their text is; in a "frame" only inner groups hold text
_PARTS |= {"fonttbl": "fonts", "colortbl": "colours", "stylesheet": "styles", "info": "info", "fldinst": "instruction"}
_PARTS |= {"listtext": "label", "pntext": "label", "shpinst": "frame", "do": "frame", "moMath": "math", "moMathPara": "math"}
_STORIES = ("footnote", "shptxt", "dptxbxtext")
_ENDS = ("par", "sect", "page", "column")  # of a paragraph
_SHADES = ("cb", "chcbpat", "highlight", "cbpat", "shading", "chshdng")
_MATH_NAMES = (
    "r t f num den sSup sSub sSubSup sPre e sup sub nary rad deg d m mr eqArr func fName limLow limUpp lim acc bar box borderBox "
    "groupChr chr begChr endChr fPr naryPr dPr accPr radPr groupChrPr barPr"
)
_MATH_PARTS = frozenset(_MATH_NAMES.split())  # of a formula: \mnum is what Word's XML calls m:num
_OTHER_NAMES = (
    "u field fldrslt plain pard v deleted super up nosupersub sub dn intbl itap f fs cf uc s outlinelevel fcharset red green blue deff "
    "ansicpg viewbksp cellx trowd clvmrg cell row mac pc pca"
)
_KNOWN = frozenset((*_PARTS, *_STORIES, *_SIGNS, *_ENDS, *_SHADES, *_OTHER_NAMES.split()))  # most words say nothing about the text
_CONTENTS = re.compile(r"\s*(?:TOC|INDEX)\b")
_VALUES = (f"{M}chr", f"{M}begChr", f"{M}endChr")


@dataclass(slots=True)
class _State:
    """What a group inherits and its end takes back."""

    story: Story
    part: str = "text"
    font: int | None = None  # None: the default one
    vanish: bool = False
    deleted: bool = False
    raised: bool = False
    shaded: bool = False
    half_points: int = 24
    colour: int = 0
    fallback: int = 1  # characters after \\u that stand for it
    style: int = 0
    outline: int | None = None
    in_table: bool = False
    formula: Any = None


_INHERITED = attrgetter(*(each.name for each in fields(_State)))


class RtfText:
    """Reads a whole source: `flow` is its text, `hidden` are stretches with their reasons, `properties` its "title" and "author"."""

    def __init__(self, source: str) -> None:
        """`source` holds one character for each byte. Raises Unreadable when groups are nested without end."""
        self._hidden: list[tuple[list[str], HiddenReason]] = []
        self.properties = {"title": "", "author": ""}
        self._named = Definitions()
        self._instruction = ""  # of the last field
        self._merged: list[bool] = []  # for each cell of a row, as the row's definition says
        self._goes_on = False  # the cell that is being defined, from above
        self._cells = 0  # of the row so far
        self._is_hidden = False  # the text that was shown last
        self._ground = WHITE
        self._bytes = bytearray()
        self._skip = 0  # characters that only stand for the one before
        self._begun = self._starred = False  # "{" or "\\*" came just before
        self._state = _State(Story())
        self._read(source)
        self._state.story.end(self._named.kind(self._state.style, self._state.outline))
        self.flow: list[Paragraph | Block] = self._state.story.flow
        self.hidden = [("".join(pieces), reason) for pieces, reason in self._hidden]

    def _read(self, source: str) -> None:
        above: list[_State] = []
        at = 0
        while at < len(source):
            token = _TOKEN.match(source, at)
            if token is None:  # half a control word
                at += 1
                continue
            at = token.end()
            word, number, hexed, mark, brace, text = token.groups()
            if text is not None or hexed is not None:
                self._take(text.translate(_LINES).encode("latin-1") if hexed is None else bytes.fromhex(hexed.replace("\\'", "")))
            elif brace:
                self._flush()
                self._skip = 0
                if brace == "{":
                    above.append(self._state)
                    self._state = _State(*_INHERITED(self._state))
                    if len(above) > _DEEPEST:
                        raise Unreadable(f"the file has more than {_DEEPEST} groups in each other, which no program writes; save it anew")
                elif above:
                    self._close(above.pop())
            elif word == "bin":
                at += max(0, int(number or 0))
            elif self._skip and word != "u":
                self._skip -= 1
            elif word in _KNOWN or (word and (self._starred or self._state.part in ("math", "info"))):
                self._flush()
                self._word(word, None if number is None else int(number))
            elif mark and mark in _MARKS:
                self._flush()
                self._say(_MARKS[mark])
            elif mark and mark in "\r\n":
                self._flush()
                self._word("par", None)
            self._begun, self._starred = brace == "{", mark == "*"
        self._flush()
        while above:
            self._close(above.pop())

    def _take(self, data: bytes) -> None:
        dropped = min(self._skip, len(data))
        self._skip -= dropped
        self._bytes += data[dropped:]

    def _close(self, outer: _State) -> None:
        """The end of a group; a note, box or formula that ends with it is complete."""
        inner, kind = self._state, self._named.kind(self._state.style, self._state.outline)
        self._state = outer
        if inner.story is not outer.story:
            inner.story.end(kind)
            outer.story.attach(inner.story.flow)
        elif inner.formula is not None and outer.formula is None:
            outer.story.say_formula(join_lines(math_text(inner.formula)))

    def _word(self, word: str, number: int | None) -> None:
        state = self._state
        is_on = number != 0
        if state.part == "unseen":
            return
        if word in _PARTS:
            state.part = _PARTS[word]
            if state.part == "math":
                state.formula = self._inside(state.formula, "oMath")
        elif word in _STORIES:
            state.story = Story(is_note=word == "footnote")
            state.part, state.in_table, state.raised = "text", False, False
        elif self._starred:
            state.part = "unseen"
        elif state.part == "math" and self._begun and word[1:] in _MATH_PARTS:
            state.formula = self._inside(state.formula, word[1:])
        elif state.part == "info":
            state.part = word if word in self.properties else "info"
        elif word in _SIGNS:
            self._say(_SIGNS[word])
        elif word == "u" and number is not None:
            self._say(self._named.character(number % 0x10000, state.font))
            self._skip = state.fallback
        elif word in _ENDS:
            state.story.end_paragraph(self._named.kind(self._state.style, self._state.outline), state.in_table)
        elif word in ("field", "fldrslt"):
            state.part = "unseen" if word == "fldrslt" and _CONTENTS.match(self._instruction) else state.part
            self._instruction = ""
        elif word == "plain":
            state.font, state.half_points, state.colour = None, 24, 0
            state.vanish = state.deleted = state.raised = state.shaded = False
        elif word == "pard":
            state.style, state.outline, state.in_table, state.shaded = 0, None, False, False
        elif word in ("v", "deleted", "super", "up"):
            setattr(state, {"v": "vanish", "super": "raised", "up": "raised"}.get(word, word), is_on)
        elif word in ("nosupersub", "sub", "dn"):
            state.raised = False
        elif word in _SHADES:
            state.shaded = is_on
        elif word in ("intbl", "itap"):
            state.in_table = is_on
        elif number is not None:
            self._number(word, number)
        else:
            self._row(word)

    def _number(self, word: str, number: int) -> None:
        """A control word with a number."""
        state = self._state
        if word == "f":
            state.font = number
        elif word == "fs":
            state.half_points = number
        elif word == "cf":
            state.colour = number
        elif word == "uc":
            state.fallback = max(0, number)
        elif word == "s":
            state.style = number
        elif word == "outlinelevel":
            state.outline = max(0, number)
        elif word == "fcharset" and state.part == "fonts":
            self._named.charsets[state.font or 0] = number
        elif word in ("red", "green", "blue"):
            self._named.red_green_blue[word] = number & 0xFF
        elif word == "deff":
            self._named.default_font = number
        elif word == "ansicpg":
            self._named.encoding = encoding_of(number)
        elif word == "viewbksp":
            self._ground = UNKNOWN
        elif word == "cellx":
            self._merged.append(self._goes_on)
            self._goes_on = False

    def _row(self, word: str) -> None:
        """A control word about tables, or one that says nothing about text."""
        story = self._state.story
        if word == "trowd":
            self._merged, self._goes_on = [], False
        elif word == "clvmrg":
            self._goes_on = True
        elif word == "cell":
            story.end_cell(
                self._named.kind(self._state.style, self._state.outline), self._cells < len(self._merged) and self._merged[self._cells]
            )
            self._cells += 1
        elif word == "row":
            story.end_row()
            self._cells = 0
        elif word == "mac":
            self._named.encoding = "mac_roman"
        elif word in ("pc", "pca"):
            self._named.encoding = "cp437" if word == "pc" else "cp850"

    def _flush(self) -> None:
        """The bytes since the last control word are text."""
        if self._bytes:
            data, self._bytes = bytes(self._bytes), bytearray()
            self._say(self._named.decoded(data, self._state.font, is_name=self._state.part in ("fonts", "styles")))

    def _say(self, text: str) -> None:
        state = self._state
        if state.part == "text":
            self._show(text)
        elif state.part == "label":
            state.story.label = (state.story.label + text)[:_LONGEST]
        elif state.part == "math":
            if state.formula.tag in _VALUES:
                state.formula.set(f"{M}val", text.strip())
            else:
                self._inside(state.formula, "t").text = text
        elif state.part == "instruction":
            self._instruction = (self._instruction + text)[:_LONGEST]
        elif state.part in self.properties:
            self.properties[state.part] = (self.properties[state.part] + text)[:_LONGEST]
        elif state.part == "colours":
            self._named.define_colours(text)
        elif state.part == "fonts":
            self._named.define_font(text, state.font or 0)
        elif state.part == "styles":
            self._named.define_style(text, state.style, state.outline)

    def _show(self, text: str) -> None:
        """Text of the page, unless nobody sees it."""
        state = self._state
        ground = UNKNOWN if state.shaded or state.in_table else self._ground
        reason = _reason(state.vanish or state.deleted, self._named.colour(state.colour), state.half_points, ground)
        if reason is None:
            state.story.say(text, state.raised)
        elif self._is_hidden and self._hidden[-1][1] == reason:
            self._hidden[-1][0].append(text)
        else:
            self._hidden.append(([text], reason))
        self._is_hidden = reason is not None

    def _inside(self, parent: Any, tag: str) -> Any:
        from lxml import etree

        return etree.Element(f"{M}{tag}") if parent is None else etree.SubElement(parent, f"{M}{tag}")


@lru_cache(maxsize=256)  # few looks, many pieces of text
def _reason(vanish: bool, colour: str, half_points: int, ground: str) -> HiddenReason | None:
    return hidden_by(Look(vanish=vanish, colour=colour, size_pt=half_points / 2), ground)
