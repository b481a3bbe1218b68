"""A formula of Word (OMML) -> one line of text: fractions with a slash, powers with ^, indices with _."""

from __future__ import annotations

from typing import Any

M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"


def math_text(element: Any) -> str:
    """The characters of a formula in reading order, with marks for what is set above, below or raised."""
    tag = element.tag.removeprefix(M)
    if tag == "t":
        return element.text or ""
    if tag.endswith("Pr"):
        return ""
    part = {child.tag.removeprefix(M): child for child in element if isinstance(child.tag, str)}

    def said(name: str) -> str:
        return math_text(part[name]) if name in part else ""

    if tag == "f":
        return f"{_grouped(said('num'))}/{_grouped(said('den'))}"
    if tag in ("sSup", "sSub", "sSubSup", "nary"):
        sign = _character(part.get("naryPr"), "chr", "∫") if tag == "nary" else ""
        below, above = said("sub"), said("sup")
        return f"{sign or said('e')}{'_' + _grouped(below) if below else ''}{'^' + _grouped(above) if above else ''}" + (
            f" {said('e')}" if sign else ""
        )
    if tag in ("limLow", "limUpp"):
        return f"{said('e')}{'_' if tag == 'limLow' else '^'}{_grouped(said('lim'))}"
    if tag == "sPre":
        return f"_{_grouped(said('sub'))}^{_grouped(said('sup'))}{said('e')}"
    if tag in ("acc", "bar"):
        return _marked(said("e"), _accent(tag, part.get(f"{tag}Pr")))
    if tag == "func":
        return f"{said('fName')} {said('e')}"
    if tag == "rad":
        return f"{said('deg')}√{_grouped(said('e'))}"
    if tag == "d":
        inner = ", ".join(math_text(child) for child in element.iterchildren(f"{M}e"))
        return f"{_character(part.get('dPr'), 'begChr', '(')}{inner}{_character(part.get('dPr'), 'endChr', ')')}"
    if tag in ("m", "eqArr"):
        return "; ".join(math_text(child) for child in element if not child.tag.endswith("Pr"))
    if tag == "mr":
        return ", ".join(map(math_text, element))
    return "".join(math_text(child) for child in element if isinstance(child.tag, str))


def _accent(tag: str, properties: Any) -> str:
    """The combining mark of an accent, or of a bar, which stands below where nothing says otherwise."""
    if tag == "acc":
        return _character(properties, "chr", "\u0302")
    return "\u0304" if _character(properties, "pos", "bot") == "top" else "\u0332"


def _marked(text: str, mark: str) -> str:
    return f"{text}{mark}" if len(text) <= 1 else f"({text}){mark}"


def _grouped(text: str) -> str:
    return text if len(text) <= 1 or text.isalnum() else f"({text})"


def _character(properties: Any, tag: str, default: str) -> str:
    element = None if properties is None else properties.find(f"{M}{tag}")
    return default if element is None else element.get(f"{M}val", "")
