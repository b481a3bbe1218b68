"""reStructuredText -> a document: its sections, tables, code, formulas, notes and references; nothing is included or fetched.

Read line by line here: docutils needs minutes for 200 kB of some texts (a wide grid table, substitutions in substitutions), and
leaves out what Sphinx adds. Directives that read files or pass raw output are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from server.readers.assembly import document_of
from server.readers.headings import Outline, is_known
from server.readers.metadata import identity_of
from server.readers.plain.rst_tables import csv_text, grid_text, is_grid, is_simple, list_text, simple_text
from server.readers.plain.text import joined, read_decoded
from server.types import Block, BlockKind, Document

_ADORNMENT = re.compile(r"([^\w\s])\1*\s*$")
_EXPLICIT = re.compile(r"\s*\.\.(?:\s|$)")
_DIRECTIVE = re.compile(r"\s*\.\.\s+(?:\|[^|\n]{1,100}\|\s+)?([\w:+.-]{1,60})::(?:\s|$)")
_NOTE = re.compile(r"\s*\.\.\s+\[([^\]\s]{1,100})\]\s+")
_FIELD = re.compile(r":([^:\n]{1,60}):(?:\s+|$)")
_ITEM = re.compile(r"\s*(?:[-*+•‣]|(?:\d{1,3}|#|[a-zA-Z])[.)]|\((?:\d{1,3}|[a-zA-Z])\))\s+")
_ROLE = re.compile(r":[\w+.-]{1,40}(?::[\w+.-]{1,40})?:`[~!]?([^`<>\n]{1,300}?)(?:\s?<[^`>\n]{1,300}>)?`")
_LINK = re.compile(r"`([^`<\n]{1,300}?)\s*<[^`>\n]{1,500}>`__?")
_MARKED = re.compile(r"(``|\*\*|[*`|])(?=\S)([^\n]{1,500}?)(?<=\S)\1(?:__?)?(?!\w)")
_FOOTMARK = re.compile(r"(\[[\w#*-]{1,50}\])_(?!\w)")
_CODE = frozenset(("code", "code-block", "sourcecode", "parsed-literal", "highlight-block", "prompt", "testcode", "doctest", "ipython"))
_LEFT_OUT_NAMES = (
    "include literalinclude raw toctree contents image index meta replace unicode date role default-role class target-notes sectnum header "
    "footer highlight currentmodule module plantuml graphviz only bibliography"
)
_LEFT_OUT = frozenset(_LEFT_OUT_NAMES.split())
_TOLD = 5  # included files that a warning names
_CONTENT_DEPTH = 8  # directives within directives that are understood
_DOCINFO = ("author", "authors", "date", "doi", "arxiv")


class _Found(NamedTuple):
    """A block, a heading (level > 0) or the name of a file to be included (level < 0), and the line after it."""

    kind: BlockKind
    level: int
    text: str
    end: int


def read_rst(path: Path) -> Document:
    """The document of an .rst file; roles of Sphinx are shown by their text, admonitions by their content."""
    text, warnings = read_decoded(path)
    lines = text.expandtabs(4).split("\n")
    outline = Outline()
    title = ""
    styles: list[tuple[str, bool]] = []
    included: list[str] = []
    for found in _blocks(lines, styles, 0):
        if found.level < 0:
            included.append(found.text)
        elif found.level:
            outline.open(found.level, found.text, 1)
            title = title or found.text
        else:
            outline.add(Block(found.kind, found.text, 1))
    fields = _docinfo(lines)
    names = re.split(r"\n|;", fields.get("authors", fields.get("author", "")))
    identity = identity_of(names, date=fields.get("date", ""), doi=fields.get("doi", ""), arxiv_id=fields.get("arxiv", ""))
    if included:
        more = f" and {len(included) - _TOLD} more" if len(included) > _TOLD else ""
        warnings = [*warnings, f"files that it includes were not read: {', '.join(included[:_TOLD])}{more}; add them as files of their own"]
    return document_of(outline, title or path.stem, warnings=warnings, identity=identity)


def _blocks(lines: list[str], styles: list[tuple[str, bool]], depth: int) -> Iterator[_Found]:
    """What the lines hold. `styles` are the (mark, overlined) of headings met so far, the first one the highest."""
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        end = at + 1
        for found in _next(lines, at, styles, depth):
            if found.text.strip():
                yield found
            end = max(end, found.end)
        at = end


def _next(lines: list[str], at: int, styles: list[tuple[str, bool]], depth: int) -> Iterator[_Found]:
    line = lines[at]
    if not depth and (heading := _heading(lines, at, styles)):
        yield heading
    elif is_grid(line):
        end = _end_of(lines, at, lambda row: row.lstrip()[:1] in ("+", "|"))
        yield _Found("table", 0, grid_text(list(map(_plain, lines[at:end]))), end)
    elif is_simple(line):
        end = _simple_end(lines, at)
        yield _Found("table", 0, simple_text(lines[at:end], _plain), end)
    elif _ADORNMENT.match(line.strip()) and len(line.strip()) >= 4:
        yield _Found("paragraph", 0, "", at + 1)  # a line across the page
    elif _EXPLICIT.match(line):
        yield from _explicit(lines, at, styles, depth)
    else:
        yield from _paragraph(lines, at)


def _heading(lines: list[str], at: int, styles: list[tuple[str, bool]]) -> _Found | None:
    over = _ADORNMENT.match(lines[at]) is not None
    place = at + over
    if place + 1 >= len(lines) or not lines[place].strip() or _ADORNMENT.match(lines[place].strip()):
        return None
    text, under = lines[place].strip(), lines[place + 1].rstrip()
    if not _ADORNMENT.match(under) or len(under) < min(4, len(text)) or (over and lines[at].rstrip() != under):
        return None
    if not over and lines[place][:1].isspace():
        return None
    style = (under[0], over)
    if style not in styles:
        styles.append(style)
    return _Found("paragraph", styles.index(style) + 1, _plain(text), place + 2)


def _explicit(lines: list[str], at: int, styles: list[tuple[str, bool]], depth: int) -> Iterator[_Found]:
    """A directive, a footnote or citation, or a comment with what is indented below it."""
    line = lines[at]
    indent = len(line) - len(line.lstrip())
    end = _end_of(lines, at + 1, lambda row: not row.strip() or len(row) - len(row.lstrip()) > indent)
    if note := _NOTE.match(line):
        text = _plain(joined([line[note.end() :], *lines[at + 1 : end]]))
        kind: BlockKind = "footnote" if note[1][0] in "#*" or note[1].isdigit() else "reference"
        yield _Found(kind, 0, f"[{note[1]}] {text}", end)
    elif directive := _DIRECTIVE.match(line):
        argument = line[directive.end() :].strip()
        yield from _directive(directive[1].rpartition(":")[2].lower(), argument, _dedented(lines[at + 1 : end]), styles, depth)
    yield _Found("paragraph", 0, "", end)


def _directive(name: str, argument: str, body: list[str], styles: list[tuple[str, bool]], depth: int) -> Iterator[_Found]:
    if name in ("include", "literalinclude"):
        yield _Found("paragraph", -1, argument, 0)
    if name in _LEFT_OUT:
        return
    start = _end_of(body, 0, lambda row: _FIELD.match(row) is not None)  # after its options
    content = _dedented(body[start:])
    if name in _CODE:
        yield _Found("code", 0, "\n".join(content).strip("\n"), 0)
    elif name == "math":
        yield _Found("formula", 0, " ".join(" ".join([argument, *content]).split()), 0)
    elif name in ("csv-table", "list-table", "table"):
        yield _Found("caption", 0, _plain(argument), 0)
        if name == "table":
            yield from (found._replace(end=0) for found in _blocks(content, styles, depth + 1))
        else:
            options = dict(_options(body[:start]))
            yield _Found("paragraph", -1, options.get("file", ""), 0)
            yield _Found("table", 0, (csv_text if name == "csv-table" else list_text)(content, options, _plain), 0)
    elif name == "figure":
        yield _Found("caption", 0, _plain(joined(content)), 0)
    else:
        if name == "topic" and is_known(argument):
            yield _Found("paragraph", min(2, len(styles) + 1), _plain(argument), 0)
            argument = ""
        inner = [argument, *content]
        if depth >= _CONTENT_DEPTH:
            yield _Found("paragraph", 0, _plain(joined(inner)), 0)
        else:
            yield from (found._replace(end=0) for found in _blocks(inner, styles, depth + 1))


def _paragraph(lines: list[str], at: int) -> Iterator[_Found]:
    """Lines up to a blank one, items of a list apart; a "::" at their end makes what is indented below code."""
    end = _end_of(lines, at, lambda row: bool(row.strip()))
    if lines[at].lstrip().startswith(">>> "):  # a session of Python
        yield _Found("code", 0, "\n".join(_dedented(lines[at:end])), end)
        return
    pending: list[str] = []
    for number in range(at, end):
        line = lines[number]
        if pending and (_ITEM.match(line) or _FIELD.match(line) or line.startswith("| ")):
            yield _Found("paragraph", 0, _plain(joined(pending)), number)
            pending = []
        pending.append(line.removeprefix("| ").strip())
    literal = pending[-1].endswith("::")
    text = joined(pending)
    text = text[:-1] if literal and len(text) > 2 else "" if literal else text
    yield _Found("paragraph", 0, _plain(text), end)
    if literal:
        indent = len(lines[at]) - len(lines[at].lstrip())
        stop = _end_of(lines, end, lambda row: not row.strip() or len(row) - len(row.lstrip()) > indent)
        yield _Found("code", 0, "\n".join(_dedented(lines[end:stop])).strip("\n"), stop)


def _end_of(lines: list[str], at: int, belongs: Callable[[str], bool]) -> int:
    while at < len(lines) and belongs(lines[at]):
        at += 1
    return at


def _simple_end(lines: list[str], at: int) -> int:
    """After the last border of a simple table: one that a blank line or the end follows."""
    for number in range(at + 1, len(lines)):
        if is_simple(lines[number]) and (number + 1 >= len(lines) or not lines[number + 1].strip()):
            return number + 1
    return at + 1


def _dedented(lines: list[str]) -> list[str]:
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[indent:] for line in lines]


def _options(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if match := _FIELD.match(line):
            yield match[1].lower(), line[match.end() :].strip()


def _docinfo(lines: list[str]) -> dict[str, str]:
    """The fields that stand alone near the beginning: ":Author: Marie Curie"."""
    found: dict[str, str] = {}
    for name, value in _options(lines[:60]):
        if name in _DOCINFO:
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def _plain(text: str) -> str:
    if len(text) > 20_000 or not any(mark in text for mark in "`*|_"):
        return text
    for pattern, kept in ((_ROLE, r"\1"), (_LINK, r"\1"), (_MARKED, r"\2"), (_FOOTMARK, r"\1")):
        text = pattern.sub(kept, text)
    return text
