"""Public retrieval sets searched by words, by vectors, by windows and by their fusions: nDCG@10, recall@5, MRR@10, one table a set.

python -m benchmarks.retrieval [FOLDER] [--weights]      default: ../shared/library/retrieval beside the repository

FOLDER holds a folder a set, with corpus.jsonl {id, text, doc?} and queries.jsonl {query, relevant, doc?}; a question with `doc` is asked
of that document alone. Every passage becomes a chunk as the splitter leaves it: with its windows, and the words of its title.
`--weights` shows other weights of the vectors too, on the even and the odd questions apart, so that one half chooses for the other.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import head
from configs.settings import load_settings
from server.embedding import Embedder, Vectors
from server.evaluation.metrics import ndcg, recall, reciprocal_rank
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.retrieval import retrieve
from server.runtime import build
from server.splitting.windows import window_bounds
from server.stores.rows import Reading
from server.stores.where import EVERYWHERE, Where
from server.stores.words import question_terms
from server.types import Chunk

SETS = Path(__file__).resolve().parents[2] / "shared" / "library" / "retrieval"
RRF_K = 60  # Cormack et al. 2009
DEEP = 100  # places of a ranking that are looked at
WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)

Ranking = list[str]
Search = Callable[[str, str], Ranking]  # question, document or "" -> ids


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
    parser.add_argument("folder", nargs="?", type=Path, default=SETS)
    parser.add_argument("--weights", action="store_true")
    asked_for = parser.parse_args()
    sets = sorted(path.parent for path in asked_for.folder.glob("*/queries.jsonl"))
    if not sets:
        print(f"no sets in {asked_for.folder}; each is a folder with corpus.jsonl and queries.jsonl")
        return 1
    with tempfile.TemporaryDirectory() as temporary:
        runtime = build(load_settings({"paths": {"knowledge_base": temporary}}))
        embedder = runtime.embedders.get()
        print(head(f"Retrieval with {embedder.name}"))
        for folder in sets:
            loaded = _load(runtime.create_library(folder.name), embedder, _rows(folder / "corpus.jsonl"))
            _print_set(
                folder.name, _rows(folder / "queries.jsonl"), _searches(loaded, embedder, runtime.settings.retrieval, asked_for.weights)
            )
        runtime.close()
    return 0


def _load(kb: KnowledgeBase, embedder: Embedder, corpus: Sequence[dict[str, Any]]) -> Loaded:
    """Every document of the corpus is a file, every passage a chunk of it."""
    files: dict[str, list[dict[str, Any]]] = {}
    for row in corpus:
        files.setdefault(str(row.get("doc", row["id"])), []).append(row)
    kb.catalog.queue(list(files))
    passage_of: dict[int, str] = {}
    for name, rows in files.items():
        chunks = [_chunk(row) for row in rows]
        texts = [" ".join(chunk.text[start:end].split()) for chunk in chunks for start, end in chunk.windows]
        reading = Reading(title=str(rows[0].get("title", name)), language=chunks[0].language, pages=1, bytes=0, sha256="", recipe="")
        kb.catalog.replace(name, reading, chunks, embedder.embed_documents(texts))
        passage_of |= {p.chunk_id: str(row["id"]) for p, row in zip(kb.catalog.listing(kb.name, name), rows, strict=True)}
    whole = embedder.embed_documents([str(row["text"]) for row in corpus])
    return Loaded(kb, passage_of, [str(r["id"]) for r in corpus], [str(r.get("doc", r["id"])) for r in corpus], whole)


def _chunk(row: dict[str, Any]) -> Chunk:
    text = str(row["text"])
    section = (str(row["section"]),) if row.get("section") else ()
    return Chunk(text, section, 1, 1, "text", language_of(text), (), tuple(window_bounds(text)))


def _searches(loaded: Loaded, embedder: Embedder, settings: Any, weights: bool) -> dict[str, Search]:
    kb, name_of = loaded.kb, loaded.passage_of

    def words(question: str, doc: str) -> Ranking:
        scores = kb.catalog.word_scores(question_terms(question), DEEP, where=Where(files=(doc,)) if doc else EVERYWHERE)
        return [name_of[chunk] for chunk in scores]

    def whole(question: str, doc: str) -> Ranking:
        scores = loaded.whole @ embedder.embed_query(question)
        return [loaded.ids[i] for i in np.argsort(-scores) if doc in ("", loaded.docs[i])][:DEEP]

    def windows(question: str, doc: str) -> Ranking:
        only = kb.catalog.windows_in(Where(files=(doc,))) if doc else None
        near = kb.search(embedder.embed_query(question), DEEP * 5, only)
        chunk_of = kb.catalog.chunks_of_windows([window for window, _ in near])
        return list(dict.fromkeys(name_of[chunk_of[window]] for window, _ in near))[:DEEP]

    def rrf(question: str, doc: str) -> Ranking:
        scores: dict[str, float] = {}
        for ranking in (words(question, doc), windows(question, doc)):
            for rank, item in enumerate(ranking, 1):
                scores[item] = scores.get(item, 0.0) + 1 / (RRF_K + rank)
        return sorted(scores, key=lambda item: -scores[item])

    def fused(weight: float) -> Search:
        chosen = settings.model_copy(update={"dense_weight": weight})

        def search(question: str, doc: str) -> Ranking:
            found = retrieve([(kb, embedder)], question, chosen, top_k=50, where=Where(files=(doc,)) if doc else EVERYWHERE)
            return [name_of[passage.chunk_id] for passage in found]

        return search

    searches: dict[str, Search] = {"words (BM25)": words, "dense, one vector a chunk": whole, "dense, best window": windows}
    searches |= {
        f"RRF, k = {RRF_K}, words and windows": rrf,
        f"fused, as delivered (weight {settings.dense_weight:g})": fused(settings.dense_weight),
    }
    return searches | ({f"fused, weight {weight:g}": fused(weight) for weight in WEIGHTS} if weights else {})


def _print_set(name: str, queries: Sequence[dict[str, Any]], searches: dict[str, Search]) -> None:
    print(f"\n## {name}: {len(queries)} questions\n")
    print("| search | nDCG@10 | even questions | odd questions | recall@5 | MRR@10 |\n|---|---|---|---|---|---|")
    for label, search in searches.items():
        rankings = [(search(str(q["query"]), str(q.get("doc", ""))), set(q["relevant"])) for q in queries]
        gains = [100 * ndcg(ranking, relevant) for ranking, relevant in rankings]
        cells = [statistics.mean(part) for part in (gains, gains[::2], gains[1::2])]
        cells += [
            100 * statistics.mean(measure(ranking, relevant) for ranking, relevant in rankings) for measure in (recall, reciprocal_rank)
        ]
        print(f"| {label} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]  # other line ends may stand inside


if __name__ == "__main__":
    sys.exit(main())
