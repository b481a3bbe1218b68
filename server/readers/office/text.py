"""Paragraphs as their file styles them -> a document: headings, captions, code and the list of references, for all text formats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from server.errors import Unreadable
from server.language import is_wide
from server.readers import assembly
from server.readers.headings import REFERENCES, Outline, heading_level, is_known
from server.readers.office.identity import identity_of, is_title
from server.readers.pdf.paragraphs import is_caption
from server.types import Block, BlockKind, Document, Hidden

Role = Literal["body", "title", "heading", "caption", "code", "formula", "item", "footnote"]
_KINDS: dict[Role, BlockKind] = {"caption": "caption", "code": "code", "formula": "formula", "footnote": "footnote"}
_SHORT = 300  # characters; a caption without a mark after its number is no longer than that
_LEVELS = 9  # of headings, in Word and in OpenDocument
_LONGEST_TITLE = 300  # characters


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of the text in one line (code keeps its lines). `level` from 1 for headings; `bold` when all of it is."""

    text: str
    role: Role = "body"
    level: int = 0
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Properties:
    """What a file says about itself, "" where it does not."""

    title: str = ""
    creator: str = ""


def document_of(
    path: Path,
    flow: Iterable[Paragraph | Block],
    properties: Properties,
    *,
    hidden: Sequence[Hidden] = (),
    warnings: Sequence[str] = (),
) -> Document:
    """The document of a text in reading order. Headings without a style are found when bold, by number or by name.

    Its title is the one printed as such, else the property, else the first heading, else the file's name. Raises Unreadable when
    there is no text.
    """
    items = list(_joined_code(flow))
    styled = any(isinstance(item, Paragraph) and item.role == "heading" for item in items)
    outline = Outline()
    title = ""
    for item in items:
        if not isinstance(item, Paragraph):
            outline.add(item)
        elif level := _level(item, styled):
            outline.open(level, item.text, 1, "printed" if item.role == "heading" else "guessed")
        else:
            if item.role == "title":
                title = title or item.text
            outline.add(Block(_kind(item), item.text, 1))
    sections = outline.sections()
    own = [block for section in sections for block in section.blocks if not any(map(REFERENCES.match, section.path))]
    first_heading = next((section.path[-1] for section in sections if section.path), "")
    if not own and not outline.leaves() and not hidden:
        raise Unreadable("the document holds no text; if it holds pictures of pages, save it as PDF and add that")
    title = title or (properties.title if is_title(properties.title) else first_heading) or path.stem
    identity = identity_of(properties.title, properties.creator, own)
    return assembly.document_of(outline, title[:_LONGEST_TITLE], warnings=warnings, identity=identity, hidden=hidden)


def join_lines(text: str) -> str:
    """White space, line breaks too, reduced to single spaces; none between two Chinese characters that a line break parts."""
    return re.sub(r"\s+", _space, text.strip())


def _space(match: re.Match[str]) -> str:
    around = match.string[match.start() - 1 : match.start()] + match.string[match.end() : match.end() + 1]
    return "" if "\n" in match[0] and len(around) == 2 and all(map(is_wide, around)) else " "


def _joined_code(flow: Iterable[Paragraph | Block]) -> Iterator[Paragraph | Block]:
    """Lines of code that follow each other are one block; paragraphs without text are left out."""
    code: list[str] = []
    for item in flow:
        if isinstance(item, Paragraph) and item.role == "code":
            code.append(item.text.rstrip())
            continue
        if any(code):
            yield Paragraph("\n".join(code).strip("\n"), "code")
        code = []
        if item.text.strip():
            yield item
    if any(code):
        yield Paragraph("\n".join(code).strip("\n"), "code")


def _level(paragraph: Paragraph, styled: bool) -> int:
    """The level of a heading, 0 for other paragraphs. Where no heading has a style, bold numbered lines are taken for headings."""
    if paragraph.role == "heading":
        return min(paragraph.level, _LEVELS) if len(paragraph.text) <= _LONGEST_TITLE else 0
    if paragraph.role != "body":
        return 0
    if is_known(paragraph.text) or REFERENCES.match(paragraph.text):
        return 1
    return heading_level(paragraph.text) if paragraph.bold and not styled else 0


def _kind(paragraph: Paragraph) -> BlockKind:
    if paragraph.role in ("body", "item") and is_caption(paragraph.text, len(paragraph.text) <= _SHORT):
        return "caption"
    return _KINDS.get(paragraph.role, "paragraph")
