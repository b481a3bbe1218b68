"""An office file -> its open container, checked for bombs; whatever is wrong with it comes out as one sentence."""

from __future__ import annotations

import contextlib
import shlex
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from server.errors import PaperError, Unreadable
from server.types import Document

MAX_UNPACKED = 2**30  # bytes that all parts of a container may take together
MAX_RATIO = 250  # unpacked to packed, counted above _SMALL; a text that repeats one paragraph reaches 61, a sheet of zeros 17
_SMALL = 100 * 2**20  # bytes
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEAD = 4096  # bytes in which a type shows
_DIRECTORY = 64 * 2**20  # bytes of an old container that are searched for the names of its streams
_STREAMS = {"EncryptedPackage": "locked", "WordDocument": ".doc", "PowerPoint Document": ".ppt", "Workbook": ".xls", "Book": ".xls"}
_FOLDERS = {"word/": ".docx", "ppt/": ".pptx", "xl/": ".xlsx", "Index/": ".pages", "OEBPS/": ".epub"}
_MIME = {"opendocument.text": ".odt", "opendocument.spreadsheet": ".ods", "opendocument.presentation": ".odp", "epub+zip": ".epub"}
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<meta", b"<style", b"<div", b"<!--")
_BIFF = (b"\x09\x00", b"\x09\x02", b"\x09\x04", b"\x09\x08")  # Excel 2 to 5 without a container
_NAMES = {
    ".docx": "a Word document",
    ".pptx": "a PowerPoint presentation",
    ".xlsx": "an Excel workbook",
    ".odt": "an OpenDocument text",
    ".ods": "an OpenDocument spreadsheet",
    ".odp": "an OpenDocument presentation",
    ".epub": "an e-book",
    ".pages": "a document of Apple's office programs",
    ".doc": "a Word document of the format before 2007",
    ".ppt": "a PowerPoint presentation of the format before 2007",
    ".xls": "an Excel workbook of the format before 2007",
    ".rtf": "RTF",
    ".pdf": "a PDF",
    ".html": "HTML",
    ".mht": "a saved web page (MHTML)",
    ".xml": "an Office 2003 XML file",
    ".txt": "plain text",
    ".csv": "a table in plain text",
    ".zip": "a zip archive",
}
_SAVE_AS = {".ods": ".xlsx", ".odp": ".pptx", ".pages": ".docx", ".xml": ".docx or .xlsx"}
_PROGRAMS = {
    ".docx": "Word or LibreOffice",
    ".pptx": "PowerPoint or LibreOffice",
    ".xlsx": "Excel or LibreOffice",
    ".xls": "Excel or LibreOffice",
    ".odt": "LibreOffice",
    ".rtf": "Word or LibreOffice",
}
_SAME = {".xlsm": ".xlsx", ".docm": ".docx", ".pptm": ".pptx"}  # the same format with macros, which are never run


def read_doc(path: Path) -> Document:
    """Never a document: raises Unreadable that says how to convert a Word file of the format before 2007."""
    _convert(path, ".doc", "docx")


def read_ppt(path: Path) -> Document:
    """Never a document: raises Unreadable that says how to convert a PowerPoint file of the format before 2007."""
    _convert(path, ".ppt", "pptx")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip container of an OOXML or OpenDocument file, checked: its type, its unpacked size, no document type definitions.

    Raises Unreadable when it is something else, encrypted, cut off or a bomb, and for whatever fails in the block (see `told`).
    """
    require(path)
    with path.open("rb") as file, told(path):
        try:
            archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as exc:
            raise Unreadable("the file is cut off or damaged: its zip directory is missing; copy or download it again") from exc
        with archive:
            _check_sizes(archive)
            _check_markup(archive)
            yield archive


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Whatever the libraries raise on broken bytes in this block becomes Unreadable; errors of ours and lack of memory stay."""
    try:
        yield
    except (PaperError, MemoryError):
        raise
    except Exception as exc:  # zipfile, lxml, python-pptx and xlrd raise any class on damaged bytes
        program = _PROGRAMS[_SAME.get(path.suffix.lower(), path.suffix.lower())]
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
        advice = f"open it in {program} and save it again, or copy or download it again"
        raise Unreadable(f"the file is damaged or not as its format wants it ({reason}); {advice}") from exc


