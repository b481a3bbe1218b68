"""LangChain's view of a library: the same passages and vectors as ours, through its own runnables."""

from __future__ import annotations

import numpy as np
import pytest

from configs.settings import Retrieval, Splitting
from server.errors import Invalid
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.langchain_view import as_embeddings, as_retriever
from server.retrieval import retrieve
from server.stores.where import Where
from tests.conftest import write_papers
from tests.hash_embedder import HashEmbedder


@pytest.fixture
def library(kb: KnowledgeBase, hashing: HashEmbedder) -> KnowledgeBase:
    """Four small papers."""
    write_papers(kb.content)
    assert ingest(kb, hashing, Splitting()).failed == {}
    return kb


def test_a_chain_gets_the_passages_that_a_search_gives(library: KnowledgeBase, hashing: HashEmbedder):
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnablePassthrough

    question = "What does a kill leave behind?"
    ours = retrieve([(library, hashing)], question, Retrieval(), top_k=2)
    retriever = as_retriever([(library, hashing)], Retrieval(), top_k=2)
    found = retriever.invoke(question)
    assert [document.page_content for document in found] == [passage.text for passage in ours]
    first = found[0]
    assert "old version or the new one" in first.page_content
    assert (first.id, first.metadata["source"], first.metadata["page"]) == (str(ours[0].chunk_id), "paper.pdf", 1)
    assert first.metadata["section"] == " > ".join(ours[0].section)
    assert 0 < first.metadata["score"] == pytest.approx(ours[0].score)
    assert first.metadata["score"] >= found[1].metadata["score"]
    assert first.metadata["similarity"] == pytest.approx(ours[0].similarity)

    def texts(documents: list) -> str:  # type: ignore[type-arg]
        return "\n".join(f"[{d.metadata['source']} p.{d.metadata['page']}] {d.page_content}" for d in documents)

    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    chain = {"context": retriever | texts, "question": RunnablePassthrough()} | prompt
    asked = chain.invoke(question).to_string()
    assert "[paper.pdf p.1]" in asked
    assert asked.endswith(f"Question: {question}")
    assert [len(documents) for documents in retriever.batch([question, "二元组"])] == [2, 2]


def test_a_retriever_keeps_to_the_files_it_was_made_for(library: KnowledgeBase, hashing: HashEmbedder):
    found = as_retriever([(library, hashing)], Retrieval(), top_k=9, where=Where(files=("table.csv",))).invoke("recall of HNSW32")
    assert {document.metadata["source"] for document in found} == {"table.csv"}


def test_a_retriever_refuses_another_model(library: KnowledgeBase):
    with pytest.raises(Invalid, match="was built with hash"):
        as_retriever([(library, HashEmbedder("other"))], Retrieval()).invoke("x")


def test_embeddings_serve_a_vector_store_of_langchain(hashing: HashEmbedder):
    from langchain_core.vectorstores import InMemoryVectorStore

    embeddings = as_embeddings(hashing)
    texts = ["zebras have stripes", "the index is written beside the database"]
    assert np.allclose(embeddings.embed_documents(texts), hashing.embed_documents(texts))
    assert np.allclose(embeddings.embed_query("zebras"), hashing.embed_query("zebras"))
    store = InMemoryVectorStore.from_texts(texts, embeddings)
    assert [d.page_content for d in store.as_retriever(search_kwargs={"k": 1}).invoke("the index and the database")] == texts[1:]
