"""Candidates in order -> those to show: nothing twice, few of each paper, or as different from each other as asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from server.retrieval.candidates import Candidate
from server.types import Language

# Questions that want to hear of more than one paper.
_MANY = "which|what|how many|any|other|several|all|these|those|the|most|some|many|two|both|different"
_SPANS_EN = re.compile(
    rf"\b(?:{_MANY})\s+(?:\w+\s+)?(?:papers|studies|articles|authors|works)\b"
    r"|\bcompar(?:e|ed|ison|ing)\b|\bdiffer(?:s|ence|ences)?\b.{0,40}\bbetween\b|\bversus\b|\bvs\.?\b"
    r"|\bacross\b.{0,30}\b(?:papers|studies|literature)\b|\b(?:literature|survey|overview|state of the art)\b",
    re.IGNORECASE,
)
_SPANS_ZH = re.compile(
    "哪些(?:论文|文章|文献|研究|工作)|哪几篇|几篇|各篇|各自|分别|多篇|这些(?:论文|文章|研究)|比较|对比|相比|区别|差异|异同|综述"
)


def spans_papers(question: str, language: Language) -> bool:
    """Whether the question is about several papers, as its words say."""
    return bool((_SPANS_ZH if language == "zh" else _SPANS_EN).search(question))


def different(best: Sequence[Candidate]) -> list[Candidate]:
    """`best` without those whose text an earlier one of the same kind has."""
    first: dict[tuple[str, str], Candidate] = {}
    for candidate in best:
        first.setdefault((candidate.passage.kind, candidate.passage.text), candidate)
    return list(first.values())


def few_of_each_paper(best: Sequence[Candidate], most: int, wanted: int) -> list[Candidate]:
    """`best` with at most `most` of one file, filled up to `wanted` with what that left out: too few papers are no reason to show less."""
    of_file: Counter[tuple[str, str]] = Counter()
    kept: list[Candidate] = []
    left: list[Candidate] = []
    for candidate in best:
        paper = (candidate.passage.kb, candidate.passage.file)
        of_file[paper] += 1
        (kept if of_file[paper] <= most else left).append(candidate)
    return [*kept, *left[: max(0, wanted - len(kept))]]


def diverse(best: Sequence[Candidate], relevance: float, wanted: int) -> list[Candidate]:
    """The `wanted` first by maximal marginal relevance (Carbonell and Goldstein 1998), `relevance` being its lambda, 0..1.

    relevance * score - (1 - relevance) * the largest cosine with one that is chosen; of another embedding model's none is counted.
    """
    chosen: list[Candidate] = []
    left = list(best)
    while left and len(chosen) < wanted:

        def gain(candidate: Candidate) -> float:
            near = max(
                (float(candidate.vector @ other.vector) for other in chosen if other.vector.shape == candidate.vector.shape), default=0.0
            )
            return relevance * candidate.score - (1 - relevance) * near

        chosen.append(left.pop(max(range(len(left)), key=lambda place: gain(left[place]))))
    return chosen
