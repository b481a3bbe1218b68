"""A Jupyter notebook (.ipynb, formats 3 and 4) -> a document: Markdown cells as Markdown, code as code, text outputs cut short.

LangChain's NotebookLoader joins everything to one text without headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.assembly import document_of
from server.readers.headings import Outline
from server.readers.metadata import identity_of
from server.readers.plain.json_data import loaded
from server.readers.plain.markdown import markdown_outline
from server.readers.plain.text import read_decoded
from server.types import Block, Document

_TERMINAL_CODE = re.compile(r"\x1b(?:\[[0-?]{0,50}[ -/]{0,5}[@-~]|\][^\x07\x1b\n]{0,500}(?:\x07|\x1b\\)|[@-Z\\^_])")
_NO_TEXT = re.compile(r"<(?:Figure size|IPython\.core\.display)[^<>\n]{0,200}>")  # what stands for a picture or a page
LONGEST_OUTPUT = 1500  # characters of one output that are kept


def read_notebook(path: Path) -> Document:
    """The document of a notebook; outputs that are pictures or HTML only are left out. Raises Unreadable when it is no notebook."""
    text, warnings = read_decoded(path)
    try:
        notebook = loaded(text)
    except ValueError as exc:
        raise Unreadable(f"this is no notebook: it is no valid JSON ({exc}); save it again in Jupyter") from exc
    cells = list(_cells(notebook))
    if not cells:
        raise Unreadable("this is no notebook: it has no cells; if it is other JSON, name it .json")
    outline = Outline()
    title = ""
    for cell in cells:
        kind = cell.get("cell_type")
        source = _source(cell.get("source", cell.get("input", "")))
        if kind == "markdown":
            _, heading = markdown_outline(source, outline)
            title = title or heading
        elif kind == "heading":
            outline.open(_level(cell.get("level")), " ".join(source.split()), 1)
            title = title or " ".join(source.split())
        elif source.strip():
            outline.add(Block("code" if kind == "code" else "paragraph", source.strip("\n"), 1))
        for block in _outputs(cell):
            outline.add(block)
    metadata = _dict(_dict(notebook).get("metadata"))
    names = [_dict(author).get("name", "") if isinstance(author, dict) else str(author) for author in _list(metadata.get("authors"))]
    given = metadata.get("title", "")
    return document_of(outline, str(given) or title or path.stem, warnings=warnings, identity=identity_of(map(str, names)))


def _cells(notebook: Any) -> Iterator[dict[str, Any]]:
    """The cells of format 4, and of format 3, which keeps them in worksheets."""
    sheets = _list(_dict(notebook).get("worksheets"))
    for holder in [notebook, *sheets]:
        yield from (cell for cell in _list(_dict(holder).get("cells")) if isinstance(cell, dict))


def _outputs(cell: dict[str, Any]) -> Iterator[Block]:
    for output in map(_dict, _list(cell.get("outputs"))):
        data = _dict(output.get("data"))
        if markdown := _source(data.get("text/markdown", "")):
            yield from _markdown_blocks(_cut(markdown))
            continue
        text = _source(output.get("text", data.get("text/plain", "")))
        if output.get("output_type") in ("error", "pyerr"):
            text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
        text = _shown("" if _NO_TEXT.fullmatch(text.strip()) else text)
        if text.strip():
            yield Block("code", _cut(text.strip("\n")), 1)


def _markdown_blocks(source: str) -> Iterator[Block]:
    """What an output shows as Markdown; its headings are paragraphs, for the notebook's own go on after it."""
    outline, _ = markdown_outline(source)
    for section in outline.sections():
        if section.path:
            yield Block("paragraph", section.path[-1], 1)
        yield from section.blocks


def _shown(text: str) -> str:
    """As a terminal shows it: without codes for colours, lines that overwrite themselves (progress bars) in their last state."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in _TERMINAL_CODE.sub("", text).split("\n"))
    return "\n".join(lines)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_OUTPUT else text[:LONGEST_OUTPUT] + " …"


def _source(value: Any) -> str:
    return value if isinstance(value, str) else "".join(line for line in _list(value) if isinstance(line, str))


def _level(value: Any) -> int:
    return int(value) if isinstance(value, str) and value in "123456" and value else 1


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
