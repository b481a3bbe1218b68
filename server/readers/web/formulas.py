"""A formula element (MathML, JATS) -> its text: the TeX it carries, else its alternative text, else its symbols in one line.

In one line a fraction has a slash, a power "^" and an index "_", as in formulas of Word.
"""

from __future__ import annotations

import re
from typing import Any

from server.readers.web.flow import collapsed

_STYLE = re.compile(r"^(?:\\(?:displaystyle|textstyle|scriptstyle)\s*)+")
_UNSEEN = re.compile("[\u2061-\u2064]")  # function application, invisible times
_DEEPEST = 60  # levels whose structure is looked at; below them only symbols
_TOKENS = frozenset(("mi", "mn", "mo", "ms"))
_SCRIPTED = frozenset(("msup", "msub", "msubsup", "mover", "munder", "munderover"))
_LISTED = frozenset(("mtable", "mtr", "mlabeledtr", "mfenced", "alternatives"))
_ROWS_NAMES = "math mrow mstyle mpadded merror menclose msqrt mtd semantics mfrac mroot none"
_MATHML = frozenset(_ROWS_NAMES.split()) | _SCRIPTED  # white space between their children is indentation
_LEFT_OUT = frozenset(("label", "annotation", "annotation-xml", "mphantom", "mspace", "mprescripts", "object-id", "graphic"))
_PRIMES = frozenset("′″‴'’")
_ACCENTS = {"¯": "\u0304", "‾": "\u0304", "ˉ": "\u0304", "^": "\u0302", "ˆ": "\u0302", "~": "\u0303", "˜": "\u0303", "˙": "\u0307"}
_ACCENTS |= {"¨": "\u0308", "→": "\u20d7", "⃗": "\u20d7"}


def formula_text(element: Any) -> str:
    """One line: TeX from <annotation encoding="application/x-tex"> or <tex-math>, else alttext, else the symbols as printed. The number
    that JATS puts in a <label> is left out."""
    for inner in element.iter("annotation", "tex-math"):
        if inner.tag == "tex-math" or "tex" in (inner.get("encoding") or "").lower():
            return _plain_tex("".join(inner.itertext()))
    if alternative := element.get("alttext"):
        return _plain_tex(alternative)
    return collapsed(_said(element, 0))


def _plain_tex(text: str) -> str:
    """TeX without its document, its dollars and its \\displaystyle."""
    start, end = text.find(r"\begin{document}"), text.rfind(r"\end{document}")
    if 0 <= start < end:
        text = text[start + len(r"\begin{document}") : end]
    text = collapsed(text).strip("$ ").removeprefix(r"\[").removesuffix(r"\]").strip()
    return _STYLE.sub("", text).strip("{} ") if text.startswith(r"{\displaystyle") else _STYLE.sub("", text)


def _said(element: Any, depth: int) -> str:
    tag = element.tag
    if not isinstance(tag, str) or tag in _LEFT_OUT:
        return ""
    if depth > _DEEPEST or tag in _TOKENS:
        return _UNSEEN.sub("", collapsed("".join(element.itertext())))
    if tag == "mtext":
        return f" {collapsed(''.join(element.itertext()))} "
    if tag in _LISTED:
        return _listed(element, depth)
    if tag in ("sup", "sub"):
        return _raised("^" if tag == "sup" else "_", _row(element, depth))
    if tag == "msqrt":
        return f"√{_grouped(_row(element, depth))}"
    if tag == "mmultiscripts":
        return _with_scripts(element, depth)
    parts = [_said(child, depth + 1).strip() for child in element] if tag in _SCRIPTED or tag in ("mfrac", "mroot") else []
    if len(parts) < 2:
        return _row(element, depth)
    if tag == "mfrac":
        return f"({parts[0]}; {parts[1]})" if _is_column(element) else f"{_grouped(parts[0])}/{_grouped(parts[1])}"
    return f"{parts[1]}√{_grouped(parts[0])}" if tag == "mroot" else _scripted(tag, parts)


def _scripted(tag: str, parts: list[str]) -> str:
    """A base with what is set above and below it."""
    base, first, *rest = parts
    if tag == "mover" and first in _ACCENTS and base:
        return f"{base}{_ACCENTS[first]}" if len(base) == 1 else f"({base}){_ACCENTS[first]}"
    if tag in ("msup", "mover"):
        return base + _raised("^", first)
    return base + _raised("_", first) + "".join(_raised("^", above) for above in rest[:1])


def _with_scripts(element: Any, depth: int) -> str:
    """A base with pairs (below, above) of scripts behind it, and in front of it those after <mprescripts>."""
    base = ""
    scripts: tuple[list[str], list[str]] = ([], [])
    place = 0
    for at, child in enumerate(element):
        if child.tag == "mprescripts":
            place = 1
        elif at == 0:
            base = _said(child, depth + 1)
        else:
            scripts[place].append(_said(child, depth + 1))
    behind, front = ("".join(_raised("_^"[at % 2], text) for at, text in enumerate(side)) for side in scripts)
    return f"{front}{base}{behind}"


def _raised(sign: str, text: str) -> str:
    text = text.strip()
    return text if not text or (sign == "^" and set(text) <= _PRIMES) else f"{sign}{_grouped(text)}"


def _listed(element: Any, depth: int) -> str:
    """Rows of a matrix apart by semicolons, its cells by commas; of alternatives the first that says something."""
    parts = [_said(child, depth + 1).strip() for child in element]
    if element.tag == "mtable":
        return "; ".join(filter(None, parts))
    if element.tag == "alternatives":
        return next(filter(None, parts), "")
    if element.tag == "mfenced":
        return f"{element.get('open', '(')}{', '.join(parts)}{element.get('close', ')')}"
    return _cells(parts[1:] if element.tag == "mlabeledtr" else parts)  # its first cell is the number of the equation


def _cells(parts: list[str]) -> str:
    """The cells of a row; one that begins with a relation goes on with an aligned equation, without a comma."""
    said = ""
    for part in filter(None, parts):
        said += part if not said or part[0] in "=≤≥<>≈≡∼∝∈→" else f", {part}"
    return said


def _row(element: Any, depth: int) -> str:
    """What stands inside, one after the other; words and what ends in a script are parted from the letter or number behind them."""
    if element.tag not in _MATHML:
        return (element.text or "") + "".join(_said(child, depth + 1) + (child.tail or "") for child in element)
    pieces = [(element.text or "").strip()]
    for child in element:
        pieces += (_said(child, depth + 1), (child.tail or "").strip())
    said: list[str] = []
    for piece in filter(None, pieces):
        if said and said[-1][-1].isalnum() and piece[0].isalnum():
            is_factor = (len(said[-1]) == 1 or said[-1].isdecimal()) and (len(piece) == 1 or not piece[:2].isalpha())
            said.append("" if is_factor else " ")
        said.append(piece)
    return "".join(said)


def _is_column(fraction: Any) -> bool:
    return (fraction.get("linethickness") or "").strip() in ("0", "0pt", "0px", "0em")


def _grouped(text: str) -> str:
    return text if len(text) <= 1 or text.isalnum() else f"({text})"
