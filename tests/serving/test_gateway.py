"""Port 20000 against scripted servers: routing, errors, streams, clients that leave."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from configs.settings import Settings
from server.serving.gateway import build
from tests.serving.scripted_servers import (
    Answer,
    Controller,
    OpenAI,
    Worker,
    refuses,
    says,
    streams,
    streams_until_left,
    thinks_until_left,
)
from tests.stack import free_port, served, until

ASK = {"model": "cloud", "messages": [{"role": "user", "content": "hi"}]}
HUNG_S = 4.0  # two seconds on an idle machine: 1.5 s of patience, then the other worker
LEFT_S = 5.0  # milliseconds on an idle machine; never, where the gateway does not notice
KEY = "a-long-secret-for-tests"


@contextlib.contextmanager
def gateway(
    tmp_path: Path,
    *,
    endpoint: str = "",
    controller: str = "",
    api: str = "",
    timeout_s: float = 5.0,
    patience_s: float = 0.0,
    **server: Any,
) -> Iterator[httpx2.Client]:
    """A gateway whose endpoint serves `cloud`, and that knows a local model `small`; servers not named are not there."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    places = {"knowledge_base": str(tmp_path), "models": str(tmp_path), "logs": str(tmp_path / "logs")}
    cloud = {
        "base_url": f"{endpoint or nowhere}/v1",
        "models": ["cloud"],
        "api_key_env": "SCRIPTED_KEY",
        "timeout_s": timeout_s,
        "patience_s": patience_s,
    }
    llm = {
        "default": "cloud",
        "local": {"small": {"source": "x"}},
        "endpoints": {"scripted": cloud},
        "controller": controller or nowhere,
    }
    port = int((api or nowhere).rpartition(":")[2])
    settings = Settings.model_validate({"paths": places, "llm": llm, "server": {"api_port": port, **server}})
    with served(build(settings)) as url, httpx2.Client(base_url=url, timeout=10.0, trust_env=False) as client:
        yield client


@contextlib.contextmanager
def cloud(tmp_path: Path, answer: Answer, **more: Any) -> Iterator[tuple[httpx2.Client, OpenAI]]:
    """A gateway with this endpoint."""
    endpoint = OpenAI(answer)
    with served(endpoint.app()) as url, gateway(tmp_path, endpoint=url, **more) as client:
        yield client, endpoint


def data(stream: str) -> list[Any]:
    """What a client reads in a stream."""
    lines = [line.removeprefix("data: ") for line in stream.replace("\r", "").split("\n\n") if line]
    return [json.loads(line) if line != "[DONE]" else line for line in lines]


