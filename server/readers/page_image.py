"""A page of a PDF, or an image -> PNG with highlighted boxes, so that a citation can be looked at where it is printed.

MuPDF is not thread-safe: call it in one thread only, or through ReaderProcess.page_image, which a poisonous page cannot take along.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from server.errors import Invalid, NotFound, Unreadable
from server.image_file import SUFFIXES, open_image
from server.types import Box

LOWEST_DPI, HIGHEST_DPI = 36, 300
MOST_PIXELS = 20_000_000  # 60 MB; a larger sheet is drawn coarser
HIGHLIGHT = (1.0, 0.84, 0.2)


def render(path: Path, page: int, boxes: Sequence[Box], dpi: int, passwords: Sequence[str] = ()) -> bytes:
    """PNG bytes. Raises Invalid for a dpi out of range, NotFound for a page that is not there, Unreadable for a file without pages."""
    import pymupdf

    if not LOWEST_DPI <= dpi <= HIGHEST_DPI:
        raise Invalid(f"dpi must be {LOWEST_DPI} to {HIGHEST_DPI}, not {dpi}")
    is_image = path.suffix.lower() in SUFFIXES
    if path.suffix.lower() != ".pdf" and not is_image:
        raise Unreadable(f"{path.name} has no pages to show; its text is in the quote")
    try:
        with open_image(path) if is_image else pymupdf.open(path) as document, pymupdf.open() as empty:
            if document.needs_pass and not any(document.authenticate(password) for password in passwords):
                raise Unreadable(f"{path.name} needs a password")
            if not 1 <= page <= document.page_count:
                raise NotFound(f"{path.name} has pages 1 to {document.page_count}, not {page}")
            sheet = document[page - 1]
            inches = abs(sheet.rect.width * sheet.rect.height) / 72**2
            dpi = max(1, min(dpi, int((MOST_PIXELS / max(inches, 1e-6)) ** 0.5)))
            if is_image:  # MuPDF draws on pages of PDFs only
                picture = sheet.get_pixmap(dpi=dpi)
                sheet = empty.new_page(width=sheet.rect.width, height=sheet.rect.height)
                sheet.insert_image(sheet.rect, pixmap=picture)
            for box in boxes:
                area = pymupdf.Rect(box.x0, box.y0, box.x1, box.y1) * sheet.derotation_matrix
                sheet.draw_rect(area, color=None, fill=HIGHLIGHT, fill_opacity=0.45, overlay=True)
            png: bytes = sheet.get_pixmap(dpi=dpi, annots=False).tobytes("png")
    except (RuntimeError, ValueError, pymupdf.mupdf.FzErrorBase) as exc:
        raise Unreadable(f"page {page} of {path.name} cannot be shown: {exc}") from exc
    return png
