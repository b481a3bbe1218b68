"""LangChain's OpenAI classes at port 20000: chats, streams, tools, structured output, libraries, embeddings, errors, leaving."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from pydantic import BaseModel, Field

from tests.clients.rows import GREETING, QUESTION
from tests.clients.running import EMBEDDER, LIBRARY, LLM, Doors
from tests.clients.scripted_endpoint import CALLER
from tests.stack import until

pytestmark = [pytest.mark.stack, pytest.mark.filterwarnings("ignore::ResourceWarning")]  # LangChain leaves its connections to the collector

FREE_S = 4.0  # one second on an idle machine
TEXTS = ["hybrid retrieval", "检索", "word " * 900]


class City(BaseModel):
    """A place."""

    city: str = Field(max_length=20)


def chat(doors: Doors, model: str = LLM, **more: Any) -> Any:
    from langchain_openai import ChatOpenAI

    settings = {"temperature": 0, "max_tokens": 8, "max_retries": 0, "timeout": 60, **more}
    return ChatOpenAI(model=model, base_url=doors.open, api_key="none", **settings)


def embeddings(doors: Doors, model: str = EMBEDDER, **more: Any) -> Any:
    from langchain_openai import OpenAIEmbeddings

    return OpenAIEmbeddings(model=model, base_url=doors.open, api_key="none", max_retries=0, **more)


def test_a_chat_a_batch_and_a_stream_say_the_same(doors: Doors) -> None:
    model = chat(doors)
    whole = model.invoke("Say hi.")
    assert (whole.content, whole.response_metadata["finish_reason"]) == (GREETING, "length")
    assert whole.usage_metadata["output_tokens"] == 8
    assert [answer.content for answer in model.batch(["Say hi."] * 3)] == [GREETING] * 3
    chunks = list(chat(doors, stream_usage=True).stream("Say hi."))
    assert "".join(chunk.content for chunk in chunks) == GREETING
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) == 8


def test_tools_are_called_and_their_results_understood(doors: Doors) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """Of a city."""
        return f"rain in {city}"

    model = chat(doors, CALLER).bind_tools([weather], tool_choice="any")
    asked: list[Any] = [HumanMessage("How is the weather?")]
    answer = model.invoke(asked)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})]
    results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]
    assert model.invoke([*asked, answer, *results]).content == "call_a: rain in Oslo and call_b: rain in Rome"
    streamed = list(model.stream(asked))
    assert [call["args"] for call in sum(streamed[1:], streamed[0]).tool_calls] == [{"city": "Oslo"}, {"city": "Rome"}]


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_structured_output_of_the_local_model_parses(doors: Doors, method: Any) -> None:
    model = chat(doors, max_tokens=60).with_structured_output(City, method=method, include_raw=True)
    given = model.invoke("Name a city, as a JSON object with the key city.")
    if method == "json_schema":
        assert isinstance(given["parsed"], City)
    assert given["raw"].content.startswith("{")


@pytest.mark.parametrize("model", [LIBRARY, f"{LIBRARY}@{LLM}"])
def test_a_library_is_a_chat_model_too(doors: Doors, model: str) -> None:
    question = QUESTION[0]["content"]
    assert "[1]" in chat(doors, model).invoke(question).content
    assert "[1]" in "".join(chunk.content for chunk in chat(doors, model).stream(question))


def test_errors_are_those_of_the_openai_package(doors: Doors) -> None:
    with pytest.raises(openai.NotFoundError, match="unknown model"):
        chat(doors, "nope").invoke("Say hi.")
    with pytest.raises(openai.BadRequestError, match="context") as caught:
        list(chat(doors).stream("word " * 2000))
    assert caught.value.code == "context_length_exceeded"


def test_a_stream_that_is_cancelled_frees_its_slot(doors: Doors) -> None:
    async def left() -> None:
        stream = chat(doors, max_tokens=None).astream("Tell a very long story.")
        await anext(stream)
        assert doors.busy() == 1
        await stream.aclose()

    asyncio.run(left())
    until(lambda: doors.busy() == 0, "the slot is free", FREE_S)


def test_embeddings_of_texts_are_the_same_whoever_counts_their_tokens(doors: Doors, models: Path) -> None:
    plain = np.array(embeddings(doors, check_embedding_ctx_length=False).embed_documents(TEXTS))
    assert plain.shape == (3, 384)
    assert np.allclose(embeddings(doors, check_embedding_ctx_length=False).embed_query(TEXTS[1]), plain[1], atol=1e-5)
    # Counted with the tokenizer in the model's folder, so that no table of tiktoken is needed; it then sends texts.
    counting = embeddings(doors, str(models / EMBEDDER), tiktoken_enabled=False, check_embedding_ctx_length=True, embedding_ctx_length=500)
    counted = np.array(counting.embed_documents(TEXTS[:2]))
    assert np.allclose((counted * plain[:2]).sum(1), 1, atol=0.02)


def test_token_ids_of_tiktoken_are_refused_with_the_way_out(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    import tiktoken
    from tiktoken import registry

    letters = {bytes([number]): number for number in range(256)}  # in place of a table that would be downloaded
    encoding = tiktoken.Encoding("cl100k_base", pat_str=r".", mergeable_ranks=letters, special_tokens={})
    monkeypatch.setitem(registry.ENCODINGS, "cl100k_base", encoding)
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        embeddings(doors, check_embedding_ctx_length=True).embed_documents(TEXTS[:1])