def test_an_answer_of_an_endpoint_is_passed_on_and_unknown_parameters_too(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTED_KEY", "sk-ours")
    with cloud(tmp_path, says("hello")) as (client, endpoint):
        answer = client.post("/v1/chat/completions", json={**ASK, "wibble": 3}, headers={"authorization": "Bearer theirs"})
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        assert endpoint.asked == [{**ASK, "wibble": 3, "path": "/v1/chat/completions"}]
        assert endpoint.headers[0]["authorization"] == "Bearer sk-ours"
        assert client.post("/v1/chat/completions", json={"messages": ASK["messages"]}).json()["model"] == "cloud"
        assert client.post("/v1/embeddings", json={"model": "cloud", "input": "x"}).status_code == 200
        assert endpoint.asked[-1] == {"model": "cloud", "input": "x", "path": "/v1/embeddings"}


@pytest.mark.parametrize(
    ("answer", "status", "code", "words"),
    [
        (refuses(400, {"error": {"message": "bad n", "code": None}}), 400, None, "bad n"),
        (refuses(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}), 400, "context_length_exceeded", "too long"),
        (refuses(400, {"error": {"message": "maximum context length is 9"}}), 400, "context_length_exceeded", "is 9"),
        (refuses(401, {"error": {"message": "Incorrect API key"}}), 502, "backend_error", "endpoint scripted refused the key"),
        (refuses(404, {"error": {"message": "no such", "code": "model_not_found"}}), 404, "model_not_found", "no such"),
        (refuses(422, {"detail": "wrong body"}), 400, None, "wrong body"),
        (refuses(500, b"<h1>oops</h1>"), 502, "backend_error", "endpoint scripted: <h1>oops</h1>"),
        (refuses(503, {"error": {"message": "overloaded"}}), 503, "unavailable", "overloaded"),
        (refuses(200, b"<html>log in</html>", content_type="text/html"), 502, "backend_error", "is its address right?"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_an_endpoint_get_the_right_status_and_shape(tmp_path, answer, status, code, words, stream):
    with cloud(tmp_path, answer) as (client, _):
        given = client.post("/v1/chat/completions", json={**ASK, "stream": stream})
    assert (given.status_code, given.json()["error"]["code"]) == (status, code)
    assert words in given.json()["error"]["message"]
    assert set(given.json()["error"]) == {"message", "type", "param", "code"}


def test_a_rate_limit_keeps_its_retry_after(tmp_path):
    with cloud(tmp_path, refuses(429, {"error": {"message": "slow down"}}, Retry_After="17")) as (client, _):
        given = client.post("/v1/chat/completions", json=ASK)
    assert (given.status_code, given.headers["retry-after"]) == (429, "17")
    assert given.json()["error"]["type"] == "rate_limit_error"


def test_an_endpoint_that_is_away_is_503_and_one_that_is_silent_is_504(tmp_path):
    with gateway(tmp_path) as client:
        given = client.post("/v1/chat/completions", json=ASK)
        assert given.status_code == 503
        assert "endpoint scripted cannot be reached" in given.json()["error"]["message"]
    with cloud(tmp_path, thinks_until_left(threading.Event()), timeout_s=0.2) as (client, _):
        given = client.post("/v1/chat/completions", json=ASK)
        assert given.status_code == 504
        assert "was silent for 0.2 s" in given.json()["error"]["message"]


def test_a_stream_is_passed_on_as_it_is_and_ended_when_it_was_not(tmp_path):
    parts = (b'data: {"a": "\xc3', b'\xa9"}\n\n: ping\n\ndata: {"b"', b": 2}\n\n")
    with cloud(tmp_path, streams(*parts)) as (client, _):
        given = client.post("/v1/chat/completions", json={**ASK, "stream": True})
    assert given.headers["content-type"].startswith("text/event-stream")
    assert given.content == b"".join(parts) + b"data: [DONE]\n\n"


def test_a_stream_that_breaks_ends_with_an_error_and_no_half_event(tmp_path):
    with cloud(tmp_path, streams(b'data: {"a": 1}\n\ndata: {"b', fail=True)) as (client, _):
        given = client.post("/v1/chat/completions", json={**ASK, "stream": True})
    first, error, done = data(given.text)
    assert (first, done) == ({"a": 1}, "[DONE]")
    assert error["error"]["code"] == "backend_error"
    assert "broke off its answer" in error["error"]["message"]


def test_a_client_that_leaves_a_stream_ends_the_work_behind_it(tmp_path):
    gone = threading.Event()
    with cloud(tmp_path, streams_until_left(gone)) as (client, _):
        with client.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as response:
            pieces = response.iter_raw()  # held: an iterator that nobody holds closes the connection
            next(pieces)
            assert not gone.is_set()
        assert gone.wait(LEFT_S)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_first_word_ends_the_work_behind_it(tmp_path, stream):
    gone = threading.Event()
    with cloud(tmp_path, thinks_until_left(gone)) as (client, endpoint):
        with pytest.raises(httpx2.ReadTimeout):
            client.post("/v1/chat/completions", json={**ASK, "stream": stream}, timeout=httpx2.Timeout(5.0, read=0.3))
        assert len(endpoint.asked) == 1
        assert gone.wait(LEFT_S)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"model": "cloud"}', "at least one message"),
        (b'{"model": "cloud", "messages": ["x"]}', "messages[0]"),
        (b'{"model": 5, "messages": [{"role": "user"}]}', "`model` must be a name"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_wrong_request_is_400_and_says_what_is_wrong(tmp_path, body, words):
    with gateway(tmp_path) as client:
        given = client.post("/v1/chat/completions", content=body)
    assert (given.status_code, given.json()["error"]["type"]) == (400, "invalid_request_error")
    assert words in given.json()["error"]["message"]


def test_unknown_routes_have_the_shape_too(tmp_path):
    with gateway(tmp_path) as client:
        assert client.get("/v1/nothing").json()["error"]["message"] == "no route GET /v1/nothing"
        assert client.get("/v1/chat/completions").status_code == 405
        assert client.get("/health").json() == {"status": "ok"}


def test_the_list_has_local_online_and_libraries_and_each_by_name(tmp_path):
    api = OpenAI(says(""), listed=["kb/samples", "e5"])
    with (
        served(Controller({"small": ["http://x"]}).app()) as controller,
        served(api.app()) as url,
        gateway(tmp_path, controller=controller, api=url) as client,
    ):
        listed = client.get("/v1/models").json()
        assert [entry["id"] for entry in listed["data"]] == ["cloud", "small", "kb/samples", "e5"]
        assert all(entry["object"] == "model" and entry["created"] and entry["owned_by"] for entry in listed["data"])
        assert client.get("/v1/models/kb/samples").json()["id"] == "kb/samples"
        missing = client.get("/v1/models/kb/none")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    with gateway(tmp_path) as client:
        assert [entry["id"] for entry in client.get("/v1/models").json()["data"]] == ["cloud"]


def test_libraries_and_embeddings_go_to_port_7861_with_the_clients_key(tmp_path):
    api = OpenAI(says("cited [1]"))
    key = {"authorization": f"Bearer {KEY}"}
    with served(api.app()) as url, gateway(tmp_path, api=url, api_keys=[KEY]) as client:
        assert client.post("/v1/chat/completions", json={**ASK, "model": "kb/samples@small"}).status_code == 401
        given = client.post("/v1/chat/completions", json={**ASK, "model": "kb/samples@small", "depth": "quotes"}, headers=key)
        assert given.json()["choices"][0]["message"]["content"] == "cited [1]"
        client.post("/v1/embeddings", json={"model": "e5", "input": [[1, 2]], "encoding_format": "base64"}, headers=key)
        assert [asked["path"] for asked in api.asked] == ["/api/v1/chat/completions", "/api/v1/embeddings"]
        assert api.asked[0]["depth"] == "quotes"
        assert {headers["authorization"] for headers in api.headers} == {f"Bearer {KEY}"}


def test_errors_of_port_7861_keep_their_status(tmp_path):
    refused = refuses(404, {"error": {"message": "no library x", "type": "invalid_request_error", "param": None, "code": "not_found"}})
    with served(OpenAI(refused).app()) as url, gateway(tmp_path, api=url) as client:
        given = client.post("/v1/chat/completions", json={**ASK, "model": "kb/x"})
    assert (given.status_code, given.json()["error"]["message"]) == (404, "no library x")


def test_an_unknown_model_is_404_naming_the_known_and_a_known_one_without_worker_503(tmp_path):
    with served(Controller({}).app()) as controller, gateway(tmp_path, controller=controller) as client:
        unknown = client.post("/v1/chat/completions", json={**ASK, "model": "nope"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        assert unknown.json()["error"]["message"] == "unknown model 'nope'; known: cloud, small (not served now)"
        waiting = client.post("/v1/chat/completions", json={**ASK, "model": "small"})
        assert (waiting.status_code, waiting.json()["error"]["code"]) == (503, "unavailable")
        assert "no worker serves small right now" in waiting.json()["error"]["message"]
    with gateway(tmp_path) as client:
        message = client.post("/v1/chat/completions", json={**ASK, "model": "small"}).json()["error"]["message"]
        assert "the FastChat controller at" in message
        assert "is not running" in message


def nul(text: str, **more: Any) -> bytes:
    return json.dumps({"text": text, "error_code": 0, **more}).encode() + b"\0"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
PIECES = [nul("He"), nul("Hello \ufffd")[:9], nul("Hello \ufffd")[9:], nul("Hello é", usage=USAGE, finish_reason="stop")]


def test_a_fastchat_worker_puts_the_prompt_in_front_when_that_is_asked_for(tmp_path):
    worker = Worker("small", PIECES)
    with (
        served(worker.app()) as at,
        served(Controller({"small": [at]}).app()) as controller,
        gateway(tmp_path, controller=controller) as client,
    ):
        client.post("/v1/completions", json={"model": "small", "prompt": "1 2", "echo": True})
        wrong = client.post("/v1/completions", json={"model": "small", "prompt": "1 2", "temperature": -1})
    assert [asked["echo"] for asked in worker.asked] == [True]
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "`temperature` must be at least 0, not -1")


def test_a_fastchat_worker_answers_in_openais_protocol(tmp_path):
    worker = Worker("small", PIECES)
    with (
        served(worker.app()) as at,
        served(Controller({"small": [at]}).app()) as controller,
        gateway(tmp_path, controller=controller) as client,
    ):
        body = {**ASK, "model": "small", "max_completion_tokens": 9, "temperature": 0}
        whole = client.post("/v1/chat/completions", json=body).json()
        text = client.post("/v1/completions", json={"model": "small", "prompt": "1 2"}).json()
        given = client.post("/v1/chat/completions", json={**body, "stream": True, "stream_options": {"include_usage": True}})
    assert whole["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello é"}, "logprobs": None, "finish_reason": "stop"}
    ]
    assert (whole["object"], whole["usage"]) == ("chat.completion", USAGE)
    assert (text["object"], text["choices"][0]["text"]) == ("text_completion", "Hello é")
    assert worker.asked[0] == {"model": "small", "messages": ASK["messages"], "echo": False, "max_new_tokens": 9, "temperature": 0}
    assert worker.asked[1] == {"model": "small", "prompt": "1 2", "echo": False, "max_new_tokens": 100}
    *chunks, done = data(given.text)
    assert done == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": "He"},
        {"content": "llo "},
        {"content": "é"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, None, "stop"]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], USAGE)
    assert all({"id", "object", "created", "model", "choices"} <= set(chunk) for chunk in chunks)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


