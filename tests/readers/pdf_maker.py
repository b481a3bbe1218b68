"""PDFs for tests: text at given places -> the path of a file. Latin in Helvetica, Chinese in the built-in china-s."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pymupdf

A4 = (595, 842)  # points


class Put(NamedTuple):
    """Text whose baseline begins at (x, y) of a page, counted from 0; `turn` degrees anticlockwise."""

    text: str
    x: float = 72
    y: float = 100
    size: float = 10
    bold: bool = False
    page: int = 0
    turn: int = 0


def make_pdf(path: Path, puts: Iterable[Put], *, rotation: int = 0, title: str = "", pages: int = 0) -> Path:
    """Write `puts` into a PDF, all pages turned by `rotation` for display; `pages` makes more pages than the text needs."""
    puts = list(puts)
    with pymupdf.open() as made:
        for _ in range(max([pages, *(put.page + 1 for put in puts)])):
            made.new_page(width=A4[0], height=A4[1])
        for put in puts:
            font = "china-s" if not put.text.isascii() else "hebo" if put.bold else "helv"
            made[put.page].insert_text((put.x, put.y), put.text, fontsize=put.size, fontname=font, rotate=put.turn)
        for page in made:
            page.set_rotation(rotation)
        made.set_metadata({"title": title})
        made.save(path)
    return path


def column(lines: Iterable[str], x: float = 72, y: float = 100, *, size: float = 10, pitch: float = 12, page: int = 0) -> list[Put]:
    """Lines below each other."""
    return [Put(line, x, y + pitch * number, size, page=page) for number, line in enumerate(lines)]


def is_printed(path: Path, page: int, box: tuple[float, float, float, float]) -> bool:
    """Whether the displayed page has ink inside `box`."""
    with pymupdf.open(path) as source:
        image = source[page - 1].get_pixmap(dpi=144, clip=pymupdf.Rect(*box), colorspace=pymupdf.csGRAY)
        return min(image.samples) < 128
