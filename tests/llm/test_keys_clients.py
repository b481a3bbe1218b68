"""The pool under those who use it: the openai package, LangChain, our chat model, port 20000."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import yaml
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from configs.settings import Settings
from server.errors import BackendFailed, Cancelled, PaperError, RateLimited
from server.llm import chat_model
from server.llm.keys.of_settings import Keys
from server.llm.keys.pool import KeyPool
from server.llm.keys.transport import async_client, client
from server.serving.gateway import build
from server.stopping import Stop
from server.types import Message
from tests.llm.pools import ASK, Time, make_pool, secret
from tests.llm.provider import Asked, Provider, Said, chat, error, event, provider, usage_event
from tests.stack import served, until

A, B = secret("a"), secret("b")
PLACEHOLDER = "the pool's"


@pytest.fixture
def cloud() -> Iterator[Provider]:
    """A provider that has revoked the key A, and speaks in two pieces."""
    with provider() as made:
        made.revoked = {A}
        stream = (event("hel"), event("lo"), usage_event(9))
        made.answer = lambda asked: Said(200, pieces=stream) if asked.body.get("stream") else chat()
        yield made
    gc.collect()


@pytest.fixture
def pool(cloud: Provider) -> KeyPool:
    return make_pool(cloud.base_url, "a", "b", clock=Time())[0]


def with_keys(settings: Settings, cloud: Provider, folder: Path, **more: Any) -> Settings:
    """Settings whose model `m` is the provider's, with both keys in a file."""
    write_keys(folder, A, B)
    endpoints = {"cloud": {"base_url": cloud.base_url, "models": ["m"], "api_key_env": "CLOUD_KEY", **more}}
    llm = {**settings.llm.model_dump(), "default": "m", "endpoints": endpoints, "keys_file": str(folder / "keys.yaml")}
    return Settings.model_validate({**settings.model_dump(), "llm": llm})


def write_keys(folder: Path, *keys: str) -> None:
    path = folder / "keys.yaml"
    path.write_text(yaml.safe_dump({"cloud": [{"key": key} for key in keys]}), encoding="utf-8")
    path.chmod(0o600)


def test_the_openai_package(cloud: Provider, pool: KeyPool):
    with client(pool) as http, openai.OpenAI(api_key=PLACEHOLDER, base_url=cloud.base_url, http_client=http) as asks:
        assert asks.chat.completions.create(**ASK).choices[0].message.content == "hello"
        words = [chunk.choices[0].delta.content for chunk in asks.chat.completions.create(**ASK, stream=True) if chunk.choices]
        assert words == ["hel", "lo"]
        cloud.answer = lambda asked: error(429, "slow down", Retry_After="400")
        with pytest.raises(openai.RateLimitError, match="no key of the endpoint 'cloud' is free") as caught:
            asks.with_options(max_retries=0).chat.completions.create(**ASK)
        assert caught.value.response.headers["retry-after"] == "400"
    assert cloud.keys() == [A, B, B, B]
    assert {asked.headers["authorization"] for asked in cloud.asked} == {f"Bearer {A}", f"Bearer {B}"}


def test_the_openai_package_with_tasks(cloud: Provider, pool: KeyPool):
    async def main() -> list[str | None]:
        async with (
            async_client(pool) as http,
            openai.AsyncOpenAI(api_key=PLACEHOLDER, base_url=cloud.base_url, http_client=http) as asks,
        ):
            answers = await asyncio.gather(*(asks.chat.completions.create(**ASK) for _ in range(8)))
            stream = await asks.chat.completions.create(**ASK, stream=True)
            words = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
            return [*(answer.choices[0].message.content for answer in answers), *words]

    assert asyncio.run(main()) == ["hello"] * 8 + ["hel", "lo"]
    assert pool.state()[1].answers == 9


def test_langchains_chat_model_and_embeddings(cloud: Provider, pool: KeyPool):
    async def tasks(model: ChatOpenAI) -> str:
        async with later:
            return str((await model.ainvoke("hi")).content)

    later = async_client(pool)
    with client(pool) as http:
        model = ChatOpenAI(
            model="m", base_url=cloud.base_url, api_key=PLACEHOLDER, http_client=http, http_async_client=later, max_retries=0
        )
        assert model.invoke("hi").content == "hello"
        assert "".join(str(piece.content) for piece in model.stream("hi")) == "hello"
        assert asyncio.run(tasks(model)) == "hello"
        assert A not in repr(model)
        assert B not in repr(model)
        cloud.answer = lambda asked: Said(200, {"data": [{"index": 0, "embedding": [1.0, 0.0]}], "usage": {"total_tokens": 2}})
        made = OpenAIEmbeddings(
            model="m",
            base_url=cloud.base_url,
            api_key=PLACEHOLDER,
            http_client=http,
            http_async_client=later,
            check_embedding_ctx_length=False,
        )
        assert made.embed_query("hi") == [1.0, 0.0]
    assert set(cloud.keys()[1:]) == {B}


