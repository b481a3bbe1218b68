"""The styles of an OpenDocument text -> what a paragraph is, how its characters look, and the labels of numbered lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from server.readers.office.look import Look
from server.readers.office.text import Role
from server.readers.office.word_numbering import written
from server.readers.office.word_styles import role_of

STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
FO = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}"
_LONGEST_CHAIN = 20  # styles based on each other; more is a circle
_ENCODED = re.compile(r"_([0-9a-f]{2})_")
_POINTS = {"pt": 1.0, "in": 72.0, "cm": 28.35, "mm": 2.835, "px": 0.75}
_SIZE = re.compile(r"([\d.]+)(pt|in|cm|mm|px)")
_RAISED = re.compile(r"super\b|0*[1-9.]")  # "super 58%", "33% 58%"; "sub" and "-33% 58%" are lowered
_FORMATS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman", "": "none"}


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    kind: str
    prefix: str
    suffix: str
    shown: int  # numbers of levels that the label shows


class OdtStyles:
    """The styles of a file by name; `roots` are the trees in which styles are defined, those of the content last."""

    def __init__(self, roots: list[Any]) -> None:
        self._styles: dict[tuple[str, str], Any] = {}
        self._lists: dict[str, dict[int, _Level]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self.page: str | None = None
        for root in roots:
            for style in root.iter(f"{STYLE}style", f"{STYLE}default-style"):
                self._styles[style.get(f"{STYLE}family", ""), style.get(f"{STYLE}name", "")] = style
            for style in root.iter(f"{TEXT}list-style", f"{TEXT}outline-style"):
                self._lists[style.get(f"{STYLE}name", "Outline")] = dict(map(_level, style))
            for layout in root.iter(f"{STYLE}page-layout-properties"):
                self.page = colour_of(layout.get(f"{FO}background-color")) or self.page

    def role(self, name: str) -> Role:
        """What the paragraphs of a style are, by its name and those that it is based on; headings are elements of their own."""
        names = [style.get(f"{STYLE}display-name") or _decoded(style.get(f"{STYLE}name", "")) for style in self._chain("paragraph", name)]
        role, _ = role_of([_decoded(name), *names])
        return "body" if role == "heading" else role

    def look(self, family: str, name: str) -> Look:
        """What a style of this family ("paragraph", "text") says about its characters."""
        look = Look()
        for style in self._chain(family, name):
            for properties in style.iterchildren(f"{STYLE}text-properties"):
                look = look.over(_look_of(properties))
        return look

    def ground(self, family: str, name: str) -> str | None:
        """The colour behind a paragraph, a cell or a table, None where its style sets none."""
        for style in self._chain(family, name):
            for properties in style.iterchildren(f"{STYLE}{family}-properties"):
                if colour := colour_of(properties.get(f"{FO}background-color")):
                    return colour
        return None

    def list_of(self, name: str) -> str:
        """The list style that a paragraph style brings, "" without one."""
        return next(filter(None, (style.get(f"{STYLE}list-style-name", "") for style in self._chain("paragraph", name))), "")

    def restart(self, name: str) -> None:
        """A new list of this style begins."""
        self._counts.pop(name, None)

    def label(self, name: str, level: int) -> str:
        """Counts one item of a list at `level` (from 1); its label, "-" for a bullet or a list without a style."""
        levels = self._lists.get(name, {})
        own = levels.get(level)
        if own is None:
            return "" if name == "Outline" else "-"
        counts = self._counts.setdefault(name, {})
        counts[level] = counts.get(level, own.start - 1) + 1
        for deeper in [each for each in counts if each > level]:
            del counts[deeper]
        if own.kind in ("none", "bullet"):
            return "-" if own.kind == "bullet" else ""
        shown = [each for each in range(max(1, level - own.shown + 1), level + 1) if each in levels]
        numbers = (written(counts.setdefault(each, levels[each].start), levels[each].kind) for each in shown)
        return f"{own.prefix}{'.'.join(filter(None, numbers))}{own.suffix}".strip()

    def _chain(self, family: str, name: str) -> list[Any]:
        """The style, those that it is based on, and the default of its family, nearest first."""
        chain: list[Any] = []
        while (style := self._styles.get((family, name))) is not None and len(chain) < _LONGEST_CHAIN:
            chain.append(style)
            name = style.get(f"{STYLE}parent-style-name", "") if name else "-"  # the default has the name ""
        return chain


def colour_of(value: str | None) -> str | None:
    """ "#ffeeDD" -> "FFEEDD"; None for "transparent" and where there is none."""
    return value[1:].upper() if value and value.startswith("#") else None


def _look_of(properties: Any) -> Look:
    display, weight = properties.get(f"{TEXT}display"), properties.get(f"{FO}font-weight")
    automatic = properties.get(f"{STYLE}use-window-font-color") == "true"
    place = properties.get(f"{STYLE}text-position")
    size = _SIZE.fullmatch(properties.get(f"{FO}font-size", ""))
    return Look(
        vanish=None if display is None else display == "none",
        bold=None if weight is None else weight in ("bold", "600", "700", "800", "900"),
        colour="" if automatic else colour_of(properties.get(f"{FO}color")),
        shade=colour_of(properties.get(f"{FO}background-color")),
        size_pt=float(size[1]) * _POINTS[size[2]] if size else None,
        raised=None if place is None else _RAISED.match(place) is not None,
    )


def _level(element: Any) -> tuple[int, _Level]:
    kind = "bullet"
    if element.tag in (f"{TEXT}list-level-style-number", f"{TEXT}outline-level-style"):
        form = element.get(f"{STYLE}num-format", "")
        kind = _FORMATS.get(form, "chineseCounting" if form.startswith(("一", "壹")) else "decimal")
    level = _Level(
        int(element.get(f"{TEXT}start-value", 1)),
        kind,
        element.get(f"{STYLE}num-prefix", ""),
        element.get(f"{STYLE}num-suffix", ""),
        int(element.get(f"{TEXT}display-levels", 1)),
    )
    return int(element.get(f"{TEXT}level", 1)), level


def _decoded(name: str) -> str:
    """ "Heading_20_1" -> "Heading 1"."""
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), name)
