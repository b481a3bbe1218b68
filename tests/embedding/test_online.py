"""Embeddings over HTTP, against a real server that does what a test says: limits, refusals, rests, keys, broken answers."""

from __future__ import annotations

import base64
import email.utils
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from configs.endpoints import Endpoint
from configs.settings import Embedding, Settings
from server import embedding
from server.embedding.estimates import SAFE, cut, estimated_tokens
from server.embedding.online import OnlineEmbedder
from server.errors import BackendFailed, Cancelled, Invalid, ModelNotFound, RateLimited, Unavailable
from server.llm.keys.key_file import KeyEntry
from server.llm.keys.of_settings import Keys
from server.llm.keys.pool import KeyPool
from server.runtime import Runtime
from tests.stack import free_port

KEY = "sk-test-0123456789abcdef"
Answer = tuple[int, Any, dict[str, str]]


def vector(text: str) -> list[float]:
    """Not of unit length; its direction tells the text's length."""
    return [3.0, float(len(text)), 4.0]


def embedded(body: dict[str, Any]) -> Answer:
    """As OpenAI answers, but in the wrong order."""
    data = [{"object": "embedding", "index": i, "embedding": vector(text)} for i, text in enumerate(body["input"])]
    return 200, {"object": "list", "data": data[::-1], "model": body["model"]}, {}


