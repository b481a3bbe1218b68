"""A paragraph of Word -> its visible text, what is hidden in it, and the notes and text boxes that hang on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.readers.office.look import Look, hidden_by
from server.readers.office.word_math import M, math_text
from server.readers.office.word_styles import Styles, W, look_of
from server.types import HiddenReason

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_SKIPPED = frozenset(
    f"{W}{tag}" for tag in ("del", "moveFrom", "pPr", "rPr", "instrText", "delText", "delInstrText", "rt", "sdtPr", "tblPr", "fldData")
)
_SIGNS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
_SYMBOLS = {  # the Symbol font by code, as far as papers use it
    **dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True)),
    **dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)),
    **dict(zip(b"\x2b\x2d\xa3\xa5\xae\xb0\xb1\xb3\xb4\xb6\xb7\xb9\xba\xbb\xce\xd6\xd7\xe5\xf2", "+−≤∞→°±≥×∂·≠≡≈∈√·∑∫", strict=True)),
}


@dataclass(slots=True)
class Line:
    """What one paragraph holds. `hidden` are stretches with their reasons; `notes` are (kind, id) of foot- and endnotes."""

    text: str = ""
    hidden: list[tuple[str, HiddenReason]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    formula: bool = False  # nothing but formulas
    bold: bool = True


class Runs:
    """Reads the paragraphs of one file, which has these styles."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles

    def line(self, paragraph: Any, look: Look, ground: str) -> Line:
        """The content of a paragraph whose style looks like `look`, on a ground of this colour (or UNKNOWN)."""
        line = Line()
        self._walk(paragraph, line, look, ground)
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
                line.text += math_text(child)
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
        text = self._text(run, line)
        reason = hidden_by(look, ground)
        if reason is None:
            line.text += text
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
                text += _symbol(child)
            elif tag in (f"{W}footnoteReference", f"{W}endnoteReference"):
                line.notes.append((tag.removeprefix(W).removesuffix("Reference"), child.get(f"{W}id", "")))
            elif tag == f"{_MC}AlternateContent":
                text += self._text(_chosen(child), line)
            elif tag == f"{W}ruby":
                text += "".join(self._text(base, line) for base in child.iterfind(f"{W}rubyBase/{W}r"))
            elif tag not in _SKIPPED:
                line.boxes += child.iter(f"{W}txbxContent")
        return text


def _chosen(alternatives: Any) -> Any:
    """One of several renderings of the same content: the newer one, which says more."""
    return next((child for child in alternatives if child.tag == f"{_MC}Choice"), alternatives)


def _symbol(element: Any) -> str:
    code = int(element.get(f"{W}char", "0"), 16)
    if element.get(f"{W}font") == "Symbol":
        return _SYMBOLS.get(code & 0xFF, "\ufffd")
    return "\ufffd" if 0xE000 <= code <= 0xF8FF or not code else chr(code)
