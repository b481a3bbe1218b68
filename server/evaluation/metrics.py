"""Rankings and what is relevant -> nDCG, reciprocal rank, recall, average precision; pure functions, all between 0 and 1.

A ranking is a list of ids, best first; an id that comes twice counts at its first place. Relevance is a set of ids, or a mapping
id -> gain where some are more relevant than others. With nothing relevant there is nothing to measure: that raises Invalid.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence

from server.errors import Invalid

Relevant = Collection[Hashable] | Mapping[Hashable, float]


def ndcg(ranking: Sequence[Hashable], relevant: Relevant, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `k`, gains discounted by log2(rank + 1) (Järvelin & Kekäläinen 2002, TOIS)."""
    gains = _gains(relevant)
    found = sum(gains.get(item, 0.0) / math.log2(rank + 1) for rank, item in enumerate(_once(ranking)[:k], 1))
    ideal = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(sorted(gains.values(), reverse=True)[:k], 1))
    return found / ideal


def reciprocal_rank(ranking: Sequence[Hashable], relevant: Relevant, k: int = 10) -> float:
    """1 / the rank of the first relevant id, 0 when none is among the first `k`; its mean over questions is MRR@k (Voorhees 1999)."""
    gains = _gains(relevant)
    return next((1 / rank for rank, item in enumerate(_once(ranking)[:k], 1) if item in gains), 0.0)


def recall(ranking: Sequence[Hashable], relevant: Relevant, k: int = 5) -> float:
    """The share of the relevant ids that is among the first `k`."""
    gains = _gains(relevant)
    return sum(item in gains for item in _once(ranking)[:k]) / len(gains)


def hit(ranking: Sequence[Hashable], relevant: Relevant, k: int = 5) -> float:
    """1 when any relevant id is among the first `k`, else 0."""
    gains = _gains(relevant)
    return float(any(item in gains for item in _once(ranking)[:k]))


def average_precision(ranking: Sequence[Hashable], relevant: Relevant) -> float:
    """The mean of the precisions at the ranks of the relevant ids, 0 for those not found (Manning et al. 2008, chapter 8.4)."""
    gains = _gains(relevant)
    found, total = 0, 0.0
    for rank, item in enumerate(_once(ranking), 1):
        if item in gains:
            found += 1
            total += found / rank
    return total / len(gains)


def _gains(relevant: Relevant) -> dict[Hashable, float]:
    gains = dict(relevant) if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1.0)
    if any(not math.isfinite(gain) or gain < 0 for gain in gains.values()):
        raise Invalid("gains must be finite and not negative")
    gains = {item: gain for item, gain in gains.items() if gain > 0}
    if not gains:
        raise Invalid("nothing is relevant to this question, so there is nothing to measure; leave it out")
    return gains


def _once(ranking: Sequence[Hashable]) -> list[Hashable]:
    return list(dict.fromkeys(ranking))
