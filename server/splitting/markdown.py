"""Splitter `markdown_headers`: a chunk for each heading, with all that stands under it; `Chunk.section` is the heading's path.

Like MarkdownHeaderTextSplitter of LangChain, for every format whose reader finds headings. A section above the budget is cut as `sections`
does.
"""

from __future__ import annotations

from collections.abc import Iterator

from configs.settings import Splitting
from server.splitting.counting import CountTokens, limited
from server.splitting.sections import section_chunks
from server.splitting.slices import Slice, chunk_of, trim
from server.types import Chunk, Document, Section


def split_markdown_headers(document: Document, splitting: Splitting, count_tokens: CountTokens) -> list[Chunk]:
    """A chunk for each section that has text; several for one above `chunk_tokens` tokens."""
    budget = splitting.chunk_tokens
    count = limited(count_tokens, budget)
    return [chunk for number, section in enumerate(document.sections) for chunk in _chunks(section, number, budget, count)]


def _chunks(section: Section, number: int, budget: int, count: CountTokens) -> Iterator[Chunk]:
    whole = [Slice(block, *trim(block.text, 0, len(block.text))) for block in section.blocks if block.text.strip()]
    if sum(count(part.text) for part in whole) > budget:
        yield from section_chunks(section, number, budget, count)
    elif whole:
        yield chunk_of(section, number, whole, "paragraph")
