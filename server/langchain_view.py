"""A library as LangChain sees it; in: our embedder or libraries; out: `Embeddings` and a `BaseRetriever` for chains and agents.

They hold no text and no state: each call goes to the embedder and to `retrieve`, so a chain finds what a question in the web page finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from configs.settings import Retrieval
from server.embedding import Embedder
from server.retrieval import Library, retrieve
from server.retrieval.reranking import Reranker
from server.stores.where import EVERYWHERE, Where
from server.types import Passage

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever


def as_embeddings(embedder: Embedder) -> Embeddings:
    """LangChain's interface to the embedder, its prefixes included; vectors are lists of floats, unit length."""
    from langchain_core.embeddings import Embeddings

    class PaperEmbeddings(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            rows: list[list[float]] = embedder.embed_documents(texts).tolist()
            return rows

        def embed_query(self, text: str) -> list[float]:
            row: list[float] = embedder.embed_query(text).tolist()
            return row

    return PaperEmbeddings()


def as_retriever(
    libraries: Sequence[Library],
    settings: Retrieval,
    *,
    top_k: int | None = None,
    where: Where = EVERYWHERE,
    min_similarity: float | None = None,
    reranker: Reranker | None = None,
) -> BaseRetriever:
    """LangChain's interface to `retrieve`: a runnable, question -> documents, best first. Its calls raise what `retrieve` raises."""
    from langchain_core.retrievers import BaseRetriever

    class PaperRetriever(BaseRetriever):
        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            found = retrieve(libraries, query, settings, top_k=top_k, where=where, min_similarity=min_similarity, reranker=reranker)
            return [as_document(passage) for passage in found]

    return PaperRetriever(tags=["paperproof", *(kb.name for kb, _ in libraries)])


def as_document(passage: Passage) -> Document:
    """The passage's text; metadata: source (file), page and page_end (from 1), section (headings joined by " > "), title, kb,
    score (fused, 0..1) and similarity (cosine). Its id is the chunk's.
    """
    from langchain_core.documents import Document

    return Document(
        id=str(passage.chunk_id),
        page_content=passage.text,
        metadata={
            "source": passage.file,
            "page": passage.page,
            "page_end": passage.page_end,
            "section": " > ".join(passage.section),
            "title": passage.title,
            "kb": passage.kb,
            "score": float(passage.score),
            "similarity": float(passage.similarity),
        },
    )
