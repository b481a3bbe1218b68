"""A mail (.eml) -> a document: its subject is the title, its headers the first block, its text the rest; attachments are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from server.readers.assembly import document_of
from server.readers.damage import told
from server.readers.headings import Outline
from server.readers.plain.text import text_blocks
from server.readers.web.html import Page
from server.readers.web.mail_parts import header, parsed
from server.readers.web.mail_text import Letter, MailText, Piece, header_lines
from server.types import Block, Document


def read_eml(path: Path) -> Document:
    """The document of a mail: of two forms the plain text, or HTML where that says far more; a forwarded message is a section of its own.

    Raises Unreadable when it is no mail or has no text.
    """
    with told("the mail", "save it again from your mail program"):
        message = parsed(path)
        text = MailText(message)
        subject = header(message, "subject") or path.stem
        return mail_document(subject, header_lines(message), text.pieces, text.attached, text.warnings)


def mail_document(
    subject: str, lines: Sequence[str], pieces: Sequence[Piece], attached: Sequence[str], warnings: Sequence[str]
) -> Document:
    """The document of a mail; `lines` are its headers, `pieces` what it says."""
    outline = Outline()
    outline.open(1, subject, 1, "made up")  # else the subject, or the name of the file, would be text of a mail without any
    if lines:
        outline.add(Block("paragraph", "\n".join([f"Subject: {subject}", *lines]), 1))
    subjects = [subject]  # of this message and of those forwarded in it that are open
    for depth, content in pieces:
        if isinstance(content, Letter):
            subjects[depth:] = [content.subject or "Forwarded message"]
            outline.open(depth + 1, subjects[-1], 1, "printed" if content.subject else "made up")
            outline.add(Block("paragraph", "\n".join(content.lines), 1))
            continue
        if depth < len(subjects) - 1:
            del subjects[depth + 1 :]
            outline.open(len(subjects), subjects[-1], 1, "made up")
        if isinstance(content, Page):
            _add_page(content, outline, depth + 1)
            continue
        for text in text_blocks(content.replace("\r\n", "\n")):
            outline.add(Block("paragraph", text, 1))
    named = [f"attachments were not read: {', '.join(attached[:20])}; save them and add them as files"] if attached else []
    hidden = [text for piece in pieces if isinstance(piece.content, Page) for text in piece.content.hidden]
    return document_of(outline, subject, warnings=list(dict.fromkeys([*warnings, *named])), hidden=hidden)


def _add_page(page: Page, outline: Outline, level: int) -> None:
    """The blocks of a page, its headings below `level`."""
    page.flow.flush()
    for item in page.flow.items:
        if isinstance(item, Block):
            outline.add(item)
        else:
            outline.open(item[0] + level, item[1], 1)
