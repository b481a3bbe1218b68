"""A page -> words that its file holds and that are not painted: off the page, in layers and notes turned off, as clip paths only.

What a clip path cuts off from a figure is neither read nor reported: the drawing list leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from server.readers.pdf.hidden.painting import TextBlock
from server.readers.pdf.rotation import Rect

_TEXT = 64  # pymupdf.TEXT_CLIP: only what lies on the page
_SWITCHED_OFF = 2 | 32  # annotation flags: hidden, no view
_CLIPPING_TEXT = re.compile(rb"[4-7]\s+Tr\b")


class Unpainted(NamedTuple):
    """A word and where it would stand; words with one `group` belong together."""

    text: str
    box: Rect
    group: int


def off_page(everything: Any, texts: Sequence[TextBlock], page: Rect) -> list[Unpainted]:
    """Words of the text page `everything`, whose blocks are `texts`, outside of `page`.

    A line that begins on the page and runs over its edge, as too wide tables do, hides nothing.
    """
    left, top, right, bottom = page
    if all(left <= x0 and top <= y0 and x1 <= right and y1 <= bottom for (x0, y0, x1, y1), *_ in texts):
        return []
    found: list[Unpainted] = []
    for (block, _), line in groupby(everything.extractWORDS(), key=itemgetter(5, 6)):
        words = [Unpainted(word[4], word[:4], block) for word in line]
        if all(x1 <= left or x0 >= right or y1 <= top or y0 >= bottom for _, (x0, y0, x1, y1), _ in words):
            found += words
    return found


def switched_off(page: Any, words: Sequence[tuple[Any, ...]]) -> list[Unpainted]:
    """Words in layers (optional content) that are off, in render mode 7 with nothing painted through them, and in hidden free-text notes.

    `words` are those of the page's drawing list.
    """
    from pymupdf import mupdf

    document = mupdf.pdf_document_from_fz_document(page.parent.this)
    layers = _layers_off(document)
    found: list[Unpainted] = []
    if layers or (b"Tr" in (contents := page.read_contents()) and _CLIPPING_TEXT.search(contents)):
        _switch(document, layers, True)
        try:
            found += _missing(page.get_textpage(flags=_TEXT).extractWORDS(), words)
        finally:
            _switch(document, layers, False)
    for at, note in enumerate(page.annots() if page.first_annot else ()):
        if note.type[1] == "FreeText" and note.flags & _SWITCHED_OFF:
            found += [Unpainted(text, tuple(note.rect), -1 - at) for text in note.info["content"].split()]
    return found


def _missing(these: Sequence[tuple[Any, ...]], words: Sequence[tuple[Any, ...]]) -> list[Unpainted]:
    """Those of `these` in whose middle the same word does not stand."""
    known = {word[:5] for word in words}
    missing = []
    for x0, y0, x1, y1, text, block, *_ in these:
        if (x0, y0, x1, y1, text) not in known:
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            if not any(word[0] <= x <= word[2] and word[1] <= y <= word[3] and word[4] == text for word in words):
                missing.append(Unpainted(text, (x0, y0, x1, y1), block))
    return missing


def _layers_off(document: Any) -> list[int]:
    from pymupdf import mupdf

    return [at for at in range(mupdf.pdf_count_layers(document)) if not mupdf.pdf_layer_is_enabled(document, at)]


def _switch(document: Any, layers: Sequence[int], on: bool) -> None:
    from pymupdf import mupdf

    for layer in layers:
        mupdf.pdf_enable_layer(document, layer, int(on))
