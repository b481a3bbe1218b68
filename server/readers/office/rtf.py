"""A Rich Text file (.rtf) -> a document: headings by style, number or name, tables, notes, each font in its own encoding."""

from __future__ import annotations

from pathlib import Path

from server.errors import Unreadable
from server.readers.office.container import require, told
from server.readers.office.rtf_source import RtfText
from server.readers.office.text import Properties, document_of, join_lines
from server.readers.rows import one_line
from server.types import Box, Document, Hidden

MAX_BYTES = 200 * 2**20
_NOWHERE = Box(1, 0, 0, 0, 0)


def read_rtf(path: Path) -> Document:
    """The text of a Rich Text file, one block a paragraph, tables as their rows; pictures, headers and comments are left out, and so is
    hidden and deleted text, which is reported.

    Raises Unreadable when it is damaged, another type of file, or holds no text.
    """
    require(path)
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"the file is larger than {MAX_BYTES // 2**20} MiB; save it as .docx, or split it into smaller files")
    with told(path):
        found = RtfText(path.read_bytes().decode("latin-1"))
        properties = Properties(one_line(found.properties["title"]), one_line(found.properties["author"]))
        hidden = [Hidden(join_lines(text), reason, _NOWHERE) for text, reason in found.hidden if text.strip()]
        return document_of(path, found.flow, properties, hidden=hidden)
