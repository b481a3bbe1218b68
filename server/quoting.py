"""Depth `quotes`: question and passages -> the sentences that answer it best, verbatim, without any language model.

Every sentence of the best passages is scored like a passage was: its cosine with the question and the share of the question's terms
that it holds, each term weighing by how rare it is; the passage's own score is added, for a sentence alone often lacks the subject.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from server.citations import LONGEST_QUOTE_WORDS, MOST_CITATIONS, cite, word_count
from server.embedding import Embedder
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.splitting.sentences import sentences
from server.stores.words import question_terms, segment
from server.types import Citation, Passage

PASSAGE_WEIGHT, COSINE_WEIGHT, WORD_WEIGHT = 2.0, 1.0, 1.0
LEAST_WORDS = 4  # a shorter "sentence" is a heading, a label or a number
MOST_DIGITS = 0.35  # share of a quote's characters
SAME_PASSAGE = 3  # most quotes out of one passage


Library = tuple[KnowledgeBase, Embedder]


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: Passage
    start: int
    end: int
    score: float


def quotes(libraries: Sequence[Library], question: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """At most five citations of at most 60 words, best first; empty when there are no passages."""
    candidates = _candidates(libraries, question, passages)
    chosen: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        if len(chosen) == MOST_CITATIONS:
            break
        same = [other for other in chosen if other.passage.chunk_id == candidate.passage.chunk_id]
        repeats = any(_overlap(candidate, other) for other in same) or any(_text(candidate) == _text(other) for other in chosen)
        if len(same) < SAME_PASSAGE and not repeats:
            chosen.append(_widened(candidate, same))
    return tuple(cite(c.passage, c.start, c.end, index, round(c.score, 4)) for index, c in enumerate(chosen, 1))


def _candidates(libraries: Sequence[Library], question: str, passages: Sequence[Passage]) -> list[_Candidate]:
    body = [p for p in passages if p.kind != "reference"] or passages
    places = [(p, start, end) for p in body for start, end in sentences(p.text) if _quotable(p, start, end)]
    if not places:
        return []
    texts = [" ".join(p.text[start:end].split()) for p, start, end in places]
    nearness = _nearness(libraries, question, [p.kb for p, _, _ in places], texts)
    weights = term_weights([kb for kb, _ in libraries], question)
    asked = language_of(question)
    found = []
    for (passage, start, end), text, dense in zip(places, texts, nearness, strict=True):
        words = share(weights, text) if passage.language == asked else dense
        score = (PASSAGE_WEIGHT * passage.score + COSINE_WEIGHT * dense + WORD_WEIGHT * words) / (
            PASSAGE_WEIGHT + COSINE_WEIGHT + WORD_WEIGHT
        )
        found.append(_Candidate(passage, start, end, score))
    return found


def _nearness(libraries: Sequence[Library], question: str, homes: Sequence[str], texts: Sequence[str]) -> list[float]:
    """0 to 1 for each text, from the least to the greatest cosine with the question among those of one embedding model."""
    near = [1.0] * len(texts)
    for model, embedder in {embedder.name: embedder for _, embedder in libraries}.items():
        own = {kb.name for kb, other in libraries if other.name == model}
        places = [at for at, home in enumerate(homes) if home in own]
        if not places:
            continue
        cosines = (embedder.embed_documents([texts[at] for at in places]) @ embedder.embed_query(question)).tolist()
        low, high = min(cosines), max(cosines)
        for at, cosine in zip(places, cosines, strict=True):
            near[at] = (cosine - low) / (high - low) if high > low else 1.0
    return near


def term_weights(kbs: Sequence[KnowledgeBase], question: str) -> dict[str, float]:
    """term -> its inverse document frequency in all the libraries (Robertson & Spärck Jones, never below zero)."""
    terms = question_terms(question)
    found = [kb.catalog.document_frequencies(terms) for kb in kbs]
    total = sum(total for total, _ in found)
    counts = [sum(each) for each in zip(*(counts for _, counts in found), strict=True)]
    return {term: max(0.0, math.log((total - n + 0.5) / (n + 0.5))) for term, n in zip(terms, counts, strict=True)}


def share(weights: dict[str, float], text: str) -> float:
    """The share of the question's weight that the text holds; a word counts when it shares a stem of five letters."""
    have = segment(text).split()
    stems = {word[:5] for word in have}
    held = sum(weight for term, weight in weights.items() if (term in have if len(term) < 5 else term[:5] in stems))
    return held / (sum(weights.values()) or 1.0)


def _widened(c: _Candidate, others: Sequence[_Candidate]) -> _Candidate:
    """With the sentences after it, else before it, within the limit and out of the `others`: an answer often stands next door."""
    text, bounds = c.passage.text, sentences(c.passage.text)
    first = last = next(i for i, (start, _) in enumerate(bounds) if start == c.start)

    def fits(neighbour: int, begin: int, end: int) -> bool:
        start, stop = bounds[neighbour]
        taken = any(start < other.end and other.start < stop for other in others)
        return not taken and _reads(c.passage, start, stop) and word_count(text[begin:end]) <= LONGEST_QUOTE_WORDS

    while True:
        if last + 1 < len(bounds) and fits(last + 1, bounds[first][0], bounds[last + 1][1]):
            last += 1
        elif first and fits(first - 1, bounds[first - 1][0], bounds[last][1]):
            first -= 1
        else:
            return _Candidate(c.passage, bounds[first][0], bounds[last][1], c.score)


def _quotable(passage: Passage, start: int, end: int) -> bool:
    return word_count(passage.text[start:end]) >= LEAST_WORDS and _reads(passage, start, end)


def _reads(passage: Passage, start: int, end: int) -> bool:
    """Not the axis labels of a figure: outside tables, most characters of a quote are no digits."""
    characters = "".join(passage.text[start:end].split())
    return passage.kind == "table" or sum(c.isdigit() for c in characters) <= MOST_DIGITS * len(characters)


def _overlap(left: _Candidate, right: _Candidate) -> bool:
    return left.start < right.end and right.start < left.end


def _text(c: _Candidate) -> str:
    return " ".join(c.passage.text[c.start : c.end].split())
