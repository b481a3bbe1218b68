"""The spans and words of a printed line -> its words with powers of numbers written out: 10⁵ as "10^5", so that it is not read as 105.

MuPDF marks spans that stand higher than their line begins. Superscripts that it gives as lines of their own are the work of scripts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from server.readers.raised import raised_text

SUPERSCRIPT = 1  # bit of a span's flags, TEXT_FONT_SUPERSCRIPT


def power(before: str, raised: str) -> str:
    """How a superscript directly behind `before` is written when it is a number behind a number or a bracket: "^5", "^-3"; else "".

    Behind a digit that may be the mark of a note as well: "2019^1" misleads less than "20191".
    """
    written = raised_text("0" if before[-1:].isdecimal() else before, raised)
    return written if written.startswith("^") and not (before.endswith(")") and written == "^1") else ""


def with_powers(spans: Sequence[dict[str, Any]], words: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The words (x0, y0, x1, y1, text, …); the same list when there is no power in them, or when they do not say what the spans say."""
    places: list[tuple[int, str, str]] = []  # characters before it, without white space; the superscript; what to write
    before = ""
    for raised, group in groupby(spans, key=lambda span: bool(span["flags"] & SUPERSCRIPT)):
        text = "".join(span["text"] for span in group)
        if raised and (written := power(before, text.rstrip())):
            places.append((len("".join(before.split())), text.rstrip(), written))
        before += text
    if not places or "".join(before.split()) != "".join(word[4] for word in words):
        return words
    made = list(words)
    for start, superscript, written in reversed(places):
        done = 0
        for at, word in enumerate(made):
            inside = start - done
            if 0 < inside <= len(word[4]) - len(superscript):
                text = f"{word[4][:inside]}{written}{word[4][inside + len(superscript) :]}"
                made[at] = (*word[:4], text, *word[5:])
                break
            done += len(word[4])
    return made
