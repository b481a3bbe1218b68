"""Files -> documents: the table of readers, and `read`, which picks one by the file's suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from server import registry
from server.errors import NotFound, Unreadable
from server.types import Document

READERS: Mapping[str, str] = {
    ".pdf": "server.readers.pdf:read_pdf",
    ".txt": "server.readers.text:read_text",
    ".md": "server.readers.text:read_markdown",
    ".markdown": "server.readers.text:read_markdown",
    ".csv": "server.readers.table:read_csv",
    ".tsv": "server.readers.table:read_tsv",
}


def read(path: Path) -> Document:
    """The document in `path`.

    Raises Unreadable with the reason to show (no reader for this suffix, empty, damaged, encrypted …) and NotFound when no such
    file exists.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise Unreadable(f"no reader for {suffix or 'files without a suffix'}; known: {', '.join(sorted(READERS))}")
    try:
        size = path.stat().st_size
    except FileNotFoundError as exc:
        raise NotFound(f"no such file: {path.name}") from exc
    except OSError as exc:
        raise Unreadable(f"the file cannot be opened: {exc.strerror or exc}") from exc
    if not path.is_file():
        raise Unreadable("this is not a regular file")
    if size == 0:
        raise Unreadable("the file is empty (0 bytes); copy or download it again")
    try:
        document: Document = registry.load(READERS, suffix, "reader")(path)
    except OSError as exc:
        raise Unreadable(f"the file cannot be opened: {exc.strerror or exc}") from exc
    return document
