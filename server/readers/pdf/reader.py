"""A PDF -> a document: every word keeps its page and box, headings make a tree, scans are read by OCR, damage is said in a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from server.errors import Locked, Unreadable
from server.language import language_of
from server.readers.ocr.scans import Scans, listed
from server.readers.pdf.blocks import build_outline
from server.readers.pdf.failures import failures, lacks_memory, reason_of
from server.readers.pdf.furniture import drop_furniture
from server.readers.pdf.hidden.text import quoted, report
from server.readers.pdf.identity.paper import front_of, identity_of
from server.readers.pdf.layout import columns
from server.readers.pdf.page import Page, page_lines
from server.readers.pdf.tables.rules import ruled_areas
from server.readers.pdf.text import Vocabulary
from server.types import Document

Tell = Callable[[int, int], None]
MAX_PAGES = 3000
_HEADER_BYTES = 1024  # a PDF says so within these
_HARMLESS = re.compile(r"bogus font|.*ignoring|.*repair|unknown|unexpected op|.*cannot find startxref|\.\.\. repeated", re.IGNORECASE)


def read_pdf(path: Path, *, passwords: Sequence[str] = (), tell: Tell = lambda page, pages: None) -> Document:
    """The document in a PDF; `passwords` are tried when it is encrypted; `tell` hears (page, pages) before each page that takes long.

    Raises Unreadable when it is encrypted and no password opens it, damaged, no PDF, too long, or no text is found in it.
    """
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
    except failures() as exc:
        raise Unreadable(f"the PDF is damaged and could not be repaired ({reason_of(exc, path)}); download it again") from exc
    with source:
        try:
            _unlock(source, passwords)
            return document_in(source, path, tell)
        except (RuntimeError, pymupdf.mupdf.FzErrorBase) as exc:  # MuPDF's, wherever it meets the damage
            if lacks_memory(exc):
                raise MemoryError(str(exc)) from exc
            raise Unreadable(f"the PDF is damaged and could not be read ({reason_of(exc, path)}); download it again") from exc


def _unlock(source: Any, passwords: Sequence[str]) -> None:
    if source.needs_pass and not any(source.authenticate(password) for password in passwords):
        tried = "none of the given passwords opens it" if passwords else "give it when you add the file, or set readers.passwords"
        raise Locked(f"the PDF needs a password; {tried}")


def document_in(source: Any, path: Path, tell: Tell) -> Document:
    """The document in an open pymupdf PDF, named after `path` when it has no title. Raises Unreadable as `read_pdf` does."""
    count = len(source)
    if count == 0:
        raise Unreadable("the PDF is damaged or cut off: none of its pages could be recovered; download it again")
    if count > MAX_PAGES:
        raise Unreadable(f"the PDF has {count} pages, more than {MAX_PAGES}; split it into parts")
    scans = Scans(count, tell)
    pages, warnings = _pages(source, scans)
    empty = [page.number for page in pages if not page.lines]
    if len(warnings) == count:
        raise Unreadable("the PDF is damaged: none of its pages could be read; download it again")
    if len(empty) == count:
        raise Unreadable(_all_hidden(pages) or scans.nothing_found())
    if empty:
        warnings.append(f"{len(empty)} of {count} pages have no text: {listed(empty)}")
    scans.agree(pages)
    warnings += scans.warnings()
    if source.is_repaired:
        warnings.append("the PDF was damaged and repaired; something may be missing")
    if (unknown := _unknown_share(pages)) > 0.01:
        warnings.append(f"{unknown:.0%} of the characters cannot be told: the PDF's fonts do not say what they show")
    vocabulary = Vocabulary(pages)
    front = front_of(source, pages, vocabulary)
    drop_furniture(pages)
    outline = build_outline(pages, [columns(page) for page in pages], vocabulary)
    sections = outline.sections()
    hidden, told = report([place for page in pages for place in page.hidden])
    warnings += [*told, *_complaints()]
    sample = "\n".join(block.text for section in sections for block in section.blocks if block.kind == "paragraph")
    language = language_of(sample)
    identity = identity_of(front, sections, language)
    return Document(front.title.text or path.stem, count, language, sections, tuple(warnings), identity, hidden, scans.pages)


def _pages(source: Any, scans: Scans) -> tuple[list[Page], list[str]]:
    pages: list[Page] = []
    warnings: list[str] = []
    for number in range(1, len(source) + 1):
        try:
            sheet = source[number - 1]
            page = page_lines(sheet, number)
            page.ruled = ruled_areas(sheet, page, pages[-1] if pages else None)
            hidden = page.hidden
            page = scans.text_of(sheet, page)
            page.hidden = hidden  # also of a page that OCR has read instead
            pages.append(page)
        except failures() as exc:
            pages.append(Page(number, 0, 0, []))
            warnings.append(f"page {number} is damaged and was left out ({exc})")
    return pages, warnings


def _all_hidden(pages: Sequence[Page]) -> str:
    """What to say when no page shows text but hidden text was found; empty when there is none."""
    hidden = [place for page in pages for place in page.hidden]
    if not hidden:
        return ""
    reasons = ", ".join(dict.fromkeys(place.reason for place in hidden))
    where = f"page {hidden[0].box.page}: “{quoted(hidden[0].text)}”"
    return f"no text that can be seen: all of it is hidden ({reasons}), first on {where}; add a copy that shows its text"


def _unknown_share(pages: list[Page]) -> float:
    text = "".join([word.text for page in pages for line in page.lines for word in line.words])
    return text.count("\ufffd") / max(1, len(text))


def _complaints() -> list[str]:
    """What MuPDF has noticed about the file, each thing once, the first three."""
    import pymupdf

    lines = dict.fromkeys(line.strip() for line in pymupdf.TOOLS.mupdf_warnings().splitlines())
    return [f"MuPDF: {line}" for line in lines if line and not _HARMLESS.match(line)][:3]
