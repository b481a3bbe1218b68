"""A page without a text layer -> its lines by optical character recognition, straightened, for the layout steps of the PDF reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from server.errors import Unreadable
from server.readers.ocr.engine import Strip, failures, find_lines, recognise
from server.readers.ocr.layer import INK
from server.readers.ocr.lines import Found, lines_of
from server.readers.ocr.upright import Upright, direction, turned
from server.readers.pdf.failures import lacks_memory
from server.readers.pdf.page import Page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from server.readers.ocr.engine import Pixels

DPI = 120  # 100 to 200 read equally well; at 100 neighbouring columns run together, 150 costs a third more CPU
MOST_PIXELS = 4_000_000  # A4 at 240 dpi: 1.2 of the 2 GiB that a reader may have; a larger sheet is drawn coarser
SHORT_SIDE = 900  # pixels wanted of a small page, as far as its image has them
LEAST_CONFIDENCE = 0.5  # of a line; below stand drawings taken for text
_SAMPLE = 5  # lines that tell whether the page stands on its head
_SURE = 0.85  # mean confidence of lines that stand upright


class Recognised(NamedTuple):
    """A page, and the mean confidence of its characters in 0..1; 1 when there are none."""

    page: Page
    confidence: float


def recognised_page(page: Any, number: int) -> Recognised:
    """What is printed on a pymupdf page. Raises Unreadable when recognition fails, Unavailable when its models are missing and
    MemoryError.
    """
    import pymupdf

    try:
        pixels, zoom = _drawn(page)
        if _has_ink(pixels) and len(quads := find_lines(pixels)):
            return _read(pixels, quads, zoom, number)
        return Recognised(Page(number, page.rect.width, page.rect.height, []), 1.0)
    except (*failures(), pymupdf.mupdf.FzErrorBase) as exc:
        if lacks_memory(exc):
            raise MemoryError(str(exc)) from exc
        reason = (str(exc).strip() or type(exc).__name__).splitlines()[-1]  # an ONNX error carries a whole traceback
        raise Unreadable(f"OCR failed: {reason}") from exc


def _drawn(page: Any) -> tuple[Pixels, float]:
    """The page as displayed, and pixels a point."""
    import numpy as np
    import pymupdf

    width, height = page.rect.width, page.rect.height
    images = [(info["width"] * info["height"], pymupdf.Rect(info["bbox"]).get_area()) for info in page.get_image_info()]
    finest = max((pixels / max(area, 1)) ** 0.5 for pixels, area in images) if images else 0.0
    zoom = max(DPI / 72, min(finest, SHORT_SIDE / min(width, height)))
    zoom = min(zoom, (MOST_PIXELS / (width * height)) ** 0.5)
    image = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), alpha=False, colorspace=pymupdf.csRGB)
    rows = np.frombuffer(image.samples, np.uint8).reshape(image.height, image.width, 3)
    return np.ascontiguousarray(rows[:, :, ::-1]), zoom


def _has_ink(pixels: Pixels) -> bool:
    """Whether anything is printed, after the scanner's noise has been averaged away."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (max(1, width // 3), max(1, height // 3)), interpolation=cv2.INTER_AREA).astype(np.int16)
    return bool((np.abs(small - np.median(small, axis=(0, 1))) > INK).any())


def _read(pixels: Pixels, quads: NDArray[np.float32], zoom: float, number: int) -> Recognised:
    upright, strips = _set_upright(pixels, quads)
    found: list[Found] = []
    for at in upright.level():
        strip = strips.get(at) or recognise(upright.crop(at))
        if strip.confidence >= LEAST_CONFIDENCE:
            x0, y0, _, _ = upright.boxes[at]
            found.append(Found(strip, int(x0), int(y0), upright.crop(at)))
    letters = sum(len(line.strip.places) for line in found)
    confidence = sum(line.strip.confidence * len(line.strip.places) for line in found) / letters if letters else 1.0
    height, width = upright.pixels.shape[:2]
    (a, c, e), (b, d, f) = upright.back.tolist()
    lines = lines_of(found, number, zoom)
    return Recognised(Page(number, width / zoom, height / zoom, lines, (a, b, c, d, e / zoom, f / zoom)), confidence)


def _set_upright(pixels: Pixels, quads: NDArray[np.float32]) -> tuple[Upright, dict[int, Strip]]:
    """The page with text running to the right, and those of its lines that were recognised to find out."""
    way = direction(quads)
    tried: list[tuple[float, Upright, dict[int, Strip]]] = []
    for turn in (90, 270) if way.sideways else (0, 180):
        upright = turned(pixels, quads, way.skew + turn)
        strips = {at: recognise(upright.crop(at)) for at in upright.level()[:_SAMPLE]}
        confidence = sum(strip.confidence for strip in strips.values()) / max(1, len(strips))
        tried.append((confidence, upright, strips))
        if confidence >= _SURE:
            break
    _, upright, strips = max(tried, key=lambda one: one[0])
    return upright, strips
