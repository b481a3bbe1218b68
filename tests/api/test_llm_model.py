"""The /llm_model routes of old clients and /api/v1/llms, over a control port that does what a test says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.api.app import create_app
from server.control import Control, ControlPort
from server.errors import Invalid, ModelNotFound
from server.llm.keys.of_settings import Keys
from server.runtime import Runtime, build
from tests.api.conftest import make_settings

STATE = {"name": "smollm2-135m-instruct", "state": "ready", "memory_mib": 300}


@pytest.fixture
def asked() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def runtime(tmp_path: Path, tiny_model: Path, asked: list[tuple[str, Any]]) -> Iterator[Runtime]:
    def wish(name: str, body: Any, done: Future[Any]) -> None:
        asked.append((name, dict(body)))
        if body.get("new") == "broken":
            done.set_exception(Invalid("broken does not load: it needs 13 GiB. smollm2-135m-instruct runs again"))
        elif body.get("name") == "nobody":
            done.set_exception(ModelNotFound("no local model 'nobody'; known: chatglm2-6b"))
        else:
            done.set_result([STATE] if name == "states" else None)

    port = ControlPort({name: lambda body, done, name=name: wish(name, body, done) for name in ("states", "start", "stop", "change")})
    settings = make_settings(tmp_path, tiny_model)
    endpoints = {"lab": {"base_url": "http://127.0.0.1:9/v1", "models": ["qwen-max"], "api_key_env": "LAB_KEY"}}
    values = settings.model_dump(mode="json")
    values["llm"] |= {"endpoints": endpoints}
    values["server"]["api_keys"] = []
    runtime = build(type(settings).model_validate(values))
    runtime.control = Control(port.environment)
    yield runtime
    port.close()


@pytest.fixture
def http(runtime: Runtime) -> Iterator[TestClient]:
    with TestClient(create_app(runtime), base_url="http://127.0.0.1:7861") as client:
        yield client


def test_configured_models_are_listed_by_type_without_secrets(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-very-secret-0123456789")
    answer = http.post("/llm_model/list_config_models", json={"types": ["local", "online"], "placeholder": "x"})
    body = answer.json()
    assert (body["code"], body["msg"]) == (200, "success")
    assert sorted(body["data"]["local"]) == ["chatglm2-6b", "smollm2-135m-instruct"]
    assert body["data"]["local"]["chatglm2-6b"]["online_api"] is False
    online = body["data"]["online"]["qwen-max"]
    assert (online["online_api"], online["endpoint"], online["base_url"]) == (True, "lab", "http://127.0.0.1:9/v1")
    assert "very-secret" not in answer.text
    assert list(http.post("/llm_model/list_config_models", json={"types": ["online"]}).json()["data"]) == ["online"]


def test_one_configuration_and_an_unknown_name(http: TestClient) -> None:
    found = http.post("/llm_model/get_model_config", json={"model_name": "smollm2-135m-instruct"}).json()
    assert (found["code"], found["data"]["engine"], found["data"]["context_tokens"]) == (200, "llama_cpp", 8192)
    missing = http.post("/llm_model/get_model_config", json={"model_name": "gpt-9"})
    assert (missing.status_code, missing.json()["code"]) == (200, 404)
    assert "known: qwen-max, smollm2-135m-instruct, chatglm2-6b" in missing.json()["msg"]


def test_running_models_are_those_that_can_be_asked(http: TestClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert http.post("/llm_model/list_running_models", json={}).json()["data"] == {}  # no worker, no key
    monkeypatch.setenv("LAB_KEY", "sk-very-secret-0123456789")
    runtime.keys = Keys(runtime.settings)
    assert list(http.post("/llm_model/list_running_models", json={}).json()["data"]) == ["qwen-max"]


def test_stop_and_change_reach_the_supervisor_and_failures_are_code_500(http: TestClient, asked: list[tuple[str, Any]]) -> None:
    assert http.post("/llm_model/stop", json={"model_name": "a"}).json() == {"code": 200, "msg": "a is stopped", "data": None}
    assert http.post("/llm_model/change", json={"model_name": "a", "new_model_name": "b"}).json()["code"] == 200
    assert asked == [("stop", {"name": "a"}), ("change", {"old": "a", "new": "b"})]
    failed = http.post("/llm_model/change", json={"model_name": "a", "new_model_name": "broken"})
    assert (failed.status_code, failed.json()["code"]) == (200, 500)
    assert "broken does not load: it needs 13 GiB" in failed.json()["msg"]


def test_a_controller_of_the_clients_choice_is_refused(http: TestClient, asked: list[tuple[str, Any]]) -> None:
    body = {"model_name": "a", "controller_address": "http://169.254.169.254/"}
    assert http.post("/llm_model/stop", json=body).status_code == 422
    assert asked == []


def test_our_own_routes_have_real_statuses(http: TestClient, asked: list[tuple[str, Any]]) -> None:
    shown = http.get("/api/v1/llms").json()
    assert (shown["default"], shown["local"], [e["name"] for e in shown["endpoints"]]) == ("smollm2-135m-instruct", [STATE], ["lab"])
    assert http.post("/api/v1/llms/a/start").status_code == 204
    missing = http.post("/api/v1/llms/nobody/stop")
    assert (missing.status_code, missing.json()["detail"]) == (404, "no local model 'nobody'; known: chatglm2-6b")
    assert asked[1:] == [("start", {"name": "a"}), ("stop", {"name": "nobody"})]


def test_an_api_without_supervisor_lists_nothing_local_and_says_why_it_cannot_stop(tmp_path: Path, tiny_model: Path) -> None:
    runtime = build(make_settings(tmp_path, tiny_model))
    runtime.control = Control({})
    with TestClient(create_app(runtime), base_url="http://127.0.0.1:7861") as client:
        assert client.get("/api/v1/llms").json()["local"] == []
        refused = client.post("/api/v1/llms/smollm2-135m-instruct/stop")
        assert (refused.status_code, "started without it" in refused.json()["detail"]) == (503, True)
