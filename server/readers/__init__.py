"""Files -> documents: the table of readers, and `read`, which picks one by the file's suffix."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from server import registry
from server.errors import NotFound, Unreadable
from server.types import Document

READERS: Mapping[str, str] = {
    ".pdf": "server.readers.pdf.reader:read_pdf",
    ".png": "server.readers.ocr.image:read_image",
    ".jpg": "server.readers.ocr.image:read_image",
    ".jpeg": "server.readers.ocr.image:read_image",
    ".bmp": "server.readers.ocr.image:read_image",
    ".tif": "server.readers.ocr.image:read_image",
    ".tiff": "server.readers.ocr.image:read_image",
    ".webp": "server.readers.ocr.image:read_image",
    ".txt": "server.readers.plain.text:read_text",
    ".md": "server.readers.plain.markdown:read_markdown",
    ".markdown": "server.readers.plain.markdown:read_markdown",
    ".csv": "server.readers.plain.csv_rows:read_csv",
    ".tsv": "server.readers.plain.csv_rows:read_tsv",
    ".docx": "server.readers.office.word:read_docx",
    ".docm": "server.readers.office.word:read_docx",
    ".doc": "server.readers.office.container:read_doc",
    ".pptx": "server.readers.office.slides:read_pptx",
    ".pptm": "server.readers.office.slides:read_pptx",
    ".ppt": "server.readers.office.container:read_ppt",
    ".xlsx": "server.readers.office.sheets:read_xlsx",
    ".xlsm": "server.readers.office.sheets:read_xlsx",
    ".xls": "server.readers.office.sheets_xls:read_xls",
    ".odt": "server.readers.office.odt:read_odt",
    ".rtf": "server.readers.office.rtf:read_rtf",
    ".html": "server.readers.web.html:read_html",
    ".htm": "server.readers.web.html:read_html",
    ".mhtml": "server.readers.web.mhtml:read_mhtml",
    ".mht": "server.readers.web.mhtml:read_mhtml",
    ".epub": "server.readers.web.epub:read_epub",
    ".xml": "server.readers.web.xml:read_xml",
    ".eml": "server.readers.web.mail:read_eml",
    ".msg": "server.readers.web.outlook:read_msg",
    ".json": "server.readers.plain.json_data:read_json",
    ".jsonl": "server.readers.plain.json_data:read_jsonl",
    ".toml": "server.readers.plain.toml_data:read_toml",
    ".srt": "server.readers.plain.subtitles:read_srt",
    ".ipynb": "server.readers.plain.notebook:read_notebook",
    ".py": "server.readers.plain.python_source:read_python",
    ".rst": "server.readers.plain.rst:read_rst",
}

SLOW = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})  # read by OCR where there is no text: seconds a page


def read(path: Path, *, passwords: Sequence[str] = (), tell: Callable[[int, int], None] = lambda page, pages: None) -> Document:
    """The document in `path`; `passwords` are tried when it is an encrypted PDF, `tell` hears (page, pages) before each slow page.

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
        reader = registry.load(READERS, suffix, "reader")
        if suffix == ".pdf":
            reader = partial(reader, passwords=passwords)
        if suffix in SLOW:
            reader = partial(reader, tell=tell)
        with _uncollected():
            document: Document = reader(path)
    except OSError as exc:
        raise Unreadable(f"the file cannot be opened: {exc.strerror or exc}") from exc
    return document


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: a document only grows, and looking through it again and again costs 4 to 20 % of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