@pytest.mark.parametrize(
    ("pieces", "status", "code"),
    [
        ([nul("too long", error_code=40303)], 400, "context_length_exceeded"),
        ([nul("**NETWORK ERROR**", error_code=50002)], 502, "backend_error"),
        ([nul("busy", error_code=42903)], 429, "rate_limit_exceeded"),
        ([b"garbage\0"], 502, "backend_error"),
        ([nul("half")], 502, "backend_error"),
        ([], 502, "backend_error"),
    ],
)
def test_errors_of_a_fastchat_worker_get_the_right_status(tmp_path, pieces, status, code):
    with (
        served(Worker("small", pieces).app()) as at,
        served(Controller({"small": [at]}).app()) as controller,
        gateway(tmp_path, controller=controller) as client,
    ):
        given = client.post("/v1/chat/completions", json={**ASK, "model": "small"})
    assert (given.status_code, given.json()["error"]["code"]) == (status, code)


def test_a_dead_worker_is_passed_over_and_forgotten(tmp_path):
    dead = f"http://127.0.0.1:{free_port()}"
    with served(Worker("small", PIECES).app()) as at:
        controller = Controller({"small": [dead, at]}, dead={dead})
        with served(controller.app()) as url, gateway(tmp_path, controller=url) as client:
            started = time.monotonic()
            assert client.post("/v1/chat/completions", json={**ASK, "model": "small"}).status_code == 200
            assert time.monotonic() - started < 2.0
    assert (controller.refreshed, controller.workers) == (1, {"small": [at]})


