"""The styles of a Word file -> what a paragraph is (heading, title, caption, code) and how its characters look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from server.readers.office.look import Look
from server.readers.office.text import Role

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LONGEST_CHAIN = 20  # styles based on each other; more is a circle
_HEADING = re.compile(r"(?:heading|标题|標題|überschrift|titre|título|titolo|kop|rubrik|заголовок|見出し|제목)\s*([1-9])\b", re.IGNORECASE)
_ROLES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("title", re.compile(r"(?:title|paper title|标题|標題|titel|titre|título|论文标题|题目)", re.IGNORECASE)),
    ("caption", re.compile(r"(?:caption|题注|題注|(?:figure|table|image) ?caption|beschriftung|légende|图题|表题)", re.IGNORECASE)),
    ("code", re.compile(r"(?:.*\bcode\b.*|.*preformatted.*|source.*|plain text|.*listing.*|代码.*|源代码.*|纯文本)", re.IGNORECASE)),
)
_CONTENTS = re.compile(r"(?:toc|table of figures|目录|目錄|contents|index) ?\d?|toc heading|图表目录", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Style:
    """A paragraph style with all that it is based on. `contents`: for the lines of a table of contents, which repeat the headings.

    `numbering` is (numId, level), ("", 0) without one; `look` includes the file's defaults; `shade` is the fill behind the paragraph.
    """

    role: Role
    level: int
    contents: bool
    numbering: tuple[str, int]
    look: Look
    shade: str | None


class Styles:
    """The styles of a file by id; `root` is the parsed styles part, None when the file has none."""

    def __init__(self, root: Any) -> None:
        self._elements: dict[str, Any] = {}
        self._made: dict[str, Style] = {}
        self._default = ""
        self._base = Look()
        if root is None:
            return
        for style in root.iterchildren(f"{W}style"):
            self._elements[style.get(f"{W}styleId", "")] = style
            if style.get(f"{W}type") == "paragraph" and style.get(f"{W}default") in ("1", "true", "on"):
                self._default = style.get(f"{W}styleId", "")
        defaults = root.find(f"{W}docDefaults/{W}rPrDefault/{W}rPr")
        self._base = look_of(defaults)

    def style(self, identifier: str | None) -> Style:
        """The style with this id; the file's default paragraph style for None or an unknown id."""
        key = identifier if identifier in self._elements else self._default
        if key not in self._made:
            self._made[key] = self._make(key)
        return self._made[key]

    def look(self, identifier: str) -> Look:
        """What a character style says, without the file's defaults."""
        look = Look()
        for element in self._chain(identifier):
            look = look.over(look_of(element.find(f"{W}rPr")))
        return look

    def _make(self, identifier: str) -> Style:
        chain = self._chain(identifier)
        names = [element.find(f"{W}name").get(f"{W}val", "") for element in chain if element.find(f"{W}name") is not None]
        role, level = role_of(names)
        for element in chain:
            outline = level_of(element.find(f"{W}pPr"))
            if role == "body" and outline is not None:
                role, level = ("heading", outline) if outline else ("body", 0)
                break
        shade = next(filter(None, (shade_of(element.find(f"{W}pPr")) for element in chain)), None)
        return Style(
            role, level, bool(names) and is_contents(names[0]), self._numbering(chain), self.look(identifier).over(self._base), shade
        )

    def _numbering(self, chain: list[Any]) -> tuple[str, int]:
        number, level = "", None
        for element in chain:
            numbering = element.find(f"{W}pPr/{W}numPr")
            if numbering is None:
                continue
            own, depth = numbering.find(f"{W}numId"), numbering.find(f"{W}ilvl")
            if level is None and depth is not None:
                level = int(depth.get(f"{W}val", 0))
            if own is not None:
                number = own.get(f"{W}val", "")
                break
        return number, level or 0

    def _chain(self, identifier: str) -> list[Any]:
        """The style and those that it is based on, nearest first."""
        chain: list[Any] = []
        while identifier in self._elements and len(chain) < _LONGEST_CHAIN:
            chain.append(self._elements[identifier])
            base = chain[-1].find(f"{W}basedOn")
            identifier = "" if base is None else base.get(f"{W}val", "")
        return chain


def look_of(properties: Any) -> Look:
    """What the run properties of one element say."""
    if properties is None:
        return Look()
    colour, size, highlight, place = (_value(properties, tag) for tag in ("color", "sz", "highlight", "vertAlign"))
    shade = shade_of(properties)
    return Look(
        vanish=_switch(properties, "vanish"),
        bold=_switch(properties, "b"),
        colour=colour.upper() if colour and colour != "auto" else "" if colour else None,
        shade=shade if not highlight or highlight == "none" else "highlight",
        size_pt=float(size) / 2 if size else None,
        raised=None if place is None else place == "superscript",
    )


def shade_of(properties: Any) -> str | None:
    """The fill behind a run, a paragraph or a cell as six hexadecimal digits, None for none."""
    shading = None if properties is None else properties.find(f"{W}shd")
    if shading is None:
        return None
    fill = shading.get(f"{W}color" if shading.get(f"{W}val") == "solid" else f"{W}fill", "auto")
    return None if fill == "auto" else str(fill).upper()


def level_of(properties: Any) -> int | None:
    """The outline level of paragraph properties from 1, 0 for body text, None where they say nothing."""
    value = None if properties is None else _value(properties, "outlineLvl")
    return None if value is None else int(value) + 1 if int(value) < 9 else 0


def role_of(names: list[str]) -> tuple[Role, int]:
    """By the names of a style and its bases: the nearest that says something."""
    for name in names:
        if match := _HEADING.fullmatch(name.strip()):
            return "heading", int(match[1])
        for role, pattern in _ROLES:
            if pattern.fullmatch(name.strip()):
                return role, 0
    return "body", 0


def is_contents(name: str) -> bool:
    """Whether a style of this name is for the lines of a table of contents."""
    return _CONTENTS.fullmatch(name.strip()) is not None


def _value(properties: Any, tag: str) -> str | None:
    element = properties.find(f"{W}{tag}")
    return None if element is None else element.get(f"{W}val")


def _switch(properties: Any, tag: str) -> bool | None:
    element = properties.find(f"{W}{tag}")
    return None if element is None else element.get(f"{W}val", "1") not in ("0", "false", "off")
