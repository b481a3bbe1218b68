"""An element of a page -> whether it is there to be clicked or counted, not read: buttons, marks of links, numbers of code lines."""

from __future__ import annotations

import re
from collections.abc import Set
from itertools import islice
from typing import Any

from server.readers.web.flow import collapsed
from server.readers.web.html_hidden import Styles

# Wikipedia's "[edit]" and "↑", the "¶" and "#" that Sphinx, MkDocs and AnchorJS put behind headings, LaTeXML's doubled note marks
_CONTROLS = frozenset(("mw-editsection", "mw-cite-backlink", "headerlink", "anchorjs-link", "heading-anchor", "copybtn", "ltx_note_mark"))
_GUTTER_NAMES = "linenos lineno linenumber linenumbers line-number line-numbers line-numbers-rows ln gutter rouge-gutter hljs-ln-numbers"
_GUTTERS = frozenset(_GUTTER_NAMES.split())
_NUMBERS = re.compile(r"[\d\s]*")
_PROMPT = re.compile(r"[\W\d_]*|[^\n]{0,60}[$#%>❯:]\s*")  # else what cannot be selected is code of a page that forbids to copy it
_MAX_PIECES = 500  # texts of an element that are looked at; its first ones tell what it is
_ACTION_WORD = "copy|share|edit|expand|collapse|toggle|show|hide|close|open|print|save|cite|link|permalink|bookmark|download|menu|listen"
_ACTION = re.compile(
    rf"(?:{_ACTION_WORD})(?: (?:{_ACTION_WORD}|code|to|the|clipboard|this|section|page|all|more|less|details))*", re.IGNORECASE
)
_RUNNING = re.compile(r"[\w,;:，、；：(（]")


def is_control(element: Any, names: Set[str], in_heading: bool) -> bool:
    """Whether `element` is left out: a mark behind a heading, a column of line numbers, or a button. A button is read where it is (in)
    a heading or where running text stands beside it, unless it only says what a click does ("Copy code")."""
    if names & _CONTROLS:
        return True
    if names & _GUTTERS and element.tag in ("td", "th", "div", "pre"):
        return _NUMBERS.fullmatch(_said(element)) is not None
    if element.tag != "button":
        return False
    return _ACTION.fullmatch(collapsed(_said(element))) is not None or not (in_heading or _RUNNING.search(_beside(element)))


def is_uncopied(element: Any, names: Set[str], style: Styles) -> bool:
    """Whether `element`, inside code, is no code: a control, or a prompt or line number that cannot be selected."""
    if element.tag == "button" or names & _CONTROLS or (names & _GUTTERS and _NUMBERS.fullmatch(_said(element))):
        return True
    return "none" in (style.get("user-select"), style.get("-webkit-user-select")) and _PROMPT.fullmatch(_said(element)) is not None


def _said(element: Any) -> str:
    return "".join(islice(element.itertext(), _MAX_PIECES))


def _beside(element: Any) -> str:
    """The text right before and right after `element`."""
    before = element.getprevious()
    parent = element.getparent()
    text = (before.tail if before is not None else parent.text if parent is not None else "") or ""
    return f"{text[-200:]} {(element.tail or '')[:200]}"
