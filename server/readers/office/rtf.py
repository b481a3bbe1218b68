"""A Rich Text file (.rtf) -> a document: its text in the encoding that it names; headings are found by number or by name."""

from __future__ import annotations

import re
from pathlib import Path

from server.errors import Unreadable
from server.readers.office.container import require, told
from server.readers.office.text import Paragraph, Properties, document_of, join_lines
from server.readers.rows import one_line, table_block
from server.types import Block, Document

MAX_BYTES = 200 * 2**20
_PICTURE = re.compile(r"[0-9a-fA-F\s]{4000,}")  # pictures as hexadecimal digits, which the parser would take one by one
_AFTER_WORD = re.compile(r"(\\[a-zA-Z]+-?\d*)[\r\n]+")
_HIGH = re.compile(r"[\x80-\xff]")
_PROPERTY = r"\{\\%s\s((?:[^{}\\]|\\[^{}]|\\[{}])*)\}"
_ENCODING = re.compile(r"\\ansicpg\d+")
_LONGEST_HEADING = 80  # characters; styles are lost, so what is as short as a heading may be one
_ROW = re.compile(r"[^\n]*\|$")


def read_rtf(path: Path) -> Document:
    """The text of a Rich Text file, one block a paragraph, tables as their rows; notes, pictures and headers are left out.

    Raises Unreadable when it is damaged, another type of file, or holds no text.
    """
    require(path)
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"the file is larger than {MAX_BYTES // 2**20} MiB; save it as .docx, or split it into smaller files")
    source = _one_stream(path.read_bytes().decode("latin-1"))
    with told(path):
        flow: list[Paragraph | Block] = []
        rows: list[list[str]] = []
        for line in [*_text(source).split("\n"), ""]:
            if _ROW.match(line.rstrip()):
                rows.append([one_line(cell) for cell in line.rstrip()[:-1].split("|")])
                continue
            if (block := table_block(rows)) is not None:
                flow.append(block)
            rows = []
            if text := join_lines(line):
                flow.append(Paragraph(text, bold=len(text) <= _LONGEST_HEADING))
        return document_of(path, flow, Properties(_property(source, "title"), _property(source, "author")))


def _text(source: str) -> str:
    """The plain text of RTF source; characters beyond the first plane are put together from their halves."""
    from striprtf.striprtf import rtf_to_text

    text: str = rtf_to_text(source, errors="replace")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _one_stream(data: str) -> str:
    """RTF source with each byte of text escaped and without its line breaks, which may part the bytes of one character."""
    data = _PICTURE.sub("", data)
    data = _AFTER_WORD.sub(r"\1 ", data).replace("\r", "").replace("\n", "")
    return _HIGH.sub(lambda match: f"\\'{ord(match[0]):02x}", data)


def _property(source: str, name: str) -> str:
    match = re.search(_PROPERTY % name, source[:100_000])
    if not match:
        return ""
    encoding = _ENCODING.search(source[:1000])
    return one_line(_text(f"{{\\rtf1\\ansi{encoding[0] if encoding else ''} {match[1]}}}"))
