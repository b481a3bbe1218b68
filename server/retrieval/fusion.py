"""Scores of two searches -> one score: what the vectors say and what the words say, each from 0 to 1, weighed. Pure functions.

A passage in another language than the question cannot share its words, so its word score is at least a share of its dense one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from server.types import Language

CROSS_LANGUAGE = 0.7  # share of its dense score that a passage in another language gets where its words cannot match


def fused(
    cosines: Sequence[float], words: Sequence[float], languages: Sequence[Language], asked: Language, dense_weight: float
) -> list[float]:
    """A score in 0..1 for each passage: dense_weight * min-max of the cosines + the rest * word score (0..1)."""
    low, high = min(cosines, default=0.0), max(cosines, default=0.0)
    result = []
    for cosine, share, language in zip(cosines, words, languages, strict=True):
        dense = (cosine - low) / (high - low) if high > low else 1.0
        word = min(1.0, share)
        if language != asked:
            word = max(word, CROSS_LANGUAGE * dense)
        result.append(dense_weight * dense + (1 - dense_weight) * word)
    return result


def ideal_word_score(total: int, frequencies: Sequence[int]) -> float:
    """The BM25 score of a chunk of average length that holds every term once: the sum of the terms' weights, as FTS5 has them."""
    return sum(max(1e-6, math.log((total - n + 0.5) / (n + 0.5))) for n in frequencies) or 1e-6
