"""Running text, headings and blocks as a walk over marked-up text meets them -> an Outline: shared by HTML, XML and mail."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from server.language import WIDE
from server.readers.headings import Outline
from server.readers.raised import raised_text
from server.types import Block, BlockKind

_UNSEEN = re.compile("[\u200b\u200c\u2060\ufeff\u00ad]")  # zero-width spaces and soft hyphens
_BREAK = re.compile(rf"(?<=[{WIDE}])[^\S\n]*+\n\s*+(?=[{WIDE}])")
_MAX_HEADING = 300  # characters; what is longer is a paragraph whatever its tag says
_SEEN_BEFORE = 300  # characters before a superscript that can matter
_MAX_PIECES = 8  # texts inside a superscript; one of more is no number
_LINKS = ("a", "xref", "ref", "link")
_MARK_NAMES = frozenset(("reference", "footnote", "footnote-ref", "footnoteref", "noteref", "fn", "citation", "cite"))

Item = tuple[int, str] | Block  # (level, heading) or a block


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


def power(element: Any, before: str) -> str | None:
    """What to append to `before` for the superscript `element` when it is a number there; None where it is just text."""
    pieces = list(islice(element.itertext(), _MAX_PIECES))
    raised = collapsed("".join(pieces))
    if len(pieces) == _MAX_PIECES or not raised:
        return None
    appended = raised_text(before, raised, mark=_is_mark(element))
    return None if appended == raised else appended


def last_of(pieces: Sequence[str]) -> str:
    """The last characters of a running text, as many as can matter for what is raised behind them."""
    last: list[str] = []
    room = _SEEN_BEFORE
    for piece in reversed(pieces):
        last.append(piece[-room:])
        room -= len(piece)
        if room <= 0:
            break
    return "".join(reversed(last))


def _is_mark(element: Any) -> bool:
    """Whether a superscript is the mark of a note: a link in it, it alone in a link, or so named."""
    parent = element.getparent()
    if any(element.find(f".//{name}") is not None for name in _LINKS):
        return True
    if parent is not None and parent.tag in _LINKS and len(parent) == 1 and not (parent.text or "").strip():
        return not (element.tail or "").strip()
    return not _MARK_NAMES.isdisjoint((element.get("class") or "").lower().split())


class Mark(NamedTuple):
    """A place in a Flow: so many items before it, and characters of text and of links, white space not counted."""

    items: int
    chars: int
    link_chars: int


class Flow:
    """Collects what a walk meets, in reading order. `notes` wait until the paragraph ends that they belong to."""

    def __init__(self, notes: list[str] | None = None) -> None:
        self.items: list[Item] = []
        self.links = 0  # how many links are open
        self.notes: list[str] = [] if notes is None else notes
        self._words: list[str] = []
        self._chars = self._link_chars = 0

    def text(self, text: str) -> None:
        """More running text."""
        if text:
            self._words.append(text)
            count = _printed(text)
            self._chars += count
            self._link_chars += count if self.links else 0

    def before(self) -> str:
        """The end of the running text so far."""
        return last_of(self._words)

    def note(self, text: str) -> None:
        """A footnote that stands inside a sentence: a block of its own where the paragraph ends."""
        if text:
            self.notes.append(text)

    def flush(self) -> None:
        """The running text so far is a block of its own, its notes follow."""
        self._end_paragraph()
        self._give_notes()

    def heading(self, level: int, title: str) -> None:
        """A heading; the text before it ends."""
        self._end_paragraph()
        title = collapsed(title)
        self._chars += _printed(title)
        if len(title) > _MAX_HEADING:
            self.items.append(Block("paragraph", title, 1))
        elif title:
            self.items.append((level, title))
        self._give_notes()

    def block(self, kind: BlockKind, text: str, header_lines: int = 0) -> None:
        """A whole block; the text before it ends. `header_lines` are those of a table (types.Block)."""
        self._end_paragraph()
        if text.strip():
            self._chars += _printed(text)
            self.items.append(Block(kind, text, 1, header_lines=header_lines))
        self._give_notes()

    def mark(self) -> Mark:
        """The place here; the text before it ends."""
        self.flush()
        return Mark(len(self.items), self._chars, self._link_chars)

    def drop_links_since(self, mark: Mark, share: float) -> None:
        """Take back the running text since `mark` if more than `share` of the characters there were links, as in menus. What is marked
        up as more than text stays: tables, captions, code and headings, save those that only such text stood below."""
        self.flush()
        chars, link_chars = self._chars - mark.chars, self._link_chars - mark.link_chars
        if chars and link_chars > share * chars:
            kept = _without_paragraphs(self.items[mark.items :])
            self.items[mark.items :] = kept
            self._chars = mark.chars + sum(_printed(item.text if isinstance(item, Block) else item[1]) for item in kept)
            self._link_chars = mark.link_chars

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
        """Everything as one line, as a cell or heading shows it, without its notes."""
        self._end_paragraph()
        return " ".join(item.text if isinstance(item, Block) else item[1] for item in self.items)

    def _end_paragraph(self) -> None:
        text = collapsed("".join(self._words))
        self._words.clear()
        if text:
            self.items.append(Block("paragraph", text, 1))

    def _give_notes(self) -> None:
        self.items += [Block("footnote", note, 1) for note in self.notes]
        self.notes.clear()


def _printed(text: str) -> int:
    return len("".join(text.split()))


def _without_paragraphs(items: Sequence[Item]) -> list[Item]:
    kept: list[Item] = []
    bare = False  # whether only paragraphs that are dropped have stood below the last heading
    for item in items:
        if isinstance(item, Block) and item.kind == "paragraph":
            bare = bool(kept) and not isinstance(kept[-1], Block) and kept[-1][0] > 1
            continue
        if bare and not isinstance(item, Block):
            kept.pop()
        bare = False
        kept.append(item)
    return kept[:-1] if bare else kept
