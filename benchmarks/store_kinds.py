"""Which kind of FAISS index from which size on: build seconds, CPU-ms a search, recall@10, MiB, for each kind and number of vectors.

python -m benchmarks.store_kinds [N …]      default: 20000 50000 100000 200000; vectors as in benchmarks/stores.py; one thread
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.machine import head
from benchmarks.stores import WINDOWS_A_PAPER, near, paper
from server.stores import faiss_part
from server.stores.faiss_part import SURPLUS, Kind

DIMENSION = 384
QUESTIONS = 100


def main() -> int:
    """Print the table."""
    import faiss

    faiss.omp_set_num_threads(1)
    print(head("Kinds of FAISS index by size"))
    print("| vectors | kind | probes | built, CPU s | search, CPU ms | recall@10 before and after scoring by rows | bytes a vector |")
    print("|---|---|---|---|---|---|---|")
    kinds: tuple[Kind, ...] = ("flat", "half", "lists")
    for count in [int(n) for n in sys.argv[1:]] or [20_000, 50_000, 100_000, 200_000]:
        for data in ("mixture", "uniform"):
            rows = np.concatenate([paper(number, data, DIMENSION) for number in range(count // WINDOWS_A_PAPER)])
            rows = rows[np.random.default_rng(2).permutation(len(rows))]
            questions = near(rows[:QUESTIONS], 0.8, np.random.default_rng(3))
            _, exact = faiss.knn(questions, rows, 10, faiss.METRIC_INNER_PRODUCT)
            for kind in kinds:
                started = time.process_time()
                batches = ((np.arange(at, min(at + 8192, count)), rows[at : at + 8192]) for at in range(0, count, 8192))
                part = faiss_part.build(kind, DIMENSION, count, batches)
                built = time.process_time() - started
                started = time.process_time()
                found = [[i for i, _ in part.search(q, 10 + SURPLUS[kind], None, everywhere=False)] for q in questions]
                search = 1e3 * (time.process_time() - started) / QUESTIONS
                size = {"flat": 4 * DIMENSION, "half": 2 * DIMENSION, "lists": DIMENSION + 8}[kind] + 8
                before, after = (
                    sum(len(set(row[:n]) & set(true.tolist())) for row, true in zip(found, exact, strict=True)) / exact.size
                    for n in (10, None)
                )
                print(
                    f"| {count:,} {data} | {kind} | {part.probes} | {built:.1f} | {search:.2f} | {before:.3f}, {after:.4f} | {size} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
