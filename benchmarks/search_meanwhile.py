"""Searches by many readers while nothing else happens, and while their library is ingested: p50 and p99 of `retrieve`, interleaved.

python -m benchmarks.search_meanwhile [FOLDER] [--readers N] [--pause S] [--seconds S] [--rounds N]

FOLDER holds PDFs (default: ../shared/library/papers beside the repository); a third of them fills the library, which is then read anew
all the time. Every question is new, so none is answered from memory. Without a pause the readers ask as fast as they can and take all
cores by themselves; with one, cores have time left, which ingestion takes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ingestion import PAPERS
from benchmarks.machine import head
from configs.settings import Retrieval, Splitting, load_settings
from server.embedding import Embedder, load_model
from server.errors import Cancelled
from server.ingestion import Progress, ingest
from server.knowledge_base import KnowledgeBase
from server.retrieval import retrieve
from server.shelf import Shelf

SEED = 20261121
EVERY = 3  # of the papers that are no scans


@dataclass(frozen=True, slots=True)
class Readers:
    """So many threads, each asking and then pausing until `pause_s` after its question, for `seconds`."""

    count: int
    pause_s: float
    seconds: float


def main() -> int:
    """Print the table; 1 when there are no papers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=PAPERS)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--pause", type=float, nargs="+", default=[0.0, 4.0], help="seconds between two questions of a reader")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    paths = [path for path in sorted(options.folder.glob("*.pdf")) if not path.name.startswith(("scan", "enc", "corrupt", "zero"))][::EVERY]
    if not paths:
        print(f"no papers in {options.folder}; name a folder with PDFs")
        return 1
    embedder = load_model(load_settings())
    print(head("Searches while a library is ingested"))
    with tempfile.TemporaryDirectory() as temporary:
        shelf = Shelf(Path(temporary))
        kb = shelf.create("papers", embedding=embedder.name, dimension=embedder.dimension, passages=embedder.usage.form)
        for path in paths:
            shutil.copyfile(path, kb.content / path.name)
        ingest(kb, embedder, Splitting())
        print(f"{len(paths)} papers, {kb.catalog.counts()[2]} windows, {options.readers} readers, seed {SEED}.\n")
        print("| pause s | ingestion | questions | p50 ms | p99 ms | p50 ratio | p99 ratio | windows/s | load |")
        print("|---|---|---|---|---|---|---|---|---|")
        for pause_s in options.pause:
            readers = Readers(options.readers, pause_s, options.seconds)
            both: dict[bool, list[np.ndarray]] = {False: [], True: []}
            for _ in range(options.rounds):
                for meanwhile in (False, True):
                    times, rate = _meanwhile(kb, embedder, readers) if meanwhile else (_asked(kb, embedder, readers), 0.0)
                    both[meanwhile].append(times)
                    _row(readers, "meanwhile" if meanwhile else "none", times, rate, None)
            _row(readers, "all rounds", np.concatenate(both[True]), None, np.concatenate(both[False]))
        shelf.close()
    return 0


def _asked(kb: KnowledgeBase, embedder: Embedder, readers: Readers) -> np.ndarray:
    """Seconds of every question."""
    words = sorted({word for p in kb.catalog.listing(kb.name, kb.names()[0]) for word in p.text.split() if word.isalpha()})
    until = time.monotonic() + readers.seconds
    found: list[float] = []

    def reader(seed: int) -> None:
        chance = random.Random(f"{seed} {until}")
        time.sleep(chance.random() * readers.pause_s)
        while (started := time.monotonic()) < until:
            retrieve([(kb, embedder)], " ".join(chance.choices(words, k=12)), Retrieval())
            took = time.monotonic() - started
            found.append(took)
            time.sleep(max(0.0, readers.pause_s - took))

    threads = [threading.Thread(target=reader, args=(SEED + n,)) for n in range(readers.count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.array(found)


def _meanwhile(kb: KnowledgeBase, embedder: Embedder, readers: Readers) -> tuple[np.ndarray, float]:
    """Seconds of every question, and windows that were embedded a second."""
    cancel, begun = threading.Event(), threading.Event()
    embedded = [0]

    class Counting:
        """The embedder, counted."""

        def __getattr__(self, name: str) -> object:
            return getattr(embedder, name)

        def embed_documents(self, texts: list[str], done: object) -> object:
            vectors = embedder.embed_documents(texts, done)  # type: ignore[arg-type] # as it came
            embedded[0] += len(texts)
            begun.set()
            return vectors

    def run() -> None:
        def tell(progress: Progress) -> None:
            pass

        while not cancel.is_set():
            try:
                ingest(kb, Counting(), Splitting(), force=True, cancel=cancel, tell=tell)  # type: ignore[arg-type] # all of an Embedder
            except Cancelled:
                return

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    before = embedded[0]
    times = _asked(kb, embedder, readers)
    rate = (embedded[0] - before) / readers.seconds
    cancel.set()
    thread.join()
    return times, rate


def _row(readers: Readers, name: str, times: np.ndarray, rate: float | None, without: np.ndarray | None) -> None:
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    ratios = " | "
    if without is not None:
        before = np.percentile(without, [50, 99]) * 1000
        ratios = f"{p50 / before[0]:.2f} | {p99 / before[1]:.2f}"
    windows = "" if rate is None else f"{rate:.1f}"
    load = f"{os.getloadavg()[0]:.1f}"
    print(f"| {readers.pause_s:g} | {name} | {len(times)} | {p50:.0f} | {p99:.0f} | {ratios} | {windows} | {load} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
