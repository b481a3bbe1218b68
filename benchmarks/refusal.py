"""Questions of two libraries asked of both, and questions that none answers -> where the threshold of refusal must lie, and what it costs.

python -m benchmarks.refusal [PAPERS QUESTIONS]      default: the papers and own_qa.jsonl of ../shared/library beside the repository

The sample library and the folder PAPERS are ingested into a temporary place with the settings as they are. A question is answerable
when it is asked of its own library and not marked `unanswerable` there; asked of the other one it is not.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import head
from configs.settings import load_settings
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.refusal import THRESHOLDS, support
from server.retrieval import retrieve
from server.runtime import Runtime, build

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "library"
SAMPLES = ROOT / "knowledge_base" / "samples"


@dataclass(frozen=True)
class Asked:
    """One question asked of one library."""

    question: str
    language: str
    answerable: bool
    support: float
    cosine: float


def main() -> int:
    """Print the tables; 1 when the papers are not there."""
    papers, questions = (Path(argument) for argument in (sys.argv[1:] or (SHARED / "papers", SHARED / "qa" / "own_qa.jsonl")))
    if not papers.is_dir() or not questions.is_file():
        print(f"no papers at {papers} or no questions at {questions}; name a folder and a file")
        return 1
    own = {"samples": _rows(SAMPLES / "questions.jsonl") + _rows(SAMPLES / "questions_unanswerable.jsonl"), "papers": _rows(questions)}
    asked: list[Asked] = []
    with tempfile.TemporaryDirectory() as temporary:
        runtime = build(load_settings({"paths": {"knowledge_base": temporary}}))
        for name, folder in (("samples", SAMPLES / "content"), ("papers", papers)):
            kb = runtime.create_library(name)
            shutil.copytree(folder, kb.content, dirs_exist_ok=True)
            ingest(kb, runtime.embedder_of(kb), runtime.settings.splitting, readers=runtime.settings.readers)
            for home, rows in own.items():
                asked += [_ask(runtime, kb, row, answerable=home == name and not row["unanswerable"]) for row in rows]
        model = runtime.embedders.default
        runtime.close()
    print(head(f"Refusal with {model}"))
    _print_separation(asked)
    _print_thresholds(asked, dict(THRESHOLDS[model]))
    return 0


def _ask(runtime: Runtime, kb: KnowledgeBase, row: dict[str, Any], *, answerable: bool) -> Asked:
    found = retrieve([(kb, runtime.embedder_of(kb))], row["question"], runtime.settings.retrieval, top_k=10)
    best = max((p.similarity for p in found), default=0.0)
    return Asked(row["question"], language_of(row["question"]), answerable, support([kb], row["question"], found) if found else 0.0, best)


def _print_separation(asked: list[Asked]) -> None:
    print("| language | answerable | not | AUC of support | AUC of the cosine alone |\n|---|---|---|---|---|")
    for language, of in _by_language(asked).items():
        yes, no = [a for a in of if a.answerable], [a for a in of if not a.answerable]
        aucs = [_auc([getattr(a, key) for a in yes], [getattr(a, key) for a in no]) for key in ("support", "cosine")]
        print(f"| {language} | {len(yes)} | {len(no)} | {aucs[0]:.3f} | {aucs[1]:.3f} |")


def _print_thresholds(asked: list[Asked], chosen: dict[Any, float]) -> None:
    print("\nThe share of questions that each threshold gets right; the one in use is marked.\n")
    print("| language | threshold | answerable and answered | not answerable and refused |\n|---|---|---|---|")
    for language, of in _by_language(asked).items():
        for threshold in sorted({*(n / 100 for n in range(86, 98)), *([chosen[language]] if language in chosen else [])}):
            yes, no = [a for a in of if a.answerable], [a for a in of if not a.answerable]
            answered, refused = sum(a.support >= threshold for a in yes), sum(a.support < threshold for a in no)
            mark = " **in use**" if chosen.get(language) == threshold else ""
            print(f"| {language} | {threshold:g}{mark} | {answered} / {len(yes)} | {refused} / {len(no)} |")
    print("\nThe lowest answerable ones:\n")
    for a in sorted((a for a in asked if a.answerable), key=lambda a: a.support)[:8]:
        print(f"- {a.support:.3f} ({a.language}) {a.question}")


def _by_language(asked: list[Asked]) -> dict[str, list[Asked]]:
    return {"all": asked} | {language: [a for a in asked if a.language == language] for language in sorted({a.language for a in asked})}


def _auc(high: list[float], low: list[float]) -> float:
    """The share of pairs in which the answerable question has the higher value; ties count half (Mann-Whitney U)."""
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    return sum(pairs) / len(pairs)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


if __name__ == "__main__":
    sys.exit(main())