class Service:
    """`answer` is what it does with a body; `asked` and `keys` what it was sent."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.answer: Callable[[dict[str, Any]], Answer] = embedded
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.rests: list[float] = []

    def rest(self, seconds: float) -> None:
        """Time passes only here."""
        self.rests.append(seconds)

    def pool(self) -> KeyPool:
        """The keys of this service: one, whose random rests are the longest."""
        endpoint = Endpoint(base_url=self.base_url, models=("gpt",), api_key_env="SERVICE_KEY", timeout_s=5)
        entries = (KeyEntry(key=SecretStr(KEY)),)
        return KeyPool("service", endpoint, lambda: entries, clock=lambda: sum(self.rests), jitter=lambda least, most: most)

    def embedder(self, model: str = "text-embedding-3-small", **settings: Any) -> OnlineEmbedder:
        chosen = Embedding.model_validate({"model": f"service/{model}", **settings})
        made = OnlineEmbedder(model, self.pool(), chosen, wait=self.rest)
        self.asked.clear()
        return made


@pytest.fixture
def service() -> Iterator[Service]:
    """A server on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.asked.append({**body, "path": self.path})
            made.keys.add(self.headers["Authorization"])
            status, said, headers = made.answer(body)
            raw = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Service(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def answers(*statuses: Answer) -> Callable[[dict[str, Any]], Answer]:
    """Each of these once, then as it should be."""
    left = list(statuses)
    return lambda body: left.pop(0) if left else embedded(body)


def test_texts_come_back_in_order_as_unit_vectors_and_the_dimension_is_learned(service: Service):
    made = service.embedder()
    assert (made.name, made.dimension, made.device) == ("service/text-embedding-3-small", 3, "online")
    texts = ["a" * n for n in range(1, 151)]
    finished: list[int] = []
    found = made.embed_documents(texts, finished.append)
    expected = np.asarray([vector(text) for text in texts])
    assert np.allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert found.dtype == np.float32
    assert [len(body["input"]) for body in service.asked] == [64, 64, 22]
    assert sum(finished) == 150
    assert {(body["model"], body["encoding_format"], body["path"]) for body in service.asked} == {
        ("text-embedding-3-small", "float", "/v1/embeddings")
    }
    assert service.keys == {f"Bearer {KEY}"}
    assert made.embed_documents([]).shape == (0, 3)


def test_a_family_known_by_name_gets_its_prefixes_and_the_settings_win(service: Service):
    made = service.embedder("BAAI/bge-large-zh-v1.5")
    made.embed_query("问题")
    made.embed_documents(["段落"])
    assert [body["input"] for body in service.asked] == [["为这个句子生成表示以用于检索相关文章：问题"], ["段落"]]
    assert made.max_tokens == 512
    made = service.embedder("BAAI/bge-large-zh-v1.5", query_prefix="", passage_prefix="p: ", max_tokens=100)
    made.embed_query("问题")
    made.embed_documents(["段落"])
    assert [body["input"] for body in service.asked] == [["问题"], ["p: 段落"]]
    assert made.max_tokens == 100


def test_a_question_is_sent_once(service: Service):
    made = service.embedder()
    assert np.array_equal(made.embed_query("why?"), made.embed_query("why?"))
    made.embed_query("how?")
    assert [body["input"] for body in service.asked] == [["why?"], ["how?"]]


def test_a_busy_endpoint_is_asked_again_after_the_time_it_names(service: Service):
    made = service.embedder()
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    service.answer = answers(
        (429, {"error": {"message": "slow"}}, {"Retry-After": "7"}), (503, "busy", {"Retry-After": date}), (500, "", {})
    )
    assert made.embed_documents(["abc"]).shape == (1, 3)
    assert len(service.asked) == 4
    assert sum(service.rests) == pytest.approx(7 + 20 + 1, abs=2)  # without a header: 0.5, 1, 2 … at the longest
    assert max(service.rests) <= 0.5  # so that a rest can be stopped


def test_a_rest_longer_than_the_patience_is_not_taken(service: Service):
    made = service.embedder()
    service.answer = lambda body: (429, {"error": {"message": "come back later"}}, {"Retry-After": "3000"})
    with pytest.raises(RateLimited, match="come back later") as caught:
        made.embed_documents(["abc"])
    assert caught.value.retry_after_s == 3000
    assert (len(service.asked), service.rests) == (1, [])
    service.answer = embedded
    made = service.embedder()
    service.answer = lambda body: (502, "<html>bad gateway</html>", {})
    with pytest.raises(Unavailable, match="502"):
        made.embed_query("abc")
    assert sum(service.rests) == 0.5 + 1 + 2 + 4 + 8  # 16 more would be above the 20 s of a question


def test_a_rest_ends_when_the_caller_gives_up(service: Service):
    made = service.embedder()
    service.answer = lambda body: (429, {}, {"Retry-After": "60"})

    def done(finished: int) -> None:
        if len(service.rests) == 3:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        made.embed_documents(["abc"], done)
    assert sum(service.rests) == 1.5


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((401, {"error": {"message": "bad key"}}, {}), BackendFailed, "refuses the key in SERVICE_KEY"),
        ((429, {"error": {"message": "pay", "code": "insufficient_quota"}}, {}), BackendFailed, "quota .* used up"),
        ((404, {"detail": "no such model"}, {}), ModelNotFound, "no such model"),
        ((200, "<html>", {}), BackendFailed, "not JSON"),
        ((200, {"data": []}, {}), BackendFailed, "for 1 texts"),
        ((200, {"data": [{"index": 0, "embedding": [1.0, 2.0]}]}, {}), BackendFailed, "had 3 dimensions and now has 2"),
        ((200, {"data": [{"index": 0, "embedding": [0.0, 0.0, 0.0]}]}, {}), BackendFailed, "none of a length"),
        ((200, {"data": [{"index": 0, "embedding": [float("nan"), 1, 1]}]}, {}), BackendFailed, "none of a length"),
        ((200, {"oops": 1}, {}), BackendFailed, "not a list of embeddings"),
        ((400, {"error": {"message": "unknown field"}}, {}), Invalid, "unknown field"),
    ],
)
def test_what_asking_again_cannot_mend_is_said_at_once(service: Service, answer: Answer, error: type[Exception], words: str):
    made = service.embedder()
    service.answer = lambda body: answer
    with pytest.raises(error, match=words) as caught:
        made.embed_documents(["abc"])
    assert (len(service.asked), service.rests) == (1, [])
    assert KEY not in str(caught.value)


def test_a_service_that_takes_ten_texts_is_given_eight_from_then_on(service: Service):
    made = service.embedder()

    def ten(body: dict[str, Any]) -> Answer:
        return embedded(body) if len(body["input"]) <= 10 else (400, {"message": "batch size is invalid, at most 10"}, {})

    service.answer = ten
    texts = ["a" * n for n in range(1, 71)]
    assert made.embed_documents(texts)[:, 1].argsort().tolist() == list(range(70))
    service.asked.clear()
    made.embed_documents(texts)
    assert [len(body["input"]) for body in service.asked] == [8] * 8 + [6]


def test_one_text_that_is_too_long_is_cut_with_a_warning_and_the_batches_stay(service: Service, caplog: pytest.LogCaptureFixture):
    made = service.embedder()

    def short(body: dict[str, Any]) -> Answer:
        wrong = any(len(text) > 1000 for text in body["input"])
        return (400, {"error": {"message": "maximum context length is 300 tokens"}}, {}) if wrong else embedded(body)

    service.answer = short
    with caplog.at_level(logging.WARNING):
        found = made.embed_documents(["x" * 3000, *["abc"] * 20])
    assert "cut to half" in caplog.text
    assert "xxx" not in caplog.text
    assert found[0, 1] / found[0, 0] == pytest.approx(750 / 3)
    service.asked.clear()
    made.embed_documents(["abc"] * 60)
    assert [len(body["input"]) for body in service.asked] == [60]


