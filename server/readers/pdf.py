"""A born-digital PDF -> a document: every word keeps its page and box, headings make a tree, damage is said in a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.language import language_of
from server.readers.pdf_blocks import build_outline
from server.readers.pdf_layout import columns, drop_furniture
from server.readers.pdf_page import Page, page_lines
from server.readers.pdf_text import Vocabulary
from server.readers.pdf_title import title_of
from server.types import Document

MAX_PAGES = 3000
_HEADER_BYTES = 1024  # a PDF says so within these
_HARMLESS = re.compile(r"bogus font|.*ignoring|.*repair|unknown|unexpected op|.*cannot find startxref|\.\.\. repeated", re.IGNORECASE)


def read_pdf(path: Path) -> Document:
    """The document in a PDF with a text layer. Raises Unreadable when it is encrypted, damaged, no PDF, scanned or too long."""
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    pymupdf.TOOLS.reset_mupdf_warnings()
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if b"%PDF-" not in head:
        raise Unreadable(f"this is no PDF although it is named {path.suffix}; give it its right suffix or download it again")
    try:
        source = pymupdf.open(path, filetype="pdf")
    except _failures() as exc:
        raise Unreadable(f"the PDF is damaged and could not be repaired ({exc}); download it again") from exc
    with source:
        return _document(source, path)


def _failures() -> tuple[type[Exception], ...]:
    """What PyMuPDF raises for damaged files: its own errors, MuPDF's, and Python's where a value was not what it expected."""
    import pymupdf

    return (RuntimeError, ValueError, IndexError, pymupdf.mupdf.FzErrorBase)


def _document(source: Any, path: Path) -> Document:
    if source.needs_pass:
        raise Unreadable("the PDF needs a password; save a copy without one and add that")
    count = len(source)
    if count == 0:
        raise Unreadable("the PDF is damaged or cut off: none of its pages could be recovered; download it again")
    if count > MAX_PAGES:
        raise Unreadable(f"the PDF has {count} pages, more than {MAX_PAGES}; split it into parts")
    pages, warnings = _pages(source)
    empty = [page.number for page in pages if not page.lines]
    if len(warnings) == count:
        raise Unreadable("the PDF is damaged: none of its pages could be read; download it again")
    if len(empty) == count:
        noun = "page" if count == 1 else "pages"
        raise Unreadable(f"scanned: {count} {noun} without text; OCR is not available yet, so add a copy with a text layer")
    if empty:
        warnings.append(f"{len(empty)} of {count} pages have no text: {_listed(empty)}")
    if source.is_repaired:
        warnings.append("the PDF was damaged and repaired; something may be missing")
    if (unknown := _unknown_share(pages)) > 0.01:
        warnings.append(f"{unknown:.0%} of the characters cannot be told: the PDF's fonts do not say what they show")
    vocabulary = Vocabulary(pages)
    title = title_of(pages[0], str(source.metadata.get("title") or ""), vocabulary, pages) or path.stem
    drop_furniture(pages)
    outline = build_outline(pages, [columns(page) for page in pages], vocabulary)
    sections = outline.sections()
    warnings += _complaints()
    sample = "\n".join(block.text for section in sections for block in section.blocks if block.kind == "paragraph")
    return Document(title, count, language_of(sample), sections, tuple(warnings))


def _pages(source: Any) -> tuple[list[Page], list[str]]:
    pages: list[Page] = []
    warnings: list[str] = []
    for number in range(1, len(source) + 1):
        try:
            pages.append(page_lines(source[number - 1], number))
        except _failures() as exc:
            pages.append(Page(number, 0, 0, []))
            warnings.append(f"page {number} is damaged and was left out ({exc})")
    return pages, warnings


def _unknown_share(pages: list[Page]) -> float:
    words = [word.text for page in pages for line in page.lines for word in line.words]
    return sum(word.count("\ufffd") for word in words) / max(1, sum(map(len, words)))


def _complaints() -> list[str]:
    """What MuPDF has noticed about the file, each thing once, the first three."""
    import pymupdf

    lines = dict.fromkeys(line.strip() for line in pymupdf.TOOLS.mupdf_warnings().splitlines())
    return [f"MuPDF: {line}" for line in lines if line and not _HARMLESS.match(line)][:3]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")
