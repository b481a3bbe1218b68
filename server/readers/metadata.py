"""What files say about themselves (meta tags, front matter, article metadata) -> an Identity."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from server.readers.identifiers import arxiv_in, normal_doi
from server.types import Identity

_YEAR = re.compile(r"(?<!\d)(?:18|19|20)\d\d(?!\d)")
_BETWEEN_NAMES = re.compile(r"\s*(?:[;；、，]|\s(?:and|und|&)\s)\s*")
_MAX_AUTHORS = 500
_MAX_NAME = 200  # characters
_MAX_FIELD = 20_000  # characters; what is longer is no list of names


def identity_of(authors: Iterable[str], *, abstract: str = "", date: str = "", doi: str = "", arxiv_id: str = "") -> Identity:
    """The identity from fields as they stand in the file, any of them empty: "doi:10.1/X" -> "10.1/x", "2101.00001v2", "May 2021"."""
    year = _YEAR.search(date[:_MAX_NAME])
    arxiv_id = arxiv_in(arxiv_id[:_MAX_NAME]) or arxiv_in(f"arXiv:{arxiv_id[:_MAX_NAME].strip()}")
    own_doi = normal_doi(doi[:_MAX_FIELD])
    return Identity(_names(authors), " ".join(abstract.split()), int(year[0]) if year else None, own_doi, arxiv_id or arxiv_in(own_doi))


def _names(fields: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in order; "Curie, Marie" is turned round, and a field of several names is taken apart."""
    found: dict[str, None] = {}
    for field in fields:
        for name in _split(" ".join(field[:_MAX_FIELD].split())):
            last, comma, first = name.partition(",")
            whole = f"{first.strip()} {last.strip()}" if comma and "," not in first else name
            if whole.strip() and len(found) < _MAX_AUTHORS:
                found[whole.strip()[:_MAX_NAME]] = None
    return tuple(found)


def _split(field: str) -> Sequence[str]:
    parts = [part.strip(" ,") for part in _BETWEEN_NAMES.split(field)]
    by_comma = [part.strip() for part in field.split(",")]
    if len(parts) == 1 and len(by_comma) > 1 and all(" " in part for part in by_comma):
        return by_comma  # "Marie Curie, Pierre Curie": every part is a whole name
    return [name for part in parts for name in (by_comma if len(parts) == 1 and part.count(",") > 1 else _whole_names(part))]


def _whole_names(part: str) -> Sequence[str]:
    """ "A. Lee, B. Wu" in "A. Lee, B. Wu and C. Kim" are two names, "Lee, A." is one."""
    pieces = [piece.strip() for piece in part.split(",")]
    return pieces if len(pieces) > 1 and all(" " in piece for piece in pieces) else [part]
