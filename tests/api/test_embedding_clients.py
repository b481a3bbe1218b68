"""Clients of others ask port 7861 for embeddings: OpenAI's own, and LangChain's with the switch that makes it send texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from server.api.app import create_app
from server.embedding import Embedder
from server.runtime import build
from tests.api.conftest import make_settings
from tests.stack import served

TEXTS = ["apple pie", "检索", "x " * 900]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[tuple[str, Embedder]]:
    """(the base URL of a real server's OpenAI routes, its embedder)."""
    runtime = build(make_settings(tmp_path_factory.mktemp("clients"), tiny_model))
    with served(create_app(runtime)) as address:
        yield f"{address}/api/v1", runtime.embedders.get()


@pytest.mark.parametrize("model", ["tiny-e5", "somebody/tiny-e5"])
def test_langchains_openai_embeddings_work_with_the_switch_that_the_refusal_names(port: tuple[str, Embedder], model: str):
    from langchain_openai import OpenAIEmbeddings

    base_url, embedder = port
    ours = embedder.embed_documents(TEXTS)
    with httpx2.Client(trust_env=False) as http:
        client = OpenAIEmbeddings(model=model, base_url=base_url, api_key="none", http_client=http, check_embedding_ctx_length=False)
        assert np.allclose(client.embed_documents(TEXTS, chunk_size=2), ours, atol=1e-5)
        assert np.allclose(client.embed_query("检索"), ours[1], atol=1e-5)


def test_openais_client_gets_the_same_vectors_and_its_token_ids_are_refused(port: tuple[str, Embedder]):
    import openai

    base_url, embedder = port
    with openai.OpenAI(base_url=base_url, api_key="none", http_client=httpx2.Client(trust_env=False)) as client:
        answer = client.embeddings.create(model="tiny-e5", input=TEXTS)
        assert np.allclose([row.embedding for row in answer.data], embedder.embed_documents(TEXTS), atol=1e-5)
        assert answer.model == "tiny-e5"
        for tokens in ([1, 2, 3], [[1, 2], [3]]):
            with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
                client.embeddings.create(model="tiny-e5", input=tokens)


def test_the_status_says_how_the_model_is_used(port: tuple[str, Embedder]):
    base_url, _ = port
    said = httpx2.get(f"{base_url}/status", trust_env=False).json()["embedding"]
    assert (said["state"], said["dimension"], said["max_tokens"], said["pooling"]) == ("ready", 32, 512, "mean")
    assert (said["query_prefix"], said["passage_prefix"], said["usage_from"]) == ("query: ", "passage: ", "the model's folder")
