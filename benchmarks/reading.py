"""Real papers through readers and splitter: speed against bare text extraction, memory, evidence found in one chunk, boxes that enclose.

python -m benchmarks.reading [--library FOLDER] [--no-ocr]      default: ../shared/library beside the repository

Prints every table that concerns reading: those below, and of benchmarks.reading_identity, reading_headings, reading_tables and ocr.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import ocr, reading_headings, reading_identity, reading_tables
from benchmarks.machine import head
from benchmarks.truth_files import LIBRARY, ROOT
from configs.settings import Splitting
from server.errors import PaperError
from server.readers import read
from server.splitting import split
from server.splitting.counting import estimate_tokens
from server.types import Chunk, Document

ROUNDS = 3
SPLITTING = Splitting()  # chunks of 400 tokens; the window of the embedding model is 512
MEMORY_LIMIT_MIB = 400


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--library", type=Path, default=LIBRARY, help="folder with papers/, qa/ and summary/")
    parser.add_argument("--no-ocr", action="store_true", help="leave the minutes of OCR out")
    arguments = parser.parse_args()
    library: Path = arguments.library
    if not (library / "papers").is_dir():
        print(f"no papers at {library / 'papers'}; name their folder with --library")
        return 1
    print(head("Reading papers"))
    papers = born_digital(library)
    print(speed(papers))
    print(memory(library))
    documents = {path.name: read(path) for path in papers}
    print(evidence(library, documents))
    print(boxes(library, documents))
    print(reading_identity.table(library, scans=not arguments.no_ocr))
    for part in (reading_headings, reading_tables):
        print(part.table())
    if not arguments.no_ocr:
        print(ocr.table())
    return 0


def born_digital(library: Path) -> list[Path]:
    """The papers that have a text layer and can be opened."""
    import pymupdf

    found = []
    for path in sorted((library / "papers").glob("*.pdf")):
        try:
            with pymupdf.open(path) as source:
                if not source.needs_pass and len(source) and sum(len(page.get_text()) for page in source) > 200 * len(source):
                    found.append(path)
        except (RuntimeError, ValueError):
            continue
    return found


def speed(papers: Sequence[Path]) -> str:
    """Pages a CPU-second of structured reading and of bare get_text(), papers interleaved, best of ROUNDS."""
    pages, ours, bare, left_out = 0, 0.0, 0.0, list[str]()
    slowest: list[tuple[float, str]] = []
    for path in papers:
        if read(path).ocr_pages:  # its seconds are those of OCR
            left_out.append(path.name)
            continue
        times = [(_bare(path), _cpu_seconds(path)) for _ in range(ROUNDS)]
        count = times[0][0][1]
        plain_s, our_s = min(cost for (cost, _), _ in times), min(cost for _, cost in times)
        pages, ours, bare = pages + count, ours + our_s, bare + plain_s
        slowest.append((our_s / plain_s, path.name))
    slowest.sort(reverse=True)
    worst = ", ".join(f"{name} {ratio:.1f}" for ratio, name in slowest[:3])
    return (
        f"## Speed ({len(papers) - len(left_out)} born-digital papers, {pages} pages, one process, CPU time, best of {ROUNDS})\n\n"
        "| | pages a CPU-second |\n|---|---|\n"
        f"| structured reading | {pages / ours:.0f} |\n| bare `page.get_text()` | {pages / bare:.0f} |\n"
        f"| ratio | {ours / bare:.2f} (wanted: at most 4) |\n\nLargest ratios: {worst}.\n"
        f"Left out, because a page of theirs has no text layer and is read by OCR: {', '.join(left_out) or 'none'}.\n"
    )


def _bare(path: Path) -> tuple[float, int]:
    import pymupdf

    started = time.process_time()
    with pymupdf.open(path) as source:
        for page in source:
            page.get_text()
        return time.process_time() - started, len(source)


def _cpu_seconds(path: Path) -> float:
    started = time.process_time()
    read(path)
    return time.process_time() - started


def memory(library: Path) -> str:
    """Peak memory of fresh processes that read one paper each, the longest ones of the library."""
    program = (  # not getrusage: its peak is the parent's when that is larger
        "import re, sys; from pathlib import Path; from server.readers import read; document = read(Path(sys.argv[1]));"
        "peak = re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1];"
        "print(document.pages, int(peak) // 1024)"
    )
    rows = []
    for path in sorted((library / "papers").glob("*.pdf"), key=lambda path: -path.stat().st_size)[:4] + list(
        (library / "papers").glob("*117p.pdf")
    ):
        run = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            pages, mib = run.stdout.split()[-2:]
            rows.append(f"| {path.name} | {pages} | {mib} |")
    table = "\n".join(dict.fromkeys(rows))
    title = f"## Peak memory, a process for one paper (wanted: at most {MEMORY_LIMIT_MIB} MiB)"
    return f"{title}\n\n| paper | pages | MiB |\n|---|---|---|\n{table}\n"


def evidence(library: Path, documents: dict[str, Document]) -> str:
    """Whether each evidence snippet of qa/own_qa.jsonl lies inside one chunk of at most 512 tokens, with the page that is given for it."""
    chunks = {name: split(document, SPLITTING, estimate_tokens) for name, document in documents.items()}
    wanted = found = right = 0
    lines = []
    longest = max(estimate_tokens(chunk.text) for each in chunks.values() for chunk in each)
    for item in _snippets(library):
        if item["file"] not in documents:
            continue  # an image or a scan: see OCR
        wanted += 1
        text = plain(item["text"])
        holding = [chunk for chunk in chunks[item["file"]] if text in plain(chunk.text)]
        found += bool(holding)
        on_page = any(item["page"] in pages_of(chunk, item["text"]) for chunk in holding)
        right += on_page
        if not on_page:
            lines.append(f"- {item['file']} page {item['page']}: {'on another page' if holding else 'not found'}")
    share = found / max(1, wanted)
    listed = "".join(f"{line}\n" for line in lines)
    return (
        f"## Evidence snippets inside one chunk ({wanted} of own_qa.jsonl in born-digital papers)\n\n"
        f"Longest chunk: {longest} tokens, estimated.\n\n"
        f"| found | share (wanted: 95 %) | with the right page |\n|---|---|---|\n| {found} | {share:.1%} | {right} of {found} |\n\n{listed}"
    )


def _snippets(library: Path) -> Iterator[dict[str, str | int]]:
    for line in (library / "qa" / "own_qa.jsonl").read_text(encoding="utf-8").splitlines():
        for item in json.loads(line)["evidence"]:
            if item["text"] != "(image only)":
                yield item


def pages_of(chunk: Chunk, text: str) -> set[int]:
    """The pages on which the characters of `text` are printed, by the chunk's spans."""
    letters = [(letter, at) for at, char in enumerate(chunk.text) for letter in plain(char)]
    joined, wanted = "".join(letter for letter, _ in letters), plain(text)
    start = joined.find(wanted)
    if start < 0:
        return set()
    first, last = letters[start][1], letters[start + len(wanted) - 1][1]
    return {span.page for span in chunk.spans if span.end > first and span.start <= last}


