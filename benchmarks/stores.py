"""A library of N random vectors through KnowledgeBase: seconds to build, open, add, delete and search; recall@10; memory.

python -m benchmarks.stores [--windows 100000] [--kind mixture|uniform] [--dimension 384]

`mixture`: one centre for 200 windows, each window at a cosine of 0.7 to its centre (what embeddings of papers look like: windows of one
paper lie together); `uniform`: no structure at all, the worst case for lists. Questions lie at a cosine of 0.8 to some window. Papers have
200 windows in 40 chunks. Rows are written by SQL in the order of their ids; everything measured goes through KnowledgeBase.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.machine import head
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from server.stores.rows import Reading
from server.stores.where import Where
from server.types import Chunk

WINDOWS_A_PAPER = 200
WINDOWS_A_CHUNK = 5
QUESTIONS = 200
Vectors = npt.NDArray[np.float32]


def _unit(vectors: npt.NDArray[np.floating]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def near(centres: Vectors, cosine: float, dice: np.random.Generator) -> Vectors:
    return _unit(cosine * centres + (1 - cosine**2) ** 0.5 * _unit(dice.normal(size=centres.shape).astype(np.float32)))


def paper(number: int, kind: str, dimension: int) -> Vectors:
    """The windows of one paper."""
    dice = np.random.default_rng([number, dimension])
    if kind == "uniform":
        return _unit(dice.normal(size=(WINDOWS_A_PAPER, dimension)).astype(np.float32))
    centre = _unit(dice.normal(size=(1, dimension)).astype(np.float32))
    return near(np.repeat(centre, WINDOWS_A_PAPER, axis=0), 0.7, dice)


def _fill(kb: KnowledgeBase, papers: int, kind: str) -> None:
    """Rows of `papers` papers, in the order of their ids, as `Catalog.replace` would write them one by one in hours."""
    dice = np.random.default_rng(1)
    ids = np.sort(dice.integers(0, 2**63 - 1, papers * WINDOWS_A_PAPER))
    places = dice.permutation(len(ids)).reshape(papers, -1)  # of each paper's windows among the sorted ids
    halves = np.memmap(kb.folder / "fill", np.float16, "w+", shape=(len(ids), kb.facts.dimension))
    chunk_of = np.zeros(len(ids), np.int64)
    chunks_a_paper = WINDOWS_A_PAPER // WINDOWS_A_CHUNK
    for number in range(papers):
        halves[places[number]] = paper(number, kind, kb.facts.dimension)
        chunk_of[places[number]] = number * chunks_a_paper + np.arange(WINDOWS_A_PAPER) // WINDOWS_A_CHUNK + 1
    with kb.catalog._write() as db:
        db.execute("INSERT INTO meta VALUES ('generation', 1) ON CONFLICT (key) DO UPDATE SET value = 1")
        db.executemany(
            "INSERT INTO files (id, name, state, updated_at, generation) VALUES (?, ?, 'ready', 0, 1)",
            ((number + 1, f"paper{number:05}.pdf") for number in range(papers)),
        )
        db.executemany(
            "INSERT INTO chunks (id, file_id, ord, section, page, page_end, kind, language, text, spans) "
            "VALUES (?, ?, ?, '[]', 1, 1, 'paragraph', 'en', 'some words', x'')",
            ((chunk + 1, chunk // chunks_a_paper + 1, chunk % chunks_a_paper) for chunk in range(papers * chunks_a_paper)),
        )
        db.executemany(
            "INSERT INTO windows VALUES (?, ?, ?, 0, 4, ?)",
            ((int(ids[i]), int(chunk_of[i]), (int(chunk_of[i]) - 1) // chunks_a_paper + 1, halves[i].tobytes()) for i in range(len(ids))),
        )
    (kb.folder / "fill").unlink()


def _resident_mib() -> tuple[float, float]:
    """(memory of this process's own, mapped files of it) now."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows["RssAnon"].split()[0]) / 1024, int(rows["RssFile"].split()[0]) / 1024


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _each(run: Callable[[Vectors], object], questions: Vectors) -> tuple[float, float, float]:
    """(p50 of wall, p95 of wall, mean CPU) in ms."""
    cpu = time.process_time()
    walls = [_timed(lambda question=question: run(question)) for question in questions]  # type: ignore[misc]
    cpu = time.process_time() - cpu
    return 1e3 * float(np.median(walls)), 1e3 * float(np.percentile(walls, 95)), 1e3 * cpu / len(questions)


def _exact(kb: KnowledgeBase, questions: Vectors, allowed: npt.NDArray[np.int64] | None = None) -> list[set[int]]:
    """The ten nearest windows of each question by float32 over all rows."""
    best: list[list[tuple[float, int]]] = [[] for _ in questions]
    with kb.catalog.changes_since(0) as changes:
        for ids, vectors in changes.batches:
            if allowed is not None:
                kept = np.isin(ids, allowed)
                ids, vectors = ids[kept], vectors[kept]
            scores = questions @ vectors.T
            near = np.argsort(-scores, axis=1)[:, :10] if len(ids) < 11 else np.argpartition(-scores, 10, axis=1)[:, :10]
            for row, columns in enumerate(near):
                best[row] = sorted([*best[row], *((float(scores[row, c]), int(ids[c])) for c in columns)], reverse=True)[:10]
    return [{i for _, i in row} for row in best]


def _recall(kb: KnowledgeBase, questions: Vectors, only: npt.NDArray[np.int64] | None = None) -> float:
    exact = _exact(kb, questions, only)
    hits = sum(len({i for i, _ in kb.search(q, 10, only)} & true) for q, true in zip(questions, exact, strict=True))
    return hits / sum(map(len, exact))


def _put(kb: KnowledgeBase, name: str, vectors: Vectors) -> None:
    kb.catalog.queue([name])
    chunks = [
        Chunk("some words", (), 1, 1, "paragraph", "en", (), tuple((0, 4) for _ in range(WINDOWS_A_CHUNK)))
        for _ in range(len(vectors) // WINDOWS_A_CHUNK)
    ]
    kb.catalog.replace(name, Reading(name, "en", 1, 1, name, "recipe"), chunks, vectors)


def _measured(root: Path, step: str, kind: str) -> None:
    """One step in a process of its own, so that its peak of memory is its own; prints table rows."""
    import faiss

    faiss.omp_get_max_threads()  # loaded before memory is counted
    before_own, before_mapped = _resident_mib()
    shelf = Shelf(root)
    if step == "fill":
        kb = shelf.open("stores")
        _fill(kb, int(os.environ["PAPERS"]), kind)
        return
    started = time.perf_counter()
    kb = shelf.open("stores")
    dimension = kb.facts.dimension
    dice = np.random.default_rng(9)
    question = near(paper(3, kind, dimension)[:QUESTIONS], 0.8, dice)
    kb.search(question[0], 10)
    opened = time.perf_counter() - started
    vectors_mib = kb.catalog.counts()[2] * dimension * 4 / 2**20

    def row(what: str, value: str, target: str = "") -> None:
        print(f"| {what} | {value} | {target} |", flush=True)

    def memory(what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_own - before_mapped
        own, mapped = (now - before for now, before in zip(_resident_mib(), (before_own, before_mapped), strict=True))
        row(
            f"memory {what}: peak; then own, mapped",
            f"{peak:.0f}; {own:.0f}, {mapped:.0f} MiB (vectors {vectors_mib:.0f})",
            "peak <= 2 x vectors",
        )

    if step == "build":
        row("index built from rows, first search (no index file)", f"{opened:.1f} s")
        memory("while building")
        row("index written", f"{_timed(kb.save_index):.2f} s")
        files = sum(path.stat().st_size for path in kb.vectors_folder.iterdir()) / 2**20
        row("library.db; vectors/", f"{kb.catalog.path.stat().st_size / 2**20:.0f}; {files:.0f} MiB")
        memory("while building and writing")
        return
    row("open after a restart, with the first search", f"{opened:.2f} s", "<= 1 s")
    row("kind, lists probed", f"{kb._store._part.kind}, {kb._store._part.probes}")  # type: ignore[attr-defined]
    papers = np.random.default_rng(4).choice(int(os.environ["PAPERS"]), QUESTIONS)
    questions = np.concatenate([near(paper(int(p), kind, dimension)[int(p) % WINDOWS_A_PAPER][None], 0.8, dice) for p in papers])
    _each(lambda q: kb.search(q, 10), questions)  # lists are compared with their checksums when they are first searched
    for k in (10, 200):
        wall, late, cpu = _each(lambda q: kb.search(q, k), questions)  # noqa: B023 - called at once
        row(f"search, {k} nearest: p50, p95, CPU", f"{wall:.1f}, {late:.1f}, {cpu:.1f} ms", "p50 <= 10 ms" if k == 10 else "")
    one = kb.catalog.windows_in(Where(files=("paper00003.pdf",)))
    some = kb.catalog.windows_in(Where(files=tuple(f"paper{number:05}.pdf" for number in range(0, int(os.environ["PAPERS"]), 7))))
    for what, only in (("one paper", one), (f"{len(some)} windows", some)):
        wall, late, cpu = _each(lambda q: kb.search(q, 10, only), questions[:50])  # noqa: B023 - called at once
        row(f"search in {what}: p50, p95, CPU", f"{wall:.1f}, {late:.1f}, {cpu:.1f} ms")
    row("recall@10", f"{_recall(kb, questions):.4f}", ">= 0.99")
    row(
        "recall@10 in one paper; in a seventh",
        f"{_recall(kb, questions[:50], one):.4f}; {_recall(kb, questions[:50], some):.4f}",
        ">= 0.99",
    )
    memory("while searching")
    adds, deletes = [], []
    for number in range(5):
        new = paper(10**6 + number, kind, dimension)

        def add(new: Vectors = new, number: int = number) -> None:
            _put(kb, f"new{number}", new)
            kb.save_index()
            assert kb.search(new[0], 1)[0][1] > 0.999

        adds.append(_timed(add))
    row("search with 1,000 new windows: p50, p95, CPU", "{:.1f}, {:.1f}, {:.1f} ms".format(*_each(lambda q: kb.search(q, 10), questions)))
    for number in range(5):

        def delete(number: int = number) -> None:
            kb.catalog.remove([f"new{number}"])
            kb.save_index()
            assert kb.search(paper(10**6 + number, kind, dimension)[0], 1)[0][1] < 0.999

        deletes.append(_timed(delete))
    row("add a paper of 200 windows, found by a search: median, worst of 5", f"{np.median(adds):.2f}, {max(adds):.2f} s", "<= 0.5 s")
    row("delete it, gone from a search: median, worst of 5", f"{np.median(deletes):.2f}, {max(deletes):.2f} s", "<= 0.5 s")
    shelf.close()


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--kind", choices=("mixture", "uniform"), default="mixture")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--step", choices=("fill", "build", "use"), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        _measured(given.root, given.step, given.kind)
        return 0
    papers = given.windows // WINDOWS_A_PAPER
    print(head(f"{papers * WINDOWS_A_PAPER:,} {given.kind} vectors of {given.dimension} dimensions, {papers:,} papers"))
    with tempfile.TemporaryDirectory() as temporary:
        shelf = Shelf(Path(temporary))
        shelf.create("stores", embedding="random", dimension=given.dimension)
        shelf.close()
        print(f"- load of the machine before: {os.getloadavg()[0]:.1f}\n\n| | | target |\n|---|---|---|", flush=True)
        for step in ("fill", "build", "use"):
            command = [sys.executable, "-m", "benchmarks.stores", "--step", step, "--root", temporary, "--kind", given.kind]
            done = subprocess.run(command, env=os.environ | {"PAPERS": str(papers)}, check=False).returncode
            if done:
                return done
    return 0


if __name__ == "__main__":
    sys.exit(main())
