"""Images of pages: the usual formats, EXIF, several pages in a TIFF; boxes fit the page image; bombs are refused by their header."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pymupdf
import pytest
from pdf_maker import Put, column, make_pdf
from PIL import Image
from scan_maker import picture

from server.errors import NotFound, Unreadable
from server.image_file import MOST_PIXELS, SUFFIXES, open_image
from server.readers import READERS, read
from server.readers.page_image import render
from server.types import Box, Document, Span

LINES = ["Photographs of printed pages are read like scans", "and every word keeps the place where it stands"]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Image.Image:
    """A page of 400 x 150 points at 150 dpi."""
    path = make_pdf(tmp_path_factory.mktemp("printed") / "page.pdf", column(LINES, x=40, y=50, size=12, pitch=20))
    return Image.fromarray(picture(path)[:312, :833])


def words_of(document: Document) -> dict[str, Span]:
    return {block.text[span.start : span.end]: span for section in document.sections for block in section.blocks for span in block.spans}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats_have_a_reader_and_one_size(printed: Image.Image, tmp_path: Path, suffix: str) -> None:
    printed.save(tmp_path / f"page{suffix}", dpi=(150, 150))
    assert READERS[suffix] == "server.readers.ocr.image:read_image"
    with open_image(tmp_path / f"page{suffix}") as image:
        assert len(image) == 1
        dpi = 96 if suffix == ".webp" else 150  # WebP has none; MuPDF then takes 96
        assert tuple(image[0].rect) == pytest.approx((0, 0, 833 * 72 / dpi, 312 * 72 / dpi), abs=1)


def test_image_without_resolution_is_read_and_its_words_are_marked_where_they_stand(printed: Image.Image, tmp_path: Path) -> None:
    printed.save(tmp_path / "page.png")
    told: list[tuple[int, int]] = []
    document = read(tmp_path / "page.png", tell=lambda page, pages: told.append((page, pages)))
    assert [block.text for section in document.sections for block in section.blocks] == [" ".join(LINES)]
    assert (document.title, document.ocr_pages, told) == ("page", (1,), [(1, 1)])
    span = words_of(document)["printed"]
    assert _darkest(render(tmp_path / "page.png", 1, [], 96), span) < 100
    marked = pymupdf.Pixmap(render(tmp_path / "page.png", 1, [Box(*span[2:])], 96))  # one pixel for each of the image's
    assert (marked.width, marked.height) == (833, 312)
    yellow = [(x, y) for x in range(833) for y in range(312) if marked.pixel(x, y)[2] < 200 < marked.pixel(x, y)[0]]
    assert (min(x for x, _ in yellow), max(x for x, _ in yellow)) == pytest.approx((span.x0 * 96 / 72, span.x1 * 96 / 72), abs=2)


def _darkest(png: bytes, span: Span) -> int:
    image = pymupdf.Pixmap(png)
    z = 96 / 72
    return min(image.pixel(x, y)[0] for x in range(int(span.x0 * z), int(span.x1 * z)) for y in range(int(span.y0 * z), int(span.y1 * z)))


def test_photograph_is_turned_as_its_exif_data_says_in_text_and_picture(printed: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6  # turn by 90 degrees clockwise to show
    printed.rotate(90, expand=True).save(tmp_path / "photo.jpg", exif=exif, dpi=(150, 150))
    document = read(tmp_path / "photo.jpg")
    span = words_of(document)["printed"]
    assert span.x1 - span.x0 > span.y1 - span.y0
    shown = pymupdf.Pixmap(render(tmp_path / "photo.jpg", 1, [], 150))
    assert (shown.width, shown.height) == (833, 312)
    assert _darkest(render(tmp_path / "photo.jpg", 1, [], 96), span) < 100


def test_frames_of_a_tiff_are_pages(printed: Image.Image, tmp_path: Path) -> None:
    blank = Image.new("L", printed.size, 255)
    printed.save(tmp_path / "pages.tif", save_all=True, append_images=[blank, printed], dpi=(150, 150), compression="tiff_lzw")
    told: list[tuple[int, int]] = []
    document = read(tmp_path / "pages.tif", tell=lambda page, pages: told.append((page, pages)))
    assert (document.pages, document.ocr_pages, told) == (3, (1, 3), [(1, 3), (2, 3), (3, 3)])
    assert document.warnings == ("1 of 3 pages have no text: 2", "2 of 3 pages were read by OCR: 1, 3")
    assert len(set(pymupdf.Pixmap(render(tmp_path / "pages.tif", 2, [], 72)).samples)) == 1
    with pytest.raises(NotFound, match=r"pages\.tif has pages 1 to 3, not 4"):
        render(tmp_path / "pages.tif", 4, [], 72)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0" * 999)) + _chunk(b"IEND", b"")


def _tiff(width: int, height: int) -> bytes:
    tags = (
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 200),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, 999),
    )
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        + b"\0" * 1300
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.png", _png(60_000, 60_000)), ("b.png", _png(9001, 9001)), ("c.tif", _tiff(60_000, 60_000)), ("d.tiff", _tiff(9001, 9001))],
)
def test_bomb_is_refused_by_its_header(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert MOST_PIXELS < 9001**2
    for use in (read, lambda path: render(path, 1, [], 72)):
        with pytest.raises(
            Unreadable, match=r"the image has (9001 x 9001|more than 178 million) pixels and the most is 80 million; save it smaller"
        ):
            use(tmp_path / name)


def test_what_is_no_image_or_damaged_says_so(printed: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"<html>not found</html>")
    with pytest.raises(Unreadable, match=r"this is no image although it is named \.png; known: PNG, JPEG, BMP, TIFF, WebP"):
        read(tmp_path / "page.png")
    printed.save(tmp_path / "whole.tif", compression="tiff_lzw")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:60])
    with pytest.raises(Unreadable, match=r"no image although|damaged"):
        read(tmp_path / "cut.tif")
    printed.save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:300])
    with pytest.raises(Unreadable, match=r"damaged|no image|no text"):
        read(tmp_path / "cut.jpg")
    make_pdf(tmp_path / "paper.pdf", [Put("text")]).rename(tmp_path / "paper.jpg")
    with pytest.raises(Unreadable, match=r"this is no image although it is named \.jpg"):
        read(tmp_path / "paper.jpg")


def test_image_without_text_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "white").save(tmp_path / "white.bmp")
    with pytest.raises(Unreadable, match=r"no text: 1 page without a text layer, and OCR finds nothing on it"):
        read(tmp_path / "white.bmp")
