"""Whether the library supports an answer at all; in: the question and what was found; out: yes or no, by a measured threshold.

Support is the best cosine plus 0.2 x the largest share of the question's terms in one passage. Over 106 pairs of question and library
(45 answerable; the others asked of the wrong library, or of none) its AUC is 0.944, of the cosine alone 0.877; for English questions
0.983, for Chinese ones 0.825 (benchmarks/results/refusal.md, where the curve stands). The thresholds lie just below the lowest of the 45.
Chinese questions have their own: asked about English papers, they share no terms, and e5 gives them higher cosines with everything.
Embedding models that were not measured never refuse.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.quoting import share, term_weights
from server.types import Language, Passage

TERM_SHARE_WEIGHT = 0.2
THRESHOLDS: dict[str, dict[Language, float]] = {"multilingual-e5-small": {"en": 0.905, "zh": 0.89, "other": 0.905}}


def supported(kb: KnowledgeBase, question: str, passages: Sequence[Passage]) -> bool:
    """False when the library does not support an answer: nothing was found, or nothing near enough."""
    if not passages:
        return False
    thresholds = THRESHOLDS.get(kb.facts.embedding)
    return thresholds is None or support(kb, question, passages) >= thresholds[language_of(question)]


def support(kb: KnowledgeBase, question: str, passages: Sequence[Passage]) -> float:
    """How well the best passages fit the question, about 0.8 to 1.1 for multilingual-e5-small."""
    weights = term_weights(kb, question)
    return max(p.similarity for p in passages) + TERM_SHARE_WEIGHT * max(share(weights, p.text) for p in passages)
