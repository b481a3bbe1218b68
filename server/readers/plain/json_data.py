"""json and jsonl -> a document: "path: value" lines, each object of a list as a table row, each top key a section.

LangChain's JSONLoader wants a jq expression for each file; here the file says by its own structure what is a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.assembly import document_of
from server.readers.headings import Outline
from server.readers.plain.text import read_decoded
from server.readers.rows import MAX_ROWS
from server.types import Block, Document

_LONG = 300  # characters; a longer value is a paragraph of its own
_PATH_KEYS, _PATH_KEY = 4, 80  # keys of a path that are shown, and characters of each
_TOLD = 5  # bad lines that a warning names
_TITLES = ("title", "name", "标题", "题目", "名称")


def read_json(path: Path) -> Document:
    """A JSON file; one with a value on each line is read as .jsonl is. Raises Unreadable with line and column when it is not valid,
    or nested too deeply.
    """
    text, warnings = read_decoded(path)
    try:
        value = loaded(text)
    except ValueError as exc:
        if _is_value_a_line(text):
            return _lines_document(path, text, warnings)
        raise Unreadable(f"this is no valid JSON: {exc}; repair it, or save it as .txt to have it read as plain text") from exc
    outline = Outline()
    try:
        add_tree(outline, value, path.stem)
    except RecursionError as exc:
        raise Unreadable("the JSON is nested too deeply to be read; flatten it") from exc
    title = next((value[key] for key in _TITLES if isinstance(value.get(key), str)), "") if isinstance(value, dict) else ""
    return document_of(outline, title.strip()[:300] or path.stem, warnings=warnings)


def read_jsonl(path: Path) -> Document:
    """A file with one JSON value a line, each a block; bad lines are left out and named. Raises Unreadable when all are bad."""
    return _lines_document(path, *read_decoded(path))


def _is_value_a_line(text: str) -> bool:
    """Whether the first two lines that are not blank are objects or lists, each whole."""
    lines = (line for line in text.split("\n") if line.strip())
    try:
        return len([loaded(line) for line in islice(lines, 2) if line.lstrip("\ufeff \t")[:1] in "{["]) == 2
    except (ValueError, Unreadable):
        return False


def _lines_document(path: Path, text: str, warnings: list[str]) -> Document:
    outline = Outline()
    outline.open(1, path.stem, 1, "made up")
    bad: list[str] = []
    count = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        count += 1
        if count > MAX_ROWS:
            raise Unreadable(f"the file has more than {MAX_ROWS} lines; split it into smaller files")
        try:
            row = _row(loaded(line))
        except ValueError as exc:
            bad.append(f"line {number}: {exc}")
        except (RecursionError, Unreadable):
            bad.append(f"line {number}: nested too deeply")
        else:
            if row:
                outline.add(Block("table", row, 1))
    if bad and len(bad) == count:
        raise Unreadable(f"no line of the file is valid JSON ({bad[0]}); .jsonl holds one value a line, a whole value belongs in .json")
    if bad:
        more = f" and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
        warnings = [*warnings, f"{len(bad)} of {count} lines are no valid JSON and were left out: {'; '.join(bad[:_TOLD])}{more}"]
    return document_of(outline, path.stem, warnings=warnings)


def loaded(text: str) -> Any:
    """The value of a JSON text, its numbers as they are written. Raises ValueError with the place, Unreadable when nested too deeply."""
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_int=str, parse_float=str, parse_constant=str)
    except RecursionError as exc:
        raise Unreadable("the JSON is nested too deeply to be read; flatten it") from exc


def add_tree(outline: Outline, value: Any, name: str) -> None:
    """A tree of dicts and lists into `outline`: plain fields together, each inner container below a heading of its key."""
    if not isinstance(value, dict):
        value = {name: value}
    _add_fields(outline, [(key, inner) for key, inner in value.items() if not isinstance(inner, dict | list)], name)
    for key, inner in value.items():
        if isinstance(inner, dict):
            outline.open(1, key[:200] or "…", 1, "made up")
            _add_object(outline, inner, 2)
        elif isinstance(inner, list):
            outline.open(1, key[:200] or "…", 1, "made up")
            _add_list(outline, inner)


def _add_object(outline: Outline, value: dict[str, Any], level: int) -> None:
    """Fields by their paths; one more level of headings for lists of objects, which are tables."""
    tables = {key: inner for key, inner in value.items() if isinstance(inner, list) and any(isinstance(entry, dict) for entry in inner)}
    _add_fields(outline, list(_leaves({key: inner for key, inner in value.items() if key not in tables}, ())), "")
    for key, inner in tables.items():
        outline.open(level, key[:200] or "…", 1, "made up")
        _add_list(outline, inner)


def _add_list(outline: Outline, entries: list[Any]) -> None:
    """Objects as table rows, plain values that follow each other in one line, long ones as one line each; in their order."""
    if len(entries) > MAX_ROWS:
        raise Unreadable(f"the file has a list of more than {MAX_ROWS} entries; split it into smaller files")
    for is_inner, group in groupby(entries, key=lambda entry: isinstance(entry, dict | list)):
        texts = list(map(_row if is_inner else _plain, group))
        if not is_inner and sum(map(len, texts)) <= _LONG:
            texts = [", ".join(filter(None, texts))]
        for text in filter(None, texts):
            outline.add(Block("table" if is_inner else "paragraph", text, 1))


def _add_fields(outline: Outline, fields: list[tuple[str, Any]], name: str) -> None:
    """ "path: value" lines in one block, long values in blocks of their own."""
    short: list[str] = []
    for key, value in fields:
        text = _plain(value)
        line = f"{key}: {text}" if key and key != name else text
        if len(text) > _LONG:
            outline.add(Block("paragraph", line, 1))
        elif text:
            short.append(line)
    if short:
        outline.add(Block("paragraph", "\n".join(short), 1))


def _row(value: Any) -> str:
    """One line "path: value | path: value"."""
    return " | ".join(f"{key}: {text}" if key else text for key, inner in _leaves(value, ()) if (text := " ".join(_plain(inner).split())))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """(path, plain value) of everything inside; a list of plain values is one. The path shows its last keys."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path[-_PATH_KEYS + 1 :], key[:_PATH_KEY]))
    elif isinstance(value, list) and any(isinstance(entry, dict | list) for entry in value):
        for entry in value:
            yield from _leaves(entry, path)
    else:
        yield ".".join(path), ", ".join(filter(None, map(_plain, value))) if isinstance(value, list) else value


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()
