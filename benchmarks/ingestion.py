"""Papers into a fresh library: against embedding alone, and against the plain LangChain recipe, pages a second of each, interleaved.

python -m benchmarks.ingestion [FOLDER] [--papers N] [--compared N] [--rounds N] [--no-scans]

FOLDER is ../shared/library/papers beside the repository unless given.

Embedding alone gets the very windows that ingestion makes, gathered beforehand: same model, same number of threads. Papers with pages
that OCR reads are measured apart, since OCR is no cost of embedding. The LangChain recipe is PyMuPDFLoader or PyPDFLoader,
RecursiveCharacterTextSplitter(250, 50), HuggingFaceEmbeddings with the same model folder, FAISS.from_documents and save_local, with
their own defaults; it needs `pip install -r benchmarks/requirements.txt`, and is left out where that is not installed.
Each measurement runs in a process of its own, with the model loaded before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ingestion_parts import LOADERS, Cost, missing
from benchmarks.machine import head
from configs.settings import ROOT, Splitting, load_settings
from server.embedding import load_model
from server.errors import PaperError
from server.ingestion.hand import window_texts
from server.readers.process import ReaderProcess
from server.splitting import split

# Our model folder holds float16, which the recipe takes as it is, and which CPUs are slow in; folders from elsewhere hold float32. Two
# threads on cores that others use spend much of their time waiting for each other.
RECIPES = {  # name -> loader, number type, threads (0: torch's default)
    "PyMuPDFLoader": ("PyMuPDFLoader", "", 0),
    "PyPDFLoader": ("PyPDFLoader", "", 0),
    "PyMuPDFLoader, float32": ("PyMuPDFLoader", "float32", 0),
    "PyMuPDFLoader, float32, 1 thread": ("PyMuPDFLoader", "float32", 1),
}
PAPERS = ROOT.parent / "shared" / "library" / "papers"


@dataclass(frozen=True, slots=True)
class Paper:
    """A file and what reading and splitting it gives."""

    path: Path
    pages: int
    ocr_pages: int
    windows: list[str]


def main() -> int:
    """Print the tables; 1 when there are no papers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=PAPERS, help="PDFs; those that cannot be read are left out")
    parser.add_argument("--papers", type=int, default=12, help="so many papers without scanned pages, evenly out of all by name")
    parser.add_argument("--compared", type=int, default=4, help="so many of them for the LangChain recipe, which is slow; 0: none")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--no-scans", action="store_true", help="without the papers that OCR reads")
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.pdf"))
    papers = _gathered(paths if not options.no_scans else [path for path in paths if not path.name.startswith("scan")])
    born = [paper for paper in papers if not paper.ocr_pages]
    if not born:
        print(f"no papers in {options.folder}; name a folder with PDFs")
        return 1
    print(head("Ingestion"))
    _against_embedding("without OCR", _evenly(born, options.papers), options.rounds)
    if scans := [paper for paper in papers if paper.ocr_pages]:
        _against_embedding("with OCR", scans, 1)
    if options.compared:
        _against_langchain(_evenly(born, options.compared), options.rounds)
    return 0


def _against_embedding(name: str, papers: Sequence[Paper], rounds: int) -> None:
    print(f"\n## Against embedding alone: papers {name}\n\n{', '.join(paper.path.stem for paper in papers)}\n")
    print("| pages (OCR) | windows | embedding alone s | CPU-s | ingestion s | CPU-s | ratio | of CPU-s | load |")
    print("|---|---|---|---|---|---|---|---|---|")
    for number in range(rounds):
        costs = {way: _cost(way, papers) for way in _turned(["alone", "ours"], number)}
        alone, ours = costs["alone"], costs["ours"]
        pages = f"{ours.pages} ({sum(paper.ocr_pages for paper in papers)})"
        seconds = f"{alone.wall_s:.1f} | {alone.cpu_s:.1f} | {ours.wall_s:.1f} | {ours.cpu_s:.1f}"
        ratios = f"{alone.wall_s / ours.wall_s:.2f} | {alone.cpu_s / ours.cpu_s:.2f}"
        print(f"| {pages} | {ours.pieces} | {seconds} | {ratios} | {alone.load:.1f}, {ours.load:.1f} |", flush=True)


def _against_langchain(papers: Sequence[Paper], rounds: int) -> None:
    print(f"\n## Against the LangChain recipe\n\n{', '.join(paper.path.stem for paper in papers)}\n")
    for loader in LOADERS:
        if missing(loader):
            print(f"{loader} is left out: {', '.join(missing(loader))} not installed; pip install -r benchmarks/requirements.txt\n")
    ways = ["ours", *(name for name, (loader, _, _) in RECIPES.items() if not missing(loader))]
    print("| way | pages | vectors | s | CPU-s | pages/s | pages/CPU-s | load |\n|---|---|---|---|---|---|---|---|", flush=True)
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in _turned(ways, number):
            costs[way].append(cost := _cost(way, papers))
            rates = f"{cost.pages / cost.wall_s:.2f} | {cost.pages / cost.cpu_s:.2f}"
            print(
                f"| {way} | {cost.pages} | {cost.pieces} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} | {rates} | {cost.load:.1f} |", flush=True
            )
    print("\n| ingestion against | times the pages a second | times the pages a CPU-second |\n|---|---|---|")
    for way in ways[1:]:
        faster, cheaper = (_median(costs[way], of) / _median(costs["ours"], of) for of in (_wall_s, _cpu_s))
        print(f"| {way} | {faster:.1f} | {cheaper:.1f} |")


def _evenly(papers: Sequence[Paper], count: int) -> list[Paper]:
    count = min(count, len(papers))
    return [papers[(2 * at + 1) * len(papers) // (2 * count)] for at in range(count)]


def _turned(ways: Sequence[str], number: int) -> list[str]:
    """The ways, every other round from the last to the first."""
    return list(ways) if number % 2 == 0 else list(reversed(ways))


def _gathered(paths: Sequence[Path]) -> list[Paper]:
    found = []
    count_tokens = load_model(load_settings()).count_tokens
    with ReaderProcess() as reader:
        for path in paths:
            try:
                document = reader.read(path)
            except PaperError:
                continue
            windows = window_texts(split(document, Splitting(), count_tokens))
            found.append(Paper(path, document.pages, len(document.ocr_pages), windows))
    return found


def _cost(way: str, papers: Sequence[Paper]) -> Cost:
    job = {
        "files": [str(paper.path.resolve()) for paper in papers],
        "pages": sum(paper.pages for paper in papers),
        "windows": [window for paper in papers for window in paper.windows],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(job, file)
        file.flush()
        loader, dtype, threads = RECIPES.get(way, (way, "", 0))
        command = [sys.executable, "-m", "benchmarks.ingestion_parts", loader, file.name, dtype]
        environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return Cost(**json.loads(ended.stdout.splitlines()[-1]))


def _median(costs: Sequence[Cost], of: Callable[[Cost], float]) -> float:
    return statistics.median(of(cost) for cost in costs)


def _wall_s(cost: Cost) -> float:
    return cost.wall_s


def _cpu_s(cost: Cost) -> float:
    return cost.cpu_s


if __name__ == "__main__":
    sys.exit(main())
