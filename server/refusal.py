"""Whether the library supports an answer at all; in: the question and what was found; out: yes or no, by a measured threshold.

Support is that of the best passage: its cosine plus 0.2 x the share of the question's terms that it holds, of those that a passage in
its language can hold. Over 106 pairs of question and library (45 answerable; the others asked of the wrong library, or of none) its AUC
is 0.972, of the cosine alone 0.880; for English questions 0.987, for Chinese ones 0.947 (benchmarks/results/refusal.md, where the curve
stands). The thresholds lie just below the lowest answerable ones; of 28
translated questions the Chinese one refuses one. Embedding models that were not measured never refuse.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.quoting import share, term_weights
from server.retrieval.fusion import unmatchable_share
from server.types import Language, Passage

TERM_SHARE_WEIGHT = 0.2
LEAST_MATCHABLE = 0.1  # of the question's terms: where a passage's language can hold no more, its words say nothing
UNTOLD_SHARE = 0.3  # taken for the share then; 0.5 and 0.7 refused less
THRESHOLDS: dict[str, dict[Language, float]] = {"multilingual-e5-small": {"en": 0.895, "zh": 0.905, "other": 0.895}}


def supported(kbs: Sequence[KnowledgeBase], question: str, passages: Sequence[Passage]) -> bool:
    """False when none of the libraries supports an answer: nothing was found, or nothing near enough by its library's model."""
    asked = language_of(question)
    for model in {kb.facts.embedding for kb in kbs}:
        own = {kb.name for kb in kbs if kb.facts.embedding == model}
        found = [passage for passage in passages if passage.kb in own]
        thresholds = THRESHOLDS.get(model)
        if found and (thresholds is None or support(kbs, question, found) >= thresholds[asked]):
            return True
    return False


def support(kbs: Sequence[KnowledgeBase], question: str, passages: Sequence[Passage]) -> float:
    """How well the best passage fits the question, about 0.8 to 1.1 for multilingual-e5-small."""
    weights = term_weights(kbs, question)
    terms, asked = list(weights), language_of(question)

    def held(passage: Passage) -> float:
        matchable = 1 - unmatchable_share(terms, list(weights.values()), asked, passage.text)
        return share(weights, passage.text) / matchable if matchable > LEAST_MATCHABLE else UNTOLD_SHARE

    return max(p.similarity + TERM_SHARE_WEIGHT * held(p) for p in passages)