def test_long_texts_are_cut_at_a_safe_length_before_they_are_sent(service: Service, caplog: pytest.LogCaptureFixture):
    made = service.embedder("mystery")
    with caplog.at_level(logging.WARNING):
        made.embed_documents(["word " * 2000, "short", "", "half \ud800 a pair"])
    sent = [text for body in service.asked for text in body["input"]]
    assert {"short", " ", "half ? a pair"} < set(sent)
    longest = max(sent, key=len)
    assert "word " * 2000 > longest == "word " * (len(longest) // 5) + "word "[: len(longest) % 5]
    assert 0.74 * 512 < estimated_tokens(longest) <= SAFE * 512 + 1
    assert "cut texts=1 of 4" in caplog.text


def test_base64_is_understood_too(service: Service):
    made = service.embedder()
    coded = base64.b64encode(np.asarray([0, 3, 4], "<f4").tobytes()).decode()
    service.answer = lambda body: (200, {"data": [{"index": 0, "embedding": coded}]}, {})
    assert made.embed_documents(["abc"])[0].tolist() == pytest.approx([0, 0.6, 0.8])


@pytest.mark.parametrize(
    ("text", "xlm_r"),
    [
        ("The quick brown fox jumps over the lazy dog.", 13),
        ("Retrieval-augmented generation grounds answers in documents.", 15),
        ("检索增强生成可以减少幻觉。", 10),
    ],
)
def test_estimates_are_near_and_cutting_is_safe(text: str, xlm_r: int):
    assert 0.9 * xlm_r <= estimated_tokens(text) <= 1.5 * xlm_r
    assert cut(text, 10_000) == text
    assert estimated_tokens(cut(text * 50, 100)) <= 76


def test_without_a_key_or_a_server_the_reason_is_said(service: Service, online: Settings, monkeypatch: pytest.MonkeyPatch):
    service.base_url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(Unavailable, match="cannot be reached"):
        service.embedder("m")
    assert sum(service.rests) == 15.5
    monkeypatch.delenv("SERVICE_KEY")
    with pytest.raises(Invalid, match=r"set SERVICE_KEY in the environment or in \.env"):
        embedding.load_model(online, keys=Keys(online))


@pytest.fixture
def online(settings: Settings, service: Service, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose embedding model is the service's."""
    monkeypatch.setenv("SERVICE_KEY", KEY)
    endpoint = {"base_url": service.base_url, "models": ["m"], "api_key_env": "SERVICE_KEY"}
    return Settings.model_validate(
        {
            **settings.model_dump(),
            "llm": {**settings.llm.model_dump(), "endpoints": {"service": endpoint}},
            "embedding": {"model": "service/BAAI/bge-m3"},
        }
    )


def test_a_server_whose_model_is_an_endpoints_builds_libraries_with_it(online: Settings):
    runtime = Runtime(online)
    kb = runtime.create_library("mine")
    assert (kb.facts.embedding, kb.facts.dimension) == ("service/BAAI/bge-m3", 3)
    (kb.content / "a.txt").write_text("Zebras have stripes.")
    job = runtime.start_ingest("mine")
    assert job.result().failed == {}
    assert runtime.embedder_of(kb).name == "service/BAAI/bge-m3"
    state = runtime.embedders.state()
    assert (state.state, state.device, state.dimension, state.max_tokens) == ("ready", "online", 3, 8192)
    assert state.usage_from == "family bge-m3, by name"
    runtime.close()
    moved = Runtime(online.model_copy(update={"embedding": Embedding(passage_prefix="x: ")}))  # another default: the library keeps its own
    assert moved.embedder_of(moved.shelf.open("mine")).usage.passage == ""
    moved.close()


def test_a_missing_key_shows_in_the_state(online: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SERVICE_KEY")
    runtime = Runtime(online)
    with pytest.raises(Invalid, match="SERVICE_KEY"):
        runtime.embedders.get()
    assert (runtime.embedders.state().state, "SERVICE_KEY" in runtime.embedders.state().error) == ("failed", True)
    runtime.close()


def test_only_endpoints_of_the_settings_make_a_name_online(online: Settings):
    assert online.endpoint_of("service/a/b") == ("service", "a/b")
    assert [online.endpoint_of(name) for name in ("service", "service/", "models/m3e", "hf:service/x", "m3e-base")] == [None] * 5
    assert embedding.load_model(online).name == "service/BAAI/bge-m3"
