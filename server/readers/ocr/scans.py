"""A document's pages -> which of them are scans; these are read by OCR, and what became of them is said in warnings."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from server.errors import Unreadable
from server.readers.ocr.lines import agreed
from server.readers.ocr.pages import recognised_page
from server.readers.pdf.page import TEXT_FLAGS, Page

FEW_CHARACTERS = 100  # a page with less text than that, a stamp or a running head, may still be a scan
COVERED = 0.5  # share of the page that images take on a scan
FEWEST_LETTERS = 2  # or digits; a disc is read as "0"
GARBAGE = 0.5  # share of characters nobody can tell, which makes a text layer worthless
DOUBTFUL = 0.8  # mean confidence below which the reader is warned; clean print has 0.97 and more
_LISTED = 10  # page numbers in a warning


class Scans:
    """Reads the scanned pages of a document of `count` pages and keeps account; `tell` hears (page, count) before each."""

    def __init__(self, count: int, tell: Callable[[int, int], None]) -> None:
        self._count, self._tell = count, tell
        self._read: list[int] = []
        self._doubtful: list[tuple[int, float]] = []
        self._failed: list[tuple[int, str]] = []

    @property
    def pages(self) -> tuple[int, ...]:
        """The pages whose text comes from OCR."""
        return tuple(self._read)

    def text_of(self, sheet: Any, page: Page) -> Page:
        """`page` as the text layer of the pymupdf page `sheet` gives it or, when that is a scan, what OCR reads there."""
        if not is_scan(sheet, page):
            return page
        self._tell(page.number, self._count)
        try:
            found, confidence = recognised_page(sheet, page.number)
        except Unreadable as exc:
            self._failed.append((page.number, str(exc)))
            return page
        if sum(char.isalnum() for line in found.lines for char in line.text) < FEWEST_LETTERS:
            return page
        self._read.append(page.number)
        if confidence < DOUBTFUL:
            self._doubtful.append((page.number, confidence))
        return replace(found, hidden=page.hidden)

    def agree(self, pages: Sequence[Page]) -> None:
        """Give text that is set alike one font size on all pages that OCR has read: each page was measured for itself."""
        lines = [line for number in self._read for line in pages[number - 1].lines]
        for line, size in zip(lines, agreed([line.size for line in lines], [len(line.text) for line in lines]), strict=True):
            line.size = size

    def warnings(self) -> list[str]:
        """What whoever asks about the document should know of its scanned pages."""
        said = []
        if self._read:
            said.append(f"{len(self._read)} of {self._count} pages were read by OCR: {listed(self._read)}")
        said += [f"page {number} was read with low confidence ({mean:.2f})" for number, mean in self._doubtful[:_LISTED]]
        if len(self._doubtful) > _LISTED:
            said.append(f"{len(self._doubtful) - _LISTED} more pages were read with low confidence")
        said += [f"page {number} could not be read: {reason}" for number, reason in self._failed[:_LISTED]]
        return said

    def nothing_found(self) -> str:
        """Why a document of which no page has text cannot be read."""
        pages, them = ("1 page", "it") if self._count == 1 else (f"{self._count} pages", "them")
        reason = f" ({self._failed[0][1]})" if self._failed else ""
        advice = "scan again at 200 dpi or more, or add a copy with a text layer"
        return f"no text: {pages} without a text layer, and OCR finds nothing on {them}{reason}; {advice}"


def is_scan(sheet: Any, page: Page) -> bool:
    """Whether a pymupdf page has to be read by OCR: (almost) no text over images, no text at all, or a text layer of unknown characters."""
    text = "".join(line.text for line in page.lines)
    if not text or _is_garbage(text):
        return True
    if len(text) >= FEW_CHARACTERS:
        return False
    return _is_garbage(sheet.get_text(flags=TEXT_FLAGS)) or _covered(sheet) >= COVERED  # `page.lines` lack what is private


def _is_garbage(text: str) -> bool:
    """Whether most characters are unknown: replaced by U+FFFD, private or not assigned."""
    if text.isprintable() and "\ufffd" not in text:  # private and unassigned characters are not printable
        return False
    unknown = sum(char == "\ufffd" or unicodedata.category(char) in ("Co", "Cn") for char in text)
    return unknown > GARBAGE * (len(text) - sum(map(str.isspace, text)))


def _covered(sheet: Any) -> float:
    """Share of the page under images; those that overlap count twice."""
    import pymupdf

    whole = sheet.rect * sheet.derotation_matrix
    boxes = [pymupdf.Rect(info["bbox"]) & whole for info in sheet.get_image_info()]
    area = sum(abs(box.width * box.height) for box in boxes if not box.is_empty)
    return float(area / max(1.0, abs(sheet.rect.width * sheet.rect.height)))


def listed(numbers: list[int]) -> str:
    """Page numbers for a warning, the first ten."""
    return ", ".join(map(str, numbers[:_LISTED])) + (" …" if len(numbers) > _LISTED else "")
