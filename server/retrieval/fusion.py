"""Scores of two searches -> one score: what the vectors say and what the words say, each from 0 to 1, weighed. Pure functions.

A passage's words count half by what they are worth against all of the question's terms, half against the passage that has most of them:
the first alone takes many for nothing where no passage shares much, the second alone makes a single shared word as good as all.

Across languages both halves are unjust, and both are set right: a model gives a passage in another language than the question a lower
cosine for the same content (LANGUAGE_GAP), and a passage can hold only those terms that its language has, names above all. For the share
of the terms that it cannot hold, its vector answers. Measured in benchmarks/results/retrieval.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from server.language import chinese_share
from server.types import Language

LANGUAGE_GAP = {"multilingual-e5-small": 0.05}  # cosine; models that were not measured get none
A_LITTLE_CHINESE, MOSTLY_CHINESE = 0.1, 0.5  # of a passage: formulas and names stand in Chinese texts too, and terms in English ones
KEYWORDS = 3  # so few terms are no question
KEYWORD_WEIGHT = 0.3  # below a half, a passage with all words and the worst cosine is before one with the best cosine and no word
CROSS_LANGUAGE = 0.7  # share of its dense score that counts for terms that a passage in another language cannot hold


def fused(
    cosines: Sequence[float], words: Sequence[float], unmatchable: Sequence[float], dense_weight: float, language_gap: float = 0.0
) -> list[float]:
    """A score in 0..1 for each passage: dense_weight * min-max of the cosines + the rest * word score (0..1).

    `words` are BM25 scores as shares of the ideal one.

    `unmatchable` is the share of the question's terms that the passage cannot hold, more than 0 only for another language.
    """
    fair = [cosine + language_gap * (share > 0) for cosine, share in zip(cosines, unmatchable, strict=True)]
    low, high = min(fair, default=0.0), max(fair, default=0.0)
    most = max(words, default=0.0) or 1.0
    result = []
    for cosine, matched, share in zip(fair, words, unmatchable, strict=True):
        dense = (cosine - low) / (high - low) if high > low else 1.0
        word = min(1.0, (min(1.0, matched) + matched / most) / 2 + share * CROSS_LANGUAGE * dense)
        result.append(dense_weight * dense + (1 - dense_weight) * word)
    return result


def weight_of_vectors(terms: Sequence[str], dense_weight: float) -> float:
    """`dense_weight`, or less for keywords: the vector of a bare name or number says little, and what holds it must come first."""
    return min(dense_weight, KEYWORD_WEIGHT) if len(terms) <= KEYWORDS else dense_weight


def term_weights(total: int, frequencies: Sequence[int]) -> list[float]:
    """BM25's weight of each term as FTS5 has it, by how many of the `total` chunks hold it."""
    return [max(1e-6, math.log((total - n + 0.5) / (n + 0.5))) for n in frequencies]


def ideal_word_score(weights: Sequence[float]) -> float:
    """The BM25 score of a chunk of average length that holds every term once."""
    return sum(weights) or 1e-6


def unmatchable_share(terms: Sequence[str], weights: Sequence[float], asked: Language, text: str) -> float:
    """The weight of the terms that a passage of this text cannot hold, as a share of all; 0 when it is written as the question is.

    Of a Chinese question, a passage almost without Chinese can hold what stands there in Latin letters and digits: names, mostly. Of any
    other question a Chinese passage may hold some names, but which words are names nobody knows. Languages of one script share words:
    nothing is set right between them.
    """
    chinese = chinese_share(text)
    if (asked == "zh" and chinese > A_LITTLE_CHINESE) or (asked != "zh" and chinese < MOSTLY_CHINESE):
        return 0.0
    if asked != "zh" or not terms:
        return 1.0
    return 1.0 - sum(weight for term, weight in zip(terms, weights, strict=True) if term.isascii()) / ideal_word_score(weights)
