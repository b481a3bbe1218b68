"""Document -> chunks: the table of splitters, and `split`, which applies the one that the settings name.

Whichever it is: a chunk never crosses a section; its text is slices of the section's blocks joined by newlines, so every character keeps
its page and box; no character but white space is lost; and a stretch that stands in an earlier chunk too (overlap, the header lines of a
table that was cut) is at its beginning and counted in `Chunk.repeated`.

The splitters are our own, not langchain-text-splitters': those return strings, whose places must be searched for afterwards
(`add_start_index` is `str.find`) and are wrong or -1 where text repeats or white space was stripped; its token splitter cuts inside words.
`chinese_recursive` is tested to give the chunks of that library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from configs.settings import Splitting
from server import registry
from server.splitting.counting import CountTokens
from server.splitting.titles import with_titles
from server.types import Chunk, Document

SPLITTERS: Mapping[str, str] = {
    "sections": "server.splitting.sections:split_sections",
    "chinese_recursive": "server.splitting.chinese:split_chinese_recursive",
    "markdown_headers": "server.splitting.markdown:split_markdown_headers",
    "tokens": "server.splitting.tokens:split_tokens",
}


class Splitter(Protocol):
    """Pure: the same arguments give the same chunks. Time is linear in the document's length."""

    def __call__(self, document: Document, splitting: Splitting, count_tokens: CountTokens) -> list[Chunk]:
        """The chunks in reading order, none above the size that `splitting` gives."""
        ...


def split(document: Document, splitting: Splitting, count_tokens: CountTokens) -> list[Chunk]:
    """The chunks of `document` in reading order, by the splitter and sizes of `splitting`; a single character may be above the size."""
    splitter: Splitter = registry.load(SPLITTERS, splitting.splitter, "splitter")
    chunks = splitter(document, splitting, count_tokens)
    return with_titles(chunks, document) if splitting.zh_title_enhance else chunks
