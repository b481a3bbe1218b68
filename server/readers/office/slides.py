"""A PowerPoint file (.pptx) -> a document: each visible slide is a section, its texts and tables in reading order, its notes below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from server.readers import assembly
from server.readers.headings import Outline
from server.readers.office.charts import chart_blocks
from server.readers.office.container import opened
from server.readers.office.identity import identity_of, is_title
from server.readers.office.package import parse
from server.readers.office.text import join_lines
from server.readers.raised import raised_text
from server.readers.rows import one_line, table_block
from server.readers.table_header import Merged, are_pairs
from server.types import Block, Box, Document, Hidden

_EMU_PER_PT = 12_700
_ROW_SHARE = 0.03  # of the slide's height: shapes whose tops differ less stand in one row
_FURNITURE = ("DATE", "FOOTER", "HEADER", "SLIDE_NUMBER")
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_LISTED = 20  # numbers of slides that a warning names


def read_pptx(path: Path) -> Document:
    """The visible slides of a presentation; pages are slide numbers as PowerPoint counts them, hidden ones included.

    Raises Unreadable when it is damaged, protected, another type of file, a bomb, or holds no text.
    """
    import pptx

    with opened(path), path.open("rb") as file:
        return _document(path, pptx.Presentation(file))


def _document(path: Path, presentation: Any) -> Document:
    outline = Outline()
    unseen: list[int] = []
    empty: list[int] = []
    hidden: list[Hidden] = []
    first = ""
    slides = list(presentation.slides)
    size = (int(presentation.slide_width or 0), int(presentation.slide_height or 0))
    for number, slide in enumerate(slides, 1):
        if slide.element.get("show") in ("0", "false"):
            unseen.append(number)
            continue
        reader = _Slide(slide, number, size)
        title, blocks = reader.title(), list(reader.blocks())
        hidden += reader.hidden
        first = first or title
        outline.open(1, title or f"Slide {number}", number, "printed" if title else "made up")
        for block in blocks or ([Block("paragraph", title, number)] if title else []):
            outline.add(block)
        if not blocks and not title:
            empty.append(number)
    core = presentation.core_properties
    title = first or (core.title if is_title(core.title) else "") or path.stem
    warnings = [f"hidden slides were left out: {_listed(unseen)}"] if unseen else []
    warnings += [f"slides without text: {_listed(empty)}"] if empty else []
    identity = identity_of(core.title, core.author, [block for section in outline.sections() for block in section.blocks])
    return replace(assembly.document_of(outline, title, warnings=warnings, identity=identity, hidden=hidden), pages=len(slides))


class _Slide:
    """One slide; `size` is that of all slides, in EMU. `hidden` is filled while the blocks are taken."""

    def __init__(self, slide: Any, number: int, size: tuple[int, int]) -> None:
        self._slide = slide
        self._number = number
        self._width, self._height = size
        self.hidden: list[Hidden] = []

    def title(self) -> str:
        """The text of the title's placeholder, "" without one."""
        shape = self._slide.shapes.title
        return "" if shape is None else " ".join(_paragraphs(shape.text_frame))

    def blocks(self) -> Iterator[Block]:
        """Texts, tables, charts and diagrams in reading order, then equations, then the speaker's notes."""
        title = self._slide.shapes.title
        for shape in self._ordered(shape for shape in self._slide.shapes if title is None or shape.shape_id != title.shape_id):
            if self._is_off(shape):
                self._note_hidden(shape, "off the page")
            else:
                yield from self._shape(shape)
        for alternative in self._slide.element.iter("{*}Choice"):  # python-pptx leaves these shapes out
            for paragraph in alternative.iter("{http://schemas.openxmlformats.org/drawingml/2006/main}p"):
                if text := one_line("".join(run.text or "" for run in paragraph.iter("{*}t"))):
                    yield Block("paragraph", text, self._number)
        frame = self._slide.notes_slide.notes_text_frame if self._slide.has_notes_slide else None
        if frame is not None and (notes := "\n".join(_paragraphs(frame))):
            yield Block("footnote", notes, self._number)

    def _shape(self, shape: Any) -> Iterator[Block]:
        if next((named.get("hidden") for named in shape.element.iter("{*}cNvPr")), "0") in ("1", "true"):
            self._note_hidden(shape, "invisible")
        elif hasattr(shape, "shapes"):  # a group
            for inner in self._ordered(shape.shapes):
                yield from self._shape(inner)
        elif shape.has_text_frame:
            if not (
                shape.is_placeholder and shape.placeholder_format.type is not None and shape.placeholder_format.type.name in _FURNITURE
            ):
                yield from (Block("paragraph", text, self._number) for text in _paragraphs(shape.text_frame))
        elif getattr(shape, "has_table", False):
            if (block := _table(shape.table, self._number)) is not None:
                yield block
        elif getattr(shape, "has_chart", False):
            yield from chart_blocks(parse(shape.chart_part.blob), self._number)
        else:
            yield from self._diagram(shape)

    def _diagram(self, shape: Any) -> Iterator[Block]:
        """The texts of SmartArt, which stand in a part of their own."""
        for references in shape.element.iter("{*}relIds"):
            root = parse(self._slide.part.related_part(references.get(f"{_REL}dm")).blob)
            for point in root.iter("{*}pt"):
                if text := one_line("".join(run.text or "" for run in point.iter("{*}t"))):
                    yield Block("paragraph", text, self._number)

    def _ordered(self, shapes: Iterable[Any]) -> list[Any]:
        """Top to bottom, and left to right among shapes that begin at about one height."""
        by_top = sorted(shapes, key=_top)
        ordered: list[Any] = []
        row: list[Any] = []
        for shape in by_top:
            if row and _top(shape) - _top(row[0]) > _ROW_SHARE * self._height:
                ordered += sorted(row, key=_left)
                row = []
            row.append(shape)
        return ordered + sorted(row, key=_left)

    def _is_off(self, shape: Any) -> bool:
        if None in (shape.left, shape.top, shape.width, shape.height) or not self._width:
            return False
        beyond = shape.left >= self._width or shape.top >= self._height
        return bool(beyond or shape.left + shape.width < 0 or shape.top + shape.height < 0)

    def _note_hidden(self, shape: Any, reason: Any) -> None:
        text = one_line(" ".join(run.text or "" for run in shape.element.iter("{*}t")))
        places = [(value or 0) / _EMU_PER_PT for value in (shape.left, shape.top, shape.width, shape.height)]
        if text:
            box = Box(self._number, places[0], places[1], places[0] + places[2], places[1] + places[3])
            self.hidden.append(Hidden(text, reason, box))