def test_a_worker_that_hangs_is_passed_over_within_two_seconds(tmp_path):
    with socket.socket() as hangs:
        hangs.bind(("127.0.0.1", 0))
        hangs.listen()  # connections are accepted by the kernel, and nobody answers
        stuck = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        with (
            served(Worker("small", PIECES).app()) as at,
            served((controller := Controller({"small": [stuck, at]})).app()) as url,
            gateway(tmp_path, controller=url) as client,
        ):
            started = time.monotonic()
            assert client.post("/v1/chat/completions", json={**ASK, "model": "small"}).status_code == 200
            assert time.monotonic() - started < HUNG_S
    assert controller.refreshed == 0  # the controller itself would hang


def test_a_worker_stays_reachable_while_the_controller_is_away(tmp_path):
    with served(Worker("small", PIECES).app()) as at, contextlib.ExitStack() as controller:
        url = controller.enter_context(served(Controller({"small": [at]}).app()))
        with gateway(tmp_path, controller=url) as client:
            assert client.post("/v1/chat/completions", json={**ASK, "model": "small"}).status_code == 200
            controller.close()
            assert client.post("/v1/chat/completions", json={**ASK, "model": "small"}).status_code == 200


def test_a_stock_worker_without_a_template_is_refused_with_the_way_out(tmp_path):
    worker = Worker("small", PIECES, messages=False)
    with served(worker.app()) as at, served(Controller({"small": [at]}).app()) as url, gateway(tmp_path, controller=url) as client:
        given = client.post("/v1/chat/completions", json={**ASK, "model": "small"})
        assert given.status_code == 502
        assert "server.serving.transformers_worker" in given.json()["error"]["message"]
        assert client.post("/v1/completions", json={"model": "small", "prompt": "x"}).status_code == 200


def test_the_gateway_does_not_answer_strangers(tmp_path):
    with gateway(tmp_path) as client:
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 403
        assert client.get("/v1/models", headers={"origin": "https://evil.example"}).status_code == 403
        assert client.post("/v1/chat/completions", content=b"x" * (32 * 1024 * 1024 + 1)).status_code == 413
        until(lambda: client.get("/health").status_code == 200, "the gateway lives on", 2.0)