def words(settings: Settings, keys: Keys | None = None, stop: Stop | None = None) -> str:
    said = chat_model.stream(settings, "m", [Message("user", "hi")], temperature=0, max_tokens=5, stop=stop or Stop(), keys=keys)
    return "".join(piece.text for piece in said)


def test_our_chat_model_shares_the_keys_of_its_server(settings: Settings, cloud: Provider, tmp_path: Path):
    online = with_keys(settings, cloud, tmp_path)
    keys = Keys(online)
    assert chat_model.is_running(online, "m", keys)
    assert [words(online, keys) for _ in range(3)] == ["hello"] * 3
    assert cloud.keys() == [A, B, B, B]
    state = keys.state()["cloud"]
    assert [(key.name, key.state, key.answers) for key in state] == [("…aaaa", "refused", 0), ("…bbbb", "ready", 3)]
    cloud.answer = lambda asked: error(429, "slow down", Retry_After="300")
    with pytest.raises(RateLimited, match="no key of the endpoint 'cloud' is free") as caught:
        words(online, keys)
    assert caught.value.retry_after_s == 300
    cloud.revoked = {A, B}
    fresh = Keys(online)
    with pytest.raises(BackendFailed, match="refuses the key"):
        words(online, fresh)
    assert not chat_model.is_running(online, "m", fresh)


def test_a_stop_ends_a_chat_that_waits_for_a_key(settings: Settings, cloud: Provider, tmp_path: Path):
    online = with_keys(settings, cloud, tmp_path, patience_s=60)
    cloud.answer = lambda asked: error(429, "slow down", Retry_After="50")
    keys, stop, ends = Keys(online), Stop(), list[PaperError]()

    def ask() -> None:
        try:
            words(online, keys, stop)
        except PaperError as exc:
            ends.append(exc)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: keys.pool("cloud").waiting == 1, "it waits", 10.0)
    stop()
    asking.join(5)
    assert [type(end) for end in ends] == [Cancelled]


def test_port_20000_says_429_with_retry_after_when_no_key_is_free_and_follows_the_file(settings: Settings, cloud: Provider, tmp_path: Path):
    online = with_keys(settings, cloud, tmp_path, patience_s=1)
    with served(build(online)) as url, httpx2.Client(base_url=f"{url}/v1", timeout=30, trust_env=False) as http:
        assert http.post("/chat/completions", json=ASK, headers={"authorization": "Bearer theirs"}).status_code == 200
        assert http.post("/chat/completions", json={**ASK, "stream": True}).text.endswith("data: [DONE]\n\n")
        assert cloud.keys() == [A, B, B]
        cloud.answer = lambda asked: error(429, "slow down", Retry_After="77.5") if asked.key == B else chat("new")
        for stream in (False, True):
            given = http.post("/chat/completions", json={**ASK, "stream": stream})
            assert (given.status_code, given.headers["retry-after"]) == (429, "78") if not stream else given.status_code == 429
            assert given.json()["error"]["type"] == "rate_limit_error"
            assert "no key of the endpoint 'cloud' is free (1 resting, 1 refused)" in given.json()["error"]["message"]
            assert B not in given.text
        assert len(cloud.asked) == 4
        write_keys(tmp_path, A, B, secret("c"))
        changed = time.monotonic()
        until(lambda: http.post("/chat/completions", json=ASK).status_code == 200, "the new key is used", 5.0)
        assert time.monotonic() - changed <= 1.0
        assert cloud.keys()[4:] == [secret("c")]
        assert http.post("/embeddings", json={"model": "m", "input": "x"}).status_code == 200
        assert http.post(f"{url}/v1/chat/completions", json={**ASK, "base_url": "https://evil.example/v1"}).status_code == 200


def test_port_20000_says_502_when_every_key_is_refused(settings: Settings, cloud: Provider, tmp_path: Path):
    cloud.revoked = {A, B}
    with served(build(with_keys(settings, cloud, tmp_path))) as url, httpx2.Client(base_url=f"{url}/v1", trust_env=False) as http:
        for _ in range(2):
            given = http.post("/chat/completions", json=ASK)
            assert (given.status_code, given.json()["error"]["code"]) == (502, "backend_error")
            assert "endpoint cloud refused the key" in given.json()["error"]["message"]
    assert cloud.keys() == [A, B]


def test_port_20000_does_not_try_again_for_a_client_that_has_left(settings: Settings, cloud: Provider, tmp_path: Path):
    came, over = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Said:
        came.set()
        over.wait(20)
        return chat()

    cloud.revoked, cloud.answer = set(), lambda asked: chat()
    online = with_keys(settings, cloud, tmp_path)
    app = build(online)
    with served(app) as url, httpx2.Client(base_url=f"{url}/v1", trust_env=False) as http:
        cloud.answer = slow
        with pytest.raises(httpx2.ReadTimeout):
            http.post("/chat/completions", json=ASK, timeout=httpx2.Timeout(5.0, read=0.3))
        assert came.is_set()
        assert len(cloud.asked) == 1
        over.set()