def _table(table: Any, number: int) -> Block | None:
    """The table as a block; a cell merged with those below stands in each of its rows.

    Its first row is the header where it is formatted as one, which PowerPoint does unasked: a form is a form all the same.
    """
    rows: list[Merged] = []
    hanging: dict[int, tuple[int, str]] = {}  # column -> last row, text
    for at, row in enumerate(table.rows):
        cells: list[str] = []
        wide: dict[int, int] = {}
        hung: list[int] = []
        for place, cell in enumerate(row.cells):
            text = join_lines("\n".join(_paragraphs(cell.text_frame)))
            last, above = hanging.get(place, (-1, ""))
            if cell.is_spanned and at <= last:
                text = above
                hung.append(place)
            elif cell.is_merge_origin:
                hanging[place] = (at + cell.span_height - 1, text)
                if cell.span_width > 1:
                    wide[place] = cell.span_width
            cells.append(text)
        rows.append(Merged(cells, wide, hung))
    return table_block(rows, number, header=int(table.first_row and not are_pairs(rows)))


def _paragraphs(frame: Any) -> list[str]:
    texts = (join_lines(_said(paragraph._p)) for paragraph in frame.paragraphs)
    return [text for text in texts if text]


def _said(paragraph: Any) -> str:
    """The text of a paragraph with its powers marked; python-pptx gives 10⁵ as 105."""
    text = raised = ""
    for child in paragraph:
        properties = child.find(f"{_DRAWING}rPr")
        said = "\n" if child.tag == f"{_DRAWING}br" else "".join(part.text or "" for part in child.iterchildren(f"{_DRAWING}t"))
        if properties is not None and not (properties.get("baseline") or "0").startswith(("0", "-")):
            raised += said
        elif said:
            text += raised_text(text, raised) + said
            raised = ""
    return text + raised_text(text, raised)


def _top(shape: Any) -> int:
    return int(shape.top or 0)


def _left(shape: Any) -> int:
    return int(shape.left or 0)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:_LISTED])) + (" …" if len(numbers) > _LISTED else "")
