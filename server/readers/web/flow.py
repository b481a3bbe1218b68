"""Running text, headings and blocks as a walk over marked-up text meets them -> an Outline: shared by HTML, XML and mail."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

from server.language import WIDE
from server.readers.headings import Outline
from server.types import Block, BlockKind

_UNSEEN = re.compile("[\u200b\u200c\u2060\ufeff\u00ad]")  # zero-width spaces and soft hyphens
_BREAK = re.compile(rf"(?<=[{WIDE}])[^\S\n]*+\n\s*+(?=[{WIDE}])")
_MAX_HEADING = 300  # characters; what is longer is a paragraph whatever its tag says


def collapsed(text: str) -> str:
    """White space as a browser shows it; a line break between two Chinese characters is none."""
    return " ".join(_BREAK.sub("", _UNSEEN.sub("", text)).split())


def texts(element: Any, without: Container[str] = ()) -> Iterator[str]:
    """The texts inside `element` in reading order, but not those of elements `without`; a <br> is a line break."""
    from lxml import etree

    walk = etree.iterwalk(element, events=("start", "end"))
    for event, inner in walk:
        if event == "start" and inner.tag in without:
            walk.skip_subtree()
        elif event == "start":
            yield "\n" if inner.tag == "br" else inner.text or ""
        elif inner is not element:
            yield inner.tail or ""


class Mark(NamedTuple):
    """A place in a Flow: so many items, characters of text and of links before it."""

    items: int
    chars: int
    link_chars: int


class Flow:
    """Collects what a walk meets, in reading order."""

    def __init__(self) -> None:
        self.items: list[tuple[int, str] | Block] = []  # (level, heading) or a block
        self.links = 0  # how many links are open
        self._words: list[str] = []
        self._chars = self._link_chars = 0

    def text(self, text: str) -> None:
        """More running text."""
        if text:
            self._words.append(text)
            self._chars += len(text)
            self._link_chars += len(text) if self.links else 0

    def flush(self) -> None:
        """The running text so far is a block of its own."""
        text = collapsed("".join(self._words))
        self._words.clear()
        if text:
            self.items.append(Block("paragraph", text, 1))

    def heading(self, level: int, title: str) -> None:
        """A heading; the text before it ends."""
        self.flush()
        title = collapsed(title)
        if len(title) > _MAX_HEADING:
            self.items.append(Block("paragraph", title, 1))
        elif title:
            self.items.append((level, title))

    def block(self, kind: BlockKind, text: str) -> None:
        """A whole block; the text before it ends."""
        self.flush()
        if text.strip():
            self.items.append(Block(kind, text, 1))

    def mark(self) -> Mark:
        """The place here; the text before it ends."""
        self.flush()
        return Mark(len(self.items), self._chars, self._link_chars)

    def drop_links_since(self, mark: Mark, share: float) -> None:
        """Take back everything since `mark` if more than `share` of its characters were links, as in menus."""
        self.flush()
        chars, link_chars = self._chars - mark.chars, self._link_chars - mark.link_chars
        if chars and link_chars > share * chars:
            del self.items[mark.items :]

    def outline(self) -> Outline:
        """Everything as sections."""
        self.flush()
        outline = Outline()
        for item in self.items:
            if isinstance(item, Block):
                outline.add(item)
            else:
                outline.open(*item, 1)
        return outline

    def whole(self) -> str:
        """Everything as one line, as a cell or heading shows it."""
        self.flush()
        return " ".join(item.text if isinstance(item, Block) else item[1] for item in self.items)
