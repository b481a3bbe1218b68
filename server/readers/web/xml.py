"""An XML file -> a document: articles by the rules of JATS, prose in TEI or DocBook, pages of XHTML, anything else as texts with paths.

No document type definition reaches the parser and no reference to an entity: there is nothing to expand and nothing to fetch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import entities, escape
from pathlib import Path
from typing import Any

from server.errors import Unreadable
from server.readers.assembly import document_of
from server.readers.headings import Outline
from server.readers.plain.text import read_decoded
from server.readers.web.flow import collapsed
from server.readers.web.html import declared_in, page_document, page_of
from server.readers.web.jats import jats_document
from server.readers.web.tei_docbook import is_prose, prose_document
from server.types import Block, Document

_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,500}\?>")
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]{0,5000}(?:\[(?:[^\]]|\](?!\s{0,100}>))*+\]\s*+)?>", re.IGNORECASE)
_REFERENCE = re.compile(r"&([A-Za-z_][\w.-]{0,50});")
_KEPT = ("amp", "lt", "gt", "quot", "apos")
_LONG_TAG = re.compile(r"<[^\s<>!?][^<>]{5000,}")
_MAX_ATTRIBUTES = 1000  # the parser's time grows with their square
_LONG_PATH = 4  # names at the end of a path that are shown


def read_xml(path: Path) -> Document:
    """The document of an XML file. Raises Unreadable when it is not well-formed, with the place, or holds no text."""
    text, warnings = read_decoded(path, declared=declared_in)
    root = parsed(text)
    if root.tag == "html":
        return page_document(page_of(text), path.stem, warnings)
    articles = [root] if root.tag == "article" else list(root.iter("article"))
    if articles := [article for article in articles if article.find("front") is not None or article.find("body") is not None]:
        return jats_document(articles, path.stem, warnings)
    if is_prose(root):
        return prose_document(root, path.stem, warnings)
    return document_of(_paths(root), path.stem, warnings=warnings)


def parsed(text: str) -> Any:
    """The root element, names without their namespaces. Raises Unreadable with line and reason when the text is not well-formed."""
    from lxml import etree

    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :]
    if any(match[0].count("=") > _MAX_ATTRIBUTES for match in _LONG_TAG.finditer(text)):
        raise Unreadable(f"an element has more than {_MAX_ATTRIBUTES} attributes; this is no document")
    text = _REFERENCE.sub(_replaced, _without_doctype(text))
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True, encoding="utf-8"
    )
    try:
        root = etree.fromstring(text.encode("utf-8", errors="replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as exc:
        reason = " ".join(str(exc).partition(" (<string>")[0].split())[:200]
        raise Unreadable(f"this is no well-formed XML: {reason}; repair it, or save it as .txt to have it read as plain text") from exc
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def _without_doctype(text: str) -> str:
    start = text.upper().find("<!DOCTYPE", 0, 100_000)
    match = _DOCTYPE.match(text, start) if start >= 0 else None
    return text[:start] + "\n" * match[0].count("\n") + text[match.end() :] if match else text  # lines keep their numbers


def _replaced(match: re.Match[str]) -> str:
    """A reference to an entity of HTML is its character, one to any other is its name: nothing is looked up."""
    if match[1] in _KEPT:
        return match[0]
    character = entities.html5.get(f"{match[1]};", "")
    return escape(character) if character else match[1]


def _paths(root: Any) -> Outline:
    """A block "path: text" for each element with text of its own, a table row for each whose children are all plain fields."""
    from lxml import etree

    outline = Outline()
    outline.open(1, root.tag, 1, "made up")
    walk = etree.iterwalk(root, events=("start", "end"))
    path: list[str] = []
    for event, element in walk:
        if event == "end":
            path.pop()
            continue
        path.append(element.tag)
        attributes = _attributes(element)
        if len(element) and not _own_text(element):
            if len(element) > 1 and all(len(child) == 0 for child in element):
                outline.add(Block("table", " | ".join([*attributes, *_fields(element)]), 1))
                walk.skip_subtree()
            elif attributes:
                outline.add(Block("paragraph", f"{_shown(path)}: {' | '.join(attributes)}", 1))
            continue
        text = " | ".join(filter(None, [collapsed("".join(element.itertext())), *attributes]))
        if text:
            outline.add(Block("paragraph", f"{_shown(path)}: {text}", 1))
        walk.skip_subtree()
    return outline


def _attributes(element: Any) -> list[str]:
    return [f"{name.rpartition('}')[2]}: {text}" for name, value in element.attrib.items() if (text := collapsed(value))]


def _fields(element: Any) -> Iterator[str]:
    for child in element:
        if text := collapsed(child.text or ""):
            yield f"{child.tag}: {text}"
        yield from (f"{child.tag} {attribute}" for attribute in _attributes(child))


def _own_text(element: Any) -> bool:
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _shown(path: list[str]) -> str:
    return "/".join(name[:80] for name in (path[1:] or path)[-_LONG_PATH:])
