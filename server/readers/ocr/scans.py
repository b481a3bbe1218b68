"""A document's pages -> which of them are scans; these are read by OCR, and what became of them is said in warnings."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from server.errors import Unreadable
from server.readers.ocr.layer import is_printed, put_back, stands_alone
from server.readers.ocr.lines import agreed
from server.readers.ocr.pages import recognised_page
from server.readers.pdf.page import TEXT_FLAGS, Line, Page
from server.readers.pdf.rotation import upright_size

FEW_CHARACTERS = 100  # a page with less text than that, a stamp or a running head, may still be a scan
COVERED = 0.5  # share of the page that images take on a scan with so little text
WHOLE = 0.8  # the same on one with more: a figure that fills a page leaves room for its caption
LITTLE = 0.03  # share of the images under text that is no text layer of theirs: three lines of small print; a paragraph takes 0.05
MARGIN = 0.1  # share of the page's height and width where notes of libraries and publishers stand
FEWEST_LETTERS = 2  # or digits; a disc is read as "0"
MORE_LETTERS, MORE_SHARE = 20, 0.25  # by how much OCR must find more than the text layer, to be believed: a logo is no text
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
        """`page` as the text layer of the pymupdf page `sheet` gives it or, when that is a scan, what OCR reads there.

        Text that is printed over the scan keeps its exact words; where OCR finds little more than that, the page stays as it is.
        """
        if not is_scan(sheet, page):
            return page
        self._tell(page.number, self._count)
        try:
            found, confidence = recognised_page(sheet, page.number)
        except Unreadable as exc:
            self._failed.append((page.number, str(exc)))
            return page
        if (letters := _letters(found)) < FEWEST_LETTERS:
            return page
        if page.lines and not _is_garbage(_whole_text(sheet)):
            if letters < (1 + MORE_SHARE) * _letters(page) + MORE_LETTERS:
                return page
            found = put_back(found, page) if is_printed(sheet) else found
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
    """Whether a pymupdf page has to be read by OCR: no text, unknown characters, or images that have (almost) no text over them.

    The more text there is, the more of the page the images must cover; then the text must be next to nothing or stand in the margins.
    """
    text = "".join(line.text for line in page.lines)
    if not text or _is_garbage(text):
        return True
    few = len(text) < FEW_CHARACTERS
    if few and _is_garbage(_whole_text(sheet)):
        return True
    return (few or _is_little(page)) and _covered(sheet) >= (COVERED if few else WHOLE) and not stands_alone(sheet, page)


def _is_little(page: Page) -> bool:
    """Whether the lines are next to nothing, measured by their area, or all stand in the margins."""
    areas = [(line.x1 - line.x0) * (line.y1 - line.y0) for line in page.lines]
    return sum(areas) < LITTLE * page.width * page.height or all(_in_margin(line, page) for line in page.lines)


def _in_margin(line: Line, page: Page) -> bool:
    left, top = MARGIN * page.width, MARGIN * page.height
    return line.y1 < top or line.y0 > page.height - top or line.x1 < left or line.x0 > page.width - left


def _whole_text(sheet: Any) -> str:
    """All characters, also those that `Page.lines` lack because they are private."""
    text: str = sheet.get_text(flags=TEXT_FLAGS)
    return text


def _letters(page: Page) -> int:
    return sum(char.isalnum() for line in page.lines for char in line.text)


def _is_garbage(text: str) -> bool:
    """Whether most characters are unknown: replaced by U+FFFD, private or not assigned."""
    if text.isprintable() and "\ufffd" not in text:  # private and unassigned characters are not printable
        return False
    unknown = sum(char == "\ufffd" or unicodedata.category(char) in ("Co", "Cn") for char in text)
    return unknown > GARBAGE * (len(text) - sum(map(str.isspace, text)))


def _covered(sheet: Any) -> float:
    """Share of the page under images; those that overlap count twice."""
    import pymupdf

    width, height = upright_size(sheet)
    whole = pymupdf.Rect(0, 0, width, height)
    boxes = [pymupdf.Rect(info["bbox"]) & whole for info in sheet.get_image_info()]
    area = sum(abs(box.width * box.height) for box in boxes if not box.is_empty)
    return float(area / max(1.0, width * height))


def listed(numbers: list[int]) -> str:
    """Page numbers for a warning, the first ten."""
    return ", ".join(map(str, numbers[:_LISTED])) + (" …" if len(numbers) > _LISTED else "")
