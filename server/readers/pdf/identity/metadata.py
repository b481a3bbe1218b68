"""A PDF's Info dictionary and XMP packet -> title, authors, DOI, arXiv identifier and year as its maker wrote them: witnesses only."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.readers.identifiers import arxiv_in, normal_doi
from server.readers.names import names_in

LONGEST_PACKET = 400_000  # characters; packets of real papers have 1 to 60 thousand
_NO_TITLE = re.compile(
    r"(?:untitled|microsoft word|powerpoint|.*\.(?:docx?|tex|dvi|pdf|indd|qxd|ps)$|arxiv|title|document\d*|paper|manuscript|template|"
    r"\S+$|无标题|未命名|\W*$)",
    re.IGNORECASE,
)
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_DATE = re.compile(r"D?:?((?:19|20)\d\d)")
_TITLES = ("title", f"{_DC}title")
_AUTHORS = ("author", f"{_DC}creator")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file says about itself apart from its pages; empty where it does not. `year` is that of its making."""

    title: str = ""
    authors: tuple[str, ...] = ()
    doi: str = ""
    arxiv_id: str = ""
    year: int | None = None


def metadata_of(source: Any) -> Metadata:
    """The metadata of an open pymupdf document. What is damaged, XMP too long or with a document type, counts as absent: the pages
    can be read without it.
    """
    import pymupdf

    try:
        values, packet = _info(source), source.get_xml_metadata() or ""
    except (RuntimeError, ValueError, pymupdf.mupdf.FzErrorBase):
        values, packet = {}, ""
    for name, found in xmp_values(packet).items():
        values.setdefault(name, []).extend(found)
    titles = [" ".join(text.split()) for name in _TITLES for text in values.get(name, ())]
    identifiers = [text for name, found in values.items() if re.search(r"doi$|identifier$|arxivid$", name) for text in found]
    created = next((match for text in values.get("creationdate", ()) if (match := _DATE.match(text))), None)
    return Metadata(
        title=next((text for text in titles if len(text) >= 6 and not _NO_TITLE.match(text)), ""),
        authors=max((_people(values.get(name, ())) for name in _AUTHORS), key=len),
        doi=next(filter(None, map(normal_doi, identifiers)), ""),
        arxiv_id=next(filter(None, map(arxiv_in, identifiers)), ""),
        year=int(created[1]) if created else None,
    )


def _info(source: Any) -> dict[str, list[str]]:
    """Every text of the Info dictionary by its name in lower case; publishers add names of their own ("doi", "arXivID")."""
    kind, where = source.xref_get_key(-1, "Info")
    if kind != "xref":
        return {name.lower(): [str(value)] for name, value in source.metadata.items() if value}
    number = int(where.split()[0])
    found = {}
    for name in source.xref_get_keys(number):
        kind, value = source.xref_get_key(number, name)
        if kind == "string":
            found[name.lower()] = [value]
    return found


def xmp_values(packet: str) -> dict[str, list[str]]:
    """The texts of an XMP packet by property: Dublin Core's under their whole names, others under their last part in lower case."""
    if not packet or len(packet) > LONGEST_PACKET or "<!" in re.sub(r"<!--|<!\[CDATA\[", "", packet):
        return {}
    try:
        root = ET.fromstring(packet[packet.find("<") :].rstrip("\x00 \r\n\t"))  # noqa: S314 - entities need a document type, and that was refused
    except (ET.ParseError, ValueError):
        return {}
    values: dict[str, list[str]] = {}
    for description in root.iter(f"{_RDF}Description"):
        for name, text in description.attrib.items():
            values.setdefault(_short(name), []).append(text)
        for child in description:
            texts = [item.text for item in child.iter(f"{_RDF}li")] or [child.text]
            values.setdefault(_short(child.tag), []).extend(text.strip() for text in texts if text and text.strip())
    return values


def _short(name: str) -> str:
    return name if name.startswith(_DC) else name.rpartition("}")[2].lower()


def _people(texts: Sequence[str]) -> tuple[str, ...]:
    """Names from one text or from one a person; "Smith, John" is turned round where each text or part is one person."""
    parts = [part.strip() for text in texts for part in (text.split(";") if ";" in text else [text])]
    turned = [re.fullmatch(r"([^,\d]+),\s*([^,\d]+)", part) for part in parts]
    if parts and all(match and len(match[1].split()) <= 3 and len(match[2].split()) <= 3 for match in turned):
        flipped = [f"{match[2]} {match[1]}" for match in turned if match]
        if len(parts) > 1 or not names_in(parts[0]):
            parts = flipped
    return tuple(name for part in parts for name in names_in(part))
