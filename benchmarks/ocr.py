"""Pages of known text, rasterised, turned by one degree and made noisy, through OCR: seconds, memory, characters and words right.

python -m benchmarks.ocr [--library FOLDER] [--truth FOLDER]

The pages come from the sample papers: set in one column anew, and in two columns as they are. FOLDER/papers may hold real scans;
what they say, one passage a line, stands in FOLDER/NAME.txt of --truth. A passage is looked for in the text that was read, so its
place and its order count, and what stands around it does not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
import unicodedata
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import head

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "knowledge_base" / "samples" / "content"
LIBRARY = ROOT.parent / "shared" / "library"
DPI, DEGREES, NOISE = 150, 1.0, 12.0  # of the scans; noise in levels of 255
DRAWN_DPI = (100, 120, 150, 200)  # at which pages are drawn for OCR
PAPER = (595.0, 842.0)  # A4, points


class Case(NamedTuple):
    """A scan and the passages that stand on it; none when they are not known."""

    name: str
    path: Path
    passages: tuple[str, ...]
    has_words: bool  # False for Chinese


class Outcome(NamedTuple):
    """What one reading cost and gave. `start_s`: CPU seconds to make the engine, not part of `cpu_s`."""

    pages: int
    start_s: float
    cpu_s: float
    wall_s: float
    peak_mib: float
    text: str


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--library", type=Path, default=LIBRARY, help="folder with papers/scan_*.pdf")
    parser.add_argument("--truth", type=Path, help="folder with NAME.txt for the scans of the library")
    arguments = parser.parse_args()
    print(head("Reading scans by OCR"))
    print(table(arguments.library, arguments.truth))
    print(choices())
    return 0


def table(library: Path = LIBRARY, truth: Path | None = None) -> str:
    """One row a document, each read in a process of its own."""
    lines = [
        f"Scans at {DPI} dpi, turned by {DEGREES:g} degree, noise of {NOISE:g} levels.\n",
        "| document | pages | CPU s a page | wall s a page | peak MiB | characters right | words right |",
        "|---|---|---|---|---|---|---|",
    ]
    starts = []
    with tempfile.TemporaryDirectory() as folder:
        for case in [*made(Path(folder)), *real(library, truth)]:
            outcome = _measured(case.path)
            starts.append(outcome.start_s)
            lines.append(
                f"| {case.name} | {outcome.pages} | {outcome.cpu_s / outcome.pages:.1f} | {outcome.wall_s / outcome.pages:.1f} | "
                f"{outcome.peak_mib:.0f} | {_shares(case, outcome.text)} |"
            )
    return "\n".join([*lines, f"\nThe engine starts in {statistics.median(starts):.1f} CPU s, once a process.\n"])


def choices() -> str:
    """The drawing resolution and the threads, on the two-column pages: why they are what they are."""
    lines = ["| drawn at dpi | threads | CPU s a page | wall s a page | characters right, English | Chinese |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        cases = list(made(Path(folder)))[2:]
        for dpi, threads in [*((dpi, 1) for dpi in DRAWN_DPI), (120, 2)]:
            outcomes = [_measured(case.path, dpi, threads) for case in cases]
            right = " | ".join(f"{characters(case.passages, outcome.text):.2%}" for case, outcome in zip(cases, outcomes, strict=True))
            cpu, wall = (statistics.mean(times) for times in zip(*((o.cpu_s, o.wall_s) for o in outcomes), strict=True))
            lines.append(f"| {dpi} | {threads} | {cpu:.1f} | {wall:.1f} | {right} |")
    return "\n".join([*lines, ""])


def made(folder: Path) -> Iterator[Case]:
    """One column and two, English and Chinese, scanned into `folder`."""
    for name, sample, has_words in (("English", "proved-citations", True), ("Chinese", "local-llm-serving-zh", False)):
        passages = tuple(_paragraphs(SAMPLES / f"{sample}.pdf"))[:8]
        plain = _typeset(passages, folder / f"{name}.pdf")
        yield Case(f"{name}, one column", _scanned(plain, 0, folder / f"{name} 1.pdf"), passages, has_words)
    for name, sample, has_words in (("English", "hybrid-retrieval-fusion", True), ("Chinese", "local-llm-serving-zh", False)):
        passages = tuple(_paragraphs(SAMPLES / f"{sample}.pdf", page=2))
        yield Case(f"{name}, two columns", _scanned(SAMPLES / f"{sample}.pdf", 1, folder / f"{name} 2.pdf"), passages, has_words)


def real(library: Path, truth: Path | None) -> Iterator[Case]:
    """The scans of the library."""
    for path in sorted((library / "papers").glob("scan_*.pdf")):
        known = truth / f"{path.stem}.txt" if truth else None
        passages = known.read_text(encoding="utf-8").splitlines() if known and known.exists() else []
        yield Case(path.name, path, tuple(filter(None, passages)), "_zh_" not in path.name)


def _paragraphs(path: Path, page: int = 0) -> Iterator[str]:
    """The paragraphs of a born-digital paper; with `page`, those that stand on it as a whole."""
    from server.readers.pdf.reader import read_pdf

    for section in read_pdf(path).sections:
        for block in section.blocks:
            if block.kind == "paragraph" and len(block.text) > 60 and (not page or {span.page for span in block.spans} == {page}):
                yield block.text


def _typeset(passages: Sequence[str], path: Path) -> Path:
    """One column on A4, in the fonts that come with PyMuPDF."""
    import pymupdf

    html = "".join(f'<p style="text-align: justify">{passage.replace("&", "&amp;").replace("<", "&lt;")}</p>' for passage in passages)
    with pymupdf.open() as paper:
        page = paper.new_page(width=PAPER[0], height=PAPER[1])
        room, scale = page.insert_htmlbox(pymupdf.Rect(70, 70, 525, 790), html, css="* {font: 10.5pt serif}", scale_low=0.5)
        assert room >= 0, f"does not fit, scale {scale}"
        paper.save(path)
    return path


def _scanned(path: Path, page: int, target: Path) -> Path:
    """A page of a PDF as an image in a PDF: drawn, turned, noisy, JPEG."""
    import cv2
    import numpy as np
    import pymupdf

    with pymupdf.open(path) as paper:
        image = paper[page].get_pixmap(dpi=DPI, colorspace=pymupdf.csGRAY)
    grey = np.frombuffer(image.samples, np.uint8).reshape(image.height, image.width)
    turn = cv2.getRotationMatrix2D((image.width / 2, image.height / 2), DEGREES, 1.0)
    turned = cv2.warpAffine(grey, turn, (image.width, image.height), borderValue=255)
    noisy = turned + np.random.default_rng(0).normal(0, NOISE, turned.shape)
    _, jpeg = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])
    with pymupdf.open() as scan:
        sheet = scan.new_page(width=PAPER[0], height=PAPER[1])
        sheet.insert_image(sheet.rect, stream=jpeg.tobytes())
        scan.save(target)
    return target


def _measured(path: Path, dpi: int | None = None, threads: int | None = None) -> Outcome:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_read, (path, dpi, threads))


def _read(path: Path, dpi: int | None, threads: int | None) -> Outcome:
    """In a process of its own: the engine is made on an empty line, then the document is read."""
    import numpy as np

    from server.readers.ocr import engine, pages
    from server.readers.pdf.reader import read_pdf

    pages.DPI = dpi or pages.DPI
    engine.THREADS = threads or engine.THREADS
    started = time.process_time()
    engine.find_lines(np.full((64, 64, 3), 255, np.uint8))
    engine.recognise(np.full((32, 64, 3), 255, np.uint8))
    cpu, wall = time.process_time(), time.perf_counter()
    document = read_pdf(path)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    text = "\n".join(block.text for section in document.sections for block in section.blocks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(document.pages, cpu - started, *spent, peak, f"{document.title}\n{text}")


def _shares(case: Case, text: str) -> str:
    if not case.passages:
        return "- | -"
    return f"{characters(case.passages, text):.2%} | " + (f"{words(case.passages, text):.2%}" if case.has_words else "-")


def characters(passages: Sequence[str], text: str) -> float:
    """1 - edits / length over all passages, after NFKC and without white space."""
    return _right([_folded(passage).replace(" ", "") for passage in passages], _folded(text).replace(" ", ""))


def words(passages: Sequence[str], text: str) -> float:
    """1 - edited words / words: a lost space costs two."""
    return _right([_folded(passage).split() for passage in passages], _folded(text).split())


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _right(passages: Sequence[Sequence[Hashable]], text: Sequence[Hashable]) -> float:
    return 1 - sum(_edits(passage, text) for passage in passages) / sum(map(len, passages))


def _edits(pattern: Sequence[Hashable], text: Sequence[Hashable]) -> int:
    """The least edits that turn `pattern` into some stretch of `text`: Myers' bit-parallel algorithm (J. ACM 46, 1999), one bit an item."""
    places: dict[Hashable, int] = {}
    for at, item in enumerate(pattern):
        places[item] = places.get(item, 0) | 1 << at
    everything, last = (1 << len(pattern)) - 1, 1 << (len(pattern) - 1)
    rises, falls = everything, 0
    edits = least = len(pattern)
    for item in text:
        equal = places.get(item, 0)
        across = (((equal & rises) + rises) ^ rises) | equal
        up, down = (falls | ~(across | rises)) & everything, rises & across
        edits += bool(up & last) - bool(down & last)
        least = min(least, edits)
        up, down = (up << 1) & everything, (down << 1) & everything
        rises, falls = (down | ~((equal | falls) | up)) & everything, up & (equal | falls)
    return least


if __name__ == "__main__":
    raise SystemExit(main())
