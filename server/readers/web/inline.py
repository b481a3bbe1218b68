"""An element of article XML (JATS, TEI, DocBook) -> its text in one line: formulas and powers in their places, no two texts glued."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from server.readers.web.flow import collapsed, last_of, power
from server.readers.web.formulas import formula_text

FORMULAS = frozenset(("inline-formula", "disp-formula", "alternatives", "math", "tex-math", "formula", "inlineequation"))
_SKIPPED_NAMES = (
    "graphic media inline-graphic object-id permissions alt-text long-desc processing-meta indexterm mediaobject inlinemediaobject"
)
SKIPPED = frozenset(_SKIPPED_NAMES.split())  # what is no text of its place, or none at all
_APART_NAMES = "p title subtitle label caption sec break list-item def-item def fn kwd td th speech verse-line disp-quote attrib abstract"
APART = frozenset(_APART_NAMES.split())  # of JATS: print sets them apart, so their texts are


def _nothing(element: Any) -> bool:
    return False


def line_of(element: Any, without: Callable[[Any], bool] = _nothing, apart: Container[str] = APART) -> str:
    """The text of `element` in reading order, but not that of elements below it that are to be `without`.

    A space stands around elements `apart`.
    """
    from lxml import etree

    pieces: list[str] = []
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, inner in walk:
        if event == "end":
            pieces.append(" " if inner.tag in apart else "")
            pieces.append("" if inner is element else inner.tail or "")
        elif inner is not element and (inner.tag in SKIPPED or without(inner)):
            walk.skip_subtree()
        elif inner.tag in FORMULAS:
            pieces.append(formula_text(inner))
            walk.skip_subtree()
        elif is_raised(inner) and (appended := power(inner, last_of(pieces))):
            pieces.append(appended)
            walk.skip_subtree()
        else:
            pieces.append(f" {inner.text or ''}" if inner.tag in apart else inner.text or "")
    return collapsed("".join(pieces))


def is_raised(element: Any) -> bool:
    """Whether `element` is a superscript."""
    return element.tag in ("sup", "superscript") or (element.tag == "hi" and "sup" in (element.get("rend") or ""))
