"""An image of a page, or several in a TIFF -> a document, read by optical character recognition as a scanned PDF is."""

from __future__ import annotations

from pathlib import Path

from server.errors import Unreadable
from server.image_file import open_image
from server.readers.pdf.failures import failures, lacks_memory, reason_of
from server.readers.pdf.reader import Tell, document_in
from server.types import Document


def read_image(path: Path, *, tell: Tell = lambda page, pages: None) -> Document:
    """The document in a PNG, JPEG, BMP, TIFF or WebP file; `tell` hears (page, pages) before each page.

    Raises Unreadable when it is no image, damaged, too large, or no text is found in it.
    """
    import pymupdf

    try:
        with open_image(path) as image, pymupdf.open("pdf", image.convert_to_pdf()) as source:
            return document_in(source, path, tell)
    except failures() as exc:  # MuPDF decodes only now
        if lacks_memory(exc):
            raise MemoryError(str(exc)) from exc
        raise Unreadable(f"the image is damaged ({reason_of(exc, path)}); save it again as PNG") from exc
