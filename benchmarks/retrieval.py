"""Public retrieval sets searched by words, by vectors, by windows and by their fusions: nDCG@10, recall@5, MRR@10, one table a set.

python -m benchmarks.retrieval [FOLDER] [--only SET] [--reranker MODEL]      default: ../shared/library beside the repository

Every passage becomes a chunk as the splitter leaves it: with its windows, and the words of its title. Other weights of the vectors are
shown too, on the even and the odd questions apart; the last table chooses on one half of all sets what it reports on the other. There a
set weighs as many questions as it has, but no more than 100: two sets are nearly all right whatever is done, and one has 24 questions.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import head
from benchmarks.retrieval_sets import RetrievalSet, retrieval_sets
from configs.settings import Retrieval, load_settings
from server.embedding import Embedder, Vectors
from server.evaluation.metrics import ndcg, recall, reciprocal_rank
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.retrieval import retrieve
from server.retrieval.reranking import Reranker
from server.runtime import build
from server.splitting.windows import window_bounds
from server.stores.rows import Reading
from server.stores.where import EVERYWHERE, Where
from server.stores.words import question_terms
from server.types import Chunk

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "library"
RRF_K = 60  # Cormack et al. 2009
DEEP = 100  # places of a ranking that are looked at
MOST_OF_A_SET = 100
WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)

Ranking = list[str]
Search = Callable[[str, str], Ranking]  # question, document or "" -> ids
Gains = dict[float, tuple[float, float]]  # weight -> nDCG@10 of the even and of the odd questions


@dataclass(frozen=True)
class Loaded:
    """A set in a library: chunk id -> passage id, and each passage's one vector."""

    kb: KnowledgeBase
    passage_of: dict[int, str]
    ids: list[str]
    docs: list[str]
    whole: Vectors


