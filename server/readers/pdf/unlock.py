"""An encrypted PDF and its password -> the same PDF in its place, without encryption, so that every later reading needs none."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from server.errors import Locked, Unreadable
from server.readers.pdf.failures import failures, reason_of


def unlock_pdf(path: Path, password: str) -> None:
    """Replace `path` in one step; a file that needs no password stays as it is. Raises Unreadable when the password does not open it."""
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    temporary = path.with_name(f".{uuid.uuid4().hex}.upload")
    try:
        with pymupdf.open(path, filetype="pdf") as source:
            if not source.is_pdf:
                raise Unreadable("this is no PDF; only PDF files can be opened with a password")
            if not source.needs_pass:
                return
            if not source.authenticate(password):
                raise Locked("the password does not open this PDF; try another one")
            source.save(temporary, encryption=pymupdf.PDF_ENCRYPT_NONE)
        os.replace(temporary, path)
    except failures() as exc:
        raise Unreadable(f"the PDF could not be opened with the password ({reason_of(exc, path)})") from exc
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
