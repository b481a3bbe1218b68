"""One library and a question -> candidates: the nearest windows' chunks and those that share its words, each scored by both halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.embedding import Embedder, Vectors
from server.ingestion import check_embedding
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.retrieval.fusion import ideal_word_score, term_weights, unmatchable_share
from server.stores.where import Where
from server.types import Passage

WINDOWS_A_CHUNK = 5  # so many windows are asked for each chunk that is wanted: a chunk has about four


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that may answer.

    `similarity` is the cosine of its best window, whose vector (dim,) is `vector`; `words` is BM25 as a share of what a chunk with all of
    the question's terms would get, `unmatchable` the share of the terms that its language cannot hold; `score` orders candidates, 0..1.
    """

    passage: Passage
    similarity: float
    words: float
    unmatchable: float
    vector: Vectors
    score: float = 0.0


def candidates(kb: KnowledgeBase, embedder: Embedder, question: str, terms: Sequence[str], pool: int, where: Where) -> list[Candidate]:
    """At most `pool` of each half, in no order; each half scores those of the other too, so nothing is missing in a sum of the two.

    Raises Invalid when the library was built with another embedding model.
    """
    check_embedding(kb, embedder)
    vector = embedder.embed_query(question)
    only = kb.catalog.windows_in(where) if where else None
    windows = [window for window, _ in kb.search(vector, pool * WINDOWS_A_CHUNK, only)]
    chunk_of = kb.catalog.chunks_of_windows(windows)
    near = list(dict.fromkeys(chunk_of[window] for window in windows if window in chunk_of))[:pool]
    words = kb.catalog.word_scores(terms, pool, where=where)
    both = list(dict.fromkeys([*near, *words]))
    passages = kb.catalog.passages(kb.name, both) if both else {}  # without those that were removed since
    best = _best_windows(kb, list(passages), vector)
    unscored = [chunk for chunk in near if chunk not in words]
    words |= kb.catalog.word_scores(terms, len(unscored), among=unscored) if unscored else {}
    weights = term_weights(*kb.catalog.document_frequencies(terms))
    ideal = ideal_word_score(weights)
    asked = language_of(question)
    return [
        Candidate(
            passage,
            best[chunk][0],
            words.get(chunk, 0.0) / ideal,
            unmatchable_share(terms, weights, asked, passage.text),
            best[chunk][1],
        )
        for chunk, passage in passages.items()
        if chunk in best
    ]


def _best_windows(kb: KnowledgeBase, chunks: Sequence[int], vector: Vectors) -> dict[int, tuple[float, Vectors]]:
    """chunk -> (cosine, vector) of its window that is nearest."""
    owners, vectors = kb.catalog.vectors_of_chunks(chunks) if chunks else ([], vector)
    best: dict[int, tuple[float, Vectors]] = {}
    if owners:
        for chunk, cosine, own in zip(owners, (vectors @ vector).tolist(), vectors, strict=True):
            if chunk not in best or cosine > best[chunk][0]:
                best[chunk] = (cosine, own)
    return best
