"""The text before a superscript and the superscript -> what to append: "10" and "5" give "^5", so that 10⁵ is not read as 105.

Shared by all formats that say what is raised. A reader joins the pieces of one superscript (runs, spans) before it asks here.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"([-+\u2212\u2013\u2010\u2011]?)\s?(\d{1,6}(?:\.\d{1,6})?)")  # minus signs as they are typed: hyphens, −, –
_BRACKET = re.compile(r"\(([^()]{0,200}(?:\([^()]{0,200}\)[^()]{0,200}){0,5})\)\Z")
_YEAR = re.compile(r"(?<![\d.,])(?:18|19|20)\d\d\Z")  # "in 2019¹" has a footnote
_REMARK = re.compile(r"[^\W\d_]{4}|[=<>≤≥≈±]")  # "(see above)¹", "(n = 5)¹": what no formula raises to a power
_SEEN = 2000  # characters before the superscript that can matter


def raised_text(before: str, raised: str, *, mark: bool = False) -> str:
    """What to append to `before` for the superscript `raised`: with "^" in front when it is a number, signed or not, directly behind a
    digit or a closing bracket, else as it stands ("1st", "words¹", "Ca2+").

    `mark` says that it is known to be a mark of a note (a link, a reference). Such a mark, and one behind a year or a remark in
    brackets, gets no "^"; behind a digit it gets a space instead, so that "2019¹" does not become 20191.
    """
    found = _NUMBER.fullmatch(raised.strip())
    if found is None or not before or not (before[-1].isdecimal() or before[-1] == ")"):
        return raised
    sign, number = found.groups()
    if mark or (not sign and _is_note(before[-_SEEN:])):
        return f" {raised}" if before[-1] != ")" else raised
    return f"^{'-' if sign and sign != '+' else sign}{number}"


def _is_note(before: str) -> bool:
    if before[-1] != ")":
        return _YEAR.search(before) is not None
    bracket = _BRACKET.search(before)
    return bracket is not None and (_REMARK.search(bracket[1]) is not None or _YEAR.search(bracket[1]) is not None)
