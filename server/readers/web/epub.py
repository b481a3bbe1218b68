"""An e-book (.epub) -> a document: its chapters in the order of the spine, title and authors from the package file.

Read with zipfile and the reader of web pages: EbookLib is AGPL, loads every picture, and does not limit what it unpacks.
"""

from __future__ import annotations

import posixpath
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from server.errors import Unreadable
from server.readers.assembly import document_of
from server.readers.damage import told
from server.readers.encoding import decode
from server.readers.headings import Outline
from server.readers.metadata import identity_of
from server.readers.web.flow import collapsed
from server.readers.web.html import decoded_page, page_of
from server.readers.web.xml import parsed
from server.types import Block, Document, Hidden

MAX_CHAPTER = 50 * 2**20  # bytes, unpacked
MAX_TEXT = 300 * 2**20  # bytes of all chapters, unpacked
MAX_CHAPTERS = 5000


class _Book:
    """The zip file with a budget of bytes."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.lower(): name for name in archive.namelist()}
        self._left = MAX_TEXT

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._names

    def read(self, name: str) -> bytes:
        """The bytes of a part; zipfile unpacks no more of it than its directory says."""
        part = self._archive.getinfo(self._names[name.lower()])
        if part.flag_bits & 1:
            raise Unreadable("the e-book is encrypted; remove its protection first")
        self._left -= part.file_size
        if part.file_size > MAX_CHAPTER or self._left < 0:
            raise Unreadable(f"the e-book unpacks to more than {MAX_TEXT // 2**20} MiB of text; split it")
        return self._archive.read(part)


def read_epub(path: Path) -> Document:
    """The document of an e-book. Raises Unreadable when it is none, damaged, encrypted or unpacks to too much."""
    with told("the e-book"):
        if not zipfile.is_zipfile(path):
            raise Unreadable("this is no e-book although it is named .epub, or it is cut off; copy or download it again")
        with zipfile.ZipFile(path) as archive:
            return _document(_Book(archive), path.stem)


def _document(book: _Book, name: str) -> Document:
    package_name = _package_name(book)
    package = parsed(decode(book.read(package_name)).text)
    if "META-INF/encryption.xml" in book and b"EncryptedKey" in book.read("META-INF/encryption.xml"):
        raise Unreadable("the e-book is protected (DRM); remove its protection first")
    outline = Outline()
    hidden: list[Hidden] = []
    lost: list[str] = []
    for part in _spine(package, posixpath.dirname(package_name)):
        if part not in book:
            lost.append(posixpath.basename(part))
            continue
        _add_chapter(book.read(part), outline, hidden)
    title, *_ = [*_fields(package, "title"), name]
    identity = identity_of(
        _fields(package, "creator"),
        abstract=" ".join(page_text(text) for text in _fields(package, "description")[:1]),
        date=" ".join(_fields(package, "date")[:1]),
        doi=" ".join(_fields(package, "identifier")),
    )
    warnings = [f"{len(lost)} chapters are missing in the file: {', '.join(lost[:5])}"] if lost else []
    return document_of(outline, title, warnings=warnings, identity=identity, hidden=hidden)


def page_text(markup: str) -> str:
    """The text of a field that may be written in HTML."""
    return page_of(markup).flow.whole() if "<" in markup else markup


def _add_chapter(data: bytes, outline: Outline, hidden: list[Hidden]) -> None:
    text, _ = decoded_page(data, "")
    try:
        page = page_of(text)
    except Unreadable:  # a cover without text
        return
    page.flow.flush()
    items = page.flow.items
    if items and isinstance(items[0], Block):
        outline.open(1, page.head.title or "…", 1)  # else its text would go on with the chapter before
    for item in items:
        if isinstance(item, Block):
            outline.add(item)
        else:
            outline.open(*item, 1)
    hidden += page.hidden


def _package_name(book: _Book) -> str:
    if "META-INF/container.xml" not in book:
        raise Unreadable("this is a zip archive although it is named .epub: it has no META-INF/container.xml")
    container = parsed(decode(book.read("META-INF/container.xml")).text)
    for root in container.iter("rootfile"):
        if (name := unquote(root.get("full-path") or "")) in book:
            return name
    raise Unreadable("the e-book does not say where its contents are; download it again")


def _spine(package: Any, folder: str) -> list[str]:
    """The names of the chapters, in order, each once."""
    manifest = {item.get("id"): item.get("href") or "" for item in package.iter("item") if "html" in (item.get("media-type") or "html")}
    wanted = [manifest.get(item.get("idref"), "") for item in package.iter("itemref")] or list(manifest.values())
    names = [posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0]))).lstrip("/") for href in wanted if href]
    return list(dict.fromkeys(names))[:MAX_CHAPTERS]


def _fields(package: Any, name: str) -> list[str]:
    return [text for element in package.iter(name) if (text := collapsed("".join(element.itertext())))]