def require(path: Path) -> None:
    """Raises Unreadable unless the bytes are what the suffix says, as far as the first bytes and the names inside tell."""
    wanted = _SAME.get(path.suffix.lower(), path.suffix.lower())
    actual = _type_of(path)
    if actual == wanted:
        return
    if actual == "locked":
        raise Unreadable("the file is protected with a password; open it in its program, remove the password and save it again")
    named = f"although it is named {path.suffix}"
    if not actual:
        raise Unreadable(f"the file is damaged: its content is not {_NAMES[wanted]} {named}; copy or download it again")
    if actual in _SAVE_AS:
        raise Unreadable(f"this is {_NAMES[actual]} {named}; open it in its program and save it as {_SAVE_AS[actual]}")
    if actual == ".zip":
        raise Unreadable(f"this is a zip archive {named}; unpack it and add what it holds")
    raise Unreadable(f"this is {_NAMES[actual]} {named}; rename it to {actual}")


def _convert(path: Path, suffix: str, target: str) -> NoReturn:
    if _type_of(path) not in (suffix, ""):
        require(path)
    command = f"soffice --headless --convert-to {target} {shlex.quote(path.name)}"
    raise Unreadable(f"{suffix} files cannot be read; save it as .{target} in its program or in LibreOffice, or run: {command}")


def _type_of(path: Path) -> str:
    """The suffix that fits the bytes, "locked" for encrypted ones, "" when nothing fits."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head.startswith(_OLE):
            directory = head + file.read(_DIRECTORY)
            return next((kind for name, kind in _STREAMS.items() if f"{name}\0".encode("utf-16-le") in directory), "")
    if head.startswith(b"PK\x03\x04"):
        return _zip_type(path)
    return _text_type(head)


def _zip_type(path: Path) -> str:
    """By the names inside; a container that is cut off counts as what its suffix says, since its names are lost."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            mime = archive.read("mimetype")[:100].decode("ascii", "replace") if "mimetype" in names else ""
    except Exception:  # noqa: BLE001 - damage of any class; opening it again tells it
        return _SAME.get(path.suffix.lower(), path.suffix.lower()) if path.suffix.lower() in (*_PROGRAMS, *_SAME) else ".zip"
    if any(name.startswith("xl/") and name.endswith("workbook.bin") for name in names):
        raise Unreadable("this is a binary Excel workbook (.xlsb), which cannot be read; open it in Excel and save it as .xlsx")
    by_mime = next((suffix for kind, suffix in _MIME.items() if kind in mime), "")
    return by_mime or next((suffix for folder, suffix in _FOLDERS.items() if any(name.startswith(folder) for name in names)), ".zip")


def _text_type(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"%pdf-"):
        return ".pdf"
    if start.startswith(b"{\\rtf"):
        return ".rtf"
    if start.startswith(b"mime-version:"):
        return ".mht"
    if b"mso-application" in start or b"schemas-microsoft-com:office:spreadsheet" in start:
        return ".xml" if b"<html" not in start else ".html"
    if start.startswith(_HTML) or b"<html" in start:
        return ".html"
    if head[:2] in _BIFF:
        return ".xls"
    if not start or b"\0" in head or sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head) > 0.01 * len(head):
        return ""
    return ".csv" if any(mark in head.splitlines()[0] for mark in (b"\t", b",", b";")) else ".txt"


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """zipfile never unpacks more of a part than its directory says, so the sum of these sizes bounds what is read."""
    parts = archive.infolist()
    if any(part.flag_bits & 1 for part in parts):
        raise Unreadable("the file is protected with a password; open it in its program, remove the password and save it again")
    unpacked, packed = sum(part.file_size for part in parts), sum(part.compress_size for part in parts)
    if unpacked > MAX_UNPACKED or (unpacked > _SMALL and unpacked > MAX_RATIO * packed):
        raise Unreadable(
            f"the file unpacks from {packed / 2**20:.1f} MiB to {unpacked / 2**20:.0f} MiB, more than a document needs; split it into parts"
        )


def _check_markup(archive: zipfile.ZipFile) -> None:
    """No part may define entities (the formats forbid it), so none can be expanded or fetched, whatever a parser would do."""
    for part in archive.infolist():
        if part.file_size and _defines_a_type(archive, part):
            raise Unreadable(f"the file holds a document type definition in {part.filename}, which its format forbids; it may be an attack")


def _defines_a_type(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _stop("type")
    parser.StartElementHandler = _stop("element")
    with archive.open(part) as stream:
        try:
            while data := stream.read(_HEAD):
                parser.Parse(data)
        except _Stop as stop:
            return str(stop) == "type"
        except expat.ExpatError:  # a picture, or what no parser takes for XML
            return False
    return False


class _Stop(Exception):
    """The first thing of interest was met: a handler of expat can only end the parse by raising."""


def _stop(at: str) -> Callable[..., None]:
    def handler(*_: object) -> None:
        raise _Stop(at)

    return handler
