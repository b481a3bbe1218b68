"""A message -> what is read of it, in order: its texts and pages, and the headers of messages forwarded inside it.

Of the same text in two forms (multipart/alternative) one is taken; parts that only stand together (multipart/mixed) are all kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import Message
from typing import NamedTuple

from server.errors import Unreadable
from server.readers.encoding import decode
from server.readers.web.html import Page, decoded_page, page_of
from server.readers.web.mail_parts import MAX_PARTS, attachment_name, body, charset_of, header
from server.types import Block

_SHOWN = ("From", "To", "Cc", "Date")
_DOUBLED = frozenset(("text/x-amp-html", "text/watch-html"))  # the page once more, for one program
_ADDRESS = re.compile(r"https?://\S+")
_NO_LETTERS = re.compile(r"[\W_]+")
_SHINGLE = 5  # characters
_COMPARED = 20_000  # characters of each form
_COVERED = 0.7  # of a page is in the plain text, when that is no stub: two forms of one text have 0.9 and more in common


class Letter(NamedTuple):
    """The headers of a forwarded message, "Name: value" each."""

    subject: str
    lines: list[str]


class Piece(NamedTuple):
    """Something of a message; `depth` counts the forwarded messages around it."""

    depth: int
    content: str | Page | Letter


class MailText:
    """The pieces of one message in `pieces`, the names of what is not read in `attached`, what had to be guessed in `warnings`."""

    def __init__(self, message: Message) -> None:
        self.attached: list[str] = []
        self.warnings: list[str] = []
        self._parts = 0
        self.pieces = self._read(message, 0)

    def _read(self, part: Message, depth: int) -> list[Piece]:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Unreadable(f"the message has more than {MAX_PARTS} parts")
        kind, inner = part.get_content_type(), part.get_payload()
        if not (part.is_multipart() and isinstance(inner, list)):
            return self._leaf(part, kind, depth)
        children = [child for child in inner if isinstance(child, Message)]
        if kind == "message/rfc822":
            return [piece for child in children for piece in [*_letter(child, depth + 1), *self._read(child, depth + 1)]]
        branches = [self._read(child, depth) for child in children]
        return _best(branches) if kind == "multipart/alternative" else [piece for branch in branches for piece in branch]

    def _leaf(self, part: Message, kind: str, depth: int) -> list[Piece]:
        if kind in _DOUBLED:
            return []
        if name := attachment_name(part):
            self.attached.append(name)
            return []
        if kind == "text/html":
            text, guessed = decoded_page(body(part), charset_of(part))
            page = page_in(text)
            self.warnings += guessed if page else ()
            return [Piece(depth, page)] if page else []
        decoded = decode(body(part), charset_of(part))
        self.warnings += decoded.warnings
        return [Piece(depth, decoded.text)] if decoded.text.strip() else []


def header_lines(message: Message) -> list[str]:
    """ "From: …", "To: …" and so on, those that there are."""
    return [f"{name}: {value}" for name in _SHOWN if (value := header(message, name.lower()))]


def page_in(markup: str) -> Page | None:
    """The page, None when nothing is in it."""
    try:
        page = page_of(markup) if markup.strip() else None
    except Unreadable:  # only comments
        return None
    if page is not None:
        page.flow.flush()
    return page


def fuller(plain: Sequence[Piece], page: Sequence[Piece]) -> list[Piece]:
    """Of two forms of one text the plain one, but the page where that says far more: where it is longer and most of it is not in the
    plain text, as when that says only that this mail program cannot show HTML."""
    short, long = _letters(plain), _letters(page)
    if not short or not long:
        return list(plain if short else page)
    of_page = _shingles(long)
    missing = len(of_page - _shingles(short)) > (1 - _COVERED) * len(of_page)
    return list(page if missing and len(long) > len(short) else plain)


def _best(branches: Sequence[list[Piece]]) -> list[Piece]:
    plain = [branch for branch in branches if branch and not any(isinstance(piece.content, Page) for piece in branch)]
    pages = [branch for branch in branches if any(isinstance(piece.content, Page) for piece in branch)]
    return fuller(plain[0] if plain else [], pages[-1] if pages else [])  # the last form is the richest (RFC 2046, 5.1.4)


def _letter(message: Message, depth: int) -> list[Piece]:
    subject = header(message, "subject")
    lines = [*([f"Subject: {subject}"] if subject else []), *header_lines(message)]
    return [Piece(depth, Letter(subject, lines))] if lines else []


def _letters(pieces: Sequence[Piece]) -> str:
    """What a form says, without addresses of links, spaces and punctuation."""
    said: list[str] = []
    for _, content in pieces:
        if isinstance(content, str):
            said.append(content[:_COMPARED])
        elif isinstance(content, Page):
            said += [item.text if isinstance(item, Block) else item[1] for item in content.flow.items]
    return _NO_LETTERS.sub("", _ADDRESS.sub("", " ".join(said)[: 2 * _COMPARED])).lower()[:_COMPARED]


def _shingles(letters: str) -> set[str]:
    return {letters[at : at + _SHINGLE] for at in range(max(1, len(letters) - _SHINGLE + 1))}
