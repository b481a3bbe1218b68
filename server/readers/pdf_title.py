"""Page one -> the paper's title: the largest lines in its upper half, checked against the file's metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.readers.pdf_page import Line, Page
from server.readers.pdf_text import Vocabulary, block_text

_NO_TITLE = re.compile(
    r"(?:untitled|microsoft word|powerpoint|.*\.(?:docx?|tex|dvi|pdf|indd|qxd)$|arxiv|title|document\d*|paper|manuscript|\W*$)",
    re.IGNORECASE,
)


def title_of(page: Page, metadata: str, vocabulary: Vocabulary, pages: Sequence[Page]) -> str:
    """The title as printed, or the one in the metadata when that is the better guess; empty when there is neither."""
    meant = " ".join(metadata.split())
    if _NO_TITLE.match(meant) or len(meant) < 6:
        meant = ""
    printed = [block_text(lines, pages, vocabulary)[0] for lines in _groups(page)]
    if meant:
        wanted = _letters(meant)
        for text in printed:
            if wanted and (wanted in _letters(text) or (len(text) > 15 and _letters(text) in wanted)):
                return meant if len(_letters(meant)) >= len(_letters(text)) else text
        return meant
    return printed[0] if printed else ""


def _groups(page: Page) -> list[list[Line]]:
    """Groups of neighbouring lines of one size in the upper part of the page, largest print first."""
    upper = sorted((line for line in page.lines if line.y0 < 0.6 * page.height), key=lambda line: (round(line.y0), line.x0))
    groups: list[list[Line]] = []
    for line in upper:
        if not any(char.isalpha() for char in line.text):
            continue
        for group in groups:
            last = group[-1]
            if abs(last.size - line.size) < 0.06 * line.size and -last.size < line.y0 - last.y1 < 1.2 * line.size:
                group.append(line)
                break
        else:
            groups.append([line])
    long = [group for group in groups if sum(len(line.text) for line in group) >= 8] or groups
    return sorted(long, key=lambda group: -group[0].size)


def _letters(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())
