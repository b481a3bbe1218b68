"""What PyMuPDF raises for broken files -> a reason to show: without the server's folders, and lack of memory told from damage."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NO_MEMORY = re.compile(
    r"alloc\w*\b.{0,80}\bfailed|(?:failed|unable) to allocate|bad_?alloc|(?:insufficient|out of) memory", re.IGNORECASE | re.DOTALL
)


def failures() -> tuple[type[Exception], ...]:
    """PyMuPDF's own errors, MuPDF's, and Python's where a value was not what PyMuPDF expected."""
    import pymupdf

    return (RuntimeError, ValueError, IndexError, pymupdf.mupdf.FzErrorBase)


def reason_of(error: Exception, path: Path) -> str:
    """What `error` says, with the name of the file in place of its path."""
    text = str(error)
    for folder in {path.absolute().parent, path.resolve().parent, path.parent} - {Path()}:
        text = text.replace(f"{folder}{os.sep}", "")
    return text


def lacks_memory(error: Exception) -> bool:
    """Whether a library could not get the memory it wanted: MuPDF, OpenCV and ONNX Runtime say so in words only."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None
