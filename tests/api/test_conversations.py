"""Conversations through the real app: kept by chats of old clients, each visitor's own, and what a reader thinks of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from configs.settings import Settings
from server.runtime import Runtime
from tests.serving.scripted_servers import OpenAI, refuses, streams
from tests.stack import served


def chunk(word: str) -> bytes:
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**body, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}).encode() + b"\n\n"


@pytest.fixture
def model(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
    """A scripted LLM behind the endpoint of the settings."""
    server = OpenAI(streams(chunk("Hello"), chunk(" there"), b"data: [DONE]\n\n"))
    with served(server.app()) as url:
        values = runtime.settings.model_dump(mode="json")
        endpoint = {"base_url": f"{url}/v1", "models": ["m"], "api_key_env": "TALK_KEY", "patience_s": 0}
        values["llm"] |= {"default": "m", "endpoints": {"x": endpoint}}
        monkeypatch.setenv("TALK_KEY", "k")
        settings = Settings.model_validate(values)
        monkeypatch.setattr(runtime, "settings", settings)
        monkeypatch.setattr(runtime, "keys", type(runtime.keys)(settings))
        yield server


def say(http: TestClient, query: str, visitor: str = "", **body: Any) -> list[dict[str, Any]]:
    headers = {"x-visitor": visitor} if visitor else {}
    text = http.post("/chat/chat", json={"query": query, **body}, headers=headers).text
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\r\n\r\n") if line.startswith("data: ")]


def test_a_chat_is_kept_and_gone_on_with_by_a_number_of_turns(http: TestClient, model: OpenAI) -> None:
    for query in ("one", "two", "three"):
        (answer,) = say(http, query, "v1", conversation_id="talk-1", history_len=1)
        assert answer["text"] == "Hello there"
    sent = [[message["content"] for message in asked["messages"]] for asked in model.asked]
    assert sent == [["one"], ["one", "Hello there", "two"], ["two", "Hello there", "three"]]
    say(http, "four", "v1", conversation_id="talk-1", history=[{"role": "user", "content": "mine"}], stream=True)
    assert [message["content"] for message in model.asked[-1]["messages"]] == ["mine", "four"]
    turns = http.get("/api/v1/conversations/talk-1", headers={"x-visitor": "v1"}).json()
    assert [turn["content"] for turn in turns][::2] == ["one", "two", "three", "four"]
    assert {turn["data"].get("model") for turn in turns[1::2]} == {"m"}


def test_each_visitor_sees_their_own_and_may_rename_search_export_and_delete(http: TestClient, model: OpenAI) -> None:
    say(http, "About sodium", "v2", conversation_id="talk-2")
    mine, other = {"x-visitor": "v2"}, {"x-visitor": "v3"}
    assert [c["title"] for c in http.get("/api/v1/conversations", headers=mine).json()] == ["About sodium"]
    assert http.get("/api/v1/conversations", headers=other).json() == []
    assert http.get("/api/v1/conversations/talk-2", headers=other).status_code == 404
    assert http.delete("/api/v1/conversations/talk-2", headers=other).status_code == 404
    assert http.put("/api/v1/conversations/talk-2", json={"title": "Salt"}, headers=mine).status_code == 204
    assert [c["title"] for c in http.get("/api/v1/conversations", params={"search": "SODIUM"}, headers=mine).json()] == ["Salt"]
    text = http.get("/api/v1/conversations/talk-2/export", headers=mine).text
    assert text == "## About sodium\n\nHello there\n"
    assert http.delete("/api/v1/conversations/talk-2", headers=mine).status_code == 204
    assert http.get("/api/v1/conversations", headers=mine).json() == []


def test_feedback_goes_to_the_answer_and_an_unknown_one_is_404(http: TestClient, model: OpenAI) -> None:
    (answer,) = say(http, "hi", "v4", conversation_id="talk-4")
    given = http.post("/chat/feedback", json={"message_id": answer["message_id"], "score": 80, "reason": "好"}, headers={"x-visitor": "v4"})
    assert given.json() == {"code": 200, "msg": f"已反馈聊天记录 {answer['message_id']}", "data": None}
    turn = http.get("/api/v1/conversations/talk-4", headers={"x-visitor": "v4"}).json()[1]
    assert (turn["id"], turn["score"], turn["reason"]) == (answer["message_id"], 80, "好")
    assert http.post("/chat/feedback", json={"message_id": "nobody"}).json()["code"] == 404
    assert http.post("/chat/feedback", json={"message_id": "x", "score": 101}).status_code == 422


def test_a_question_that_failed_leaves_no_empty_conversation(http: TestClient, model: OpenAI) -> None:
    model.answer = refuses(400, {"error": {"message": "no", "type": "x", "param": None, "code": None}})
    (failed,) = say(http, "hi", "v5", conversation_id="talk-5")
    assert failed["code"] == 400
    assert http.get("/api/v1/conversations", headers={"x-visitor": "v5"}).json() == []
