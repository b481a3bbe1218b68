"""A page with highlights: the marked pixels lie inside the boxes, on turned pages too, and bad requests have their reasons."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from server.errors import Invalid, NotFound, Unreadable
from server.readers.page_image import render
from server.readers.pdf.reader import read_pdf
from server.readers.process import ReaderProcess
from server.types import Box
from tests.readers.pdf_maker import Put, make_pdf

Change = Callable[[Any], object]
DPI = 72  # one pixel a point
YELLOW = (255, 233, 163)  # the highlight at 45 % over white: 255 - 0.45 * (255 - c), c = 255, 214, 51


def pixels(png: bytes) -> pymupdf.Pixmap:
    return pymupdf.Pixmap(png)


def is_yellow(pixel: tuple[int, ...]) -> bool:
    return all(abs(a - b) <= 4 for a, b in zip(pixel, YELLOW, strict=True))


def yellow(png: bytes) -> set[tuple[int, int]]:
    """Every highlighted pixel, as (x, y)."""
    image = pixels(png)
    return {(x, y) for y in range(image.height) for x in range(image.width) if is_yellow(image.pixel(x, y))}


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_highlight_fills_the_box_of_the_page_as_displayed(tmp_path: Path, rotation: int):
    path = make_pdf(tmp_path / "a.pdf", [], rotation=rotation, pages=1)
    box = Box(1, 100, 50, 200, 80)
    found = yellow(render(path, 1, [box], DPI))
    assert len(found) == pytest.approx(100 * 30, rel=0.08)
    assert min(x for x, _ in found) >= 99
    assert max(x for x, _ in found) <= 200
    assert min(y for _, y in found) >= 49
    assert max(y for _, y in found) <= 80


def test_the_text_stays_readable_under_the_highlight(tmp_path: Path):
    path = make_pdf(tmp_path / "a.pdf", [Put("WWWW", 100, 100, 20)])
    image = pixels(render(path, 1, [Box(1, 95, 80, 180, 105)], DPI))
    darkest = min(sum(image.pixel(x, y)) for x in range(100, 160) for y in range(85, 100))
    assert darkest < 450  # of 765


def rotated(degrees: int) -> Change:
    return lambda page: page.set_rotation(degrees)


def cropped(page: Any) -> None:
    page.set_cropbox(pymupdf.Rect(40, 50, 500, 700))


def moved(page: Any) -> None:
    page.parent.xref_set_key(page.xref, "MediaBox", "[0 100 595 942]")


def doubled(page: Any) -> None:
    page.parent.xref_set_key(page.xref, "UserUnit", "2.0")


@pytest.mark.parametrize(
    "changes",
    [
        *([cropped, rotated(degrees)] for degrees in (0, 90, 180, 270)),
        *([moved, rotated(degrees)] for degrees in (0, 90, 180, 270)),
        *([doubled, rotated(degrees)] for degrees in (0, 90)),
    ],
)
def test_the_highlight_lies_on_the_word_whatever_boxes_the_page_has(tmp_path: Path, changes: list[Change]):
    with pymupdf.open() as made:
        made.new_page(width=595, height=842).insert_text((130, 380), "TARGETWORD", fontsize=11)
        made[0].insert_text((130, 300), "and other words", fontsize=11)
        for change in changes:
            change(made[0])
        made.save(tmp_path / "a.pdf")
    spans = [
        (block.text[span.start : span.end], span)
        for section in read_pdf(tmp_path / "a.pdf").sections
        for block in section.blocks
        for span in block.spans
    ]
    (span,) = (span for text, span in spans if text == "TARGETWORD")
    found = yellow(render(tmp_path / "a.pdf", 1, [Box(1, *span[3:])], DPI))
    plain = pixels(render(tmp_path / "a.pdf", 1, [], DPI))
    around = (min(x for x, _ in found), min(y for _, y in found), max(x for x, _ in found), max(y for _, y in found))
    assert around == pytest.approx((span.x0, span.y0, span.x1, span.y1), abs=1.5)
    ink = [(x, y) for x in range(plain.width) for y in range(plain.height) if sum(plain.pixel(x, y)) < 300]
    inside = [(x, y) for x, y in ink if around[0] <= x <= around[2] and around[1] <= y <= around[3]]
    assert 0.2 < len(inside) / len(ink) < 0.8  # this word and not the others


def test_print_keeps_its_darkness_and_dark_paper_is_marked_too(tmp_path: Path):
    with pymupdf.open() as made:
        page = made.new_page(width=200, height=100)
        page.draw_rect(pymupdf.Rect(20, 20, 40, 80), color=None, fill=(0, 0, 0))  # a thick letter
        page.draw_rect(pymupdf.Rect(100, 0, 200, 100), color=None, fill=(0.1, 0.1, 0.2))
        page.draw_rect(pymupdf.Rect(140, 40, 150, 60), color=None, fill=(1, 1, 1))
        made.save(tmp_path / "a.pdf")
    image = pixels(render(tmp_path / "a.pdf", 1, [Box(1, 10, 10, 90, 90), Box(1, 110, 10, 190, 90), Box(1, 10, 10, 50, 90)], DPI))
    assert image.pixel(30, 50) == (0, 0, 0)
    assert is_yellow(image.pixel(60, 50))
    assert is_yellow(image.pixel(45, 50))  # marked once where two boxes overlap
    assert image.pixel(120, 50) == pytest.approx((129, 111, 51), abs=2)  # 0.55 * paper + 0.45 * (255, 214, 51)
    assert image.pixel(145, 50) == pytest.approx((255, 236, 163), abs=2)


@pytest.mark.parametrize("kind", ["note", "form"])
def test_notes_and_forms_that_are_read_are_drawn(tmp_path: Path, kind: str):
    with pymupdf.open() as made:
        page = made.new_page()
        if kind == "note":
            page.add_freetext_annot((60, 600, 300, 640), "A NOTE", fontsize=12, text_color=(0, 0, 0))
        else:
            field = pymupdf.Widget()
            field.field_name, field.field_type, field.field_value = "f", pymupdf.PDF_WIDGET_TYPE_TEXT, "A VALUE"
            field.rect = pymupdf.Rect(60, 600, 300, 620)
            page.add_widget(field)
        unseen = page.add_freetext_annot((60, 100, 300, 140), "NOBODY SEES THIS", fontsize=12, text_color=(0, 0, 0))
        unseen.set_flags(pymupdf.PDF_ANNOT_IS_HIDDEN)
        unseen.update()
        made.save(tmp_path / "a.pdf")
    image = pixels(render(tmp_path / "a.pdf", 1, [], DPI))
    assert sum(sum(image.pixel(x, y)) < 300 for x in range(60, 300) for y in range(595, 640)) > 50
    assert all(image.pixel(x, y) == (255, 255, 255) for x in range(60, 300) for y in range(95, 140))


def test_without_boxes_nothing_is_marked_and_the_file_stays_as_it_was(tmp_path: Path):
    path = make_pdf(tmp_path / "a.pdf", [Put("plain")])
    before = path.read_bytes()
    assert not yellow(render(path, 1, [], DPI))
    assert yellow(render(path, 1, [Box(1, 10, 10, 60, 60)], DPI))
    assert not yellow(render(path, 1, [], DPI))
    assert path.read_bytes() == before


def test_the_size_follows_the_dpi(tmp_path: Path):
    path = make_pdf(tmp_path / "a.pdf", [], pages=1)  # 595 x 842 points
    image = pixels(render(path, 1, [], 144))
    assert (image.width, image.height) == (1190, 1684)
    assert render(path, 1, [], 72)[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("dpi", [0, 35, 301, -1])
def test_a_dpi_out_of_range_is_refused(tmp_path: Path, dpi: int):
    with pytest.raises(Invalid, match=f"dpi must be 36 to 300, not {dpi}"):
        render(make_pdf(tmp_path / "a.pdf", [], pages=1), 1, [], dpi)


@pytest.mark.parametrize("page", [0, 3, -1])
def test_a_page_that_is_not_there_is_not_found(tmp_path: Path, page: int):
    with pytest.raises(NotFound, match=f"a.pdf has pages 1 to 2, not {page}"):
        render(make_pdf(tmp_path / "a.pdf", [], pages=2), page, [], DPI)


def test_a_file_without_pages_and_a_damaged_one_are_unreadable(tmp_path: Path):
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    with pytest.raises(Unreadable, match=r"a\.md has no pages to show"):
        render(tmp_path / "a.md", 1, [], DPI)
    for name, content in (("torn.pdf", b"%PDF-1.7\n1 0 obj"), ("empty.pdf", b""), ("not.pdf", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Unreadable, match=f"page 1 of {name} cannot be shown"):
            render(tmp_path / name, 1, [], DPI)


def test_a_file_that_needs_a_password_says_so(tmp_path: Path):
    with pymupdf.open() as made:
        made.new_page()
        made.save(tmp_path / "a.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="owner")
    with pytest.raises(Unreadable, match=r"a\.pdf needs a password"):
        render(tmp_path / "a.pdf", 1, [], DPI)


def test_a_damaged_file_is_named_without_its_folder(tmp_path: Path):
    (tmp_path / "torn.pdf").write_bytes(b"%PDF-1.7\n1 0 obj")
    with pytest.raises(Unreadable) as raised:
        render(tmp_path / "torn.pdf", 1, [], DPI)
    assert "torn.pdf" in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e9, 1e30])
def test_boxes_that_make_no_sense_do_no_harm(tmp_path: Path, value: float):
    path = make_pdf(tmp_path / "a.pdf", [], pages=1)
    with contextlib.suppress(Invalid, Unreadable):  # refusing is as good
        assert render(path, 1, [Box(1, value, 0, 10, 10)], DPI)[:4] == b"\x89PNG"


def test_pages_can_be_asked_for_at_once(tmp_path: Path):
    path = make_pdf(tmp_path / "a.pdf", [Put("x", page=n) for n in range(4)])
    with ReaderProcess() as process, ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda n: process.page_image(path, n % 4 + 1, [Box(n % 4 + 1, 10, 10, 60, 60)], DPI), range(12)))
        assert images == [render(path, 1, [Box(1, 10, 10, 60, 60)], DPI)] * 12  # the four pages look the same
        with pytest.raises(NotFound, match=r"a\.pdf has pages 1 to 4, not 5"):
            process.page_image(path, 5, [], DPI)
