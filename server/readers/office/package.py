"""A zip of XML parts -> its trees, its parts by relationship, its title and authors; one parser that fetches and expands nothing."""

from __future__ import annotations

import posixpath
import zipfile
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

# A file saved as "Strict Open XML" names its vocabularies differently; nothing else of what is read here differs.
_STRICT = (
    (b"http://purl.oclc.org/ooxml/wordprocessingml/main", b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"),
    (b"http://purl.oclc.org/ooxml/officeDocument/math", b"http://schemas.openxmlformats.org/officeDocument/2006/math"),
    (b"http://purl.oclc.org/ooxml/spreadsheetml/main", b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"),
    (
        b"http://purl.oclc.org/ooxml/officeDocument/relationships",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    ),
)
_DC = "{http://purl.org/dc/elements/1.1/}"


class Related(NamedTuple):
    """A part that another one refers to: `kind` is the last word of the relationship's type ("styles", "worksheet")."""

    kind: str
    name: str


def parse(data: bytes) -> Any:
    """The root element. Raises lxml.etree.XMLSyntaxError on anything that is no well-formed XML."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True)
    return etree.fromstring(data, parser)


class Package:
    """The parts of an OOXML or OpenDocument file; names are compared without case, as the standard wants it."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.lower(): name for name in archive.namelist()}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._names

    def xml(self, name: str) -> Any:
        """The root element of a part. Raises KeyError when there is none."""
        data = self._archive.read(self._name(name))
        if b"purl.oclc.org/ooxml" in data[:20_000]:
            for strict, usual in _STRICT:
                data = data.replace(strict, usual)
        return parse(data)

    def open(self, name: str) -> IO[bytes]:
        """The bytes of a part, to be read in pieces."""
        return self._archive.open(self._name(name))

    def related(self, name: str = "") -> dict[str, Related]:
        """What the part refers to inside the package, by the id of the relationship; "" for the package itself.

        Links to the outside and to parts that are missing are left out: a lost picture costs no text.
        """
        folder, base = posixpath.split(name)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        if rels not in self:
            return {}
        found: dict[str, Related] = {}
        for link in self.xml(rels).iterchildren("{*}Relationship"):
            target = posixpath.normpath(posixpath.join("/", folder, unquote(link.get("Target", "")))).lstrip("/")
            if link.get("TargetMode") != "External" and target in self:
                found[link.get("Id", "")] = Related(link.get("Type", "").rpartition("/")[2], self._name(target))
        return found

    def first(self, kind: str, name: str = "") -> str:
        """The name of the first part of this kind that `name` refers to, "" when there is none."""
        return next((part.name for part in self.related(name).values() if part.kind == kind), "")

    def core(self) -> tuple[str, str]:
        """(title, author) of an OOXML file's properties, as they stand there, "" where they do not."""
        name = self.first("core-properties")
        root = self.xml(name) if name else None
        return ("", "") if root is None else (text_of(root, f"{_DC}title"), text_of(root, f"{_DC}creator"))

    def _name(self, name: str) -> str:
        return self._names[name.lower()]


def text_of(root: Any, tag: str) -> str:
    """The text of the first element with this tag below `root`, its white space reduced; "" when there is none."""
    element = next(root.iter(tag), None)
    return "" if element is None else " ".join("".join(element.itertext()).split())
