"""Questions with known evidence pages, searched in whole papers: is a passage of such a page among the first five?

python -m benchmarks.evidence [--libraries FOLDER] [--shared FOLDER] [--reranker MODEL]

Asks the samples' questions, and own_qa.jsonl of the shared folder when it is there, each in the language that it is written in and, where
benchmarks/truth/questions_zh.jsonl has it, in Chinese: most papers are English. FOLDER holds the libraries `samples` and `papers` as
`init_database.py` makes them; without it they are made first, which takes minutes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import head
from benchmarks.retrieval_sets import rows_of
from configs.settings import ROOT, load_settings
from server.retrieval import retrieve
from server.retrieval.context import widened
from server.runtime import Runtime, build
from server.stores.words import question_terms
from server.types import Passage

SHARED = Path(__file__).resolve().parents[2] / "shared" / "library"
SAMPLES = ROOT / "knowledge_base" / "samples"
CHINESE = Path(__file__).parent / "truth" / "questions_zh.jsonl"
FIRST = 5
DEEP = 40
RRF_K = 60  # Cormack et al. 2009

Search = Callable[[str], Sequence[Passage]]


@dataclass(frozen=True)
class Question:
    """A question, the pages that answer it, and whether it is Chinese about papers in another language."""

    text: str
    pages: frozenset[tuple[str, int]]
    across: bool


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", type=Path)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--reranker", metavar="MODEL", default="")
    asked_for = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = asked_for.libraries or Path(temporary)
        runtime = build(load_settings({"paths": {"knowledge_base": str(root)}, "retrieval": {"reranker": asked_for.reranker}}))
        own = {"samples": SAMPLES / "content"}
        if (asked_for.shared / "papers").is_dir():
            own["papers"] = asked_for.shared / "papers"
        if asked_for.libraries is None:
            for name, content in own.items():
                shutil.copytree(content, runtime.create_library(name).content, dirs_exist_ok=True)
                runtime.start_ingest(name).result()
        print(head(f"Evidence pages among the first {FIRST}, with {runtime.embedders.get().name}"))
        for name in own:
            truth = SAMPLES / "questions.jsonl" if name == "samples" else asked_for.shared / "qa" / "own_qa.jsonl"
            _print_library(runtime, name, _questions(runtime, name, truth))
        runtime.close()
    return 0


def _questions(runtime: Runtime, name: str, truth: Path) -> dict[str, list[Question]]:
    """As written, and in Chinese. Both leave out what the library does not answer."""
    languages = {row.name: row.language for row in runtime.shelf.open(name).catalog.files()}
    chinese = {row["id"]: str(row["question"]) for row in rows_of(CHINESE)}
    written: list[Question] = []
    translated: list[Question] = []
    for row in rows_of(truth):
        if row["unanswerable"]:
            continue
        pages = frozenset((evidence["file"], evidence["page"]) for evidence in row["evidence"])
        foreign = all(languages[file] != "zh" for file, _ in pages)
        written.append(Question(row["question"], pages, row["lang"] == "zh" and foreign))
        if row["id"] in chinese:
            translated.append(Question(chinese[row["id"]], pages, foreign))
    return {"as written": written, "in Chinese": translated}


def _print_library(runtime: Runtime, name: str, questions: dict[str, list[Question]]) -> None:
    print(f"\n## {name}\n")
    labels = [f"{label} ({len(asked)})" for label, asked in questions.items()]
    across = [question for asked in questions.values() for question in asked if question.across]
    print(f"| search | {' | '.join(f'{label} | MRR' for label in labels)} | Chinese about other papers ({len(across)}) |")
    print("|---|" + "---|---|" * len(labels) + "---|")
    for label, search in _searches(runtime, name).items():
        ranks = {question: _rank(question, search(question.text)) for asked in questions.values() for question in asked}
        cells = []
        for asked in questions.values():
            cells += [str(sum(ranks[q] <= FIRST for q in asked)), f"{statistics.mean(1 / ranks[q] for q in asked):.3f}"]
        print(f"| {label} | {' | '.join(cells)} | {sum(ranks[q] <= FIRST for q in across)} |", flush=True)


def _rank(question: Question, found: Sequence[Passage]) -> float:
    hits = (
        place
        for place, passage in enumerate(found, 1)
        if any((passage.file, page) in question.pages for page in range(passage.page, passage.page_end + 1))
    )
    return next(hits, float("inf"))


def _searches(runtime: Runtime, name: str) -> dict[str, Search]:
    kb = runtime.shelf.open(name)
    embedder, settings = runtime.embedder_of(kb), runtime.settings.retrieval

    def passages(chunks: Sequence[int]) -> list[Passage]:
        found = kb.catalog.passages(name, chunks)
        return [found[chunk] for chunk in chunks]

    def words(question: str) -> list[Passage]:
        return passages(list(kb.catalog.word_scores(question_terms(question), DEEP)))

    def windows(question: str) -> list[Passage]:
        near = kb.search(embedder.embed_query(question), DEEP * 5)
        chunk_of = kb.catalog.chunks_of_windows([window for window, _ in near])
        return passages(list(dict.fromkeys(chunk_of[window] for window, _ in near))[:DEEP])

    def rrf(question: str) -> list[Passage]:
        scores: dict[int, float] = {}
        for ranking in (words(question), windows(question)):
            for rank, passage in enumerate(ranking, 1):
                scores[passage.chunk_id] = scores.get(passage.chunk_id, 0.0) + 1 / (RRF_K + rank)
        return passages(sorted(scores, key=lambda chunk: -scores[chunk])[:DEEP])

    def fused(**changes: object) -> Search:
        chosen = settings.model_copy(update=changes)
        return lambda question: retrieve([(kb, embedder)], question, chosen, top_k=10)

    def neighbours(question: str) -> list[Passage]:
        found = retrieve([(kb, embedder)], question, settings, top_k=FIRST)
        return widened(found, "neighbours", lambda p, most: kb.catalog.around(name, p.chunk_id, most))

    searches: dict[str, Search] = {
        "words (BM25)": words,
        "dense, best window": windows,
        f"RRF, k = {RRF_K}": rrf,
        f"fused, as delivered (weight {settings.dense_weight:g})": fused(),
        "+ neighbours": neighbours,
    }
    if reranker := runtime.reranker():
        searches[f"+ {reranker.name}"] = lambda question: retrieve([(kb, embedder)], question, settings, top_k=10, reranker=reranker)
    return (
        searches | {"fused, MMR 0.7": fused(mmr_lambda=0.7)} | {f"fused, weight {w:g}": fused(dense_weight=w) for w in (0.3, 0.4, 0.5, 0.7)}
    )


if __name__ == "__main__":
    sys.exit(main())
