"""An element's own style -> why its text cannot be seen, if it cannot: what pages write for machines only is kept from readers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from server.types import HiddenReason

Styles = dict[str, str]
_SMALLEST = {"px": 2.0, "pt": 2.0, "em": 0.15, "rem": 0.15, "%": 15.0, "": 2.0}
_LENGTH = re.compile(r"(-?\d{0,9}\.?\d{1,9})\s*(px|pt|em|rem|%|vw|vh|)\b", re.IGNORECASE)
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?:[\s,/]+([\d.]{1,6})%?)?\s*\)")
_HEX = re.compile(r"#([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})\b")
_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0), "snow": (255, 250, 250), "ivory": (255, 255, 240), "whitesmoke": (245, 245, 245)}
_SIMPLE = re.compile(r"[a-z][a-z0-9]*|[.#][\w-]+", re.IGNORECASE)
_FAR = -999.0  # pixels; nothing is meant to be seen there
_ALIKE = 8  # of 255 in each channel
_MAX_RULES = 2000
Colour = tuple[int, int, int]


def style_of(element: Any, rules: dict[str, Styles]) -> Styles:
    """The declarations that hold for `element`: of its tag, classes and id in the page's own style sheet, then its attribute."""
    found: Styles = {}
    if rules:
        names = [element.tag, *(f".{name}" for name in (element.get("class") or "").split()[:20]), f"#{element.get('id')}"]
        for name in names:
            found |= rules.get(name, {})
    inline = element.get("style")
    return found | _declarations(inline) if inline else found


def rules_of(root: Any) -> dict[str, Styles]:
    """The rules of the page's <style> elements whose selector is one tag, class or id; those for print and small screens are not."""
    found: dict[str, Styles] = {}
    for sheet in root.iter("style"):
        for selectors, body in _rules(sheet.text or ""):
            for selector in selectors[:2000].rpartition(";")[2].split(","):
                name = selector.strip()
                if _SIMPLE.fullmatch(name) and len(found) < _MAX_RULES:
                    found[name] = found.get(name, {}) | _declarations(body)
    return found


def hidden_reason(element: Any, style: Styles, background: Colour | None) -> HiddenReason | None:
    """Why nobody sees the text of `element`, None when it can be seen or is only transparent (see `is_transparent`).

    `background` is the colour behind it, when known.
    """
    if not style and not element.attrib:
        return None
    if element.get("hidden") is not None or style.get("display") == "none" or style.get("visibility") in ("hidden", "collapse"):
        return "invisible"
    if _zero(style, "width", "height") and style.get("overflow") in ("hidden", "clip"):
        return "invisible"
    if re.match(r"rect\(\s*[01](?:px)?[\s,]+[01](?:px)?[\s,]+[01](?:px)?[\s,]+[01](?:px)?\s*\)", style.get("clip", "")):
        return "invisible"
    if _off_the_page(style):
        return "off the page"
    if _tiny(style):
        return "tiny"
    return _by_colour(element, style, background)


def is_transparent(style: Styles) -> bool:
    """Whether an element is drawn with no opacity: text that nobody sees, or sees when a script lets it appear."""
    return style.get("opacity") in ("0", "0.0", "0%")


def background_of(element: Any, style: Styles) -> Colour | None:
    """The colour that `element` paints behind its text, None when it says nothing (or a picture)."""
    value = style.get("background-color") or style.get("background") or element.get("bgcolor") or ""
    return colour_of(value)


def colour_of(value: str) -> Colour | None:
    """The first colour in a CSS value; None when it is none of those known here."""
    if not value:
        return None
    value = value[:200].lower()
    if match := _HEX.search(value):
        digits = match[1]
        parts = [digit * 2 for digit in digits[:3]] if len(digits) < 6 else [digits[at : at + 2] for at in (0, 2, 4)]
        return (int(parts[0], 16), int(parts[1], 16), int(parts[2], 16))
    if match := _RGB.search(value):
        return (int(match[1]), int(match[2]), int(match[3]))
    return next((colour for name, colour in _NAMED.items() if re.search(rf"\b{name}\b", value)), None)


def _by_colour(element: Any, style: Styles, background: Colour | None) -> HiddenReason | None:
    value = (style.get("color") or element.get("color") or "").lower()
    if value == "transparent" or ((match := _RGB.search(value)) and match[4] and float(match[4].strip(".") or 0) == 0):
        return "invisible"
    colour = colour_of(value) if value else None
    behind = background_of(element, style) or background
    if colour and behind and all(abs(one - other) <= _ALIKE for one, other in zip(colour, behind, strict=True)):
        return "background colour"
    return None


def _off_the_page(style: Styles) -> bool:
    places = [style.get("text-indent", ""), style.get("margin-left", ""), style.get("margin-top", "")]
    if style.get("position") in ("absolute", "fixed", "relative"):
        places += [style.get("left", ""), style.get("top", ""), style.get("right", ""), style.get("bottom", "")]
    return any((match := _LENGTH.match(place)) and float(match[1]) <= _FAR for place in places)


def _tiny(style: Styles) -> bool:
    size = style.get("font-size") or ""
    if not size and "font" in style:
        size = next((part for part in style["font"].split()[:10] if part[:1].isdigit() and _LENGTH.match(part)), "")
    match = _LENGTH.match(size)
    return bool(match) and float(match[1]) < _SMALLEST.get(match[2].lower(), 0.0)  # type: ignore[index] # bool(match) just said so


def _zero(style: Styles, *names: str) -> bool:
    return any((match := _LENGTH.match(style.get(name, ""))) and float(match[1]) == 0 for name in names)


def _declarations(text: str) -> Styles:
    found: Styles = {}
    for declaration in text.split(";"):
        name, colon, value = declaration.partition(":")
        if colon:
            found[name.strip().lower()] = value.replace("!important", "").strip().lower()[:500]
    return found


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """(selectors, declarations) of the rules outside @media and other at-rules."""
    depth = blocked = 0
    selectors = text = ""
    for piece in re.split(r"([{}])", _without_comments(sheet)):
        if piece == "{":
            depth += 1
            if not blocked and text.lstrip().startswith("@"):
                blocked = depth
            elif depth == 1:
                selectors = text
        elif piece == "}":
            if depth == 1 and not blocked:
                yield selectors, text
            if depth == blocked:
                blocked = 0
            depth = max(0, depth - 1)
        text = "" if piece in ("{", "}") else piece


def _without_comments(sheet: str) -> str:
    kept: list[str] = []
    at = 0
    while (start := sheet.find("/*", at)) >= 0:
        kept.append(sheet[at:start])
        end = sheet.find("*/", start + 2)
        at = end + 2 if end >= 0 else len(sheet)
    return "".join([*kept, sheet[at:]])
