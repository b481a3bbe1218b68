"""zh_title_enhance of Langchain-Chatchat: chunks -> the same chunks, those under a Chinese title with 下文与(title)有关。 as their prefix.

There the sentence is written into the text itself. Here it goes into `Chunk.prefix`, which is embedded and indexed with the text and never
shown: the text stays what the paper says, so that every quote of it can be proved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from server.language import CJK
from server.types import Chunk, Document

LONGEST_TITLE = 20  # characters; this and the two below are Chatchat's
LEAST_LETTERS = 0.5  # share of the characters that are not white space
FREE_OF_NUMBERS = 5  # so many characters at its start

_IDEOGRAPH = re.compile(f"[{CJK}]")


def with_titles(chunks: Sequence[Chunk], document: Document) -> list[Chunk]:
    """The chunks of `document` with their prefixes. The title is the innermost Chinese heading above, until a paragraph looks like one.

    It is in force until the next one, or to the end of the section; a chunk that begins with its title gets no prefix.
    """
    result: list[Chunk] = []
    title = ""
    titles: set[str] = set()
    for chunk in chunks:
        if not result or chunk.section_number != result[-1].section_number:
            title = next((heading for heading in reversed(chunk.section) if _IDEOGRAPH.search(heading)), "")
            blocks = document.sections[chunk.section_number].blocks
            titles = {text for block in blocks if block.kind == "paragraph" and is_title(text := block.text.strip())}
        lines = chunk.text.split("\n")
        result.append(replace(chunk, prefix=f"下文与({title})有关。") if title and lines[0] not in titles else chunk)
        title = next((line for line in reversed(lines) if line in titles), title)
    return result


def is_title(text: str) -> bool:
    """Whether a paragraph looks like a Chinese title: short, mostly letters, no number at its start, no mark at its end."""
    if not 0 < len(text) <= LONGEST_TITLE or not _IDEOGRAPH.search(text):
        return False
    if re.search(r"[^\w\s]$", text) or any(char.isnumeric() for char in text[:FREE_OF_NUMBERS]):
        return False
    return sum(map(str.isalpha, text)) >= LEAST_LETTERS * len("".join(text.split()))
