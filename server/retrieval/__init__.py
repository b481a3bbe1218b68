"""Question -> the best passages of one library or several, best first: nearest windows and matching words, fused, then chosen from.

Candidates of all libraries are scored together (`fusion`), ordered again by a cross-encoder when the settings name one (`reranking`),
and chosen from (`choosing`): nothing twice, few of one paper when the question is about several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from configs.settings import Retrieval
from server.embedding import Embedder
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.retrieval.candidates import Candidate, candidates
from server.retrieval.choosing import different, diverse, few_of_each_paper, spans_papers
from server.retrieval.fusion import LANGUAGE_GAP, fused, weight_of_vectors
from server.retrieval.reranking import Reranker
from server.stores.where import EVERYWHERE, Where
from server.stores.words import question_terms
from server.types import Passage

REFERENCE = 0.6  # factor for entries of a bibliography: they name the question's words, and answer nothing
Library = tuple[KnowledgeBase, Embedder]


def retrieve(
    libraries: Sequence[Library],
    question: str,
    settings: Retrieval,
    *,
    top_k: int | None = None,
    where: Where = EVERYWHERE,
    min_similarity: float | None = None,
    reranker: Reranker | None = None,
) -> list[Passage]:
    """The `top_k` best passages, best first, of that part of the libraries.

    `score` is in 0..1: fused, or the reranker's; `similarity` is the cosine, and none is below `min_similarity`, or the setting of that
    name. Of passages with the same text, as copies of a paper have, there is one. Each library comes with the embedder that it was built
    with, else Invalid is raised.
    """
    wanted = top_k or settings.top_k
    asked = language_of(question)
    found = _scored(libraries, question, settings, where)
    least = settings.min_similarity if min_similarity is None else min_similarity
    best = different(sorted((c for c in found if c.similarity >= least), key=lambda c: (-c.score, c.passage.chunk_id)))
    if reranker is not None:
        best = _reranked(best[: max(settings.rerank_pool, wanted)], question, reranker)
    if settings.mmr_lambda is not None:
        best = diverse(best, settings.mmr_lambda, wanted)
    if settings.max_per_paper and spans_papers(question, asked):
        best = few_of_each_paper(best, settings.max_per_paper, wanted)
    return [replace(c.passage, score=c.score, similarity=c.similarity) for c in best[:wanted]]


def _scored(libraries: Sequence[Library], question: str, settings: Retrieval, where: Where) -> list[Candidate]:
    """The candidates of all libraries with their fused scores. Cosines are compared among libraries of one model only."""
    terms = question_terms(question)
    models: dict[str, list[Candidate]] = {}
    for kb, embedder in libraries:
        models.setdefault(embedder.name, []).extend(candidates(kb, embedder, question, terms, settings.pool, where))
    weight = weight_of_vectors(terms, settings.dense_weight)
    scored: list[Candidate] = []
    for model, own in models.items():
        gap = LANGUAGE_GAP.get(model, 0.0)
        scores = fused([c.similarity for c in own], [c.words for c in own], [c.unmatchable for c in own], weight, gap)
        factors = [REFERENCE if c.passage.kind == "reference" else 1.0 for c in own]
        scored += [replace(c, score=score * factor) for c, score, factor in zip(own, scores, factors, strict=True)]
    return scored


def _reranked(best: Sequence[Candidate], question: str, reranker: Reranker) -> list[Candidate]:
    scores = reranker.scores(question, [c.passage.text for c in best])
    return sorted((replace(c, score=score) for c, score in zip(best, scores, strict=True)), key=lambda c: (-c.score, c.passage.chunk_id))
