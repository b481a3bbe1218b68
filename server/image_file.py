"""An image file -> a pymupdf document with a page for each frame, as large as its resolution says; oversized ones are refused.

Below the readers and the page images: both must see the same page, so that a quote is marked where it is printed.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

from server.errors import Unreadable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MOST_PIXELS = 80_000_000  # of a frame: A3 at 600 dpi has 70 million; decoding takes 10 bytes a pixel
MOST_FRAMES = 3000
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")  # whatever the suffix says
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, struct.error)  # what Pillow raises for damaged headers


def has_pages(file: str) -> bool:
    """Whether files of this name have pages that can be shown."""
    return file.lower().endswith((".pdf", *SUFFIXES))


def open_image(path: Path) -> Any:
    """A pymupdf document with a page for each frame; close it. JPEGs are turned as their EXIF data says.

    Raises Unreadable for what is no image, damaged, or too large by its header, before anything is decoded.
    """
    import pymupdf

    kind, png = _looked_at(path)
    try:
        return pymupdf.open(stream=png or path.read_bytes(), filetype=kind)
    except (RuntimeError, ValueError, pymupdf.mupdf.FzErrorBase) as exc:
        raise Unreadable(f"the image is damaged ({exc}); save it again as PNG") from exc


def _looked_at(path: Path) -> tuple[str, bytes]:
    """The format by the file's content; a WebP, which MuPDF does not know, also as the bytes of a PNG."""
    from PIL import Image, ImageSequence, UnidentifiedImageError

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:  # it warns of damage it can bear
            for frames, frame in enumerate(ImageSequence.Iterator(image), 1):
                if frame.width * frame.height > MOST_PIXELS:
                    raise Unreadable(_too_large(f"{frame.width} x {frame.height}"))
                if frames > MOST_FRAMES:
                    raise Unreadable(f"the image has more than {MOST_FRAMES} pages; split it into parts")
                if image.format != "TIFF":
                    break  # what moves is no paper
            if image.format != "WEBP":
                return {"MPO": "jpeg"}.get(str(image.format), str(image.format).lower()), b""  # MPO: JPEGs of some cameras
            png = io.BytesIO()
            image.convert("RGB").save(png, "PNG", compress_level=1)
            return "png", png.getvalue()
    except Image.DecompressionBombError as exc:
        raise Unreadable(_too_large("more than 178 million")) from exc
    except UnidentifiedImageError as exc:
        raise Unreadable(f"this is no image although it is named {path.suffix}; known: PNG, JPEG, BMP, TIFF, WebP") from exc
    except _BROKEN as exc:
        raise Unreadable(f"the image is damaged ({exc}); save it again as PNG") from exc


def _too_large(pixels: str) -> str:
    return f"the image has {pixels} pixels and the most is {MOST_PIXELS // 10**6} million; save it smaller, at 300 dpi or less"
