"""What OCR read on a page, and the text that is printed over the scan -> one page: the exact words where there are any."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from server.readers.pdf.page import Line, Page
from server.readers.pdf.rotation import Matrix, Rect, moved, then

INK = 50  # of 255 levels away from the paper, where neighbouring dots are averaged against the scanner's noise
_DPI = 40
_AROUND = 0.3  # of the font size: how far recognised words may lie beside the exact ones
_INVISIBLE = 3  # the kind of text that MuPDF gives to render mode 3, which is how programs lay recognised text over a scan


def is_printed(sheet: Any) -> bool:
    """Whether all text of a pymupdf page is painted. An invisible text layer is what some other program has recognised."""
    return all(span["type"] != _INVISIBLE for span in sheet.get_texttrace())


def stands_alone(sheet: Any, page: Page) -> bool:
    """Whether nothing is printed on a pymupdf page beside the lines of `page`, its text layer: then OCR can find no more than they say."""
    import numpy as np
    import pymupdf

    image = sheet.get_pixmap(dpi=_DPI, alpha=False, colorspace=pymupdf.csGRAY)
    grey = np.frombuffer(image.samples_mv, np.uint8).reshape(image.height, image.stride)[:, : image.width].astype(np.int16)  # (h, w)
    paper = np.median(grey)
    for place in (_place(line, page) for line in page.lines):
        x0, y0, x1, y1 = (max(0, round(edge * _DPI / 72)) for edge in place)
        grey[y0:y1, x0:x1] = paper
    return not bool((np.abs(grey - paper) > INK).any())


def put_back(found: Page, page: Page) -> Page:
    """`found`, as OCR has read it, with the lines of `page`, the same sheet's text layer, in place of the words recognised there."""
    places = [_place(line, page) for line in page.lines]
    into = then(page.display or (), _inverse(found.display) if found.display else ())
    lines: list[Line] = []
    for line in found.lines:
        for exact, group in groupby(line.words, key=lambda word: _lies_in(found.displayed(word), places)):
            if not exact:
                words = list(group)
                words[0] = words[0]._replace(glued=False)
                lines.append(replace(line, words=words, x0=words[0].x0, x1=words[-1].x1))
    return replace(found, lines=[*lines, *(_moved_line(line, into) if into else line for line in page.lines)])


def _place(line: Line, page: Page) -> Rect:
    """Where `line` stands on the page as displayed, and a little around it."""
    boxes = [page.displayed(word) for word in line.words]
    edge = _AROUND * line.size
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0) - edge, min(y0) - edge, max(x1) + edge, max(y1) + edge


def _lies_in(box: Rect, places: list[Rect]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in places)


def _moved_line(line: Line, matrix: Matrix) -> Line:
    words = [word._replace(x0=x0, y0=y0, x1=x1, y1=y1) for word in line.words for x0, y0, x1, y1 in [moved(matrix, *word[1:5])]]
    x0, y0, x1, y1 = moved(matrix, line.x0, line.y0, line.x1, line.y1)
    return replace(line, x0=x0, y0=y0, x1=x1, y1=y1, words=words)


def _inverse(matrix: Matrix) -> Matrix:
    a, b, c, d, e, f = matrix
    area = a * d - b * c
    return d / area, -b / area, -c / area, a / area, (c * f - d * e) / area, (b * e - a * f) / area
