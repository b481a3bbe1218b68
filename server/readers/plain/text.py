"""txt -> a document: numbered and known headings become sections, blank lines separate paragraphs; reading of text files at large."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from server.errors import Unreadable
from server.language import is_wide
from server.readers.assembly import document_of
from server.readers.encoding import decode
from server.readers.headings import REFERENCES, Outline, heading_level
from server.types import Block, Document

MAX_BYTES = 200 * 2**20

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_GAP = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_FEWEST_GAPS = 0.03  # blank lines for each line of text; files that part paragraphs by them have 0.1 and more
_SENTENCE_END = re.compile(r"[.!?。！？：:；;…][\"'”’」』)）]*$")
_ENTRY = re.compile(r"\s*(?:\[\d{1,4}\]|[［【]\d{1,4}[］】]|\d{1,3}\.\s)")  # how an entry of a bibliography begins


def read_text(path: Path) -> Document:
    """A plain text file. Lines that stand alone and look like headings ("2 Methods", "一、引言", "Abstract") open sections.

    In a file without blank lines, which is usual in Chinese, a line stands alone where a paragraph has ended before it.
    """
    text, warnings = read_decoded(path)
    outline, first = text_outline(text)
    title = first if 0 < len(first) <= 120 and not first.endswith((".", "。")) else path.stem
    return document_of(outline, title, warnings=warnings)


def text_outline(text: str) -> tuple[Outline, str]:
    """The sections of plain text, and its first line that is no heading."""
    outline = Outline()
    first = ""
    entries = False
    for paragraph in _without_gaps(text) if _lacks_gaps(text) else _paragraphs(text):
        lines = paragraph.split("\n")
        level = heading_level(paragraph) if len(lines) == 1 else 0
        if level:
            outline.open(level, paragraph.strip(), 1, "guessed")
            entries = REFERENCES.match(paragraph.strip()) is not None or (entries and level > 1)
            continue
        first = first or lines[0].strip()
        for block in unwrapped(lines, entries):
            outline.add(Block("paragraph", block, 1))
    return outline, first


def text_blocks(text: str) -> Iterator[str]:
    """The paragraphs of plain text, one line each."""
    for paragraph in _paragraphs(text):
        yield from unwrapped(paragraph.split("\n"))


def read_decoded(path: Path, declared: Callable[[bytes], str] = lambda data: "") -> tuple[str, list[str]]:
    """The text of a file, newlines unified, and what had to be guessed about its encoding (see encoding.py).

    `declared` finds the name of the encoding that the bytes themselves give. Raises Unreadable for binary and blank files.
    """
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"the file is larger than {MAX_BYTES // 2**20} MiB of text; split it into smaller files")
    data = path.read_bytes()
    text, _, warnings = decode(data, declared(data))
    if len(_CONTROL.findall(text[:100_000])) > 0.002 * min(len(text), 100_000):
        raise Unreadable(f"this is no text although it is named {path.suffix}: it holds binary data; give it its right suffix")
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.strip():
        raise Unreadable("the file holds only white space; there is nothing to read")
    return text, list(warnings)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in _GAP.split(text.replace("\f", "\n\n")):
        if paragraph.strip():
            yield paragraph.strip("\n")


def _lacks_gaps(text: str) -> bool:
    """Whether blank lines are too few to be what parts the paragraphs."""
    lines = sum(1 for line in text.split("\n") if line.strip())
    return lines > 3 and len(_GAP.findall(text.strip())) < _FEWEST_GAPS * lines


def _without_gaps(text: str) -> Iterator[str]:
    """Headings and what stands between them: lines that look like a heading and follow the end of a paragraph or another heading."""
    lines = [line for line in text.replace("\f", "\n").split("\n") if line.strip()]
    usual = sorted(map(len, lines))[int(0.9 * (len(lines) - 1))]
    pending: list[str] = []
    for line in lines:
        before = pending[-1].strip() if pending else ""
        ended = not before or _SENTENCE_END.search(before) is not None or len(before) < 0.7 * usual
        if ended and heading_level(line):
            if pending:
                yield "\n".join(pending)
            yield line
            pending = []
        else:
            pending.append(line)
    if pending:
        yield "\n".join(pending)


def unwrapped(lines: Sequence[str], entries: bool = False) -> Iterator[str]:
    """Lines that were broken to a width are joined again; lines that end early or begin indented are paragraphs of their own.

    `entries`: of a bibliography; then each "[1]" begins one, and indented lines go on with it.
    """
    width = max(len(line) for line in lines)
    pending: list[str] = []
    for number, line in enumerate(lines):
        indented = line[:1].isspace()
        early = number > 0 and (len(lines[number - 1]) < 0.7 * width or width > 200)
        begins = bool(_ENTRY.match(line)) if entries else indented or early
        if pending and (begins or (entries and early and not indented)):
            yield joined(pending)
            pending = []
        pending.append(line)
    if pending:
        yield joined(pending)


def joined(lines: Iterable[str]) -> str:
    """Lines of one paragraph as one: a space between them, none between Chinese characters."""
    pieces: list[str] = []
    for line in lines:
        text = " ".join(line.split())
        if text and pieces and not (is_wide(pieces[-1][-1]) and is_wide(text[0])):
            pieces.append(" ")
        if text:
            pieces.append(text)
    return "".join(pieces)
