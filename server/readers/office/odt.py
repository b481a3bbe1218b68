"""An OpenDocument text (.odt) -> a document: headings, numbered lists, tables, notes; changes and hidden text as for Word."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.office.container import opened
from server.readers.office.look import UNKNOWN, WHITE, Look, hidden_by
from server.readers.office.odt_styles import TEXT, OdtStyles
from server.readers.office.odt_tables import TABLE, header_count, is_covered, laid_rows, rows_of
from server.readers.office.package import Package, text_of
from server.readers.office.text import Paragraph, Properties, Role, document_of, join_lines
from server.readers.raised import raised_text
from server.readers.rows import table_block
from server.readers.web.formulas import formula_text
from server.types import Block, Box, Document, Hidden, HiddenReason

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_MATH = "{http://www.w3.org/1998/Math/MathML}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NOWHERE = Box(1, 0, 0, 0, 0)
_SKIPPED = {f"{_OFFICE}annotation", f"{_OFFICE}forms", f"{TEXT}tracked-changes", f"{TEXT}sequence-decls", f"{TEXT}ruby-text"} | {
    f"{TEXT}{kind}"
    for kind in ("table-of-content", "illustration-index", "table-index", "object-index", "alphabetical-index", "user-index")
}
_MOST_REPEATED = 64  # spaces that one element may stand for and that are still written out


@dataclass(slots=True)
class _Line:
    text: str = ""
    bold: bool = True
    raised: str = ""  # the superscript at the end, until it is complete
    formula: bool = False  # holds formulas
    words: bool = False  # holds text besides them
    hidden: list[tuple[str, HiddenReason]] = field(default_factory=list)
    attached: list[Any] = field(default_factory=list)  # bodies of notes and text boxes

    def say(self, text: str, raised: bool = False) -> None:
        """More visible text; a superscript is told from a number that goes on where it ends."""
        if raised:
            self.raised += text
            return
        if self.raised:
            self.text += raised_text(self.text, self.raised)
        self.raised = ""
        self.text += text


def read_odt(path: Path) -> Document:
    """The text of an OpenDocument file in reading order.

    Raises Unreadable when it is damaged, protected, another type of file, a bomb, or holds no text.
    """
    with opened(path) as archive:
        package = Package(archive)
        if "META-INF/manifest.xml" in package and next(package.xml("META-INF/manifest.xml").iter("{*}encryption-data"), None) is not None:
            raise Unreadable("the file is protected with a password; open it in LibreOffice, remove the password and save it again")
        properties = Properties()
        if "meta.xml" in package:
            meta = package.xml("meta.xml")
            creator = text_of(meta, f"{_META}initial-creator") or text_of(meta, f"{_DC}creator")
            properties = Properties(text_of(meta, f"{_DC}title"), creator)
        body = _Body(package)
        flow = list(body.flow())
        left = f"{body.left_out} embedded objects (charts, sheets) were left out; save them as files of their own" if body.left_out else ""
        return document_of(path, flow, properties, hidden=body.hidden, warnings=[left] if left else [])


class _Body:
    """The text of one file, and what is found in it on the way: `hidden` text, and how many objects were `left_out`."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._root = package.xml("content.xml")
        roots = [package.xml("styles.xml")] if "styles.xml" in package else []
        self._styles = OdtStyles([*roots, self._root])
        self.hidden: list[Hidden] = []
        self.left_out = 0

    def flow(self) -> Iterator[Paragraph | Block]:
        """Paragraphs and tables in the order of the text, notes and boxes after the paragraph that they hang on."""
        for body in self._root.iterfind(f"{_OFFICE}body/{_OFFICE}text"):
            yield from self._content(body, self._styles.page or WHITE)

    def _content(self, parent: Any, ground: str, label: str = "") -> Iterator[Paragraph | Block]:
        """What stands below `parent`; `label` goes in front of its first paragraph."""
        for child in parent:
            tag = child.tag
            if tag in _SKIPPED:
                continue
            if tag in (f"{TEXT}p", f"{TEXT}h"):
                yield from self._paragraph(child, ground, label)
                label = ""
            elif tag == f"{TEXT}list":
                yield from self._list(child, ground, 1, "")
            elif tag == f"{TABLE}table":
                yield from self._table(child, ground)
            elif tag == f"{TEXT}section" and child.get(f"{TEXT}display") == "none":
                self._hide(" ".join(child.itertext()), "invisible")
            else:
                yield from self._content(child, ground)

    def _list(self, element: Any, ground: str, level: int, inherited: str) -> Iterator[Paragraph | Block]:
        style = element.get(f"{TEXT}style-name") or inherited
        goes_on = element.get(f"{TEXT}continue-numbering") == "true" or element.get(f"{TEXT}continue-list")
        if level == 1 and not goes_on:
            self._styles.restart(style)
        for item in element:
            first = next(item.iterchildren(f"{TEXT}p", f"{TEXT}h"), None)
            name = style or ("" if first is None else self._styles.list_of(first.get(f"{TEXT}style-name", "")))
            labelled = item.tag == f"{TEXT}list-item" and first is not None and (first.tag == f"{TEXT}p")
            label = self._styles.label(name, level) if labelled else ""
            for child in item:
                if child.tag == f"{TEXT}list":
                    yield from self._list(child, ground, level + 1, style)
                elif child.tag in (f"{TEXT}p", f"{TEXT}h"):
                    yield from self._paragraph(child, ground, label)
                    label = ""

    def _paragraph(self, element: Any, ground: str, label: str = "") -> Iterator[Paragraph | Block]:
        name = element.get(f"{TEXT}style-name", "")
        line = self._line(element, ground)
        role: Role = self._styles.role(name)
        level = 0
        if element.tag == f"{TEXT}h":
            role, level = "heading", int(element.get(f"{TEXT}outline-level", 1))
            label = self._styles.label("Outline", level) if element.get(f"{TEXT}is-list-header") != "true" and line.text.strip() else ""
        text = line.text.replace("\t", "    ") if role == "code" else join_lines(line.text)
        if role == "body":
            role = "formula" if line.formula and not line.words else "item" if label else role
        yield Paragraph(f"{label} {text}" if label and text else text, role, level, line.bold and bool(text))
        yield from self._attached(line)

    def _attached(self, line: _Line) -> Iterator[Paragraph | Block]:
        for element in line.attached:
            if element.tag == f"{TEXT}note-body":
                texts = [join_lines(self._line(paragraph, WHITE).text) for paragraph in element.iter(f"{TEXT}p")]
                yield Paragraph(" ".join(filter(None, texts)), "footnote")
            else:
                yield from self._content(element, UNKNOWN)

    def _line(self, element: Any, ground: str) -> _Line:
        """The content of a paragraph; what is hidden in it is noted."""
        name = element.get(f"{TEXT}style-name", "")
        line = _Line()
        self._walk(element, line, self._styles.look("paragraph", name), self._styles.ground("paragraph", name) or ground)
        line.say("")
        for text, reason in line.hidden:
            self._hide(text, reason)
        return line

    def _walk(self, element: Any, line: _Line, look: Look, ground: str) -> None:
        self._say(element.text, line, look, ground)
        for child in element:
            tag = child.tag
            if tag == f"{TEXT}s":
                self._say(" " * min(int(child.get(f"{TEXT}c", 1)), _MOST_REPEATED), line, look, ground)
            elif tag in (f"{TEXT}tab", f"{TEXT}line-break"):
                self._say("\t" if tag == f"{TEXT}tab" else "\n", line, look, ground)
            elif tag == f"{TEXT}span":
                self._walk(child, line, self._styles.look("text", child.get(f"{TEXT}style-name", "")).over(look), ground)
            elif tag == f"{TEXT}note":
                line.attached += child.iterchildren(f"{TEXT}note-body")
            elif tag.startswith(_DRAW):
                self._drawing(child, line)
            elif tag not in _SKIPPED:
                self._walk(child, line, look, ground)
            self._say(child.tail, line, look, ground)

    def _say(self, text: str | None, line: _Line, look: Look, ground: str) -> None:
        if not text:
            return
        if (reason := hidden_by(look, ground)) is not None:
            line.hidden.append((text, reason))
            return
        line.say(text, look.raised is True)
        line.words = line.words or bool(text.strip())
        line.bold = line.bold and (look.bold is True or not text.strip())

    def _drawing(self, drawing: Any, line: _Line) -> None:
        """Text boxes hang on the paragraph; a formula belongs to its text, as the part of the file that holds it says."""
        line.attached += drawing.iter(f"{_DRAW}text-box")
        for element in drawing.iter(f"{_DRAW}object"):
            name = posixpath.join(posixpath.normpath(element.get(_HREF, "")), "content.xml")
            root = self._package.xml(name) if name in self._package else next(iter(element), None)
            if root is None or not str(root.tag).startswith(_MATH):
                self.left_out += 1
                continue
            for each in list(root.iter(f"{_MATH}*")):
                each.tag = each.tag.removeprefix(_MATH)
            line.say(f" {formula_text(root)} ")
            line.formula = True

    def _hide(self, text: str, reason: HiddenReason) -> None:
        if text.strip():
            self.hidden.append(Hidden(join_lines(text), reason, _NOWHERE))

    def _table(self, table: Any, ground: str) -> Iterator[Paragraph | Block]:
        """A table as one block, then the notes, boxes and tables in its cells; one column only lays out a text."""
        ground = self._styles.ground("table", table.get(f"{TABLE}style-name", "")) or ground
        rows = list(rows_of(table))
        if all(len(list(row)) == 1 for row in rows):
            for row in rows:
                yield from self._content(row[0], self._behind(row[0], ground))
            return
        after: list[Paragraph | Block] = []
        texts = laid_rows(rows, lambda cell: self._cell(cell, self._behind(cell, ground), after))
        block = table_block(texts, header=header_count(rows))
        if block is not None:
            yield block
        yield from after

    def _behind(self, cell: Any, ground: str) -> str:
        return self._styles.ground("table-cell", cell.get(f"{TABLE}style-name", "")) or ground

    def _cell(self, cell: Any, ground: str, after: list[Paragraph | Block]) -> str:
        if is_covered(cell):
            self._hide(" ".join(cell.itertext()), "invisible")
            return ""
        texts: list[str] = []
        for item in self._content(cell, ground):
            if isinstance(item, Paragraph) and item.role != "footnote":
                texts.append(item.text)
            else:
                after.append(item)
        return join_lines(" ".join(filter(None, texts)))
