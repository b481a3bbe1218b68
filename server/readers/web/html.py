"""A web page -> a document: h1 to h6 make its sections; menus, scripts and what nobody sees are kept out.

lxml's parser and a walk of our own: LangChain's HTML loaders give one flat text; BeautifulSoup needs 3 times the memory, 30 times the time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from server.errors import Unreadable
from server.readers.assembly import document_of
from server.readers.encoding import decode
from server.readers.plain.text import read_decoded
from server.readers.web.flow import Flow
from server.readers.web.html_meta import Head, head_of
from server.readers.web.html_walk import Walk
from server.types import Block, Document, Hidden

_CHARSET = re.compile(rb"<meta[^>]{0,500}?charset\s{0,5}=\s{0,5}[\"']?\s{0,5}([\w.:-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\s{0,100}<\?xml[^>]{0,200}?encoding\s{0,5}=\s{0,5}[\"']([\w.:-]{1,40})", re.IGNORECASE)
_HEAD_BYTES = 8192  # a page names its encoding within these; browsers look at 1024
_LONG_TAG = re.compile(r"<([A-Za-z][\w:-]{0,50})[^<>]{10000,}")
_MOSTLY = 4  # times as many transparent characters as others: that is the article itself, and no text put there for machines
_MAX_ATTRIBUTES = 1000  # of one element; the parser's time grows with their square


class Page(NamedTuple):
    """A parsed page, for readers of formats that hold pages."""

    flow: Flow
    head: Head
    hidden: list[Hidden]
    warnings: tuple[str, ...]


def read_html(path: Path) -> Document:
    """The document of an .html file. The encoding is that of its mark, its meta element, else guessed.

    Raises Unreadable when it is no text or shows none.
    """
    text, warnings = read_decoded(path, declared=declared_in)
    return page_document(page_of(text), path.stem, warnings)


def page_document(page: Page, name: str, warnings: list[str]) -> Document:
    """The document of one page; `name` is its title when it has none."""
    return document_of(
        page.flow.outline(),
        page.head.title or name,
        warnings=[*warnings, *page.warnings],
        identity=page.head.identity,
        hidden=page.hidden,
        describes=page.head.description,
    )


def page_of(text: str) -> Page:
    """What stands on a page of HTML. Never fails on broken markup: a parser of HTML takes anything."""
    from lxml import etree

    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True)
    markup = _LONG_TAG.sub(_short_tag, text).encode("utf-8", errors="replace")
    try:
        root = etree.fromstring(markup, parser)
    except (etree.XMLSyntaxError, etree.ParserError, ValueError) as exc:  # nothing but white space or comments in it
        raise Unreadable("the page holds no text") from exc
    if root is None:
        raise Unreadable("the page holds no text")
    warnings = []
    if any("depth" in entry.message for entry in parser.error_log):
        warnings.append("the page is nested deeper than 2048 elements; what lies deeper was left out")
    walk = Walk(root)
    walk.flow.flush()
    if walk.transparent > _MOSTLY * sum(len(item.text) for item in walk.flow.items if isinstance(item, Block)):
        warnings.append("nearly all text of the page is transparent, as where a script lets it appear; it was read as if it were visible")
        walk = Walk(root, through=True)
        walk.flow.flush()
    heading = next((item[1] for item in walk.flow.items if not isinstance(item, Block) and item[0] == 1), "")
    return Page(walk.flow, head_of(root, heading), walk.hidden, tuple(warnings))


def decoded_page(data: bytes, charset: str) -> tuple[str, tuple[str, ...]]:
    """The text of a page inside another file, and what was guessed; the envelope's `charset` comes before the page's own."""
    decoded = decode(data, charset or declared_in(data))
    return decoded.text, decoded.warnings


def declared_in(data: bytes) -> str:
    """The encoding that a page names in a meta element or an XML declaration, "" without one."""
    match = _XML_ENCODING.match(data[:_HEAD_BYTES]) or _CHARSET.search(data[:_HEAD_BYTES])
    label = match[1].decode("ascii") if match else ""
    return "utf-8" if label.lower().startswith("utf-16") else label  # it could not be read so far if it were


def _short_tag(match: re.Match[str]) -> str:
    attributes = match[0].count("=") + match[0].count(" ")
    return f"<{match[1]}" if attributes > _MAX_ATTRIBUTES else match[0]
