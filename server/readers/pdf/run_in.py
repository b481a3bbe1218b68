"""Paragraphs -> the headings that stand in the first line of their own paragraph: "Abstract—We show", "3.1.1 Data. We use"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from server.language import CJK
from server.readers.pdf.paragraphs import Paragraph

_FRONT_PAGES = 3  # where "Abstract—The text" opens a section
_NAMED = re.compile(
    r"(abstract|summary|keywords|key words|index terms|摘\s*要|关键词|关键字)\s*(?:[:：—–.-]|】)\s*(?=\S)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?:\d{1,2}|[A-Z])(?:\.\d{1,2})*(?=[\s.]|$)")
_NUMBERED = re.compile(rf"((?:\d{{1,2}}|[A-Z])(?:\.\d{{1,2}}){{1,4}})\.?\s+([A-ZÀ-ÖØ-Þ{CJK}][^.:。：]{{2,80}})[.:。：]\s*(?=\S)")
_LONGEST = 12  # words of such a heading


def run_in_heads(paragraphs: Sequence[Paragraph], levels: Mapping[int, int]) -> dict[int, tuple[int, str]]:
    """(level, title) by the index of the paragraph that the heading begins; `levels` are those of headings on lines of their own.

    A number counts only when it follows: its parent and, from the second on, the one before it have been headings.
    """
    seen: set[str] = set()
    found: dict[int, tuple[int, str]] = {}
    for at, paragraph in enumerate(paragraphs):
        line = paragraph.lines[0]
        if at in levels:
            if match := _NUMBER.match(line.text):
                seen.add(match[0])
        elif paragraph.table or paragraph.reference or paragraph.note or line.code:
            continue
        elif line.page <= _FRONT_PAGES and (match := _NAMED.match(paragraph.text)):
            found[at] = 1, match[1].strip()
        elif line.text[:1].isalnum() and _NUMBER.match(line.text) and (match := _NUMBERED.match(paragraph.text)):
            parent, _, last = match[1].rpartition(".")
            before = f"{parent}.{int(last) - 1}"
            if len(match[2].split()) <= _LONGEST and parent in seen and (int(last) == 1 or before in seen):
                seen.add(match[1])
                found[at] = match[1].count(".") + 1, f"{match[1]} {match[2].strip()}"
    return found
