"""txt and md -> a document: headings become sections, blank lines separate paragraphs; the encoding is found per file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from server.errors import Unreadable
from server.language import is_wide, language_of
from server.readers.headings import Outline, heading_level
from server.types import Block, BlockKind, Document

_LONGEST_MARKED = 20_000  # characters; marks are not looked for in longer paragraphs, where unclosed ones cost quadratic time
MAX_BYTES = 200 * 2**20

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_ATX = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
_RULE = re.compile(r"\s{0,3}([-*_])(?:\s*\1){2,}\s*$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\((?:[^()\n]|\([^()\n]*\))*\)")
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_EMPHASIS = re.compile(r"(?<![\w*_])([*_])(?=\S)([^*_\n]+?)(?<=\S)\1(?![\w*_])")
_CODE = re.compile(r"(`+)(.+?)\1")


def read_text(path: Path) -> Document:
    """A plain text file. Lines that stand alone and look like headings ("2 Methods", "一、引言", "Abstract") open sections."""
    text, warnings = read_decoded(path)
    outline = Outline()
    first = ""
    for paragraph in _paragraphs(text):
        lines = paragraph.split("\n")
        level = heading_level(paragraph) if len(lines) == 1 else 0
        if level:
            outline.open(level, paragraph.strip(), 1)
            continue
        first = first or lines[0].strip()
        for block in _unwrapped(lines):
            outline.add(Block("paragraph", block, 1))
    return _document(path, outline, first if 0 < len(first) <= 120 and not first.endswith((".", "。")) else "", warnings)


def read_markdown(path: Path) -> Document:
    """A Markdown file: # and underlined headings, fenced code, tables; marks for emphasis and link targets are left out."""
    text, warnings = read_decoded(path)
    title, body = _front_matter(text)
    outline = Outline()
    for kind, level, content in _markdown(body):
        if level:
            outline.open(level, content, 1)
            title = title or content
        elif content.strip():
            outline.add(Block(kind, content, 1))
    return _document(path, outline, title, warnings)


def read_decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a file, newlines unified, and what had to be guessed about its encoding.

    A byte order mark decides; else UTF-8, else GB 18030 when it gives Chinese, else Windows-1252.
    """
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"the file is larger than {MAX_BYTES // 2**20} MiB of text; split it into smaller files")
    data = path.read_bytes()
    text, encoding = _decoded(data)
    if len(_CONTROL.findall(text[:100_000])) > 0.002 * min(len(text), 100_000):
        raise Unreadable(f"this is no text although it is named {path.suffix}: it holds binary data; give it its right suffix")
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.strip():
        raise Unreadable("the file holds only white space; there is nothing to read")
    return text, [] if encoding.startswith("utf") else [f"encoding guessed as {encoding}"]


def _decoded(data: bytes) -> tuple[str, str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError as exc:
                raise Unreadable(f"the file says it is {encoding} and is not: it is damaged at byte {exc.start}") from exc
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    if _is_chinese(text):
        return text, "gb18030"
    return data.decode("cp1252", errors="replace"), "windows-1252"


def _is_chinese(text: str) -> bool:
    """Whether text decoded as GB 18030 makes sense: mostly wide characters, and their second bytes are not Latin letters."""
    strange = [char for char in text[:50_000] if not char.isascii()][:5000]
    plausible = sum(is_wide(char) and char.encode("gb18030")[1] >= 0x80 for char in strange)
    return plausible > 0.6 * len(strange)


def _document(path: Path, outline: Outline, title: str, warnings: list[str]) -> Document:
    sections = outline.sections()
    if not any(section.blocks for section in sections):
        raise Unreadable("the file holds no text")
    sample = "\n".join(block.text for section in sections for block in section.blocks[:200])
    return Document(title or path.stem, 1, language_of(sample), sections, tuple(warnings))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n[^\S\n]*(?:\n[^\S\n]*)+", text.replace("\f", "\n\n")):
        if paragraph.strip():
            yield paragraph.strip("\n")


def _unwrapped(lines: list[str]) -> Iterator[str]:
    """Lines that were broken to a width are joined again; lines that end early or begin indented are paragraphs of their own."""
    width = max(len(line) for line in lines)
    pending = ""
    for number, line in enumerate(lines):
        indented = line[:1].isspace()
        early = number > 0 and (len(lines[number - 1]) < 0.7 * width or width > 200)
        if pending and (indented or early):
            yield pending
            pending = ""
        pending = _joined(pending, " ".join(line.split()))
    if pending:
        yield pending


def _joined(before: str, after: str) -> str:
    if not before or not after:
        return before or after
    return before + after if is_wide(before[-1]) and is_wide(after[0]) else f"{before} {after}"


def _front_matter(text: str) -> tuple[str, str]:
    match = re.match(r"---\n(.*?)\n(?:---|\.\.\.)[^\S\n]*(?:\n|$)", text, re.DOTALL)
    if not match:
        return "", text
    title = re.search(r"^title:\s*[\"']?(.+?)[\"']?\s*$", match[1], re.MULTILINE)
    return (title[1] if title else ""), text[match.end() :]


def _markdown(text: str) -> Iterator[tuple[BlockKind, int, str]]:
    """(kind, heading level or 0, content) of each block."""
    lines = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).split("\n")
    pending: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        fence, atx = _FENCE.match(line), _ATX.match(line)
        following = lines[number + 1] if number + 1 < len(lines) else ""
        underlined = pending and len(pending) == 1 and re.match(r"\s{0,3}(=+|-{2,})\s*$", line)
        if underlined:
            yield "paragraph", 1 if "=" in line else 2, _plain(pending.pop())
        elif fence or atx or not line.strip() or _RULE.match(line) or ("|" in line and "-" in following and _TABLE_RULE.match(following)):
            yield from _flush(pending)
            if fence:
                end = _fence_end(lines, number + 1, fence[1])
                yield "code", 0, "\n".join(lines[number + 1 : end]).strip("\n")
                number = end
            elif atx and atx[2]:
                yield "paragraph", len(atx[1]), _plain(atx[2])
            elif "|" in line:
                end = number + 2
                while end < len(lines) and "|" in lines[end]:
                    end += 1
                yield "table", 0, "\n".join(_row(row) for at, row in enumerate(lines[number:end]) if at != 1)
                number = end - 1
        else:
            if _ITEM.match(line) and pending:
                yield from _flush(pending)
            pending.append(line.strip().removeprefix("> "))
        number += 1
    yield from _flush(pending)


def _flush(pending: list[str]) -> Iterator[tuple[BlockKind, int, str]]:
    text = ""
    for line in pending:
        text = _joined(text, line)
    pending.clear()
    if text:
        yield "paragraph", 0, _plain(text)


def _fence_end(lines: list[str], start: int, fence: str) -> int:
    for number in range(start, len(lines)):
        if lines[number].strip().startswith(fence):
            return number
    return len(lines)


def _row(line: str) -> str:
    return " | ".join(_plain(cell.strip()) for cell in line.strip().strip("|").split("|"))


def _plain(text: str) -> str:
    if len(text) > _LONGEST_MARKED:
        return text.strip()
    for pattern, kept in ((_LINK, r"\1"), (_CODE, r"\2"), (_STRONG, r"\2"), (_EMPHASIS, r"\2")):
        text = pattern.sub(kept, text)
    return text.strip()
