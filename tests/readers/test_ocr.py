"""Scans through OCR: text, boxes on the page as displayed, which pages are scans, what is said when nothing can be read."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from pdf_maker import column, make_pdf
from scan_maker import picture, put_into_pdf, scanned

from benchmarks.ocr import characters, words
from configs.settings import ROOT
from server.errors import Unreadable
from server.readers import read
from server.readers.ocr.lines import agreed
from server.readers.ocr.pages import recognised_page
from server.readers.ocr.scans import Scans
from server.readers.pdf.page import Page
from server.readers.pdf.reader import read_pdf
from server.readers.process import ReaderProcess
from server.types import Document, Span

LIBRARY = Path(os.environ.get("PAPERPROOF_LIBRARY") or ROOT.parent / "shared" / "library")
ENGLISH = [
    "The weighted sum of both halves reached 68.4 percent on COVID-QA,",
    "which is ahead of every other rule that we have tried so far (p < 0.01).",
    "Windows of sixty words raised the dense half by another 8.8 points.",
]
CHINESE = ["字符二元组比分词更适合关键词检索。", "在三个中文数据集上，二元组的召回率都高于分词，", "向量检索还可以回答跨语言的问题。"]


def page_of(path: Path, lines: Iterable[str], *, size: float = 10) -> Path:
    """A small page, 400 x 200 points, with `lines` and the heading "2 Results" above them."""
    with pymupdf.open() as made:
        sheet = made.new_page(width=400, height=200)
        sheet.insert_text((30, 40), "2 Results", fontsize=16, fontname="hebo")
        for at, line in enumerate(lines):
            sheet.insert_text((30, 70 + 15 * at), line, fontsize=size, fontname="helv" if line.isascii() else "china-s")
        made.save(path)
    return path


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both languages, with a text layer."""
    return page_of(tmp_path_factory.mktemp("printed") / "page.pdf", [*ENGLISH, *CHINESE])


def text_of(document: Document) -> str:
    return "\n".join(block.text for section in document.sections for block in section.blocks)


def spans_of(document: Document) -> list[tuple[str, Span]]:
    return [(block.text[span.start : span.end], span) for section in document.sections for block in section.blocks for span in block.spans]


