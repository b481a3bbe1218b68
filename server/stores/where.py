"""Which part of a library a search may look at; in: files, years, authors, headings; out: a condition on the rows of library.db.

What is given must all hold. Files are exact names. A file whose year is not known is in no range of years. An author is found by part of
a name, a section by part of the headings above it, neither minding case or the form of characters.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from server.errors import Invalid

_HOLDS_ONE = "EXISTS (SELECT 1 FROM json_each({}) own, json_each(?) wanted WHERE instr(folded(own.value), wanted.value) > 0)"
_AUTHOR, _SECTION = _HOLDS_ONE.format("f.authors"), _HOLDS_ONE.format("c.section")


@dataclass(frozen=True, slots=True)
class Where:
    """Empty fields leave everything in; of several files, authors or sections any one will do. Years are both included."""

    files: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    authors: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.year_from is not None and self.year_to is not None and self.year_from > self.year_to:
            raise Invalid(f"year_from {self.year_from} is after year_to {self.year_to}")
        for name, given in (("files", self.files), ("authors", self.authors), ("sections", self.sections)):
            if any(not item.strip() for item in given):
                raise Invalid(f"{name} holds an empty one; leave it out to search everywhere")

    def __bool__(self) -> bool:
        return self != EVERYWHERE

    def condition(self) -> tuple[str, list[Any]]:
        """(an SQL condition on files f and chunks c, its values); `folded` is a function that the connection has."""
        parts: list[str] = ["1"]
        values: list[Any] = []
        if self.files:
            parts.append("f.name IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(self.files))
        if self.year_from is not None:
            parts.append("f.year >= ?")
            values.append(self.year_from)
        if self.year_to is not None:
            parts.append("f.year <= ?")
            values.append(self.year_to)
        for condition, wanted in ((_AUTHOR, self.authors), (_SECTION, self.sections)):
            if wanted:
                parts.append(condition)
                values.append(json.dumps([folded(item) for item in wanted]))
        return " AND ".join(parts), values


def folded(text: str) -> str:
    """The text without case, with one form of each character and single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


EVERYWHERE = Where()
