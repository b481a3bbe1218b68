"""A mail (.eml) -> a document: its subject is the title, its headers the first block, its text the rest; attachments are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from server.readers.assembly import document_of
from server.readers.damage import told
from server.readers.encoding import decode
from server.readers.headings import Outline
from server.readers.plain.text import text_blocks
from server.readers.web.html import Page, decoded_page, page_of
from server.readers.web.mail_parts import attachment_name, body, charset_of, header, leaves, parsed
from server.types import Block, Document

_SHOWN = ("From", "To", "Cc", "Date")


def read_eml(path: Path) -> Document:
    """The document of a mail: plain text where it has some, else its HTML. Raises Unreadable when it is no mail or has no text."""
    with told("the mail", "save it again from your mail program"):
        message = parsed(path)
        attached: list[str] = []
        plain: list[str] = []
        pages: list[Page] = []
        warnings: list[str] = []
        for part in leaves(message):
            kind = part.get_content_type()
            if name := attachment_name(part):
                attached.append(name)
            elif kind == "text/html":
                text, guessed = decoded_page(body(part), charset_of(part))
                if text.strip():
                    pages.append(page_of(text))
                    warnings += guessed
            elif kind.startswith("text/"):
                decoded = decode(body(part), charset_of(part))
                plain.append(decoded.text)
                warnings += decoded.warnings
        lines = [f"{name}: {value}" for name in _SHOWN if (value := header(message, name.lower()))]
        return mail_document(header(message, "subject") or path.stem, lines, "\n\n".join(plain), pages, attached, warnings)


def mail_document(
    subject: str, lines: Sequence[str], plain: str, pages: Sequence[Page], attached: Sequence[str], warnings: Sequence[str]
) -> Document:
    """The document of a mail; `lines` are its headers, `pages` its text as HTML, shown when `plain` is blank."""
    outline = Outline()
    outline.open(1, subject, 1)
    if lines:
        outline.add(Block("paragraph", "\n".join([f"Subject: {subject}", *lines]), 1))
    if plain.strip():
        pages = ()
        for text in text_blocks(plain.replace("\r\n", "\n")):
            outline.add(Block("paragraph", text, 1))
    for page in pages:
        page.flow.flush()
        for item in page.flow.items:
            if isinstance(item, Block):
                outline.add(item)
            else:
                outline.open(item[0] + 1, item[1], 1)
    named = [f"attachments were not read: {', '.join(attached[:20])}; save them and add them as files"] if attached else []
    hidden = [text for page in pages for text in page.hidden]
    return document_of(outline, subject, warnings=list(dict.fromkeys([*warnings, *named])), hidden=hidden)
