"""Questions with known evidence asked of a running stack: over port 20000 with the openai client (streamed), and over port 7861.

python -m benchmarks.citations      the 20 sample questions; --library and --questions for those of another library
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai

from benchmarks.machine import head

QUESTIONS = Path(__file__).resolve().parents[1] / "knowledge_base" / "samples" / "questions.jsonl"
WIDE = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
MARKS = re.compile("[\u3000-\u303f\uff00-\uffef\u2018-\u201d]")


@dataclass
class Outcome:
    """One question's answer, judged."""

    cited: bool
    matches: bool
    citations: int
    longest_words: float
    first_s: float
    whole_s: float


Ask = Callable[[str], tuple[list[dict[str, Any]], float, float]]


@contextlib.contextmanager
def over_gateway(url: str, library: str) -> Iterator[Ask]:
    """Ask with the openai client, streamed; (citations, seconds to the first token, seconds in all)."""
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)

    def ask(question: str) -> tuple[list[dict[str, Any]], float, float]:
        started, first, citations = time.perf_counter(), 0.0, None
        messages: list[Any] = [{"role": "user", "content": question}]
        for chunk in client.chat.completions.create(model=f"kb/{library}", messages=messages, stream=True):
            delta = chunk.choices[0].delta
            first = first or (time.perf_counter() - started if delta.content else 0.0)
            citations = getattr(delta, "citations", None) if getattr(delta, "citations", None) is not None else citations
        assert citations is not None, "no citations on the last chunk"
        return citations, first, time.perf_counter() - started

    with client:
        yield ask


@contextlib.contextmanager
def over_api(url: str, library: str) -> Iterator[Ask]:
    """Ask POST /chat/knowledge_base_chat, streamed."""
    client = httpx2.Client(base_url=url, timeout=60)

    def ask(question: str) -> tuple[list[dict[str, Any]], float, float]:
        started, first, last = time.perf_counter(), 0.0, {}
        body = {"query": question, "knowledge_base_name": library, "stream": True, "top_k": 5}
        with client.stream("POST", "/chat/knowledge_base_chat", json=body) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    first = first or time.perf_counter() - started
                    last = json.loads(line.removeprefix("data: "))
        return last["citations"], first, time.perf_counter() - started

    with client:
        yield ask


def judge(row: dict[str, Any], citations: list[dict[str, Any]], first_s: float, whole_s: float) -> Outcome:
    """Whether an evidence page is cited, and whether the quotes hold the accepted answer."""
    evidence = {(e["file"], e["page"]) for e in row["evidence"]}
    text = " ".join(c["quote"] for c in citations)
    matches = all(re.search(p, text, re.IGNORECASE) for p in row["require_all"])
    matches = matches and (not row["accept_any"] or any(re.search(p, text, re.IGNORECASE) for p in row["accept_any"]))
    cited = any((c["file"], c["page"]) in evidence for c in citations)
    return Outcome(cited, matches, len(citations), max((words(c["quote"]) for c in citations), default=0.0), first_s, whole_s)


def words(text: str) -> float:
    """Words; CJK characters count 1/1.5 each."""
    wide = len(WIDE.findall(text))
    return len(WIDE.sub(" ", MARKS.sub(" ", text)).split()) + wide / 1.5


def main() -> int:
    """Print the table; 1 when fewer than 80 % of the evidence pages are cited on either port."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default="http://127.0.0.1:20000/v1", help="default: %(default)s")
    parser.add_argument("--api", default="http://127.0.0.1:7861", help="default: %(default)s")
    parser.add_argument("--library", default="samples", help="default: %(default)s")
    parser.add_argument("--questions", type=Path, default=QUESTIONS, help="JSON lines like those of the sample library")
    asked_for = parser.parse_args()
    every = [json.loads(line) for line in asked_for.questions.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in every if not row["unanswerable"]]
    doors = {
        "20000 (openai client, streamed)": over_gateway(asked_for.gateway, asked_for.library),
        "7861 (knowledge_base_chat, streamed)": over_api(asked_for.api, asked_for.library),
    }
    refused = []
    lines, missed, worst = [], [], len(rows)
    for name, ask in doors.items():
        with ask as asked:
            outcomes = [judge(row, *asked(row["question"])) for row in rows]
            refused.append(sum(not asked(row["question"])[0] for row in every if row["unanswerable"]))
        cited = sum(o.cited for o in outcomes)
        worst = min(worst, cited)
        missed += [f"{name}: {row['id']}" for row, o in zip(rows, outcomes, strict=True) if not o.cited]
        times = sorted(o.first_s for o in outcomes)
        lines.append(
            f"| {name} | {cited} / {len(rows)} | {sum(o.matches for o in outcomes)} / {len(rows)} | {max(o.citations for o in outcomes)} | "
            f"{max(o.longest_words for o in outcomes):.0f} | {times[len(times) // 2]:.2f} | {max(o.whole_s for o in outcomes):.2f} |"
        )
    print(head(f"{len(rows)} questions to the library {asked_for.library}, depth `quotes`"))
    print(
        "| port | evidence page cited | answer in the quotes | most citations | longest quote, words | first token, median s | longest, s |"
    )
    print("|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    print("\nmissed: " + ("; ".join(missed) or "none"))
    if len(every) > len(rows):
        print(f"\nunanswerable questions refused: {' and '.join(map(str, refused))} of {len(every) - len(rows)}")
    return 0 if worst >= 0.8 * len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
