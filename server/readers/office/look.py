"""How characters of an office text look -> whether a reader sees them: hidden, the colour of their ground, or too small."""

from __future__ import annotations

from dataclasses import dataclass, fields

from server.types import HiddenReason

WHITE = "FFFFFF"
UNKNOWN = "unknown"  # a ground whose colour cannot be told, where no text counts as hidden by its colour
_TINY_PT = 2.0  # smaller text cannot be read
_CLOSE = 16  # of 255; colours that differ less in each part cannot be told apart


@dataclass(frozen=True, slots=True)
class Look:
    """How characters look; None where nothing says. `colour` and `shade` (the ground of the characters alone) are six hexadecimal
    digits, "" for a colour that adapts to its ground; `size_pt` is in points; `raised` for superscripts.
    """

    vanish: bool | None = None
    bold: bool | None = None
    colour: str | None = None
    shade: str | None = None
    size_pt: float | None = None
    raised: bool | None = None

    def over(self, below: Look) -> Look:
        """This look where it says something, else `below`."""
        values = (getattr(self, each.name) for each in fields(self))
        return Look(*(getattr(below, each.name) if value is None else value for each, value in zip(fields(self), values, strict=True)))


def hidden_by(look: Look, ground: str) -> HiddenReason | None:
    """Why nobody sees characters of this look on a ground of this colour (six hexadecimal digits or UNKNOWN), None when one does."""
    if look.vanish:
        return "invisible"
    if look.size_pt is not None and look.size_pt < _TINY_PT:
        return "tiny"
    behind = look.shade or ground
    if look.colour and _is_colour(look.colour) and _is_colour(behind) and _distance(look.colour, behind) < _CLOSE:
        return "background colour"
    return None


def _is_colour(digits: str) -> bool:
    return len(digits) == 6 and all(digit in "0123456789ABCDEF" for digit in digits)


def _distance(one: str, other: str) -> int:
    return max(abs(int(one[at : at + 2], 16) - int(other[at : at + 2], 16)) for at in (0, 2, 4))
