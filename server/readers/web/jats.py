"""A journal article in JATS or NLM XML -> a document: its sections, tables, formulas and references as they are marked up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from server.readers.assembly import document_of
from server.readers.metadata import identity_of
from server.readers.web.flow import Flow, collapsed, texts
from server.readers.web.formulas import formula_text
from server.readers.web.html_tables import table_lines
from server.types import Document, Identity

_SECTIONS = {
    "sec": "",
    "app": "",
    "abstract": "Abstract",
    "trans-abstract": "Abstract",
    "ack": "Acknowledgements",
    "ref-list": "References",
    "glossary": "",
    "notes": "",
    "boxed-text": "",
    "fn-group": "",
    "app-group": "",
}  # an element with a title of its own -> the heading when it has none
_PARAGRAPHS_NAMES = "p list list-item def-item def term disp-quote verse-line speech statement attrib kwd-group table-wrap-foot"
_PARAGRAPHS = frozenset(_PARAGRAPHS_NAMES.split())
_SKIPPED_NAMES = "front front-stub processing-meta sub-article response graphic media inline-graphic object-id permissions alt-text"
_SKIPPED = frozenset(_SKIPPED_NAMES.split())


def jats_document(article: Any, name: str, warnings: Sequence[str]) -> Document:
    """The document of an <article>; `name` is its title when it has none. Reviews and replies printed with it are left out."""
    meta = article.find("front/article-meta")
    flow = Flow()
    if meta is not None:
        for abstract in [*meta.iterchildren("abstract"), *meta.iterchildren("trans-abstract")]:
            _walk(abstract, flow)
        for group in meta.iterchildren("kwd-group"):
            words = [collapsed("".join(texts(word))) for word in group.iter("kwd")]
            flow.block("paragraph", f"{_text(group, 'title') or 'Keywords'}: {', '.join(words)}" if words else "")
    for part in article.iterchildren("body", "back", "floats-group"):
        _walk(part, flow)
    left_out = ["reviews and replies printed with the article were left out"] if article.find("sub-article") is not None else []
    title = _text(meta, "title-group/article-title") if meta is not None else ""
    return document_of(flow.outline(), title or name, warnings=[*warnings, *left_out], identity=_identity(meta))


def _identity(meta: Any) -> Identity:
    if meta is None:
        return Identity()
    ids = {
        (element.get("pub-id-type") or "").lower(): collapsed("".join(element.itertext())) for element in meta.iterchildren("article-id")
    }
    plain = [element for element in meta.iterchildren("abstract") if not element.get("abstract-type")]
    found = ["".join(texts(element, ("title", "label"))) for element in plain[:1]]
    dates = [collapsed(" ".join(element.itertext())) for element in meta.iterchildren("pub-date") if element.find("year") is not None]
    return identity_of(
        list(_authors(meta)),
        abstract="".join(found),
        date=min(dates, key=_year, default=""),
        doi=ids.get("doi", ""),
        arxiv_id=ids.get("arxiv", ""),
    )


def _year(date: str) -> str:
    return next((word for word in date.split() if len(word) == 4), "9999")


def _authors(meta: Any) -> Iterator[str]:
    for person in meta.iterfind("contrib-group/contrib"):
        if person.get("contrib-type", "author") != "author":
            continue
        last, first = _text(person, ".//surname"), _text(person, ".//given-names")
        whole = f"{first} {last}".strip() if first.isascii() or last.isascii() else f"{last}{first}"  # Chinese: family name first
        if found := whole or _text(person, ".//string-name") or _text(person, ".//collab"):
            yield found


def _text(element: Any, path: str) -> str:
    found = element.find(path)
    return "" if found is None else collapsed("".join(texts(found, ("fn", "xref"))))


def _walk(root: Any, flow: Flow) -> None:
    from lxml import etree

    walk = etree.iterwalk(root, events=("start", "end"))
    level = 0
    for event, element in walk:
        tag = element.tag
        if event == "end":
            if tag in _SECTIONS:
                level -= 1
            if tag in _PARAGRAPHS or tag in _SECTIONS:
                flow.flush()
            if element is not root:
                flow.text(element.tail or "")
        elif _whole(element, flow):
            walk.skip_subtree()
        else:
            if tag in _SECTIONS:
                level += 1
                label, title = _text(element, "label"), _text(element, "title")
                if heading := f"{label} {title}".strip() or _SECTIONS[tag]:
                    flow.heading(level, heading)
            if tag in _PARAGRAPHS or tag in _SECTIONS:
                flow.flush()
            flow.text(element.text or "")


def _whole(element: Any, flow: Flow) -> bool:
    """Whether `element` was dealt with as a whole."""
    tag = element.tag
    parent = element.getparent()
    if tag in _SKIPPED or (tag in ("title", "label") and parent is not None and parent.tag in _SECTIONS):
        return True
    if tag == "disp-formula":
        flow.block("formula", f"{formula_text(element)} {_text(element, 'label')}".strip())
    elif tag in ("inline-formula", "math", "tex-math"):
        flow.text(formula_text(element))
    elif tag in ("code", "preformat"):
        flow.block("code", "".join(texts(element)).strip("\n"))
    elif tag == "ref":
        flow.block("reference", collapsed(" ".join(filter(str.strip, _citation(element)))))
    elif tag == "fn":
        flow.block("footnote", collapsed("".join(texts(element))))
    elif tag in ("fig", "table-wrap", "supplementary-material"):
        label, caption = _text(element, "label"), _text(element, "caption")
        flow.block("caption", f"{label} {caption}".strip())
        for table in element.iter("table"):
            if next(table.iterancestors("table"), None) is None:
                flow.block("table", table_lines(table, _cell))
        for foot in element.iterchildren("table-wrap-foot"):
            flow.block("paragraph", collapsed("".join(texts(foot))))
    else:
        return False
    return True


def _citation(reference: Any) -> Iterator[str]:
    """The texts of a reference: as printed where it is a mixed citation, else its fields one after the other."""
    for child in reference:
        if child.tag == "label" or child.tag in ("mixed-citation", "citation", "note"):
            yield "".join(texts(child))
        else:
            yield from (text for text in texts(child))


def _cell(cell: Any) -> str:
    pieces = [formula_text(inner) for inner in cell.iter("inline-formula", "disp-formula")]
    return collapsed(" ".join(["".join(texts(cell, ("inline-formula", "disp-formula", "fn"))), *pieces]))
