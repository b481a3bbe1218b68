"""Text, cells and notes as Rich Text brings them -> paragraphs and tables in reading order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from server.readers.office.text import Paragraph, Role, join_lines
from server.readers.raised import raised_text
from server.readers.rows import table_block
from server.types import Block

_LONGEST_HEADING = 80  # characters; few programs say what is a heading, so what is as short as one may be one
_HALF = re.compile("[\ud800-\udfff]")  # of a character beyond the first plane
_PIECES_BEFORE = 8  # pieces of text before a superscript that can matter


@dataclass(frozen=True, slots=True)
class Kind:
    """What a paragraph is, as its style and its own level say; `contents` for lines of a table of contents."""

    role: Role = "body"
    level: int = 0
    contents: bool = False


@dataclass(slots=True)
class Cell:
    """The paragraphs of a cell; `merged` with the one above."""

    merged: bool
    items: list[Paragraph | Block] = field(default_factory=list)


class Story:
    """One running text: that of the file, of a note or of a box. `flow` holds what is finished, in reading order."""

    def __init__(self, is_note: bool = False) -> None:
        self._is_note = is_note
        self.flow: list[Paragraph | Block] = []
        self.label = ""  # the number that a list puts in front of the paragraph
        self._pieces: list[str] = []
        self._raised: list[str] = []
        self._formula = self._words = False  # what the paragraph holds
        self._after: list[Paragraph | Block] = []  # notes and boxes of the paragraph
        self._rows: list[list[Cell]] = []
        self._row: list[Cell] = []
        self._cell = Cell(False)

    def say(self, text: str, raised: bool) -> None:
        """More text of the paragraph."""
        if raised:
            self._raised.append(text)
            return
        self._settle()
        self._pieces.append(text)
        self._words = self._words or bool(text.strip())

    def say_formula(self, text: str) -> None:
        """A formula in the paragraph, or one that is all of it."""
        self._settle()
        self._pieces.append(text)
        self._formula = True

    def attach(self, items: list[Paragraph | Block]) -> None:
        """Notes or boxes, to stand after the paragraph."""
        self._after += items

    def end_paragraph(self, kind: Kind, in_table: bool) -> None:
        """The paragraph is complete."""
        if not in_table:
            self._end_table()
        self._settle()
        joined = "".join(self._pieces)
        if _HALF.search(joined):
            joined = joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        text, label = (joined.strip("\n") if kind.role == "code" else join_lines(joined)), join_lines(self.label)
        into = self._cell.items if in_table else self.flow
        if text and not kind.contents:
            role = "formula" if self._formula and not self._words else "item" if label and kind.role == "body" else kind.role
            text = f"{label} {text}" if label else text
            into.append(Paragraph(text, role, kind.level, bold=role == "body" and len(text) <= _LONGEST_HEADING))
        into += self._after
        self._pieces, self._after, self.label = [], [], ""
        self._formula = self._words = False

    def end_cell(self, kind: Kind, merged: bool) -> None:
        """The last paragraph of a cell is complete; `merged`: the cell goes on with the one above it."""
        self.end_paragraph(kind, True)
        self._cell.merged = merged
        self._row.append(self._cell)
        self._cell = Cell(False)

    def end_row(self) -> None:
        """A row is complete."""
        if self._row:
            self._rows.append(self._row)
        self._row = []

    def end(self, kind: Kind) -> None:
        """The story is complete."""
        self.end_paragraph(kind, bool(self._row or self._cell.items))
        self._end_table()
        if self._is_note:
            self.flow = [Paragraph(" ".join(item.text for item in self.flow), "footnote")]

    def _settle(self) -> None:
        """What is raised ends here: a power is told from a number that goes on."""
        if self._raised:
            self._pieces.append(raised_text("".join(self._pieces[-_PIECES_BEFORE:]), "".join(self._raised)))
            self._raised, self._words = [], True

    def _end_table(self) -> None:
        """A table is one block, and what is no text in its cells stands after it; one column only lays out a text."""
        if self._cell.items:
            self.end_cell(Kind(), False)
        self.end_row()
        rows, self._rows = self._rows, []
        if all(len(row) == 1 for row in rows):
            self.flow += [item for row in rows for item in row[0].items]
            return
        texts: list[list[str]] = []
        for row in rows:
            cells = [" ".join(item.text for item in cell.items if not _stands_after(item)) for cell in row]
            above = texts[-1] if texts else []
            texts.append([above[at] if row[at].merged and not text and at < len(above) else text for at, text in enumerate(cells)])
        if (block := table_block(texts)) is not None:
            self.flow.append(block)
        self.flow += [item for row in rows for cell in row for item in cell.items if _stands_after(item)]


def _stands_after(item: Paragraph | Block) -> bool:
    return isinstance(item, Block) or item.role == "footnote"
