"""An OpenDocument text (.odt) -> a document: headings, numbered lists, tables, notes; changes and hidden text as for Word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.office.container import opened
from server.readers.office.look import UNKNOWN, WHITE, Look, hidden_by
from server.readers.office.odt_styles import TEXT, OdtStyles
from server.readers.office.package import Package, text_of
from server.readers.office.text import Paragraph, Properties, Role, document_of, join_lines
from server.readers.rows import table_block
from server.types import Block, Box, Document, Hidden, HiddenReason

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_NOWHERE = Box(1, 0, 0, 0, 0)
_SKIPPED = {f"{_OFFICE}annotation", f"{_OFFICE}forms", f"{TEXT}tracked-changes", f"{TEXT}sequence-decls", f"{TEXT}ruby-text"} | {
    f"{TEXT}{kind}"
    for kind in ("table-of-content", "illustration-index", "table-index", "object-index", "alphabetical-index", "user-index")
}
_MOST_REPEATED = 64  # spaces, columns and rows that one element may stand for and that are still written out


@dataclass(slots=True)
class _Line:
    text: str = ""
    bold: bool = True
    hidden: list[tuple[str, HiddenReason]] = field(default_factory=list)
    attached: list[Any] = field(default_factory=list)  # bodies of notes and text boxes


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
        return document_of(path, list(body.flow()), properties, hidden=body.hidden)


class _Body:
    """The text of one file, and the `hidden` text that is found in it on the way."""

    def __init__(self, package: Package) -> None:
        self._root = package.xml("content.xml")
        roots = [package.xml("styles.xml")] if "styles.xml" in package else []
        self._styles = OdtStyles([*roots, self._root])
        self.hidden: list[Hidden] = []

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
            elif tag == f"{_TABLE}table":
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
        if role == "body" and label:
            role = "item"
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
                line.attached += child.iter(f"{_DRAW}text-box")
            elif tag not in _SKIPPED:
                self._walk(child, line, look, ground)
            self._say(child.tail, line, look, ground)

    def _say(self, text: str | None, line: _Line, look: Look, ground: str) -> None:
        if not text:
            return
        if (reason := hidden_by(look, ground)) is not None:
            line.hidden.append((text, reason))
            return
        line.text += text
        line.bold = line.bold and (look.bold is True or not text.strip())

    def _hide(self, text: str, reason: HiddenReason) -> None:
        if text.strip():
            self.hidden.append(Hidden(join_lines(text), reason, _NOWHERE))

    def _table(self, table: Any, ground: str) -> Iterator[Paragraph | Block]:
        """A table as one block, then the notes, boxes and tables in its cells; one column only lays out a text."""
        ground = self._styles.ground("table", table.get(f"{_TABLE}style-name", "")) or ground
        rows = list(_rows(table))
        if all(len(list(row)) == 1 for row in rows):
            for row in rows:
                yield from self._content(row[0], self._behind(row[0], ground))
            return
        after: list[Paragraph | Block] = []
        texts: list[list[str]] = []
        for row in rows:
            cells: list[str] = []
            for cell in row:
                text = self._cell(cell, self._behind(cell, ground), after)
                times = int(cell.get(f"{_TABLE}number-columns-repeated", 1))
                cells += [text] * min(times, _MOST_REPEATED)
            texts += [cells] * (min(int(row.get(f"{_TABLE}number-rows-repeated", 1)), _MOST_REPEATED) if any(cells) else 1)
        block = table_block(texts)
        if block is not None:
            yield block
        yield from after

    def _behind(self, cell: Any, ground: str) -> str:
        return self._styles.ground("table-cell", cell.get(f"{_TABLE}style-name", "")) or ground

    def _cell(self, cell: Any, ground: str, after: list[Paragraph | Block]) -> str:
        texts: list[str] = []
        for item in self._content(cell, ground):
            if isinstance(item, Paragraph) and item.role != "footnote":
                texts.append(item.text)
            else:
                after.append(item)
        return join_lines(" ".join(filter(None, texts)))


def _rows(table: Any) -> Iterator[Any]:
    """The rows of a table, also those in groups and headers; not those of tables inside it."""
    for child in table:
        if child.tag == f"{_TABLE}table-row":
            yield child
        elif child.tag in (f"{_TABLE}table-header-rows", f"{_TABLE}table-row-group", f"{_TABLE}table-rows"):
            yield from _rows(child)
