"""Measures BM25 over Chinese text with different units, and how often a window edge cuts an answer in two.

Data (JSON lines, public): CMRC2018 passages and questions, CSL abstracts with their titles as queries, and DRCD questions with
their passages. Prints nDCG@10 for characters, bigrams, characters+bigrams, trigrams and, if the package is installed, jieba
words; then, for CMRC2018 answers, the share that lies whole in a window of 200 characters for several steps.

Run:  python chinese_bm25.py LIBRARY      (the folder with retrieval/ and qa/; stdlib and numpy; one minute)
"""

import json
import logging
import re
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

K1, B = 1.2, 0.75


def lines(path: Path) -> list[dict]:
    return [json.loads(s) for s in path.read_text("utf-8").splitlines() if s]


def grams(n: int):
    """Chinese runs as character n-grams (a run shorter than n stays whole); Latin words and numbers as they are."""

    def tokens(text: str) -> list[str]:
        out = []
        for run in re.findall(r"[\u3400-\u9fff]+|[a-z0-9]+", unicodedata.normalize("NFKC", text).lower()):
            chinese = run[0] >= "\u3400"
            out += [run[i : i + n] for i in range(max(1, len(run) - n + 1))] if chinese else [run]
        return out

    return tokens


def units() -> dict:
    table = {"characters": grams(1), "bigrams": grams(2), "trigrams": grams(3)}
    table["characters+bigrams"] = lambda t: grams(1)(t) + grams(2)(t)
    try:
        import jieba

        jieba.setLogLevel(logging.ERROR)
        table["jieba words"] = lambda t: [w for w in jieba.lcut(t.lower()) if re.search(r"\w", w)]
        table["jieba search mode"] = lambda t: [w for w in jieba.lcut_for_search(t.lower()) if re.search(r"\w", w)]
    except ImportError:
        print("jieba is not installed: its rows are left out")
    return table


def ndcg(corpus: dict[str, str], queries: list[tuple[str, set[str]]], tokens) -> dict:
    """Mean nDCG@10 in percent, with the size of the vocabulary and of the posting lists."""
    names = list(corpus)
    postings, length = defaultdict(list), np.zeros(len(names))
    for i, name in enumerate(names):
        counts = Counter(tokens(corpus[name]))
        length[i] = sum(counts.values())
        for term, n in counts.items():
            postings[term].append((i, n))
    norm, total, started = K1 * (1 - B + B * length / length.mean()), [], time.process_time()
    for text, relevant in queries:
        scores = np.zeros(len(names))
        for term in tokens(text):
            if hits := postings.get(term):
                i, n = np.array(hits).T
                idf = np.log(1 + (len(names) - len(hits) + 0.5) / (len(hits) + 0.5))
                scores[i] += idf * n * (K1 + 1) / (n + norm[i])
        best = [names[i] for i in np.argsort(-scores, kind="stable")[:10]]
        gain = sum(1 / np.log2(r + 2) for r, name in enumerate(best) if name in relevant)
        total.append(gain / sum(1 / np.log2(r + 2) for r in range(min(10, len(relevant)))))
    ms = (time.process_time() - started) / len(queries) * 1000
    return {
        "ndcg10": round(100 * float(np.mean(total)), 1),
        "se": round(100 * float(np.std(total)) / len(total) ** 0.5, 2),
        "terms": len(postings),
        "postings": sum(map(len, postings.values())),
        "ms_query": round(ms, 2),
    }


def cut_answers(passages: dict[str, str], answers: list[tuple[str, str]], width: int, step: int) -> dict:
    """Share of (passage, answer) pairs whose answer is not whole in any window of `width` characters."""
    cut = seen = windows = chars = 0
    for text in passages.values():
        starts = [s for s in range(0, len(text), step) if s == 0 or s + width - step < len(text)]
        windows, chars = windows + len(starts), chars + len(text)
    for name, answer in answers:
        text = passages[name]
        if (at := text.find(answer)) < 0:
            continue
        seen += 1
        cut += not any(s <= at and at + len(answer) <= s + width for s in range(0, len(text), step))
    return {
        "width": width,
        "step": step,
        "answers": seen,
        "cut": cut,
        "percent": round(100 * cut / seen, 2),
        "windows": windows,
    }


if __name__ == "__main__":
    home = Path(sys.argv[1])
    sets = {}
    for name, folder in (("CMRC2018", "cmrc2018"), ("CSL", "csl_title_to_abstract")):
        corpus = {d["id"]: d["text"] for d in lines(home / "retrieval" / folder / "corpus.jsonl")}
        sets[name] = corpus, [(q["query"], set(q["relevant"])) for q in lines(home / "retrieval" / folder / "queries.jsonl")]
    drcd = lines(home / "qa/drcd.jsonl")
    passages = {d["evidence"]: d["evidence"] for d in drcd}
    sets["DRCD"] = passages, [(d["question"], {d["evidence"]}) for d in drcd]
    for name, (corpus, queries) in sets.items():
        for unit, tokens in units().items():
            print(
                json.dumps(
                    {"set": name, "passages": len(corpus), "queries": len(queries), "unit": unit}
                    | ndcg(corpus, queries, tokens)
                ),
                flush=True,
            )
    cmrc = sets["CMRC2018"][0]
    pairs = [(q["source_file"], q["answers"][0]) for q in lines(home / "qa/cmrc2018.jsonl")]
    print(
        json.dumps(
            {
                "passages": len(cmrc),
                "mean_chars": round(sum(map(len, cmrc.values())) / len(cmrc)),
                "median_answer": int(np.median([len(a) for _, a in pairs])),
                "longest_answer": max(len(a) for _, a in pairs),
            }
        )
    )
    for step in (200, 175, 150, 100):
        print(json.dumps(cut_answers(cmrc, pairs, 200, step)))
