"""A journal article in JATS or NLM XML -> a document: its sections, tables, formulas and references as they are marked up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from server.readers.assembly import document_of
from server.readers.headings import Outline
from server.readers.metadata import identity_of
from server.readers.web.flow import Flow, collapsed, power, texts
from server.readers.web.formulas import formula_text
from server.readers.web.html_tables import table_lines
from server.readers.web.inline import FORMULAS, SKIPPED, is_raised, line_of
from server.types import Block, Document, Identity

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
_MAX_ABOUT = 2000  # characters
_PARAGRAPHS_NAMES = "p list list-item def-item def term disp-quote verse-line speech statement attrib kwd-group table-wrap-foot"
_PARAGRAPHS = frozenset(_PARAGRAPHS_NAMES.split())
_LEFT_OUT = SKIPPED | frozenset(("front", "front-stub", "sub-article", "response"))
_NAMES = frozenset(("person-group", "name", "string-name", "collab", "date", "etal"))
_NOTE_HOMES = frozenset(("fn-group", "table-wrap-foot", "author-notes", "notes", "back", "sec"))  # elsewhere a note is in a sentence
_MARKS = ("fn", "author-notes", "corresp", "aff", "bibr", "")  # what a mark in a title refers to


def jats_document(articles: Sequence[Any], name: str, warnings: Sequence[str]) -> Document:
    """The document of one <article>, or of a set of them, where the title of each is a section above its own and nothing is said of
    authors; `name` is the title when there is none. Reviews and replies printed with an article are left out."""
    flows = [_flow(article) for article in articles]
    titles = [_title(article) for article in articles]
    if any(article.find("sub-article") is not None for article in articles):
        warnings = [*warnings, "reviews and replies printed with the article were left out"]
    if len(flows) == 1:
        identity = _identity(articles[0].find("front/article-meta"))
        return document_of(flows[0].outline(), titles[0] or name, warnings=warnings, identity=identity)
    outline = Outline()
    for number, (flow, title) in enumerate(zip(flows, titles, strict=True), 1):
        outline.open(1, title or f"Article {number}", 1, "printed" if title else "made up")
        flow.flush()
        for item in flow.items:
            if isinstance(item, Block):
                outline.add(item)
            else:
                outline.open(item[0] + 1, item[1], 1)
    about = f"{len(articles)} articles: {'; '.join(filter(None, titles))}"[:_MAX_ABOUT]
    return document_of(outline, name, warnings=warnings, identity=Identity(abstract=about))


def _flow(article: Any) -> Flow:
    """Abstract, keywords, body, back matter and the notes of the front."""
    flow = Flow()
    meta = article.find("front/article-meta")
    if meta is not None:
        for abstract in [*meta.iterchildren("abstract"), *meta.iterchildren("trans-abstract")]:
            _walk(abstract, flow)
        for group in meta.iterchildren("kwd-group"):
            words = [line_of(word) for word in group.iter("kwd")]
            flow.block("paragraph", f"{_text(group, 'title') or 'Keywords'}: {', '.join(words)}" if words else "")
    for part in [*article.iterchildren("body", "back", "floats-group"), *article.iterfind("front/notes")]:
        _walk(part, flow)
    return flow


def _title(article: Any) -> str:
    title = article.find("front/article-meta/title-group/article-title")
    return "" if title is None else _heading(title)


def _identity(meta: Any) -> Identity:
    if meta is None:
        return Identity()
    ids = {
        (element.get("pub-id-type") or "").lower(): collapsed("".join(element.itertext())) for element in meta.iterchildren("article-id")
    }
    plain = [element for element in meta.iterchildren("abstract") if not element.get("abstract-type")]
    found = [line_of(element, lambda inner: inner.tag in ("title", "label")) for element in plain[:1]]
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
    return "" if found is None else _heading(found)


def _heading(title: Any) -> str:
    """The text of a title, a label or a name without the marks of notes and references in it."""
    return line_of(title, lambda inner: inner.tag == "fn" or (inner.tag == "xref" and (inner.get("ref-type") or "") in _MARKS))


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
                flow.text((" " if tag == "label" else "") + (element.tail or ""))
        elif _whole(element, flow):
            walk.skip_subtree()
        else:
            if tag in _SECTIONS:
                level += 1
                label, title = _text(element, "label"), _text(element, "title")
                if heading := f"{label} {title}".strip() or _SECTIONS[tag]:
                    flow.heading(level, heading)
            if tag in _SECTIONS or (tag in _PARAGRAPHS and not _behind_label(element)):
                flow.flush()
            flow.text("\n" if tag == "break" else element.text or "")


def _behind_label(element: Any) -> bool:
    """Whether this goes on with the number or the bullet before it."""
    before = element.getprevious()
    return before is not None and before.tag == "label"


def _whole(element: Any, flow: Flow) -> bool:
    """Whether `element` was dealt with as a whole."""
    tag = element.tag
    parent = element.getparent()
    if tag in _LEFT_OUT or (tag in ("title", "label") and parent is not None and parent.tag in _SECTIONS):
        return True
    if tag == "disp-formula":
        flow.block("formula", f"{formula_text(element)} {_text(element, 'label')}".strip())
    elif tag in FORMULAS:
        flow.text(formula_text(element))
    elif is_raised(element) and (appended := power(element, flow.before())):
        flow.text(appended)
    elif tag in ("code", "preformat"):
        flow.block("code", "".join(texts(element)).strip("\n"))
    elif tag == "ref":
        flow.block("reference", collapsed(" ".join(filter(str.strip, _citation(element)))))
    elif tag == "fn":
        if parent is None or parent.tag in _NOTE_HOMES:
            flow.flush()
            flow.block("footnote", line_of(element))
        else:
            flow.note(line_of(element))
    elif tag in ("fig", "table-wrap", "supplementary-material"):
        _float(element, flow)
    else:
        return False
    return True


def _float(element: Any, flow: Flow) -> None:
    """A figure or a table: its caption, its rows and the notes below them."""
    caption = element.find("caption")
    flow.block("caption", f"{_text(element, 'label')} {'' if caption is None else line_of(caption)}".strip())
    for table in element.iter("table"):
        if next(table.iterancestors("table"), None) is None:
            flow.block("table", *table_lines(table, lambda cell: line_of(cell, _is_note)))
            for note in table.iter("fn"):
                flow.block("footnote", line_of(note))
    for foot in element.iterchildren("table-wrap-foot"):
        flow.block("paragraph", line_of(foot, _is_note))
        for note in foot.iter("fn"):
            flow.block("footnote", line_of(note))


def _is_note(element: Any) -> bool:
    return bool(element.tag == "fn")


def _citation(reference: Any) -> Iterator[str]:
    """The texts of a reference: as printed where it is a mixed citation, else its fields one after the other."""
    for child in reference:
        if child.tag == "citation-alternatives":
            printed = child.find("mixed-citation")
            child = next(iter(child), child) if printed is None else printed
        if child.tag in ("label", "mixed-citation", "citation", "note"):
            yield line_of(child)
        else:
            yield collapsed(child.text or "")
            for field in child:
                yield " ".join(filter(None, map(collapsed, texts(field)))) if field.tag in _NAMES else line_of(field)
                yield collapsed(field.tail or "")
