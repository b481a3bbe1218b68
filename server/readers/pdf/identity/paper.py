"""The first two pages of a PDF and its metadata -> which paper it is: title, authors, abstract, year, DOI, arXiv identifier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.readers.identifiers import (
    DOI,
    arxiv_in,
    citation_year,
    copyright_year,
    date_year,
    issue_year,
    labelled_year,
    normal_doi,
)
from server.readers.pdf.identity.abstract import abstract_of
from server.readers.pdf.identity.authors import authors_of, front_lines
from server.readers.pdf.identity.metadata import Metadata, metadata_of
from server.readers.pdf.identity.title import Title, letters, title_of
from server.readers.pdf.page import Line, Page
from server.readers.pdf.text import Vocabulary
from server.types import Identity, Language, Section

_PAGES = 2  # how many pages are looked at; a third gives words that are no names
_EDGE = 0.1  # share of the page's height where running heads and feet stand
_DOI_LABEL = re.compile(r"(?:doi\s*号?\s*[:：.]?\s*|doi\.org/\s*|digital object identifier\s*:?\s*)$", re.IGNORECASE)
_OF_ANOTHER = re.compile(
    r"\b(?:data(?:sets?)?|codes?|softwares?|scripts?|archived?|repository|supplement\w*|supporting information|"
    r"preprint (?:also|version|of|exists)|(?:as|on|in) an? (?:\w+ )?preprint|protocol|erratum|"
    r"correct(?:ion|s)|original (?:article|paper|work)|comment on|reply to|refers to|replicat\w+|zenodo dump|model weights|materials)\b",
    re.IGNORECASE,
)
_OF_THIS = re.compile(r"\b(?:published|to appear|cite|citation|(?:this|the) (?:article|paper|study|manuscript|version))\b", re.IGNORECASE)
_REFERENCE = re.compile(r"\s*(?:\[\d+\]|\d{1,3}\.\s)")


@dataclass(frozen=True, slots=True)
class Front:
    """The first pages with every line they print, the title, and what the metadata say."""

    pages: tuple[Page, ...]
    title: Title
    metadata: Metadata
    vocabulary: Vocabulary


def front_of(source: Any, pages: Sequence[Page], vocabulary: Vocabulary) -> Front:
    """Taken before running heads are dropped from `pages`: they hold DOIs and years."""
    kept = tuple(replace(page) for page in pages[: _PAGES + 1])
    metadata = metadata_of(source)
    return Front(kept, title_of(kept, metadata.title, vocabulary), metadata, vocabulary)


def identity_of(front: Front, sections: Sequence[Section], language: Language) -> Identity:
    """What the front pages say, then the sections, then the metadata; `language` is that of the document's running text."""
    doi, arxiv_id = _doi(front), _arxiv(front)
    return Identity(
        authors=_authors(front),
        abstract=abstract_of(sections, language, front.pages, front.vocabulary, front.title.body),
        year=_year(front, arxiv_id),
        doi=doi,
        arxiv_id=arxiv_id,
    )


def _authors(front: Front) -> tuple[str, ...]:
    """As printed; the metadata's when their names are all printed on page one and the lines below the title gave none or fewer."""
    printed, meant = authors_of(front.pages, front.title), front.metadata.authors
    if len(meant) > len(printed):
        shown = letters(" ".join(line.text for page in front.pages[:_PAGES] for line in page.lines))
        if all(letters(name) in shown for name in meant) and {letters(name) for name in printed} <= {letters(name) for name in meant}:
            return meant
    return printed


def _edges(page: Page) -> list[Line]:
    return [line for line in page.lines if line.y1 < _EDGE * page.height or line.y0 > (1 - _EDGE) * page.height]


def _heads(page: Page, title: Title) -> str:
    """The running head as one text."""
    return " ".join(line.text for line in _edges(page) if line.y0 < page.height / 2 and not title.holds(line))


def _feet(page: Page) -> list[str]:
    return [line.text for line in _edges(page) if line.y0 > page.height / 2]


def _year(front: Front, arxiv_id: str) -> int | None:
    """Printed as published, in a running head or the paper's own citation, ©, arXiv's stamp, accepted, received, below the title; at last
    the year in which the file was made.
    """
    pages = front.pages[:_PAGES]
    lines = [line.text for page in pages for line in page.lines if not front.title.holds(line)]
    stamp = front.pages[0].aside if arxiv_id else ""
    below = [line.text for line in front_lines(front.pages[0], front.title)]
    return (
        labelled_year(lines, 0)
        or issue_year((_heads(page, front.title) for page in pages), (text for page in pages for text in _feet(page)))
        or citation_year(lines)
        or copyright_year(lines)
        or date_year([stamp[-40:]])
        or labelled_year(lines, 1)
        or labelled_year(lines, 2)
        or date_year(below)
        or front.metadata.year
    )


def _arxiv(front: Front) -> str:
    """From the stamp along the margin, a line of its own at the edge of page one, the file's metadata, or arXiv's own DOI."""
    page = front.pages[0]
    alone = [line.text for line in page.lines if line.text.lower().startswith("arxiv") and len(line.text) < 80]
    texts = [page.aside, *(line.text for line in _edges(page)), *alone]
    return next(filter(None, map(arxiv_in, texts)), "") or front.metadata.arxiv_id


def _doi(front: Front) -> str:
    """The DOI of this paper: the metadata's, or the likeliest one printed on page one or in the heads and feet of page two."""
    scores: dict[str, float] = {}
    for page in front.pages[:_PAGES]:
        edges = {id(line) for line in _edges(page)}
        below = {id(line) for line in front_lines(page, front.title)} if page.number == 1 else set()
        for at, line in enumerate(page.lines):
            if "10." not in line.text or (page.number > 1 and id(line) not in edges):
                continue
            before, after = page.lines[max(0, at - 1)].text if at else "", page.lines[at + 1].text if at + 1 < len(page.lines) else ""
            for match in DOI.finditer(line.text):
                doi = normal_doi(_whole(match, line.text, after))
                if not doi:
                    continue
                small = line.x1 - line.x0 < 0.3 * page.width or line.size < 0.93 * front.title.body
                score = 2.0 * (id(line) in edges or id(line) in below or small)
                score += _told(f"{before} {line.text[: match.start()]}", line.text)
                scores[doi] = max(scores.get(doi, -9.0), score) + 0.1 * (doi in scores)
    best = max(scores, key=lambda doi: scores[doi], default="")
    if front.metadata.doi and (front.metadata.doi in scores or not best or scores[best] < 4):
        return front.metadata.doi
    return best if best and scores[best] >= 2.5 else ""


def _told(before: str, line: str) -> float:
    """What the words around a DOI say about whose it is; `before` is the text up to it, with the line above."""
    score = 1.5 * (_DOI_LABEL.search(before) is not None) + 1.0 * (_OF_THIS.search(before) is not None)
    near = before[-90:]
    if _OF_ANOTHER.search(near):
        score -= 4.0
    return score - 4.0 * (_REFERENCE.match(line) is not None)


def _whole(match: re.Match[str], line: str, after: str) -> str:
    """A DOI that was broken at the end of its line, put together: it ends with a mark inside a DOI, and the next line has no label."""
    text = match.group()
    if match.end() == len(line.rstrip()) and text[-1:] in "/._-" and after and not after[0].isspace():
        following = after.split()[0]
        if any(map(str.isdigit, following)) and len(following) < 40 and not DOI.match(following):
            return text + following
    return text
