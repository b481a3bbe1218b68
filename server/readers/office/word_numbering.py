"""The numbering of a Word file -> the label in front of each numbered paragraph ("2.1", "[12]", "（一）"), which is not in its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from server.readers.office.word_styles import W

_DIGITS = "零一二三四五六七八九"
_ROMAN = {1000: "m", 900: "cm", 500: "d", 400: "cd", 100: "c", 90: "xc", 50: "l", 40: "xl", 10: "x", 9: "ix", 5: "v", 4: "iv", 1: "i"}
_PLACE = re.compile(r"%([1-9])")
_HIGHEST = 4999  # larger numbers are written with digits, in every format


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    kind: str
    text: str
    decimal: bool  # all numbers of the label with digits, whatever the formats of the levels above


class Numbering:
    """Counts the paragraphs of each list; `root` is the parsed numbering part, None when the file has none."""

    def __init__(self, root: Any) -> None:
        self._levels: dict[str, dict[int, _Level]] = {}
        self._lists: dict[str, str] = {}
        self._restarts: dict[tuple[str, int], int] = {}
        self._counts: dict[str, dict[int, int]] = {}
        if root is None:
            return
        styled: dict[str, str] = {}  # name of a list style -> the list that defines it
        links: dict[str, str] = {}  # a list -> the name of the list style that it takes its levels from
        for abstract in root.iterchildren(f"{W}abstractNum"):
            levels = {int(level.get(f"{W}ilvl", 0)): _level(level) for level in abstract.iterchildren(f"{W}lvl")}
            name = abstract.get(f"{W}abstractNumId", "")
            self._levels[name] = levels
            styled[_value(abstract, "styleLink", "")] = name
            links[name] = _value(abstract, "numStyleLink", "")
        for number in root.iterchildren(f"{W}num"):
            identifier = number.get(f"{W}numId", "")
            own = _value(number, "abstractNumId", "")
            self._lists[identifier] = styled.get(links.get(own) or "-", own)
            for override in number.iterchildren(f"{W}lvlOverride"):
                if start := _value(override, "startOverride", ""):
                    self._restarts[identifier, int(override.get(f"{W}ilvl", 0))] = int(start)

    def label(self, number: str, level: int) -> str:
        """Counts one paragraph of list `number` at `level` (from 0); its label, "" when it has none, "-" for a bullet."""
        name = self._lists.get(number, "")
        levels = self._levels.get(name, {})
        if level not in levels:
            return ""
        counts = self._counts.setdefault(name, {})
        restart = self._restarts.pop((number, level), None)
        counts[level] = restart if restart is not None else counts.get(level, levels[level].start - 1) + 1
        for deeper in [each for each in counts if each > level]:
            del counts[deeper]
        own = levels[level]
        if own.kind == "bullet":
            return "-"
        return _PLACE.sub(lambda match: self._number(levels, counts, int(match[1]) - 1, own.decimal), own.text).strip()

    def _number(self, levels: dict[int, _Level], counts: dict[int, int], level: int, decimal: bool) -> str:
        if level not in levels:
            return ""
        return written(counts.setdefault(level, levels[level].start), "decimal" if decimal else levels[level].kind)


def _level(element: Any) -> _Level:
    return _Level(
        int(_value(element, "start", "1")),
        _value(element, "numFmt", "decimal"),
        _value(element, "lvlText", ""),
        element.find(f"{W}isLgl") is not None,
    )


def _value(element: Any, tag: str, default: str) -> str:
    child = element.find(f"{W}{tag}")
    return default if child is None else child.get(f"{W}val", default)


def written(number: int, kind: str) -> str:
    """A number as `kind` (ST_NumberFormat of the standard) writes it; unknown kinds with digits."""
    if kind == "none":
        return ""
    if not 0 < number <= _HIGHEST:
        return str(number)
    if kind in ("lowerLetter", "upperLetter"):
        letters = chr(97 + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letters.upper() if kind == "upperLetter" else letters
    if kind in ("lowerRoman", "upperRoman"):
        roman = _roman(number)
        return roman.upper() if kind == "upperRoman" else roman
    if kind in ("decimalEnclosedCircle", "decimalEnclosedCircleChinese") and number <= 20:
        return chr(0x2460 + number - 1)
    if kind == "decimalZero":
        return f"{number:02}"
    if kind.startswith(("chinese", "japanese", "taiwanese", "ideographDigital", "ideographLegal")):
        return _chinese(number)
    return str(number)


def _roman(number: int) -> str:
    written = ""
    for value, letters in _ROMAN.items():
        written += letters * (number // value)
        number %= value
    return written


def _chinese(number: int) -> str:
    """1 -> 一, 10 -> 十, 21 -> 二十一, 105 -> 一百零五."""
    written, gap = "", False
    for value, unit in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, value)
        if digit:
            written += ("零" if gap else "") + _DIGITS[digit] + unit
        gap = bool(written) and not digit
    return written.removeprefix("一") if written.startswith("一十") else written
