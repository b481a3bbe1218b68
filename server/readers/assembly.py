"""An outline of headings and blocks -> the document: references marked, abstract and language found, nothing left refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from server.errors import Unreadable
from server.language import language_of
from server.readers.headings import REFERENCES, Outline
from server.types import Block, Document, Hidden, Identity, Section

_ABSTRACT = re.compile(r"(?:[\dIVX]+\.?\s*)?(?:abstract|summary|zusammenfassung|résumé|摘\s*要|内容提要|要\s*旨)\s*[:：.]?", re.IGNORECASE)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")  # halves of characters too, which no file can hold
_UNKNOWN = Identity()
_MAX_ABSTRACT = 5000  # characters
_MAX_HIDDEN = 200  # entries; a page with more of them is no more suspicious


def document_of(
    outline: Outline,
    title: str,
    *,
    warnings: Sequence[str] = (),
    identity: Identity = _UNKNOWN,
    hidden: Sequence[Hidden] = (),
    describes: str = "",
) -> Document:
    """The document of one page. The identity's abstract comes from the section of that name when it has none of its own, else from
    `describes`, what the file says that it is about.

    Raises Unreadable when there is no visible text.
    """
    sections = [_with_references(_printable(section)) for section in outline.sections()]
    abstract = identity.abstract or _abstract(sections) or describes
    for at in outline.leaves():
        sections[at] = _with_its_heading(sections[at])
    if not any(block.text.strip() for section in sections for block in section.blocks):
        raise Unreadable("all text of the file is hidden; nothing is left to read" if hidden else "the file holds no text")
    identity = replace(identity, abstract=abstract)
    sample = "\n".join(block.text for section in sections for block in section.blocks[:200])
    if len(hidden) > _MAX_HIDDEN:
        warnings = (*warnings, f"{len(hidden)} hidden texts were left out; the first {_MAX_HIDDEN} are listed")
    return Document(
        _UNPRINTABLE.sub("", title), 1, language_of(sample), tuple(sections), tuple(warnings), identity, tuple(hidden[:_MAX_HIDDEN])
    )


def _printable(section: Section) -> Section:
    """Without the control characters that escapes ("\\u0000") can bring into any format."""
    texts = [*section.path, *(block.text for block in section.blocks)]
    if not any(map(_UNPRINTABLE.search, texts)):
        return section
    return replace(
        section,
        path=tuple(_UNPRINTABLE.sub("", heading) for heading in section.path),
        blocks=tuple(replace(block, text=_UNPRINTABLE.sub("", block.text)) for block in section.blocks),
    )


def _with_its_heading(section: Section) -> Section:
    """A heading with nothing below it is text of its own; else no chunk would hold it and no search find it."""
    return replace(section, blocks=(Block("paragraph", section.path[-1], section.page),))


def _with_references(section: Section) -> Section:
    """Paragraphs below a heading "References", at any depth, are entries of a bibliography."""
    if not any(REFERENCES.match(heading) for heading in section.path):
        return section
    return replace(
        section, blocks=tuple(replace(block, kind="reference") if block.kind == "paragraph" else block for block in section.blocks)
    )


def _abstract(sections: Sequence[Section]) -> str:
    for section in sections:
        if section.path and _ABSTRACT.fullmatch(section.path[-1].strip()):
            return "\n".join(block.text for block in section.blocks if block.kind == "paragraph")[:_MAX_ABSTRACT]
    return ""
