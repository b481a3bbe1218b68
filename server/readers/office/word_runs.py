"""A paragraph of Word -> its visible text, what is hidden in it, and the notes and text boxes that hang on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from server.readers.office.look import Look, hidden_by
from server.readers.office.symbols import shown_text, symbol_text
from server.readers.office.word_math import M, math_text
from server.readers.office.word_styles import Styles, W, look_of
from server.readers.raised import raised_text
from server.types import HiddenReason

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_SKIPPED = frozenset(
    f"{W}{tag}" for tag in ("del", "moveFrom", "pPr", "rPr", "instrText", "delText", "delInstrText", "rt", "sdtPr", "tblPr", "fldData")
)
_SIGNS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


@dataclass(slots=True)
class Line:
    """What one paragraph holds. `hidden` are stretches with their reasons; `notes` are (kind, id) of foot- and endnotes, `charts` the
    ids of their relationships.
    """

    text: str = ""
    hidden: list[tuple[str, HiddenReason]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)
    formula: bool = False  # nothing but formulas
    bold: bool = True
    raised: str = ""  # the superscript at the end, until it is complete

    def say(self, text: str, raised: bool = False) -> None:
        """More visible text."""
        if raised:
            self.raised += text
        elif text:
            self.end_raised()
            self.text += text

    def end_raised(self) -> None:
        """What is raised ends here: a power is told from a number that goes on."""
        if self.raised:
            self.text += raised_text(self.text, self.raised)
        self.raised = ""


class Runs:
    """Reads the paragraphs of one file, which has these styles."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles

    def line(self, paragraph: Any, look: Look, ground: str) -> Line:
        """The content of a paragraph whose style looks like `look`, on a ground of this colour (or UNKNOWN)."""
        line = Line()
        self._walk(paragraph, line, look, ground)
        line.end_raised()
        parts = [child for child in paragraph if child.tag not in _SKIPPED]
        line.formula = bool(line.text.strip()) and all(child.tag in (f"{M}oMath", f"{M}oMathPara") for child in parts if len(child))
        line.bold = line.bold and bool(line.text.strip())
        return line

    def _walk(self, element: Any, line: Line, look: Look, ground: str) -> None:
        for child in element:
            tag = child.tag
            if tag in _SKIPPED:
                continue
            if tag == f"{W}r":
                self._run(child, line, look, ground)
            elif tag in (f"{M}oMath", f"{M}oMathPara"):
                line.say(math_text(child))
            elif tag == f"{_MC}AlternateContent":
                self._walk(_chosen(child), line, look, ground)
            else:
                self._walk(child, line, look, ground)

    def _run(self, run: Any, line: Line, look: Look, ground: str) -> None:
        properties = run.find(f"{W}rPr")
        if properties is not None:
            named = properties.find(f"{W}rStyle")
            own = look_of(properties)
            look = own.over(look if named is None else self._styles.look(named.get(f"{W}val", "")).over(look))
        text = shown_text(self._text(run, line), _font(properties))
        reason = hidden_by(look, ground)
        if reason is None:
            line.say(text, look.raised is True)
            line.bold = line.bold and (look.bold is True or not text.strip())
        elif line.hidden and line.hidden[-1][1] == reason:
            line.hidden[-1] = (line.hidden[-1][0] + text, reason)
        else:
            line.hidden.append((text, reason))

    def _text(self, run: Any, line: Line) -> str:
        text = ""
        for child in run:
            tag = child.tag
            if tag == f"{W}t":
                text += child.text or ""
            elif tag in _SIGNS:
                text += _SIGNS[tag]
            elif tag == f"{W}sym":
                text += symbol_text(int(child.get(f"{W}char", "0"), 16), child.get(f"{W}font", ""))
            elif tag in (f"{W}footnoteReference", f"{W}endnoteReference"):
                line.notes.append((tag.removeprefix(W).removesuffix("Reference"), child.get(f"{W}id", "")))
            elif tag == f"{_MC}AlternateContent":
                text += self._text(_chosen(child), line)
            elif tag == f"{W}ruby":
                text += "".join(self._text(base, line) for base in child.iterfind(f"{W}rubyBase/{W}r"))
            elif tag not in _SKIPPED:
                for element in _outermost(child):
                    if element.tag == _CHART:
                        line.charts.append(element.get(f"{_REL}id", ""))
                    else:
                        line.boxes.append(element)
        return text


def _chosen(alternatives: Any) -> Any:
    """One of several renderings of the same content: the newer one, which says more."""
    return next((child for child in alternatives if child.tag == f"{_MC}Choice"), alternatives)


def _outermost(drawing: Any) -> Iterator[Any]:
    """The text boxes and charts in a drawing; boxes inside boxes are met again when the outer one is read."""
    waiting = [drawing]
    while waiting:
        element = waiting.pop()
        if element.tag in (f"{W}txbxContent", _CHART):
            yield element
        elif element.tag == f"{_MC}AlternateContent":
            waiting += [_chosen(element)] if len(element) else []
        else:
            waiting += reversed(element)


def _font(properties: Any) -> str:
    fonts = None if properties is None else properties.find(f"{W}rFonts")
    return "" if fonts is None else fonts.get(f"{W}ascii") or fonts.get(f"{W}hAnsi") or ""
