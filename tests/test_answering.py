"""Answers: which depth, what is streamed, refusals, and a language model whose marks are checked."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from configs.settings import Settings
from server.answering import Asked, _with_subject, answer, depth_of
from server.errors import BackendFailed, ContextOverflow, Invalid, ModelNotFound, PaperError, RateLimited, Unavailable
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from server.types import Answer, Depth, Message, Token
from tests.hash_embedder import HashEmbedder
from tests.retrieval.test_retrieve import fill
from tests.serving.scripted_servers import Answer as Script
from tests.serving.scripted_servers import OpenAI, refuses, streams
from tests.stack import free_port, served

HASHING = HashEmbedder()
TEXTS = [
    "Zebras live in herds on the open plain. They eat grass.",
    "Lions sleep for twenty hours each day. They hunt at night.",
    "Wolves howl to find each other in the dark forest.",
]


@pytest.fixture
def animals(kb: KnowledgeBase) -> KnowledgeBase:
    """Three passages about animals."""
    fill(kb, "animals.md", TEXTS)
    return kb


def chunk(text: str) -> bytes:
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**body, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}).encode() + b"\n\n"


USAGE = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
END = b"data: " + json.dumps({**USAGE, "usage": {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}}).encode()
END += b"\n\ndata: [DONE]\n\n"


def says(*pieces: str) -> Script:
    """A stream of these pieces, then the usage."""
    return streams(*map(chunk, pieces), END)


def with_endpoint(settings: Settings, url: str) -> Settings:
    """The settings with an online model `m` at that address."""
    endpoints = {"scripted": {"base_url": f"{url}/v1", "models": ["m"], "api_key_env": "SCRIPTED_KEY", "timeout_s": 20, "patience_s": 0}}
    return Settings.model_validate({**settings.model_dump(), "llm": {**settings.llm.model_dump(), "endpoints": endpoints}})


@pytest.fixture
def endpoint(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], object]:
    """A context in which the model `m` answers as scripted: gives the settings and the server."""
    monkeypatch.setenv("SCRIPTED_KEY", "the-key-of-the-endpoint")

    @contextmanager
    def running(script: Script) -> Iterator[tuple[Settings, OpenAI]]:
        server = OpenAI(script)
        with served(server.app()) as url:
            yield with_endpoint(settings, url), server
        gc.collect()

    return running


def whole(kb: KnowledgeBase, settings: Settings, asked: Asked) -> tuple[str, Answer]:
    """(what was streamed, the answer); the answer comes last and once."""
    *tokens, last = answer([(kb, HASHING)], settings, asked)
    assert all(isinstance(token, Token) for token in tokens)
    assert isinstance(last, Answer)
    return "".join(token.text for token in tokens if isinstance(token, Token)), last


@pytest.mark.parametrize(
    ("asked", "setting", "depth"),
    [(None, "auto", "quotes"), (None, "fast", "fast"), ("quotes", "fast", "quotes"), ("fast", "auto", "fast")],
)
def test_the_depth_is_the_requests_then_the_settings_then_by_size(settings: Settings, asked: Depth | None, setting: str, depth: str):
    chosen = Settings.model_validate({**settings.model_dump(), "answering": {"depth": setting}})
    assert depth_of(chosen, Asked("q", depth=asked)) == depth


def test_a_large_or_unmeasured_model_is_asked_by_default(settings: Settings):
    assert depth_of(settings, Asked("q", model="chatglm2-6b")) == "fast"
    assert depth_of(with_endpoint(settings, "http://x"), Asked("q", model="m")) == "fast"


def test_careful_is_refused_with_what_works(settings: Settings):
    with pytest.raises(Invalid, match="depth 'careful' is not available yet; use quotes or fast"):
        depth_of(settings, Asked("q", depth="careful"))


@pytest.mark.parametrize("question", ["", "  \n "])
def test_an_empty_question_is_refused(animals: KnowledgeBase, settings: Settings, question: str):
    with pytest.raises(Invalid, match="the question is empty"):
        next(answer([(animals, HASHING)], settings, Asked(question)))


def test_quotes_are_streamed_with_their_numbers_and_need_no_model(animals: KnowledgeBase, settings: Settings):
    text, last = whole(animals, settings, Asked("Where do zebras live?"))
    assert text == last.text
    assert text.startswith("The library says:\n\n“Zebras live in herds on the open plain. They eat grass.” [1]")
    assert [f"“{c.quote}” [{c.index}]" for c in last.citations] == re.findall(r"“[^”]*” \[\d\]", text)
    assert (last.refused, last.depth, last.model, last.prompt_tokens) == (False, "quotes", None, 0)
    assert last.passages[0].text == TEXTS[0]


def test_a_chinese_question_is_led_in_chinese(animals: KnowledgeBase, settings: Settings):
    assert whole(animals, settings, Asked("斑马住在哪里？"))[0].startswith("知识库中的原文：")


def test_an_empty_library_refuses(kb: KnowledgeBase, settings: Settings):
    text, last = whole(kb, settings, Asked("Where do zebras live?"))
    assert text == "The library does not answer this."
    assert (last.refused, last.citations, last.passages) == (True, (), ())


def test_a_question_that_nothing_supports_is_refused_with_the_three_nearest_quotes(shelf: Shelf, settings: Settings):
    library = shelf.create("measured", embedding="multilingual-e5-small", dimension=32)
    fill(library, "a", TEXTS)
    *_, last = answer([(library, HashEmbedder("multilingual-e5-small"))], settings, Asked("xyzzy plugh", depth="fast"))
    assert isinstance(last, Answer)
    assert last.refused
    assert [c.index for c in last.citations] == [1, 2, 3]
    assert (last.model, last.depth) == (None, "fast")  # no model was asked


@pytest.mark.parametrize(
    ("question", "follows"),
    [
        ("Why?", True),
        ("And its limits?", True),
        ("What are the limitations?", True),
        ("How large are they?", True),
        ("局限性呢？", True),
        ("What is the capital of Mongolia?", False),
        ("Who won the football world cup?", False),
        ("Where do zebras live and what do they eat in winter?", False),
    ],
)
def test_only_a_question_that_points_back_takes_the_subject_of_the_one_before(question: str, follows: bool):
    history = (Message("user", "What do ants eat?"), Message("assistant", "Honeydew."))
    assert _with_subject(question, history) == ("What do ants eat? " * follows + question)
    assert _with_subject(question, ()) == question


def test_a_model_gets_the_numbered_passages_and_its_answer_is_cited(animals: KnowledgeBase, endpoint):
    with endpoint(says("Zebras live in herds ", "on the plain [1].")) as (settings, server):
        history = (Message("user", "Hello"), Message("assistant", "Hi"))
        text, last = whole(animals, settings, Asked("Where do zebras live?", history, model="m", top_k=2, temperature=0.5, max_tokens=99))
    (body,) = server.asked
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert "Answer the question only from the numbered passages" in body["messages"][0]["content"]
    final = body["messages"][-1]["content"]
    assert final.endswith("Where do zebras live?")
    assert re.findall(r"^\[(\d)\] animals.md, p. 1: (\w+)", final, re.MULTILINE)[0] == ("1", "Zebras")
    assert len(re.findall(r"^\[\d\]", final, re.MULTILINE)) == 2
    assert (body["temperature"], body["model"], body.get("max_completion_tokens") or body.get("max_tokens")) == (0.5, "m", 99)
    assert server.headers[0]["authorization"] == "Bearer the-key-of-the-endpoint"
    assert text == last.text
    assert last.text.startswith("Zebras live in herds on the plain [1].")
    assert [(c.index, c.quote) for c in last.citations] == [(1, "Zebras live in herds on the open plain.")]
    assert (last.model, last.depth, last.refused) == ("m", "fast", False)
    assert (last.prompt_tokens, last.completion_tokens) == (50, 7)


@pytest.mark.parametrize(
    ("memory", "told"),
    [
        ("none", []),
        ("buffer", ["q1", "a1", "q2", "a2"]),
        ("window", ["q2", "a2"]),
        ("token_window", ["q2", "a2"]),
        ("summary_buffer", ["Summary of the conversation so far: Zebras live in herds [1].", "q2", "a2"]),
    ],
)
def test_the_model_is_told_of_the_conversation_as_the_settings_say(animals: KnowledgeBase, endpoint, memory: str, told: list[str]):
    long = " and more" * 30
    history = (Message("user", "q1"), Message("assistant", "a1" + long), Message("user", "q2"), Message("assistant", "a2"))
    with endpoint(says("Zebras live in herds [1].")) as (settings, server):
        chosen = settings.answering.model_copy(update={"memory": memory, "memory_turns": 1, "memory_tokens": 100})
        whole(animals, settings.model_copy(update={"answering": chosen}), Asked("Where do zebras live?", history, model="m"))
    sent = [message["content"].removesuffix(long) for message in server.asked[-1]["messages"]]
    assert sent[1:-1] == told
    if memory == "summary_buffer":
        assert [message["content"].removesuffix(long) for message in server.asked[0]["messages"][:2]] == ["q1", "a1"]
        assert "Keep every number and name" in server.asked[0]["messages"][-1]["content"]


def test_a_sentence_that_the_model_did_not_mark_gets_its_citation(animals: KnowledgeBase, endpoint):
    with endpoint(says("Lions sleep twenty hours each day.")) as (settings, _):
        text, last = whole(animals, settings, Asked("How long do lions sleep?", model="m"))
    assert [c.quote for c in last.citations] == ["Lions sleep for twenty hours each day."]
    assert text == last.text
    assert "[1]" in text


def test_the_numbers_in_the_text_are_those_of_the_citations(animals: KnowledgeBase, endpoint):
    question = "Where do zebras live?"
    with endpoint(says("Nothing yet.")) as (settings, server):
        whole(animals, settings, Asked(question, model="m"))
    order = re.findall(r"^\[\d\] animals.md, p. 1: (\w+)", server.asked[0]["messages"][-1]["content"], re.MULTILINE)
    lions = order.index("Lions") + 1
    assert lions > 1
    with endpoint(says(f"Lions sleep for twenty hours each day [{lions}]. ", "Unicorns do not exist [9].")) as (settings, _):
        text, last = whole(animals, settings, Asked(question, model="m"))
    (cited,) = last.citations
    assert cited.quote == "Lions sleep for twenty hours each day."
    for shown in (text, last.text):
        assert {int(n) for n in re.findall(r"\[(\d+)\]", shown)} == {cited.index}


def test_the_connections_to_the_model_are_closed_after_errors_or_used_again(animals: KnowledgeBase, endpoint):
    with endpoint(refuses(503, {"error": {"message": "no worker"}})) as (settings, server):
        port = int(settings.llm.endpoints["scripted"].base_url.rpartition(":")[2].partition("/")[0])
        gc.disable()
        try:
            for _ in range(3):
                with pytest.raises(Unavailable):
                    whole(animals, settings, Asked("Where do zebras live?", model="m"))
            ours = [c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == port]
        finally:
            gc.enable()
    assert len(server.asked) == 3
    assert len(ours) <= 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (refuses(401, {"error": {"message": "bad key", "code": "invalid_api_key"}}), BackendFailed),
        (refuses(404, {"error": {"message": "no model", "code": "model_not_found"}}), ModelNotFound),
        (refuses(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}), ContextOverflow),
        (refuses(429, {"error": {"message": "slow down"}}, retry_after="7"), RateLimited),
        (refuses(503, {"error": {"message": "no worker"}}), Unavailable),
        (refuses(500, b"<html>oops</html>"), Unavailable),
    ],
)
def test_an_error_of_the_endpoint_becomes_one_of_ours(animals: KnowledgeBase, endpoint, script: Script, error: type[PaperError]):
    with endpoint(script) as (settings, _), pytest.raises(error) as caught:
        whole(animals, settings, Asked("Where do zebras live?", model="m"))
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after_s == 7


def test_a_stream_that_breaks_off_is_one_of_our_errors_after_what_came(animals: KnowledgeBase, endpoint):
    with endpoint(streams(chunk("Zebras live"), b'data: {"error": {"message": "out of memory"}}\n\n')) as (settings, _):
        events = answer([(animals, HASHING)], settings, Asked("Where do zebras live?", model="m"))
        assert next(events) == Token("Zebras live")
        with pytest.raises(Unavailable, match="out of memory"):
            list(events)


def test_a_connection_that_breaks_inside_a_stream_is_one_of_our_errors(animals: KnowledgeBase, endpoint):
    with endpoint(streams(chunk("Zebras live"), fail=True)) as (settings, _), pytest.raises(PaperError):
        whole(animals, settings, Asked("Where do zebras live?", model="m"))


def test_no_gateway_is_said_and_so_is_a_missing_key_and_an_unknown_model(
    animals: KnowledgeBase, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    server = {**settings.server.model_dump(), "gateway_port": free_port()}
    lonely = Settings.model_validate({**settings.model_dump(), "server": server})
    with pytest.raises(Unavailable, match="the language model cannot be reached"):
        whole(animals, lonely, Asked("Where do zebras live?", depth="fast"))
    monkeypatch.delenv("SCRIPTED_KEY", raising=False)
    with pytest.raises(Invalid, match=r"no key for the endpoint 'scripted': set SCRIPTED_KEY in the environment or in \.env"):
        whole(animals, with_endpoint(settings, "http://127.0.0.1:9"), Asked("Where?", model="m"))
    with pytest.raises(ModelNotFound, match="no model 'gpt-9'; known: smollm2-135m-instruct, chatglm2-6b"):
        whole(animals, settings, Asked("Where?", model="gpt-9", depth="fast"))
