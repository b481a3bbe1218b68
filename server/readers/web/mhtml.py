"""A web page saved with its pictures in one file (.mhtml, .mht) -> the document of its page."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

from server.errors import Unreadable
from server.readers.damage import told
from server.readers.web.html import decoded_page, page_document, page_of
from server.readers.web.mail_parts import body, charset_of, header, leaves, parsed
from server.types import Document


def read_mhtml(path: Path) -> Document:
    """The document of the root page; frames and pictures are left out. Raises Unreadable when there is no page in it."""
    with told("the saved page", "save the page again, best as HTML or PDF"):
        message = parsed(path)
        pages = [part for part in leaves(message) if part.get_content_type() in ("text/html", "application/xhtml+xml")]
        if not pages:
            raise Unreadable("there is no web page in this file; save the page again, best as HTML or PDF")
        root = _root(message, pages)
        text, warnings = decoded_page(body(root), charset_of(root))
        page = page_of(text)
    return page_document(page, header(message, "subject") or path.stem, list(warnings))


def _root(message: Message, pages: list[Message]) -> Message:
    """The part that "start" names, else the first page."""
    start = str(message.get_param("start", "") or "")
    return next((part for part in pages if start and part.get("Content-ID") == start), pages[0])