def test_scan_reads_as_it_is_printed(printed: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    document = read_pdf(scanned(printed, tmp_path / "scan.pdf", degrees=1), tell=lambda page, pages: told.append((page, pages)))
    assert characters(["".join(ENGLISH)], text_of(document)) >= 0.98
    assert words([" ".join(ENGLISH)], text_of(document)) >= 0.95
    assert characters(["".join(CHINESE)], text_of(document)) >= 0.95
    assert [section.path for section in document.sections] == [("2 Results",)]  # larger print, as a heading needs it
    assert (document.ocr_pages, told) == ((1,), [(1, 1)])
    assert document.warnings == ("1 of 1 pages were read by OCR: 1",)


@pytest.mark.parametrize(("degrees", "quarters"), [(1, 0), (-3, 0), (0, 2), (1, 1), (-1, 3)])
def test_boxes_enclose_the_printed_words_of_pages_askew_sideways_and_upside_down(
    printed: Path, tmp_path: Path, degrees: float, quarters: int
) -> None:
    found = spans_of(read_pdf(scanned(printed, tmp_path / "scan.pdf", degrees=degrees, quarters=quarters)))
    with pymupdf.open(printed) as source:
        placed = [word for word in source[0].get_text("words") if re.fullmatch(r"[a-z]{5,}", word[4])]
    assert len(placed) == 14
    for x0, y0, x1, y1, text, *_ in placed:
        x, y = _turned((x0 + x1) / 2, (y0 + y1) / 2, degrees, quarters)
        spans = [span for other, span in found if other == text]
        assert any(span.x0 <= x <= span.x1 and span.y0 <= y <= span.y1 for span in spans), (text, x, y, spans)
        for span in spans:
            assert (span.x1 - span.x0) * (span.y1 - span.y0) < 2.5 * (x1 - x0) * (y1 - y0)  # and little else


def _turned(x: float, y: float, degrees: float, quarters: int, width: float = 400, height: float = 200) -> tuple[float, float]:
    """Where a point of the page lies after it was turned as `picture` turns it."""
    a = math.radians(degrees)
    dx, dy = x - width / 2, y - height / 2
    x, y = width / 2 + dx * math.cos(a) + dy * math.sin(a), height / 2 - dx * math.sin(a) + dy * math.cos(a)
    for _ in range(quarters):
        x, y, width, height = y, width - x, height, width
    return x, y


def test_box_of_a_chinese_run_holds_its_own_line_when_the_page_lies_askew(printed: Path, tmp_path: Path) -> None:
    found = dict(spans_of(read_pdf(scanned(printed, tmp_path / "scan.pdf", degrees=2))))
    with pymupdf.open(printed) as source:
        (place,) = source[0].search_for("向量检索还可以回答跨语言的问题")
    span = next(span for text, span in found.items() if text.startswith("向量检索还可以"))
    for corner in [(x, y) for x in (place.x0 + 1, place.x1 - 1) for y in (place.y0 + 3, place.y1 - 3)]:
        x, y = _turned(*corner, 2, 0)
        assert span.x0 - 2 <= x <= span.x1 + 2
        assert span.y0 <= y <= span.y1


def test_pages_with_text_keep_it_and_blank_ones_cost_nothing(printed: Path, tmp_path: Path) -> None:
    told: list[int] = []
    with (
        pymupdf.open(make_pdf(tmp_path / "text.pdf", column(ENGLISH))) as mixed,
        pymupdf.open(scanned(printed, tmp_path / "s.pdf")) as scan,
    ):
        mixed.insert_pdf(scan)
        mixed.new_page()
        mixed.save(tmp_path / "mixed.pdf")
    document = read_pdf(tmp_path / "mixed.pdf", tell=lambda page, pages: told.append(page))
    assert document.ocr_pages == (2,)
    assert told == [2, 3]
    assert document.warnings == ("1 of 3 pages have no text: 3", "1 of 3 pages were read by OCR: 2")
    assert " ".join(ENGLISH) in text_of(document)
    assert {span.page for text, span in spans_of(document) if text == "Windows"} == {1, 2}


@pytest.mark.parametrize("known", [True, False])
def test_text_layer_of_characters_nobody_can_tell_is_not_believed(tmp_path: Path, known: bool) -> None:
    with pymupdf.open() as made:
        sheet = made.new_page(width=400, height=120)
        sheet.insert_font("F0", fontbuffer=pymupdf.Font("helv").buffer)
        for at, line in enumerate(ENGLISH):
            sheet.insert_text((30, 40 + 15 * at), line, fontsize=10, fontname="F0")
        for number in range(1, made.xref_length()):
            kind, value = made.xref_get_key(number, "ToUnicode")
            if kind == "xref" and known:  # small letters become private characters, which a page loses without a trace
                table = int(value.split()[0])
                told = re.sub("<00([67].)>(?=\n)", r"<E0\1>", made.xref_stream(table).decode())
                made.update_stream(table, told.encode())
            elif kind == "xref":
                made.xref_set_key(number, "ToUnicode", "null")
        made.save(tmp_path / "garbled.pdf")
    document = read_pdf(tmp_path / "garbled.pdf")
    assert document.ocr_pages == (1,)
    assert characters(["".join(ENGLISH)], text_of(document)) >= 0.98


def test_page_without_any_letters_says_so(tmp_path: Path) -> None:
    with pymupdf.open() as made:
        sheet = made.new_page(width=200, height=200)
        sheet.draw_circle((100, 100), 60, fill=(0, 0, 0))
        made.save(tmp_path / "disc.pdf")
    with pytest.raises(Unreadable, match=r"no text: 1 page without a text layer, and OCR finds nothing on it; scan again"):
        read_pdf(tmp_path / "disc.pdf")


def test_blurred_page_is_read_with_a_warning(printed: Path, tmp_path: Path) -> None:
    document = read_pdf(put_into_pdf(picture(printed, dpi=47, noise=25), tmp_path / "blurred.pdf", 47))
    assert re.fullmatch(r"page 1 was read with low confidence \(0\.[5-7]\d\)", document.warnings[-1]), document.warnings


def test_failure_costs_one_page() -> None:
    class Broken:
        rect = pymupdf.Rect(0, 0, 100, 100)

        def get_image_info(self) -> list[dict[str, Any]]:
            return []

        def get_pixmap(self, **_: object) -> None:
            raise RuntimeError("a filter that nobody knows")

    scans = Scans(2, lambda page, pages: None)
    blank = Page(1, 100, 100, [])
    assert scans.text_of(Broken(), blank) is blank
    assert scans.pages == ()
    assert scans.warnings() == ["page 1 could not be read: OCR failed: a filter that nobody knows"]


@pytest.mark.parametrize("said", ["std::bad_alloc", "(-4:Insufficient memory) Failed to allocate 9 bytes", "malloc (9 bytes) failed"])
def test_lack_of_memory_is_no_fault_of_the_scan(said: str) -> None:
    class Large:
        rect = pymupdf.Rect(0, 0, 100, 100)

        def get_image_info(self) -> list[dict[str, Any]]:
            return []

        def get_pixmap(self, **_: object) -> None:
            raise RuntimeError(said)

    with pytest.raises(MemoryError):
        Scans(1, lambda page, pages: None).text_of(Large(), Page(1, 100, 100, []))


@pytest.mark.slow
def test_reader_process_with_too_little_memory_for_ocr_names_the_limit(printed: Path, tmp_path: Path) -> None:
    with ReaderProcess(memory_mib=500) as reader, pytest.raises(Unreadable, match="reading needs more than 500 MiB of memory"):
        reader.read(put_into_pdf(picture(printed, dpi=600), tmp_path / "large.pdf", 150))


def test_sizes_agree_within_twelve_percent() -> None:
    assert agreed([10.1, 9.6, 10.6, 10.2, 14.3, 13.9, 8.4], [60, 60, 60, 60, 12, 10, 30]) == [10, 10, 10, 10, 14, 14, 8.5]


def test_nothing_is_fetched_printed_or_written(printed: Path, tmp_path: Path) -> None:
    scan = scanned(printed, tmp_path / "scan.pdf")
    script = (
        "import pathlib, socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from server.readers import read\n"
        "import importlib.util\n"
        "package = pathlib.Path(importlib.util.find_spec('rapidocr').origin).parent\n"
        "files = lambda: sorted((str(p), p.stat().st_mtime_ns) for p in package.rglob('*') if '__pycache__' not in p.parts)\n"
        "before = files()\n"
        f"pages = read(pathlib.Path({str(scan)!r})).ocr_pages\n"
        "sys.exit(0 if pages == (1,) and files() == before else 3)\n"
    )
    (tmp_path / "home").mkdir()
    home = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path / "home"))
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, **home}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert list((tmp_path / "home").iterdir()) == []  # onnxruntime 1.31 leaves telemetry there


