"""md -> a document: # and underlined headings, fenced code, tables, $$ formulas $$, footnotes, and the paper's identity in front matter.

Read line by line here: LangChain's Markdown splitter gives neither tables nor formulas, and Markdown libraries make HTML of what a
quote should show as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.readers.assembly import document_of
from server.readers.headings import Outline
from server.readers.metadata import identity_of
from server.readers.plain.markdown_marks import without_marks
from server.readers.plain.text import joined, read_decoded
from server.readers.table_lines import table_text
from server.types import Block, BlockKind, Document, Identity

_LONGEST_FRONT = 100_000  # characters of front matter that are understood
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(?=[^\s])")
_ATTRIBUTES = re.compile(r"\s\{(?:[#.:][^{}]{0,200}|-)\}\s*$")  # "## Methods {#sec:methods}"
_FENCE = re.compile(r"([ \t]*)(```+(?=[^`]*$)|~~~+)\s*(\w*)")  # of any depth: in items of lists too
_INDENTED = 4  # spaces before code, from where the text of the item begins that it belongs to
_RULE = re.compile(r"\s{0,3}([-*_])(?:\s*\1){2,}\s*$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
_OPENS = re.compile(r"\s*(?:[-*+]\s|\d{1,3}[.)]\s|>|\[\^)")  # what begins an item, a quote or a note is no underlined heading
_NOTE = re.compile(r"\s{0,3}\[\^[^\]\s]{1,50}\]:\s+")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{2,})\s*$")
_TABLE_RULE = re.compile(r"\s*+\|?\s*+:?-++:?\s*+(?:\|\s*+:?-++:?\s*+)*+\|?\s*+$")  # possessive: no backtracking
_CELL_END = re.compile(r"(?<!\\)\|")
_HTML_TABLE = re.compile(r"\s*<table[\s>]", re.IGNORECASE)
_TABLE_END = re.compile(r"</table\s{0,5}>", re.IGNORECASE)
_FORMULA = re.compile(r"\s*(\$\$|\\\[)")
_FORMULA_END = {"$$": "$$", "\\[": "\\]"}


def read_markdown(path: Path) -> Document:
    """A Markdown file; marks for emphasis, link targets and comments are left out. Front matter gives title and identity."""
    text, warnings = read_decoded(path)
    front, body = _front_matter(text)
    outline, heading = markdown_outline(body)
    return document_of(outline, front.get("title", "") or heading or path.stem, warnings=warnings, identity=_identity(front))


def markdown_outline(text: str, outline: Outline | None = None) -> tuple[Outline, str]:
    """The sections of a Markdown text, added to `outline` when one is given, and the first heading."""
    outline = outline or Outline()
    first = ""
    for kind, level, content in _blocks(text):
        if level:
            outline.open(level, content, 1)
            first = first or content
        elif content.strip():
            outline.add(Block(kind, content, 1))
    return outline, first


def _identity(front: dict[str, str]) -> Identity:
    def field(*names: str) -> str:
        return next((front[name] for name in names if name in front), "")

    return identity_of(
        field("authors", "author").split("\n"),
        abstract=field("abstract", "description", "summary"),
        date=field("date", "year", "published"),
        doi=field("doi"),
        arxiv_id=field("arxiv", "arxiv_id", "eprint"),
    )


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    """The fields of YAML front matter as text, a line for each entry of a list, and what follows it."""
    if not text.startswith("---\n"):
        return {}, text
    end = re.compile(r"^(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.MULTILINE).search(text, 4)
    if end is None or end.start() > _LONGEST_FRONT:
        return {}, text
    return _fields(text[4 : end.start()]), text[end.end() :]


def _fields(source: str) -> dict[str, str]:
    import yaml

    try:  # the base loader makes nothing but strings, and knows no merging of keys, which can grow without limit
        found = yaml.BaseLoader(source).get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError):  # front matter that is no YAML: its plain lines still say something
        lines = (line.partition(":") for line in source.split("\n") if line[:1].isalpha())
        found = {name.strip(): value.strip(" '\"") for name, colon, value in lines if colon}
    return {str(name).lower(): text for name, value in found.items() if (text := _as_text(value))} if isinstance(found, dict) else {}


def _as_text(value: Any) -> str:
    """A string, or a line for each name in a list of names or of {name: …}."""
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, list):
        value = [value]
    lines = []
    for entry in value[:500]:
        if isinstance(entry, dict):
            entry = entry.get("name") or " ".join(part for key in ("given", "family") if isinstance(part := entry.get(key), str))
        if isinstance(entry, str) and entry.strip():
            lines.append(" ".join(entry.split()))
    return "\n".join(lines)


def _blocks(text: str) -> Iterator[tuple[BlockKind, int, str]]:
    """(kind, heading level or 0, content) of each block."""
    lines = _without_comments(text.split("\n"))
    pending: list[str] = []
    last_table = max((number for number, line in enumerate(lines) if _TABLE_END.search(line)), default=-1)
    number = hanging = 0  # the column where the text of the list item or note begins that the line may belong to
    while number < len(lines):
        line = lines[number]
        following = lines[number + 1] if number + 1 < len(lines) else ""
        item = _ITEM.match(line)
        if item or _NOTE.match(line):
            hanging = len(item[0].expandtabs(4)) if item else 4
        elif line[:1].strip():
            hanging = 0
        if len(pending) == 1 and not _OPENS.match(lines[number - 1]) and (underline := _UNDERLINE.match(line)):
            yield "paragraph", 1 if "=" in underline[1] else 2, _heading(pending.pop())
        elif not pending and not item and _indent(line) >= hanging + _INDENTED and not _FENCE.match(line) and not _FORMULA.match(line):
            code, number = _indented(lines, number, hanging + _INDENTED)
            yield "code", 0, code
        elif not line.strip() or _RULE.match(line):
            yield from _flush(pending)
        elif number <= last_table and _HTML_TABLE.match(line):
            yield from _flush(pending)
            end = next(at for at in range(number, len(lines)) if _TABLE_END.search(lines[at]))
            yield _html_table(lines[number : end + 1])
            number = end
        elif found := _whole(lines, number, following):
            yield from _flush(pending)
            kind, level, content, number = found
            yield kind, level, content
        else:
            if pending and (item or _NOTE.match(line)):
                yield from _flush(pending)
            pending.append(line.strip().removeprefix("> "))
        number += 1
    yield from _flush(pending)


def _whole(lines: list[str], number: int, following: str) -> tuple[BlockKind, int, str, int] | None:
    """(kind, level, content, last line) of the heading, code, formula or table that begins at line `number`, if one does."""
    line = lines[number]
    if (atx := _ATX.match(line)) and (heading := _heading(line[atx.end() :])):
        return "paragraph", len(atx[1]), heading, number
    if fence := _FENCE.match(line):
        end = next((at for at in range(number + 1, len(lines)) if lines[at].strip().startswith(fence[2])), len(lines))
        kind: BlockKind = "formula" if fence[3].lower() in ("math", "latex") else "code"
        content = (_less_indented(inner, len(fence[1].expandtabs(4))) for inner in lines[number + 1 : end])
        return kind, 0, "\n".join(content).strip("\n"), end
    if formula := _FORMULA.match(line):
        return _formula(lines, number, line[formula.end() :], _FORMULA_END[formula[1]])
    if "|" in line and "-" in following and _TABLE_RULE.match(following):
        end = next((at for at in range(number + 2, len(lines)) if "|" not in lines[at]), len(lines))
        rows = [_cells(row) for at, row in enumerate(lines[number:end]) if at != 1]
        return "table", 0, table_text(rows, 1), end - 1
    return None


def _html_table(markup: list[str]) -> tuple[BlockKind, int, str]:
    """A table in HTML; one that hides something is shown whole, as its source shows it."""
    from server.readers.web.html import page_of

    page = page_of("\n".join(markup))
    if page.hidden:
        return "paragraph", 0, without_marks(joined(markup))
    return "table", 0, "\n".join(block.text for section in page.flow.outline().sections() for block in section.blocks)


def _indent(line: str) -> int:
    """Columns of spaces and tabs before the text; 0 for a blank line."""
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip(" ")) if line.strip() else 0


def _less_indented(line: str, columns: int) -> str:
    return line if not line[:1].isspace() else line.expandtabs(4)[min(columns, _indent(line)) :]


def _indented(lines: list[str], number: int, columns: int) -> tuple[str, int]:
    """Code that is marked by its indent alone, and its last line."""
    end = number
    while end < len(lines) and (_indent(lines[end]) >= columns or not lines[end].strip()):
        end += 1
    return "\n".join(_less_indented(line, columns) for line in lines[number:end]).rstrip(), end - 1


def _heading(text: str) -> str:
    """Without the closing marks and attributes of "## Methods ## {#sec:methods}"."""
    text = _ATTRIBUTES.sub("", text).rstrip()
    bare = text.rstrip("#")
    return without_marks(bare if not bare or bare[-1].isspace() else text)


def _formula(lines: list[str], number: int, first: str, mark: str) -> tuple[BlockKind, int, str, int] | None:
    """A formula on its own lines; None when its line goes on after it, or when it never ends."""
    content = [first]
    at = number
    while mark not in content[-1]:
        at += 1
        if at >= len(lines) or at > number + 200 or not lines[at].strip():
            return None
        content.append(lines[at])
    content[-1], _, rest = content[-1].partition(mark)
    if rest.strip(" .,;，。") and not re.fullmatch(r"\s*(?:\{#\S+\}|\(\d+\))\s*", rest[:100]):
        return None
    return "formula", 0, " ".join(" ".join([*content, rest.strip() if rest.strip().startswith("(") else ""]).split()), at


def _flush(pending: list[str]) -> Iterator[tuple[BlockKind, int, str]]:
    text = joined(pending)
    note = bool(pending) and _NOTE.match(pending[0]) is not None
    pending.clear()
    if text:
        yield "footnote" if note else "paragraph", 0, without_marks(text)


def _cells(line: str) -> list[str]:
    return [without_marks(cell.strip().replace("\\|", "|")) for cell in _CELL_END.split(line.strip().removeprefix("|").removesuffix("|"))]


def _without_comments(lines: list[str]) -> list[str]:
    """Without <!-- comments --> outside fenced code; one that never ends is text."""
    kept: list[str] = []
    fence, is_open = "", False
    last = max((number for number, line in enumerate(lines) if "-->" in line), default=-1)
    for number, line in enumerate(lines):
        pieces: list[str] = []
        at = ticks = 0
        closes = line.rfind("-->")
        while at < len(line):
            if is_open:
                end = line.find("-->", at)
                is_open, at = (True, len(line)) if end < 0 else (False, end + 3)
                continue
            start = -1 if fence else line.find("<!--", at)
            if start < 0:
                pieces.append(line[at:])
                break
            ticks += line.count("`", at, start)
            is_open = ticks % 2 == 0 and (closes >= start + 4 or number < last)  # not inside `code`
            pieces.append(line[at : start if is_open else start + 4])
            at = start + 4
        text = "".join(pieces)
        kept.append(text)
        if match := _FENCE.match(text):
            fence = match[2] if not fence else "" if match[2].startswith(fence) else fence
    return kept
