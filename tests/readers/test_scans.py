"""Which pages are scans: told by what images cover and what text stands over them; printed text keeps its exact words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from pdf_maker import column, make_pdf
from scan_maker import scanned

from server.readers.ocr.scans import is_scan
from server.readers.pdf.page import page_lines
from server.readers.pdf.reader import read_pdf
from server.types import Document

NOTE = (
    "Provided by the library of the University of Somewhere on 12 March 2021 to the reader I1lO0 for the purposes of private study. "
    "All use is subject to the terms and conditions of the publisher."
)
BODY = [
    "The weighted sum of both halves reached 68.4 percent on the first task,",
    "which is ahead of every other rule that we have tried so far, and it is",
    "the only one of them that needs no training at all. Windows of sixty words",
    "raised the dense half by another eight points on the second of the tasks.",
]
Draw = Callable[[Any], object]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of A4 that shows BODY three times, as an image."""
    folder = tmp_path_factory.mktemp("scan")
    return scanned(make_pdf(folder / "page.pdf", column(BODY * 3, 60, 120, size=12, pitch=18)), folder / "scan.pdf")


def drawn_on(scan: Path, path: Path, draw: Draw, *, rotation: int = 0) -> Path:
    with pymupdf.open(scan) as source:
        draw(source[0])
        source[0].set_rotation(rotation)
        source.save(path)
    return path


def at_the_foot(page: Any) -> None:
    page.insert_textbox((30, page.rect.height - 40, page.rect.width - 30, page.rect.height), NOTE, fontsize=7)


def in_large_print_at_the_foot(page: Any) -> None:
    page.insert_textbox((20, page.rect.height - 80, page.rect.width - 20, page.rect.height), NOTE * 2, fontsize=12)


def along_the_side(page: Any) -> None:
    page.insert_textbox((575, 30, 595, 812), NOTE, fontsize=7, rotate=90)


def over_the_whole_page(page: Any) -> None:
    page.insert_textbox((30, 300, 560, 800), "\n".join(BODY * 5), fontsize=12)


def in_the_middle(page: Any) -> None:
    page.insert_textbox((60, 400, 500, 600), NOTE * 3, fontsize=12)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(at_the_foot, True), (in_large_print_at_the_foot, True), (along_the_side, True), (in_the_middle, False), (over_the_whole_page, False)],
)
@pytest.mark.parametrize("rotation", [0, 90])
def test_text_over_a_scan_is_a_note_or_its_text_layer(scan: Path, tmp_path: Path, draw: Draw, expected: bool, rotation: int) -> None:
    with pymupdf.open(drawn_on(scan, tmp_path / "a.pdf", draw, rotation=rotation)) as source:
        page = page_lines(source[0], 1)
        assert sum(len(line.text) for line in page.lines) > 150
        assert is_scan(source[0], page) is expected


@pytest.mark.parametrize(("y", "expected"), [(620, False), (842, True)])
def test_figure_with_its_legend_is_no_scan(scan: Path, tmp_path: Path, y: float, expected: bool) -> None:
    with pymupdf.open() as made, pymupdf.open(scan) as source:
        page = made.new_page()
        page.insert_image(pymupdf.Rect(0, 0, 595, y), stream=source[0].get_pixmap(dpi=100).tobytes("png"), keep_proportion=False)
        page.insert_textbox(
            (60, 700, 535, 760), "Figure 1: A legend of two lines below a figure, in small print, says what it shows. " * 2, fontsize=8
        )
        made.save(tmp_path / "a.pdf")
    with pymupdf.open(tmp_path / "a.pdf") as source:
        assert is_scan(source[0], page_lines(source[0], 1)) is expected


def test_scan_with_a_long_note_is_read_and_the_note_keeps_its_words(scan: Path, tmp_path: Path) -> None:
    document = read_pdf(drawn_on(scan, tmp_path / "a.pdf", at_the_foot))
    text = " ".join(text_of(document).split())
    assert document.ocr_pages == (1,)
    assert text.count("raised the dense half by another eight points") == 3
    assert text.count("to the reader I1lO0 for the purposes of private study.") == 1
    assert text.count("niversity") == 1  # not read a second time


@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_words_printed_over_a_scan_stay_and_so_do_their_boxes(scan: Path, tmp_path: Path, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.draw_rect(pymupdf.Rect(50, 480, 400, 520), color=None, fill=(1, 1, 1))
        page.insert_text((60, 500), "l1 and ll norms", fontsize=16)

    document = read_pdf(drawn_on(scan, tmp_path / "a.pdf", draw, rotation=rotation))
    assert document.ocr_pages == (1,)
    assert "l1 and ll norms" in text_of(document)
    assert "needs no training at all" in text_of(document)
    with pymupdf.open(tmp_path / "a.pdf") as source:
        (place,) = source[0].search_for("norms")
        shown = place * source[0].rotation_matrix
    (span,) = (
        span
        for section in document.sections
        for block in section.blocks
        for span in block.spans
        if block.text[span.start : span.end] == "norms"
    )
    x, y = (span.x0 + span.x1) / 2, (span.y0 + span.y1) / 2
    assert shown.x0 < x < shown.x1
    assert shown.y0 < y < shown.y1


@pytest.mark.parametrize(("quarters", "degrees"), [(1, 0.0), (0, 3.0)])
def test_note_over_a_scan_that_lies_sideways_or_askew_is_marked_where_it_is_printed(tmp_path: Path, quarters: int, degrees: float) -> None:
    page = make_pdf(tmp_path / "page.pdf", column(BODY * 3, 60, 120, size=12, pitch=18))
    turned = scanned(page, tmp_path / "scan.pdf", quarters=quarters, degrees=degrees)
    with pymupdf.open(turned) as source:
        source[0].insert_text((60, source[0].rect.height - 20), "Provided by the library of I1lO0", fontsize=8)
        source.save(tmp_path / "a.pdf")
        (place,) = source[0].search_for("I1lO0")
    document = read_pdf(tmp_path / "a.pdf")
    assert document.ocr_pages == (1,)
    (box,) = (
        span[3:]
        for section in document.sections
        for block in section.blocks
        for span in block.spans
        if block.text[span.start : span.end] == "I1lO0"
    )
    assert box == pytest.approx(tuple(place), abs=3)


@pytest.mark.parametrize("patterned", [False, True])
def test_slides_over_a_picture_keep_their_exact_words(tmp_path: Path, patterned: bool) -> None:
    told: list[int] = []
    image = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 160, 120), False)
    image.clear_with(240)
    if patterned:
        image.set_rect(pymupdf.IRect(0, 100, 160, 120), (20, 40, 90))  # a bar at the foot
    with pymupdf.open() as made:
        page = made.new_page(width=720, height=540)
        page.insert_image(page.rect, pixmap=image)
        page.insert_text((60, 200), "Divergence in l1 and ll norms", fontsize=24)
        made.save(tmp_path / "slide.pdf")
    document = read_pdf(tmp_path / "slide.pdf", tell=lambda page, pages: told.append(page))
    assert text_of(document) == "Divergence in l1 and ll norms"
    assert document.ocr_pages == ()
    assert told == ([1] if patterned else [])  # OCR is not even asked where nothing else is printed


def text_of(document: Document) -> str:
    return "\n".join(block.text for section in document.sections for block in section.blocks)
