"""The /server and /other routes of old clients, through the real app."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from configs.settings import Settings
from server.runtime import Runtime
from tests.serving.scripted_servers import OpenAI, streams
from tests.stack import served


def test_settings_are_shown_without_secrets(http: TestClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    values = runtime.settings.model_dump(mode="json") | {}
    values["server"] |= {"api_keys": ["a-long-secret-for-tests"]}
    values["readers"] |= {"passwords": ["geheim-geheim"]}
    monkeypatch.setattr(runtime, "settings", Settings.model_validate(values))
    answer = http.post("/server/configs", json={})
    assert answer.json()["data"]["server"]["api_port"] == 7861
    assert "a-long-secret" not in answer.text
    assert "geheim" not in answer.text


def test_prompts_are_given_as_json_strings(http: TestClient) -> None:
    plain = http.post("/server/get_prompt_template", json={"type": "llm_chat", "name": "default"})
    assert plain.json() == "{question}"
    assert http.post("/server/get_prompt_template", json={"type": "knowledge_base_chat", "name": "default"}).json().startswith("只根据")
    assert http.post("/server/get_prompt_template", json={"type": "llm_chat", "name": "nope"}).json()["code"] == 404
    assert http.post("/server/get_prompt_template", json={"type": "nope", "name": "default"}).status_code == 422


def test_texts_are_embedded_as_passages_or_questions(http: TestClient, runtime: Runtime) -> None:
    answer = http.post("/other/embed_texts", json={"texts": ["zebras graze", "斑马"]}).json()
    vectors = np.array(answer["data"])
    assert (answer["code"], vectors.shape) == (200, (2, runtime.embedders.get().dimension))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)
    asked = np.array(http.post("/other/embed_texts", json={"texts": ["zebras graze"], "to_query": True}).json()["data"][0])
    assert asked == pytest.approx(runtime.embedders.get().embed_query("zebras graze"), abs=1e-6)
    assert http.post("/other/embed_texts", json={"texts": [], "embed_model": "nope"}).json()["code"] == 404


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_uses_the_named_prompt(http: TestClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, *, stream: bool) -> None:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    parts = [
        b"data: " + json.dumps({**chunk, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}).encode() + b"\n\n"
        for word in ("Hello", " there")
    ]
    server = OpenAI(streams(*parts, b"data: [DONE]\n\n"))
    with served(server.app()) as url:
        values = runtime.settings.model_dump(mode="json")
        values["llm"] |= {"endpoints": {"x": {"base_url": f"{url}/v1", "models": ["m"], "api_key_env": "COMPLETION_KEY"}}}
        monkeypatch.setenv("COMPLETION_KEY", "k")
        settings = Settings.model_validate(values)
        monkeypatch.setattr(runtime, "settings", settings)
        monkeypatch.setattr(runtime, "keys", type(runtime.keys)(settings))
        text = http.post("/other/completion", json={"query": "Say hi", "model_name": "m", "prompt_name": "concise", "stream": stream}).text
        wrong = http.post("/other/completion", json={"query": "Say hi", "model_name": "m", "prompt_name": "nope"}).text
    said = [json.loads(line.removeprefix("data: ")) for line in text.split("\r\n\r\n") if line]
    assert said == (["Hello", " there"] if stream else ["Hello there"])
    assert server.asked[0]["messages"][0] == {"role": "system", "content": "Answer in at most three sentences."}
    assert json.loads(wrong.split("\r\n\r\n")[0].removeprefix("data: "))["code"] == 404
