"""What tests of splitters share: blocks whose every word has a box that says where it came from, a token counter, sizes of any value."""

from __future__ import annotations

import itertools

from configs.settings import Splitting
from server.language import display_width
from server.types import Block, BlockKind, Document, Section, Span


def words(text: str) -> int:
    """A token counter for tests: Latin words and Chinese characters."""
    return sum(len(part) if display_width(part[0]) == 2 else 1 for part in text.split())


def block(text: str, kind: BlockKind = "paragraph", page: int = 1, header_lines: int = 0) -> Block:
    """A block with a span for each word; the word that begins at character n is printed at x = 2n."""
    spans: list[Span] = []
    at = 0
    for part in text.split():
        at = text.index(part, at)
        spans.append(Span(at, at + len(part), page, 2 * at, 0, 2 * at + display_width(part), 10))
        at += len(part)
    return Block(kind, text, page, tuple(spans), header_lines)


def document(*sections: tuple[str, list[Block]]) -> Document:
    """A document of sections with these headings."""
    return Document("t", 1, "en", tuple(Section(1, (name,), 1, tuple(blocks)) for name, blocks in sections))


def sized(splitter: str, size: int, overlap: int = 0, *, titles: bool = False) -> Splitting:
    """A splitter with any sizes, smaller ones too than the settings allow."""
    name = "chunk_size" if splitter == "chinese_recursive" else "chunk_tokens"
    return Splitting().model_copy(update={"splitter": splitter, name: size, "chunk_overlap": overlap, "zh_title_enhance": titles})


def assert_covers(text: str, windows: tuple[tuple[int, int], ...]) -> None:
    """Windows hold every character but white space, in order, and begin and end at word edges."""
    assert windows
    assert windows[0][0] == 0
    assert windows[-1][1] == len(text)
    for (start, end), (following, _) in itertools.pairwise(windows):
        assert start < following <= end or not text[end:following].strip()
    for start, end in windows:
        assert start == 0 or not (
            text[start - 1].isascii() and text[start - 1].isalnum() and text[start].isascii() and text[start].isalnum()
        )
        assert end == len(text) or not (text[end - 1].isascii() and text[end - 1].isalnum() and text[end].isascii() and text[end].isalnum())