def test_blank_page_does_not_even_load_the_engine(tmp_path: Path) -> None:
    blank = make_pdf(tmp_path / "blank.pdf", [], pages=1)
    script = (
        "import pathlib, sys\nfrom server.errors import Unreadable\nfrom server.readers import read\n"
        f"try: read(pathlib.Path({str(blank)!r}))\nexcept Unreadable: sys.exit('rapidocr' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=120).returncode == 0


def test_reader_process_has_memory_enough(printed: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with ReaderProcess() as reader:
        document = reader.read(scanned(printed, tmp_path / "scan.pdf"), tell=lambda page, pages: told.append((page, pages)))
    assert (document.ocr_pages, told) == ((1,), [(1, 1)])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(4000, 8504), (8504, 30), (30, 8504)])  # a poster of three metres, and its edges
def test_huge_sheet_stays_within_the_memory_limit(tmp_path: Path, width: float, height: float) -> None:
    with pymupdf.open() as drawn, pymupdf.open() as made:
        sheet = drawn.new_page(width=width, height=height)
        sheet.insert_text((5, 25), "Poster of three metres", fontsize=min(width, 400) / 15)
        made.new_page(width=width, height=height).insert_image(sheet.rect, pixmap=sheet.get_pixmap(dpi=40))
        made.save(tmp_path / "huge.pdf")
    with ReaderProcess() as reader:
        try:
            assert reader.read(tmp_path / "huge.pdf").ocr_pages == (1,)
        except Unreadable as exc:
            assert "OCR finds nothing" in str(exc)  # noqa: PT017 - print too small or cut off is no failure, memory is
            assert "failed" not in str(exc)  # noqa: PT017


@pytest.mark.slow
@pytest.mark.skipif(not (LIBRARY / "papers").is_dir(), reason="no library of papers; PAPERPROOF_LIBRARY names one")
@pytest.mark.parametrize(("name", "language", "pages"), [("scan_en_scipy_optimize.pdf", "en", 2), ("scan_zh_cpet_supplement.pdf", "zh", 7)])
def test_scans_of_the_library_hold_what_is_asked_about_them(name: str, language: str, pages: int) -> None:
    document = read(LIBRARY / "papers" / name)
    assert (document.language, document.ocr_pages) == (language, tuple(range(1, pages + 1)))
    assert document.warnings == (f"{pages} of {pages} pages were read by OCR: {', '.join(map(str, document.ocr_pages))}",)
    for line in (LIBRARY / "qa" / "own_qa.jsonl").read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        if name in question["source_files"]:
            assert any(re.search(answer, text_of(document)) for answer in question["accept_any"]), question["question"]


def test_recognised_page_says_how_sure_it_is(printed: Path, tmp_path: Path) -> None:
    with pymupdf.open(scanned(printed, tmp_path / "scan.pdf")) as source:
        page, confidence = recognised_page(source[0], 1)
    assert confidence > 0.95
    assert (page.width, page.height) == (pytest.approx(400, abs=1), pytest.approx(200, abs=1))
