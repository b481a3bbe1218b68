"""A page of a PDF, or an image -> PNG with highlighted boxes, so that a citation can be looked at where it is printed.

MuPDF is not thread-safe: call it in one thread only, or through ReaderProcess.page_image, which a poisonous page cannot take along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from server.errors import Invalid, NotFound, Unreadable
from server.image_file import SUFFIXES, has_pages, open_image
from server.readers.pdf.failures import failures, lacks_memory, reason_of
from server.types import Box

LOWEST_DPI, HIGHEST_DPI = 36, 300
MOST_PIXELS = 20_000_000  # 60 MB; a larger sheet is drawn coarser
HIGHLIGHT = (1.0, 0.84, 0.2)
STRENGTH = 0.45  # 0 leaves the page as it is, 1 lays the highlight on in full
_DARK = 128  # of 255: on paper darker than that, what a marker pen would leave cannot be seen


def render(path: Path, page: int, boxes: Sequence[Box], dpi: int, passwords: Sequence[str] = ()) -> bytes:
    """PNG bytes of the page as displayed, with its notes and forms.

    Raises Invalid for a dpi out of range and boxes without numbers, NotFound for a page that is not there, Unreadable for a file
    without pages.
    """
    import pymupdf

    if not LOWEST_DPI <= dpi <= HIGHEST_DPI:
        raise Invalid(f"dpi must be {LOWEST_DPI} to {HIGHEST_DPI}, not {dpi}")
    if not all(math.isfinite(edge) for box in boxes for edge in (box.x0, box.y0, box.x1, box.y1)):
        raise Invalid("every edge of a box must be a finite number of points")
    is_image = path.suffix.lower() in SUFFIXES
    if not has_pages(path.name):
        raise Unreadable(f"{path.name} has no pages to show; its text is in the quote")
    try:
        with open_image(path) if is_image else pymupdf.open(path) as document:
            if document.needs_pass and not any(document.authenticate(password) for password in passwords):
                raise Unreadable(f"{path.name} needs a password")
            if not 1 <= page <= document.page_count:
                raise NotFound(f"{path.name} has pages 1 to {document.page_count}, not {page}")
            sheet = document[page - 1]
            inches = abs(sheet.rect.width * sheet.rect.height) / 72**2
            dpi = max(1, min(dpi, int((MOST_PIXELS / max(inches, 1e-6)) ** 0.5)))
            drawn = sheet.get_pixmap(dpi=dpi, alpha=False, colorspace=pymupdf.csRGB)
            return _png(drawn, boxes, dpi / 72)
    except failures() as exc:
        if lacks_memory(exc):
            raise MemoryError(str(exc)) from exc
        raise Unreadable(f"page {page} of {path.name} cannot be shown: {reason_of(exc, path)}") from exc


def _png(drawn: Any, boxes: Sequence[Box], zoom: float) -> bytes:
    """The pixmap `drawn`, at `zoom` pixels a point, as a PNG; `boxes` are marked as with a pen: dark print stays dark.

    Where the paper itself is dark, the highlight is laid over it instead.
    """
    import numpy as np
    import pymupdf

    if boxes:
        rows = np.frombuffer(drawn.samples_mv, np.uint8).reshape(drawn.height, drawn.stride)
        pixels = rows[:, : 3 * drawn.width].reshape(drawn.height, drawn.width, 3).copy()  # (h, w, 3)
        pen = STRENGTH * np.array(HIGHLIGHT, np.float32) + (1 - STRENGTH)  # (3,)
        marks = np.zeros(pixels.shape[:2], np.uint8)  # 1 to multiply, 2 to lay over: each pixel once, where boxes overlap
        for box in boxes:
            down, across = _inside(box.y0, box.y1, zoom, drawn.height), _inside(box.x0, box.x1, zoom, drawn.width)
            part = pixels[down, across]
            if part.size:
                marks[down, across] = 2 if np.median(part) < _DARK else 1
        light, dark = marks == 1, marks == 2
        pixels[light] = np.rint(pixels[light] * pen)
        pixels[dark] = np.rint(pixels[dark] * (1 - STRENGTH) + 255 * STRENGTH * np.array(HIGHLIGHT, np.float32))
        drawn = pymupdf.Pixmap(pymupdf.csRGB, drawn.width, drawn.height, pixels.tobytes(), False)
    png: bytes = drawn.tobytes("png")
    return png


def _inside(low: float, high: float, zoom: float, size: int) -> slice:
    """The pixels from `low` to `high` points that lie on a page of `size` pixels."""
    return slice(max(0, min(size, math.floor(low * zoom))), max(0, min(size, math.ceil(high * zoom))))
