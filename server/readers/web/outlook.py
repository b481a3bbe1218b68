"""A mail saved by Outlook (.msg) -> the same document as of an .eml file, through python-oxmsg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.damage import told
from server.readers.web.mail import mail_document
from server.readers.web.mail_text import Piece, fuller, page_in
from server.types import Document

_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_REPEATED = 4  # times its own size that the streams of a file may claim; a bomb has thousands of streams in one place


def read_msg(path: Path) -> Document:
    """The document of an Outlook message. Raises Unreadable when it is none, damaged, or has its text as RTF only."""
    with path.open("rb") as file:
        if file.read(8) != _MAGIC:
            raise Unreadable("this is no Outlook message although it is named .msg; save the mail again, best as .eml")
    with told("the message", "save it again from Outlook, best as .eml"):
        return _document(path)


def _document(path: Path) -> Document:
    import olefile
    from oxmsg import Message

    with olefile.OleFileIO(str(path)) as container:
        claimed = sum(entry.size for entry in container.direntries if entry is not None)
        if claimed > MAX_REPEATED * path.stat().st_size:
            raise Unreadable("the streams of the message claim more bytes than it has; it is damaged")
        if not container.exists("__properties_version1.0"):
            raise Unreadable("this is another Office file although it is named .msg; give it its right suffix")
    message = Message.load(str(path))
    plain, page = message.body or "", message.html_body or ""
    if not plain.strip() and not page.strip():
        raise Unreadable("the message holds its text as RTF only, or none; open it in Outlook and save it as .eml or PDF")
    sent = message.sent_date
    fields = (
        ("From", message.sender or ""),
        ("To", ", ".join(filter(None, map(_person, message.recipients)))),
        ("Date", sent.isoformat(sep=" ", timespec="minutes") if sent else ""),
    )
    lines = [f"{name}: {' '.join(value.split())}" for name, value in fields if value]
    attached = [file.file_name or file.mime_type or "a file" for file in message.attachments]
    shown = page_in(page)
    pieces = fuller([Piece(0, plain)], [Piece(0, shown)] if shown else [])
    return mail_document(" ".join(message.subject.split()) or path.stem, lines, pieces, attached, ())


def _person(recipient: Any) -> str:
    name, address = recipient.name or "", recipient.email_address or ""
    return f"{name} <{address}>" if name and address and name != address else name or address
