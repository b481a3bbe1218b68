"""Checks that the evidence of every question stands on the page it names; prints what does not and exits 1.

Spaces, line breaks and hyphens are ignored and compatibility forms made equal. A Markdown or CSV file is one page.

Run:  pip install pymupdf && python check_questions.py
"""

import json
import re
import sys
import unicodedata
from pathlib import Path

import pymupdf

HOME = Path(__file__).resolve().parent.parent
TYPES = {"fact", "number", "table", "comparison", "cross_lingual", "definition"}


def plain(text: str) -> str:
    """NFKC, without spaces, hyphens and soft hyphens."""
    return re.sub(r"[\s\xad\u2010\u2011-]", "", unicodedata.normalize("NFKC", text))


def pages(path: Path) -> list[str]:
    if path.suffix != ".pdf":
        return [plain(path.read_text("utf-8"))]
    with pymupdf.open(path) as doc:
        return [plain(page.get_text()) for page in doc]


def faults(question: dict, library: dict[str, list[str]]):
    """What is wrong with one question."""
    if question["lang"] not in ("en", "zh") or question["type"] not in TYPES:
        yield "unknown language or type"
    for pattern in question["accept_any"] + question["require_all"]:
        re.compile(pattern)
    if question["unanswerable"]:
        if question["evidence"]:
            yield "unanswerable, but with evidence"
        return
    if not question["evidence"] or not question["accept_any"] + question["require_all"]:
        yield "no evidence or no accepted answer"
    for e in question["evidence"]:
        found = [n for n, text in enumerate(library.get(e["file"], []), 1) if plain(e["text"]) in text]
        if e["page"] not in found:
            yield f"{e['file']}, page {e['page']}: not there (found on {found or 'no page'}): {e['text'][:60]}"


if __name__ == "__main__":
    library = {path.name: pages(path) for path in sorted((HOME / "content").iterdir())}
    wrong, seen = 0, set()
    for name in ("questions.jsonl", "questions_unanswerable.jsonl"):
        for line in (HOME / name).read_text("utf-8").splitlines():
            question = json.loads(line)
            problems = list(faults(question, library)) + (["the id is used twice"] if question["id"] in seen else [])
            seen.add(question["id"])
            for problem in problems:
                print(f"{question['id']}: {problem}")
            wrong += bool(problems)
    print(f"{len(seen)} questions, {wrong} with faults")
    sys.exit(1 if wrong else 0)
