"""A formula element (MathML, JATS) -> its text: the TeX it carries, else its alternative text, else its symbols."""

from __future__ import annotations

import re
from typing import Any

from server.readers.web.flow import collapsed, texts

_STYLE = re.compile(r"^(?:\\(?:displaystyle|textstyle|scriptstyle)\s*)+")
_UNSEEN = re.compile("[\u2061-\u2064]")  # function application, invisible times
_SPACED = re.compile(r"(?<=[^\s\w])\s+|\s+(?=[^\s\w])")


def formula_text(element: Any) -> str:
    """One line: TeX from <annotation encoding="application/x-tex"> or <tex-math>, else alttext, else the symbols as printed."""
    for inner in element.iter("annotation", "tex-math"):
        if inner.tag == "tex-math" or "tex" in (inner.get("encoding") or "").lower():
            return _plain_tex("".join(inner.itertext()))
    if alternative := element.get("alttext"):
        return _plain_tex(alternative)
    symbols = "".join(texts(element, ("annotation", "annotation-xml")))
    return _SPACED.sub("", collapsed(_UNSEEN.sub("", symbols)))


def _plain_tex(text: str) -> str:
    """TeX without its document, its dollars and its \\displaystyle."""
    start, end = text.find(r"\begin{document}"), text.rfind(r"\end{document}")
    if 0 <= start < end:
        text = text[start + len(r"\begin{document}") : end]
    text = collapsed(text).strip("$ ").removeprefix(r"\[").removesuffix(r"\]").strip()
    return _STYLE.sub("", text).strip("{} ") if text.startswith(r"{\displaystyle") else _STYLE.sub("", text)
