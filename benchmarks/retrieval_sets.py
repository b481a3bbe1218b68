"""A folder of public data -> retrieval sets: passages to search, and questions with the passages that answer them.

`retrieval/NAME` holds corpus.jsonl {id, text, doc?} and queries.jsonl {query, relevant, doc?}; a question with `doc` is asked of that
document alone. Three more sets are made of `qa`: DRCD's and PubMedQA's contexts, and COVID-QA's articles, split as an upload is.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.settings import Splitting
from server.readers import read
from server.splitting import split

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class RetrievalSet:
    """`corpus` rows hold id, text and perhaps doc, title, section; `queries` rows hold query, relevant ids and perhaps doc."""

    name: str
    corpus: Rows
    queries: Rows


def retrieval_sets(folder: Path, count_tokens: Callable[[str], int]) -> Iterator[RetrievalSet]:
    """The sets that there are, by name; articles are split by the default splitter, which counts by `count_tokens`."""
    for path in sorted(folder.glob("retrieval/*/queries.jsonl")):
        yield RetrievalSet(path.parent.name, rows_of(path.parent / "corpus.jsonl"), rows_of(path))
    qa = folder / "qa"
    if (qa / "drcd.jsonl").exists():
        yield _drcd(rows_of(qa / "drcd.jsonl"))
    if (qa / "pubmedqa.jsonl").exists():
        yield _pubmedqa(rows_of(qa / "pubmedqa.jsonl"))
    articles = folder / "retrieval" / "covidqa_articles.jsonl"
    if articles.exists() and (qa / "covidqa.jsonl").exists():
        yield _covidqa(rows_of(articles), rows_of(qa / "covidqa.jsonl"), count_tokens)


def rows_of(path: Path) -> Rows:
    """The lines of a JSONL file; other line ends may stand inside a text."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _drcd(questions: Rows) -> RetrievalSet:
    """Traditional Chinese: each question's paragraph among those of all."""
    ids = {str(row["evidence"]): str(row["source_file"]) for row in reversed(questions)}
    corpus = [{"id": number, "text": text} for text, number in ids.items()]
    return RetrievalSet("drcd", corpus, [{"query": row["question"], "relevant": [ids[row["evidence"]]]} for row in questions])


def _pubmedqa(questions: Rows) -> RetrievalSet:
    """A title that asks, and its abstract with the conclusion, without the MeSH terms, which name the question's words."""

    def abstract(row: dict[str, Any]) -> str:
        return " ".join(row["evidence"]) + " " + str(row["long_answer"]).split("Medical Subject Headings")[0]

    corpus = [{"id": row["id"], "text": abstract(row)} for row in questions]
    return RetrievalSet("pubmedqa", corpus, [{"query": row["question"], "relevant": [row["id"]]} for row in questions])


def _covidqa(articles: Rows, questions: Rows, count_tokens: Callable[[str], int]) -> RetrievalSet:
    """Chunks of whole articles; those of the right article that hold the answer are right. Answers that a chunk's end cuts are left out."""
    corpus: Rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for article in articles:
            path = Path(temporary) / "article.txt"
            path.write_text(str(article["text"]), encoding="utf-8")
            for place, chunk in enumerate(split(read(path), Splitting(), count_tokens)):
                corpus.append({"id": f"{article['id']}#{place}", "article": article["id"], "text": chunk.text})
    queries = []
    for row in questions:
        answer = " ".join(str(row["answers"][0]).split())
        holding = [c["id"] for c in corpus if c["article"] == row["source_file"] and answer in " ".join(str(c["text"]).split())]
        if holding:
            queries.append({"query": row["question"], "relevant": holding})
    return RetrievalSet("covidqa", corpus, queries)
