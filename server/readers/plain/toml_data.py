"""toml -> a document: each table is a section, its plain fields "key: value" lines, each table of an array a row."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.assembly import document_of
from server.readers.damage import told
from server.readers.headings import Outline
from server.readers.plain.text import read_decoded
from server.readers.rows import named
from server.types import Block, Document

MAX_CHARS = 2_000_000  # tomllib needs a second or two for a million
# A key of many dotted parts costs tomllib more than the square of their number: 18 s for 20,000.
_LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){200}""")


def read_toml(path: Path) -> Document:
    """The document of a TOML file. Raises Unreadable with line and column when it is not valid."""
    text, warnings = read_decoded(path)
    if len(text) > MAX_CHARS:
        raise Unreadable(f"the file has more than {MAX_CHARS // 10**6} million characters of TOML; split it into smaller files")
    if _LONG_KEY.search(text):
        raise Unreadable("the file has a key of more than 200 parts; nothing that people write needs so many")
    outline = Outline()
    with told("the TOML file", "flatten it"):
        try:
            value = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise Unreadable(f"this is no valid TOML: {exc}; repair it, or save it as .txt to have it read as plain text") from exc
        _add(outline, value, 1)
    return document_of(outline, path.stem, warnings=warnings)


def _add(outline: Outline, table: dict[str, Any], level: int) -> None:
    fields = [(key, value) for key, value in table.items() if not isinstance(value, dict) and not _is_tables(value)]
    if lines := "\n".join(f"{key}: {text}" for key, value in fields if (text := _plain(value))):
        outline.add(Block("paragraph", lines, 1))
    for key, value in table.items():
        if isinstance(value, dict):
            outline.open(level, key[:200] or "…", 1, "made up")
            _add(outline, value, level + 1)
        elif _is_tables(value):
            outline.open(level, key[:200] or "…", 1, "made up")
            for row in value:
                outline.add(Block("table", named(list(row), [" ".join(_plain(cell).split()) for cell in row.values()]), 1))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(filter(None, map(_plain, value)))
    if isinstance(value, dict):
        return "; ".join(f"{key} = {_plain(inner)}" for key, inner in value.items())
    return str(value).strip()
