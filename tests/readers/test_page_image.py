"""A page with highlights: the marked pixels lie inside the boxes, on turned pages too, and bad requests have their reasons."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymupdf
import pytest

from server.errors import Invalid, NotFound, Unreadable
from server.readers.page_image import render
from server.readers.process import ReaderProcess
from server.types import Box
from tests.readers.pdf_maker import Put, make_pdf

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
