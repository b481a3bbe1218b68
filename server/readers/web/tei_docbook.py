"""Prose in TEI (what GROBID makes of papers, digital editions) or DocBook -> a document: divisions are sections, heads their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from server.readers.assembly import document_of
from server.readers.metadata import identity_of
from server.readers.web.flow import Flow, collapsed, power, texts
from server.readers.web.formulas import formula_text
from server.readers.web.html_tables import table_lines
from server.readers.web.inline import FORMULAS, SKIPPED, is_raised, line_of
from server.types import Document, Identity

_TEI_ROOTS = frozenset(("TEI", "TEI.2", "teiCorpus"))
_DOCBOOK_ROOTS = frozenset(("book", "article", "set", "part", "chapter", "appendix", "preface", "section", "sect1", "refentry"))
_DIVISION_NAMES = (
    "div div1 div2 div3 div4 div5 div6 div7 listBibl book article part chapter appendix preface section sect1 sect2 sect3 sect4 sect5 "
    "simplesect refentry refsect1 refsect2 refsect3 abstract dedication acknowledgements glossary bibliography colophon"
)
_DIVISIONS = frozenset(_DIVISION_NAMES.split())
_DEFAULTS = {
    "abstract": "Abstract",
    "references": "References",
    "listBibl": "References",
    "bibliography": "References",
    "acknowledgement": "Acknowledgements",
    "acknowledgements": "Acknowledgements",
    "glossary": "Glossary",
    "preface": "Preface",
}  # the tag or the type of a division -> its heading when it has none
_HEADS = ("head", "title", "info/title", "sectioninfo/title", "chapterinfo/title", "prefaceinfo/title", "refnamediv/refname")
_PARAGRAPH_NAMES = (
    "p ab lg sp speaker item label epigraph salute signed opener closer byline dateline titlePart docAuthor row para simpara formalpara "
    "listitem term member step blockquote attribution question answer subtitle note warning tip caution important"
)
_PARAGRAPHS = frozenset(_PARAGRAPH_NAMES.split())
_INLINE_PARENTS = frozenset(("p", "ab", "l", "para", "simpara", "cell", "entry", "item"))  # "term", "label" there stand in a sentence
_LEFT_OUT_NAMES = (
    "teiHeader facsimile sourceDoc standOff fw sic orig del graphic info bookinfo articleinfo chapterinfo sectioninfo prefaceinfo "
    "titleabbrev refmeta index toc lot"
)
_LEFT_OUT = SKIPPED | frozenset(_LEFT_OUT_NAMES.split())
_BREAKS = frozenset(("lb", "pb", "cb", "l", "sbr"))
_CODE = frozenset(("eg", "programlisting", "screen", "literallayout"))
_ENTRIES = frozenset(("biblStruct", "biblFull", "biblioentry", "bibliomixed"))
_APART_NAMES = "p ab l lb head title figDesc label item para simpara listitem caption row cell entry lg sp speaker"
_APART = frozenset(_APART_NAMES.split()) - {"title"}  # the title of a cited work stands in the sentence
_DIGITS = re.compile(r"\d{1,3}$")


def is_prose(root: Any) -> bool:
    """Whether this is TEI, or DocBook with paragraphs."""
    return root.tag in _TEI_ROOTS or (root.tag in _DOCBOOK_ROOTS and next(root.iter("para", "simpara"), None) is not None)


def prose_document(root: Any, name: str, warnings: Sequence[str]) -> Document:
    """The document of a TEI or DocBook file; `name` is its title when it has none."""
    flow = Flow()
    header = root if root.tag == "teiCorpus" else root.find("teiHeader")
    if header is None:
        header = next((part for part in (root.find("info"), root.find(f"{root.tag}info")) if part is not None), root)
    for abstract in header.iterfind("profileDesc/abstract") if header.tag == "teiHeader" else header.iterfind("abstract"):
        _walk(abstract, flow)
    _walk(root, flow)
    title = next(filter(None, (_line(found) for path in _TITLES for found in header.iterfind(path))), "")
    return document_of(flow.outline(), title or name, warnings=warnings, identity=_identity(header))


_TITLES = ("fileDesc/titleStmt/title", "title", "teiHeader/fileDesc/titleStmt/title")


def _identity(header: Any) -> Identity:
    """From a TEI header or the info of DocBook; that of a corpus says nothing of one paper."""
    if header.tag not in ("teiHeader", "info", "bookinfo", "articleinfo"):
        return Identity()
    paths = ("fileDesc/sourceDesc//analytic/author", "fileDesc/titleStmt/author", "author", "authorgroup/author")
    authors = next(filter(None, ([name for person in header.iterfind(path) if (name := _person(person))] for path in paths)), [])
    dates = [f"{date.get('when') or ''} {_line(date)}" for date in header.iter("date", "pubdate")]
    numbers = {(number.get("type") or number.get("class") or "").lower(): _line(number) for number in header.iter("idno", "biblioid")}
    abstract = next(header.iter("abstract"), None)
    return identity_of(
        authors,
        abstract="" if abstract is None else line_of(abstract, lambda inner: inner.tag in ("head", "title"), _APART),
        date=next(filter(str.strip, dates), ""),
        doi=numbers.get("doi", ""),
        arxiv_id=numbers.get("arxiv", ""),
    )


def _person(author: Any) -> str:
    first = [_line(name) for name in author.iter("forename", "firstname")]
    last = [_line(name) for name in author.iter("surname")]
    return " ".join(filter(None, [*first, *last])) if last else _line(next(author.iter("persName", "personname"), author))


def _walk(root: Any, flow: Flow) -> None:
    from lxml import etree

    walk = etree.iterwalk(root, events=("start", "end"))
    level = 0
    for event, element in walk:
        divides = element.tag in _DIVISIONS and (element is not root or root.tag == "abstract")
        parts = divides or (element.tag in _PARAGRAPHS and not _in_sentence(element))
        if event == "end":
            level -= divides
            if parts:
                flow.flush()
            if element is not root:
                flow.text(element.tail or "")
        elif element is not root and _whole(element, flow):
            walk.skip_subtree()
        else:
            if parts:
                flow.flush()
            if divides:
                level += 1
                if heading := _heading(element):
                    flow.heading(level, heading)
            is_break = element.tag in _BREAKS and element.get("break") != "no"
            flow.text(("\n" if is_break else "") + (element.text or ""))


def _in_sentence(element: Any) -> bool:
    parent = element.getparent()
    return element.tag in ("term", "label", "note") and parent is not None and parent.tag in _INLINE_PARENTS


def _heading(division: Any) -> str:
    """The head of a division with its number, else what its type says."""
    head = next((found for path in _HEADS if (found := division.find(path)) is not None), None)
    if head is None:
        above = division.getparent()
        named = division.get("type") or division.tag
        is_second = division.tag == "listBibl" and above is not None and _heading_is_known(above)
        return "" if is_second else _DEFAULTS.get(named, "")
    text, number = _line(head), head.get("n") or ""
    return text if not number or text.startswith(number) else f"{number} {text}"


def _heading_is_known(division: Any) -> bool:
    return division.find("head") is not None or (division.get("type") or "") in _DEFAULTS


def _whole(element: Any, flow: Flow) -> bool:
    """Whether `element` was dealt with as a whole."""
    tag, parent = element.tag, element.getparent()
    is_head = tag in ("head", "title", "refname") and parent is not None and parent.tag in _DIVISIONS
    if tag in _LEFT_OUT or is_head or (tag == "abbr" and parent is not None and parent.tag == "choice"):
        return True
    if tag in FORMULAS or tag in ("equation", "informalequation"):
        _formula(element, flow)
    elif is_raised(element) and (appended := power(element, flow.before())):
        flow.text(appended)
    elif tag in _CODE:
        flow.block("code", "".join(texts(element)).strip("\n"))
    elif tag in _ENTRIES or (tag == "bibl" and parent is not None and parent.tag == "listBibl"):
        flow.block("reference", " ".join(filter(None, _entry(element))))
    elif tag == "footnote" or (tag == "note" and element.find("para") is None):
        flow.note(f"{element.get('n') or ''} {_line(element)}".strip())
    elif tag in ("figure", "informalfigure", "table", "informaltable"):
        _float(element, flow)
    else:
        return False
    return True


def _formula(element: Any, flow: Flow) -> None:
    label = element.find("label")
    text = " ".join(filter(None, [formula_text(element), "" if label is None else _line(label)]))
    parent = element.getparent()
    if element.tag in ("inlineequation", "math") or (parent is not None and parent.tag in _INLINE_PARENTS and not element.get("rend")):
        flow.text(text)
    else:
        flow.block("formula", text)


def _float(element: Any, flow: Flow) -> None:
    """A figure or a table: what it is called and says, and its rows."""
    called = next((found for name in ("head", "title", "label") if (found := element.find(name)) is not None), None)
    said = [called, element.find("figDesc"), element.find("caption"), element.find("mediaobject/caption")]
    flow.block("caption", " ".join(_line(part) for part in said if part is not None))
    for table in [element] if element.tag in ("table", "informaltable") else element.iter("table", "informaltable"):
        if element is table or next(table.iterancestors("table", "informaltable"), None) is None:
            flow.block("table", *table_lines(_like_html(table), _line))
    for note in element.iterchildren("note"):
        flow.block("footnote", _line(note))


def _like_html(table: Any) -> Any:
    """The table, its rows and cells renamed and its spans counted as in HTML."""
    for row in list(table.iter("row")):
        row.tag = "tr"
        for cell in row.iterchildren("cell", "entry"):
            cell.tag = "th" if "label" in (cell.get("role"), row.get("role")) else "td"
            first, last = _DIGITS.search(cell.get("namest") or ""), _DIGITS.search(cell.get("nameend") or "")
            wide = str(int(last[0]) - int(first[0]) + 1) if first and last else cell.get("cols")
            more = cell.get("morerows") or ""
            high = str(int(more) + 1) if more.isascii() and more.isdigit() and len(more) < 8 else cell.get("rows")
            for name, count in (("colspan", wide), ("rowspan", high)):
                if count:
                    cell.set(name, count)
    return table


def _entry(element: Any) -> Iterator[str]:
    """An entry of a bibliography: as printed where that is kept, else its fields one after the other."""
    for note in element.iter("note"):
        if note.get("type") == "raw_reference":
            yield _line(note)
            return
    if element.tag in ("bibl", "bibliomixed"):
        yield _line(element)
        return
    for part in element.iter():
        yield collapsed(part.text or "") or (part.get("when") or "" if part.tag == "date" else "")
        yield "" if part is element else collapsed(part.tail or "")


def _line(element: Any) -> str:
    return line_of(element, lambda inner: inner.tag in _LEFT_OUT or inner.tag in ("note", "footnote"), _APART)
