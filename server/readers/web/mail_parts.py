"""The bytes of a message (.eml, .mhtml) -> its parts, its headers and their text in whatever encoding they are.

Parsed with the policy compat32 and read from the raw headers: the parser of policy.default raises IndexError or RecursionError on broken
headers and needs 18 s for a list of 60,000 recipients.
"""

from __future__ import annotations

import binascii
import email
import re
from collections.abc import Iterator
from email import policy
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from pathlib import Path

from server.errors import Unreadable
from server.readers.encoding import decode
from server.readers.plain.text import MAX_BYTES

_FIELD = re.compile(rb"(?:From |[!-9;-~]{1,70}:)", re.IGNORECASE)
_MAX_HEADER = 10_000  # characters of a header that are read
MAX_PARTS = 5000
_NOT_READ_NAMES = "text/calendar text/x-vcalendar text/vcard text/x-vcard text/directory text/rtf text/css text/javascript"
_NOT_READ = frozenset(_NOT_READ_NAMES.split())  # records and code, not what the mail says
_TYPES = re.compile(rb"^content-(?:type|disposition):[^\n]*+(?:\n[ \t][^\n]*+)*+", re.IGNORECASE | re.MULTILINE)
_MAX_TYPE = 20_000  # bytes; the parser's time grows with the square of the parameters


def parsed(path: Path) -> Message:
    """The message in a file. Raises Unreadable when it is too large or begins with no header."""
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"the message is larger than {MAX_BYTES // 2**20} MiB; save its attachments on their own")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n \t")
    if not _FIELD.match(data):
        raise Unreadable(f"this is no message although it is named {path.suffix}: it does not begin with a header; save it again")
    if any(len(match[0]) > _MAX_TYPE for match in _TYPES.finditer(data)):
        raise Unreadable(f"a part of the message describes its type in more than {_MAX_TYPE} characters; save it again")
    return email.message_from_bytes(data, policy=policy.compat32)


def leaves(message: Message) -> Iterator[Message]:
    """The parts that hold content, in order, those of forwarded messages too."""
    waiting: list[Message] = [message]
    count = 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > MAX_PARTS:
            raise Unreadable(f"the message has more than {MAX_PARTS} parts")
        inner = part.get_payload()
        if part.is_multipart() and isinstance(inner, list):
            waiting += [piece for piece in reversed(inner) if isinstance(piece, Message)]
        else:
            yield part


def header(message: Message, name: str) -> str:
    """The text of the first header of this name in one line, "" without one; encoded words and raw bytes are decoded."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")[:_MAX_HEADER]
    text = " ".join(decode(raw.encode("utf-8", errors="surrogateescape")).text.split()) if raw else ""
    try:
        pieces = decode_header(text)
    except (HeaderParseError, binascii.Error, ValueError):
        return text
    return " ".join("".join(decode(piece, charset or "").text if isinstance(piece, bytes) else piece for piece, charset in pieces).split())


def body(part: Message) -> bytes:
    """The content of a part, its transfer encoding undone."""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def charset_of(part: Message) -> str:
    """The charset that the part names, "" without one."""
    return part.get_content_charset() or ""


def attachment_name(part: Message) -> str:
    """The name of an attached file, "" for text of the message itself."""
    name = part.get_filename() or ""
    if name or part.get_content_disposition() == "attachment":
        return " ".join(decode(name.encode("utf-8", errors="surrogateescape")).text.split()) or part.get_content_type()
    kind = part.get_content_type()
    return "" if part.get_content_maintype() in ("text", "multipart") and kind not in _NOT_READ else kind
