"""Question -> the best passages, best first: nearest windows and matching words, fused.

Each half scores every candidate of both lists, so nothing is missing in the sum: the cosine of a chunk is that of its best window,
its word score is BM25 as a share of what a chunk with all the question's terms would get. A passage in another language than the
question cannot share its words, so its word score is at least half of its dense one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from configs.settings import Retrieval
from server.embedding import Embedder, Vectors
from server.ingestion import check_embedding
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.stores.words import question_terms
from server.types import Language, Passage

CROSS_LANGUAGE = 0.5  # share of its dense score that a passage in another language gets where its words cannot match
REFERENCE = 0.6  # factor for entries of a bibliography: they name the question's words, and answer nothing
WINDOWS_A_CHUNK = 5  # so many windows are asked for each chunk that is wanted: a chunk has about four


def retrieve(
    kb: KnowledgeBase, embedder: Embedder, question: str, settings: Retrieval, *, top_k: int | None = None, files: Sequence[str] = ()
) -> list[Passage]:
    """The `top_k` best passages, best first, of the library or of the named files of it.

    `score` is in 0..1 (fused), `similarity` the cosine; of passages with the same text, as copies of a paper have, one.
    Raises Invalid when the library was built with another embedding model.
    """
    check_embedding(kb, embedder)
    vector = embedder.embed_query(question)
    terms = question_terms(question)
    only = kb.catalog.windows_of_files(files) if files else None
    windows = dict(kb.search(vector, settings.pool * WINDOWS_A_CHUNK, only))
    chunk_of = kb.catalog.chunks_of_windows(list(windows))
    near = list(dict.fromkeys(chunk_of[window] for window in windows if window in chunk_of))[: settings.pool]
    words = kb.catalog.word_scores(terms, settings.pool, files=files)
    candidates = list(dict.fromkeys([*near, *words]))
    if not candidates:
        return []
    passages = kb.catalog.passages(kb.name, candidates)
    cosines = _best_windows(kb, candidates, vector)
    if not passages:
        return []  # all removed since they were found
    unscored = [chunk for chunk in near if chunk not in words]
    words |= kb.catalog.word_scores(terms, len(unscored), among=unscored) if unscored else {}
    ideal = ideal_word_score(*kb.catalog.document_frequencies(terms)) if words else 1.0
    scores = fused(
        {chunk: cosines.get(chunk, 0.0) for chunk in passages},
        {chunk: score / ideal for chunk, score in words.items()},
        {chunk: passage.language for chunk, passage in passages.items()},
        language_of(question),
        settings.dense_weight,
    )
    scores = {chunk: score * (REFERENCE if passages[chunk].kind == "reference" else 1.0) for chunk, score in scores.items()}
    best = _different(sorted(passages, key=lambda chunk: (-scores[chunk], chunk)), passages)[: top_k or settings.top_k]
    return [replace(passages[chunk], score=scores[chunk], similarity=cosines.get(chunk, 0.0)) for chunk in best]


def fused(
    cosines: dict[int, float], words: dict[int, float], languages: dict[int, Language], asked: Language, dense_weight: float
) -> dict[int, float]:
    """chunk -> score in 0..1: dense_weight * min-max of the cosines + the rest * word score (0..1)."""
    low, high = min(cosines.values()), max(cosines.values())
    result = {}
    for chunk, cosine in cosines.items():
        dense = (cosine - low) / (high - low) if high > low else 1.0
        word = min(1.0, words.get(chunk, 0.0))
        if languages[chunk] != asked:
            word = max(word, CROSS_LANGUAGE * dense)
        result[chunk] = dense_weight * dense + (1 - dense_weight) * word
    return result


def ideal_word_score(total: int, frequencies: Sequence[int]) -> float:
    """The BM25 score of a chunk of average length that holds every term once: the sum of the terms' weights, as FTS5 has them."""
    return sum(max(1e-6, math.log((total - n + 0.5) / (n + 0.5))) for n in frequencies) or 1e-6


def _different(chunks: Sequence[int], passages: Mapping[int, Passage]) -> list[int]:
    """`chunks` without those whose text an earlier one of the same kind has."""
    first: dict[tuple[str, str], int] = {}
    for chunk in chunks:
        first.setdefault((passages[chunk].kind, passages[chunk].text), chunk)
    return list(first.values())


def _best_windows(kb: KnowledgeBase, chunks: Sequence[int], vector: Vectors) -> dict[int, float]:
    owners, vectors = kb.catalog.vectors_of_chunks(chunks)
    best: dict[int, float] = {}
    if owners:
        for chunk, cosine in zip(owners, (vectors @ vector).tolist(), strict=True):
            best[chunk] = max(best.get(chunk, -1.0), cosine)
    return best
