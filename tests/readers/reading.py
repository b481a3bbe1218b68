"""Files written in a test -> what a reader made of them, in a form that can be compared at a glance."""

from __future__ import annotations

from pathlib import Path

from server.readers import read
from server.types import Document


def reading(folder: Path, name: str, content: str | bytes) -> Document:
    """The document of a file with this name and content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(path)


def contents(document: Document) -> list[tuple[tuple[str, ...], str, str]]:
    """(path of headings, kind, text) of every block."""
    return [(section.path, block.kind, block.text) for section in document.sections for block in section.blocks]


def texts(document: Document, kind: str = "") -> list[str]:
    """The texts of all blocks, or of those of one kind."""
    return [block.text for section in document.sections for block in section.blocks if kind in ("", block.kind)]