def main() -> int:
    """Print the tables; 1 when there are no sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--only", metavar="SET")
    parser.add_argument("--reranker", metavar="MODEL", default="")
    asked_for = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        settings = load_settings({"paths": {"knowledge_base": temporary}, "retrieval": {"reranker": asked_for.reranker}})
        runtime = build(settings)
        embedder = runtime.embedders.get()
        print(head(f"Retrieval with {embedder.name}"))
        chosen: dict[str, Gains] = {}
        sizes: dict[str, int] = {}
        for found in retrieval_sets(asked_for.folder, embedder.count_tokens):
            if asked_for.only in (None, found.name):
                loaded = _load(runtime.create_library(found.name), embedder, found)
                sizes[found.name] = min(len(found.queries), MOST_OF_A_SET)
                chosen[found.name] = _print_set(found, _searches(loaded, embedder, settings.retrieval, runtime.reranker()))
        runtime.close()
    if not chosen:
        print(f"no sets in {asked_for.folder}; `python -m benchmarks.retrieval --help` says what they look like")
        return 1
    print_halves(chosen, sizes)
    return 0


def _load(kb: KnowledgeBase, embedder: Embedder, found: RetrievalSet) -> Loaded:
    """Every document of the corpus is a file, every passage a chunk of it."""
    files: dict[str, list[dict[str, Any]]] = {}
    for row in found.corpus:
        files.setdefault(str(row.get("doc", row["id"])), []).append(row)
    kb.catalog.queue(list(files))
    passage_of: dict[int, str] = {}
    for name, rows in files.items():
        chunks = [_chunk(row) for row in rows]
        texts = [" ".join(chunk.text[start:end].split()) for chunk in chunks for start, end in chunk.windows]
        reading = Reading(title=str(rows[0].get("title", name)), language=chunks[0].language, pages=1, bytes=0, sha256="", recipe="")
        kb.catalog.replace(name, reading, chunks, embedder.embed_documents(texts))
        passage_of |= {p.chunk_id: str(row["id"]) for p, row in zip(kb.catalog.listing(kb.name, name), rows, strict=True)}
    whole = embedder.embed_documents([str(row["text"]) for row in found.corpus])
    return Loaded(kb, passage_of, [str(r["id"]) for r in found.corpus], [str(r.get("doc", r["id"])) for r in found.corpus], whole)


def _chunk(row: dict[str, Any]) -> Chunk:
    text = str(row["text"])
    section = (str(row["section"]),) if row.get("section") else ()
    return Chunk(text, section, 1, 1, "text", language_of(text), (), tuple(window_bounds(text)))


def _searches(loaded: Loaded, embedder: Embedder, settings: Retrieval, reranker: Reranker | None) -> dict[str, Search]:
    kb, name_of = loaded.kb, loaded.passage_of

    def words(question: str, doc: str) -> Ranking:
        return [name_of[chunk] for chunk in kb.catalog.word_scores(question_terms(question), DEEP, where=_inside(doc))]

    def whole(question: str, doc: str) -> Ranking:
        scores = loaded.whole @ embedder.embed_query(question)
        return [loaded.ids[i] for i in np.argsort(-scores) if doc in ("", loaded.docs[i])][:DEEP]

    def windows(question: str, doc: str) -> Ranking:
        only = kb.catalog.windows_in(_inside(doc)) if doc else None
        near = kb.search(embedder.embed_query(question), DEEP * 5, only)
        chunk_of = kb.catalog.chunks_of_windows([window for window, _ in near])
        return list(dict.fromkeys(name_of[chunk_of[window]] for window, _ in near))[:DEEP]

    def rrf(*halves: Search) -> Search:
        def search(question: str, doc: str) -> Ranking:
            scores: dict[str, float] = {}
            for half in halves:
                for rank, item in enumerate(half(question, doc), 1):
                    scores[item] = scores.get(item, 0.0) + 1 / (RRF_K + rank)
            return sorted(scores, key=lambda item: -scores[item])

        return search

    def fused(reranker: Reranker | None = None, **changes: Any) -> Search:
        chosen = settings.model_copy(update=changes)

        def search(question: str, doc: str) -> Ranking:
            found = retrieve([(kb, embedder)], question, chosen, top_k=50, where=_inside(doc), reranker=reranker)
            return [name_of[passage.chunk_id] for passage in found]

        return search

    return {
        "words (BM25)": words,
        "dense, one vector a chunk": whole,
        "dense, best window": windows,
        f"RRF, k = {RRF_K}, words and one vector a chunk": rrf(words, whole),
        f"RRF, k = {RRF_K}, words and windows": rrf(words, windows),
        f"fused, as delivered (weight {settings.dense_weight:g})": fused(),
        **({f"+ {reranker.name}": fused(reranker)} if reranker else {}),
        "fused, MMR 0.7": fused(mmr_lambda=0.7),
        **{f"fused, weight {weight:g}": fused(dense_weight=weight) for weight in WEIGHTS},
    }


def _inside(doc: str) -> Where:
    return Where(files=(doc,)) if doc else EVERYWHERE


def _print_set(found: RetrievalSet, searches: dict[str, Search]) -> Gains:
    """The table of a set; what each weight gives."""
    print(f"\n## {found.name}: {len(found.queries)} questions, {len(found.corpus)} passages\n")
    print("| search | nDCG@10 | even questions | odd questions | recall@5 | MRR@10 |\n|---|---|---|---|---|---|")
    halves: Gains = {}
    for label, search in searches.items():
        rankings = [(search(str(q["query"]), str(q.get("doc", ""))), set(q["relevant"])) for q in found.queries]
        gains = [100 * ndcg(ranking, relevant) for ranking, relevant in rankings]
        cells = [statistics.mean(part) for part in (gains, gains[::2], gains[1::2])]
        if label.startswith("fused, weight "):
            halves[float(label.removeprefix("fused, weight "))] = (cells[1], cells[2])
        cells += [
            100 * statistics.mean(measure(ranking, relevant) for ranking, relevant in rankings) for measure in (recall, reciprocal_rank)
        ]
        print(f"| {label} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)
    return halves


def print_halves(chosen: dict[str, Gains], sizes: dict[str, int]) -> None:
    """The weight that is best over one half of all sets, each weighed by its size, and what it gives on the other."""

    def mean(weight: float, half: int) -> float:
        return sum(sizes[name] * gains[weight][half] for name, gains in chosen.items()) / sum(sizes.values())

    print("\n## The weight chosen on one half of every set, nDCG@10 on the other\n")
    print("| chosen on | weight | mean there | mean on the other half |" + "".join(f" {name} |" for name in chosen))
    print("|---|---|---|---|" + "---|" * len(chosen))
    for own, label in enumerate(("even", "odd")):
        best = max(WEIGHTS, key=lambda weight: mean(weight, own))
        others = [f"{gains[best][1 - own]:.1f}" for gains in chosen.values()]
        cells = [f"{best:g}", f"{mean(best, own):.2f}", f"{mean(best, 1 - own):.2f}", *others]
        print(f"| {label} questions | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
