"""Values: the printed rules of a page -> the area of a table that they enclose. In points, reading coordinates."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """A horizontal line."""

    y: float
    x0: float
    x1: float


class Post(NamedTuple):
    """A vertical line."""

    x: float
    y0: float
    y1: float


class Ruled(NamedTuple):
    """A table between its top and bottom rule: `rules` go all the way across, `partial` rules and `posts` do not have to."""

    x0: float
    y0: float
    x1: float
    y1: float
    rules: tuple[Rule, ...]
    partial: tuple[Rule, ...]
    posts: tuple[Post, ...]

    def holds(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Whether the middle of this box lies inside."""
        return self.x0 - 3 < (x0 + x1) / 2 < self.x1 + 3 and self.y0 - 2 < (y0 + y1) / 2 < self.y1 + 2
