"""The head of a web page -> its title, its Identity and what it says it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from server.readers.metadata import identity_of
from server.readers.web.flow import collapsed
from server.types import Identity

_TITLES = ("citation_title", "dc.title", "dcterms.title", "og:title", "twitter:title")
_AUTHORS = ("citation_author", "dc.creator", "dcterms.creator", "citation_authors", "author", "article:author")
_DATES = ("citation_publication_date", "citation_date", "citation_online_date", "dc.date", "dcterms.issued", "article:published_time")
_DOIS = ("citation_doi", "dc.identifier", "dcterms.identifier", "prism.doi", "bepress_citation_doi", "doi")
_ABSTRACTS = ("citation_abstract", "dc.description.abstract", "dcterms.abstract")
_DESCRIPTIONS = ("dc.description", "dcterms.description", "description", "og:description")
_SITE = re.compile(r"\s+[|–—·-]\s+|\s*_\s*|\s*[-–—]\s*(?=arXiv|知乎|知网)")
_MAX_META = 2000  # elements that are looked at
_MAX_TITLE = 300  # characters


class Head(NamedTuple):
    """What a page says about itself; empty where it does not."""

    title: str
    identity: Identity
    description: str


def head_of(root: Any, first_heading: str) -> Head:
    """From the meta elements that publishers write for Google Scholar (citation_*), Dublin Core, and <title>; else its first h1."""
    fields: dict[str, list[str]] = {}
    for number, meta in enumerate(root.iter("meta")):
        name = (meta.get("name") or meta.get("property") or "").strip().lower()
        content = collapsed(meta.get("content") or "")
        if name and content and number < _MAX_META:
            fields.setdefault(name, []).append(content)
    links = [link.get("href") or "" for link in root.iter("link") if link.get("rel") == "canonical"][:3]
    arxiv = [*fields.get("citation_arxiv_id", ()), *(link for link in links if "arxiv.org/" in link)]
    identity = identity_of(
        _first(fields, _AUTHORS),
        abstract=" ".join(_first(fields, _ABSTRACTS)[:1]),
        date=" ".join(_first(fields, _DATES)[:1]),
        doi=" ".join(text for name in _DOIS for text in fields.get(name, ())),
        arxiv_id="".join(arxiv[:1]),
    )
    return Head(_title(root, fields, first_heading), identity, " ".join(_first(fields, _DESCRIPTIONS)[:1]))


def _first(fields: dict[str, list[str]], names: Sequence[str]) -> list[str]:
    return next((fields[name] for name in names if name in fields), [])


def _title(root: Any, fields: dict[str, list[str]], heading: str) -> str:
    """As its publisher gives it; of "Title - Site" in <title> the part that is the first heading."""
    if given := _first(fields, _TITLES):
        return given[0][:_MAX_TITLE]
    element = next(root.iter("title"), None)
    whole = collapsed("".join(element.itertext())) if element is not None else ""
    if heading and (heading in whole or not whole):
        return heading[:_MAX_TITLE]
    longest = max(_SITE.split(whole[:2000]), key=len) if whole else ""
    return (whole if len(longest) < len(whole) / 2 else longest)[:_MAX_TITLE]
