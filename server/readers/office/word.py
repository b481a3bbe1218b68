"""A Word file (.docx) -> a document: headings by style or outline level, tables, captions, notes, numbering as Word shows it.

Deleted changes are left out and inserted ones read; text that nobody sees (hidden, white on white, below 2 pt) is reported apart.
The parts are read directly: python-docx refuses files with a lost picture, macros or strict names, and knows none of the above.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.readers.office.charts import chart_blocks
from server.readers.office.container import opened
from server.readers.office.look import UNKNOWN, WHITE
from server.readers.office.package import Package
from server.readers.office.text import Paragraph, Properties, Role, document_of, join_lines
from server.readers.office.word_numbering import Numbering
from server.readers.office.word_runs import Line, Runs
from server.readers.office.word_styles import Styles, W, level_of, shade_of
from server.readers.office.word_tables import CONTAINERS, cells_of, header_count, laid_rows, rows_of
from server.readers.rows import table_block
from server.types import Block, Box, Document, Hidden

_NOWHERE = Box(1, 0, 0, 0, 0)
_CONTENTS = ("Table of Contents", "Table of Figures")


def read_docx(path: Path) -> Document:
    """The text of a Word file in reading order.

    Raises Unreadable when it is damaged, protected, another type of file, a bomb, or holds no text.
    """
    with opened(path) as archive:
        package = Package(archive)
        body = _Body(package)
        flow = list(body.flow())
        return document_of(path, flow, Properties(*package.core()), hidden=body.hidden, warnings=body.warnings)


class _Body:
    """The body of one file, and what is found in it on the way: `hidden` text and `warnings`."""

    def __init__(self, package: Package) -> None:
        main = package.first("officeDocument")
        self._package, self._parts = package, package.related(main)
        self._root = package.xml(main)
        self._styles = Styles(_part(package, "styles", main))
        self._numbering = Numbering(_part(package, "numbering", main))
        self._runs = Runs(self._styles)
        self._notes: dict[tuple[str, str], Any] = {}
        for kind in ("footnote", "endnote"):
            root = _part(package, f"{kind}s", main)
            for note in () if root is None else root.iterchildren(f"{W}{kind}"):
                self._notes[kind, note.get(f"{W}id", "")] = note
        background = self._root.find(f"{W}background")
        self._page = WHITE if background is None else background.get(f"{W}color", WHITE).upper()
        self.hidden: list[Hidden] = []
        self.warnings: list[str] = []

    def flow(self) -> Iterator[Paragraph | Block]:
        """Paragraphs and tables in the order of the text, notes and boxes after the paragraph that they hang on."""
        for body in self._root.iterchildren(f"{W}body"):
            yield from self._content(body, self._page)
        if any(element.tag == f"{W}altChunk" for element in self._root.iter(f"{W}altChunk")):
            self.warnings.append("text that is only linked into the file (altChunk) was left out; open it in Word and save it again")

    def _content(self, parent: Any, ground: str) -> Iterator[Paragraph | Block]:
        for child in parent:
            if child.tag == f"{W}p":
                yield from self._paragraph(child, ground)
            elif child.tag == f"{W}tbl":
                yield from self._table(child, ground)
            elif child.tag in CONTAINERS and not _is_contents(child):
                yield from self._content(child, ground)

    def _paragraph(self, element: Any, ground: str, role: Role | None = None) -> Iterator[Paragraph | Block]:
        properties = element.find(f"{W}pPr")
        style = self._styles.style(_value(properties, "pStyle"))
        line = self._line(element, ground)
        if not style.contents:
            level = level_of(properties)
            own, depth = (style.role, style.level) if level is None else ("heading", level) if level else (style.role, 0)
            own = "body" if own == "heading" and not depth else own
            label = self._label(properties, style.numbering) if line.text.strip() else ""
            own = "formula" if line.formula else "item" if label and own == "body" else own
            text = line.text.replace("\t", "    ") if own == "code" else join_lines(line.text)
            yield Paragraph(f"{label} {text}" if label and text else text, role or own, depth, line.bold)
        yield from self._attached(line)

    def _line(self, element: Any, ground: str) -> Line:
        """The content of a paragraph; what is hidden in it is noted."""
        properties = element.find(f"{W}pPr")
        style = self._styles.style(_value(properties, "pStyle"))
        line = self._runs.line(element, style.look, shade_of(properties) or style.shade or ground)
        self.hidden += [Hidden(join_lines(text), reason, _NOWHERE) for text, reason in line.hidden if text.strip()]
        return line

    def _attached(self, line: Line) -> Iterator[Paragraph | Block]:
        for name in line.charts:
            part = self._parts.get(name)
            yield from () if part is None else chart_blocks(self._package.xml(part.name))
        for box in line.boxes:
            yield from self._content(box, UNKNOWN)
        for key in line.notes:
            note = self._notes.pop(key, None)  # each once, also when it is referred to again
            if note is not None:
                texts = [join_lines(self._line(paragraph, self._page).text) for paragraph in note.iter(f"{W}p")]
                yield Paragraph(" ".join(filter(None, texts)), "footnote")

    def _label(self, properties: Any, inherited: tuple[str, int]) -> str:
        own = None if properties is None else properties.find(f"{W}numPr")
        number, level = inherited
        if own is not None:
            number = _value(own, "numId") or number
            level = int(_value(own, "ilvl") or level)
        return self._numbering.label(number, level)

    def _table(self, table: Any, ground: str) -> Iterator[Paragraph | Block]:
        """A table as one block, then what hangs on its cells and the tables inside them; one that only lays out a text is read as such."""
        styled = table.find(f"{W}tblPr/{W}tblStyle") is not None
        ground = shade_of(table.find(f"{W}tblPr")) or (UNKNOWN if styled else ground)
        rows = rows_of(table)
        if all(len(cells_of(row)) == 1 for row in rows) or self._is_layout(table, rows):
            for cell in (cell for row in rows for cell in cells_of(row)):
                yield from self._content(cell, shade_of(cell.find(f"{W}tcPr")) or ground)
            return
        after: list[Paragraph | Block] = []
        texts = laid_rows(rows, lambda cell: self._cell(cell, shade_of(cell.find(f"{W}tcPr")) or ground, after))
        block = table_block(texts, header=header_count(rows))
        if block is not None:
            yield block
        yield from after

    def _is_layout(self, table: Any, rows: list[Any]) -> bool:
        """Whether columns of a page are made of a table: one row, or none with borders, and a heading over text inside a cell."""
        borders = table.find(f"{W}tblPr/{W}tblBorders")
        styled = table.find(f"{W}tblPr/{W}tblStyle") is not None
        framed = styled if borders is None else any(each.get(f"{W}val") not in ("none", "nil") for each in borders)
        return (len(rows) == 1 or not framed) and any(self._holds_section(cell) for row in rows for cell in cells_of(row))

    def _holds_section(self, cell: Any) -> bool:
        filled = [element for element in _blocks_of(cell) if any(text.strip() for text in element.itertext())]
        return any(element.tag == f"{W}p" and self._is_heading(element) for element in filled[:-1])

    def _is_heading(self, paragraph: Any) -> bool:
        properties = paragraph.find(f"{W}pPr")
        level = level_of(properties)
        return bool(level) if level is not None else self._styles.style(_value(properties, "pStyle")).role == "heading"

    def _cell(self, cell: Any, ground: str, after: list[Paragraph | Block]) -> str:
        texts: list[str] = []
        for item in _blocks_of(cell):
            if item.tag == f"{W}tbl":
                after.extend(self._table(item, ground))
                continue
            line = self._line(item, ground)
            properties = item.find(f"{W}pPr")
            label = self._label(properties, self._styles.style(_value(properties, "pStyle")).numbering) if line.text.strip() else ""
            texts.append(f"{label} {join_lines(line.text)}".strip())
            after.extend(self._attached(line))
        return " ".join(filter(None, texts))


def _blocks_of(parent: Any) -> Iterator[Any]:
    for child in parent:
        if child.tag in (f"{W}p", f"{W}tbl"):
            yield child
        elif child.tag in CONTAINERS:
            yield from _blocks_of(child)


def _is_contents(control: Any) -> bool:
    gallery = control.find(f"{W}sdtPr/{W}docPartObj/{W}docPartGallery")
    return gallery is not None and gallery.get(f"{W}val") in _CONTENTS


def _value(properties: Any, tag: str) -> str | None:
    element = None if properties is None else properties.find(f"{W}{tag}")
    return None if element is None else element.get(f"{W}val")


def _part(package: Package, kind: str, main: str) -> Any:
    name = package.first(kind, main)
    return package.xml(name) if name else None