def boxes(library: Path, documents: dict[str, Document]) -> str:
    """Whether the box of each word of each chunk holds the characters of the word, by extracting the characters inside the box."""
    words = enclosed = traced = characters = 0
    bad: Counter[str] = Counter()
    for name, document in documents.items():
        printed = _Printed(library / "papers" / name)
        for chunk in split(document, SPLITTING, estimate_tokens):
            characters += sum(not char.isspace() for char in chunk.text)
            for span in chunk.spans:
                text = plain(chunk.text[span.start : span.end])
                traced += sum(not char.isspace() for char in chunk.text[span.start : span.end])
                if not text:
                    continue
                words += 1
                inside = not Counter(text) - printed.inside(span.page, (span.x0, span.y0, span.x1, span.y1))
                enclosed += inside
                bad[name] += not inside
    worst = ", ".join(f"{name} {count}" for name, count in bad.most_common(3) if count)
    return (
        "## Boxes: the characters of a word lie inside its box\n\n"
        "| words in chunks | enclosed | share | characters with a box |\n|---|---|---|---|\n"
        f"| {words:,} | {enclosed:,} | {enclosed / words:.2%} | {traced / characters:.2%} |\n\nNot enclosed, by paper: {worst or 'none'}.\n"
    )


class _Printed:
    """Characters of a PDF's pages with the centres of their boxes as displayed."""

    def __init__(self, path: Path) -> None:
        import pymupdf

        self._source = pymupdf.open(path)
        self._page = 0
        self._rows: dict[int, list[tuple[float, float, str]]] = {}

    def inside(self, page: int, box: tuple[float, float, float, float], slack: float = 1.0) -> Counter[str]:
        """The characters whose centres lie in `box`, `slack` points around it included."""
        if page != self._page:
            self._load(page)
        x0, y0, x1, y1 = box
        found: Counter[str] = Counter()
        for row in range(int(y0 - slack) // 8, int(y1 + slack) // 8 + 1):
            for x, y, letters in self._rows.get(row, ()):
                if x0 - slack <= x <= x1 + slack and y0 - slack <= y <= y1 + slack:
                    found.update(letters)
        return found

    def _load(self, number: int) -> None:
        import pymupdf

        self._page, self._rows = number, {}
        page = self._source[number - 1]
        for block in page.get_text("rawdict", flags=pymupdf.TEXT_PRESERVE_WHITESPACE)["blocks"]:
            for char in (char for line in block.get("lines", ()) for span in line["spans"] for char in span["chars"]):
                box = pymupdf.Rect(char["bbox"]) * page.rotation_matrix
                x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
                self._rows.setdefault(int(y) // 8, []).append((x, y, plain(char["c"])))


def plain(text: str) -> str:
    """`text` without white space, hyphens, "^" of powers and letter case, ligatures and full-width forms resolved.

    It is what two extractions must share.
    """
    import unicodedata

    kept = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in kept if not char.isspace() and char not in "^-\u00ad\u2010\u2011\u2012\u2013\u2014\u2212")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PaperError as exc:
        sys.exit(str(exc))
