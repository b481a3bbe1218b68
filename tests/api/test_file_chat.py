"""Files that are uploaded into a chat: asked, added to, and gone when their time is over."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from starlette.testclient import TestClient

from server.runtime import Runtime
from server.temporary import EXPIRES_S, FOLDER


def upload(http: TestClient, name: str, text: bytes, **data: str) -> dict[str, Any]:
    return http.post("/knowledge_base/upload_temp_docs", files=[("files", (name, text))], data=data).json()


def ask(http: TestClient, knowledge_id: str, query: str, **more: Any) -> list[dict[str, Any]]:
    body = {"query": query, "knowledge_id": knowledge_id, "depth": "quotes", "score_threshold": 4, **more}
    text = http.post("/chat/file_chat", json=body).text
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\r\n\r\n") if line.startswith("data: ")]


def test_uploaded_files_are_asked_and_added_to(http: TestClient, runtime: Runtime) -> None:
    first = upload(http, "sails.md", b"# Sails\n\nThe mainsail has nineteen square metres.\n")
    assert (first["code"], first["data"]["failed_files"]) == (200, [])
    knowledge_id = first["data"]["id"]
    (answer,) = ask(http, knowledge_id, "How many square metres has the mainsail?")
    assert "nineteen square metres" in answer["answer"]
    assert answer["docs"][0].startswith("出处 [1] [sails.md] \n\n")
    assert answer["citations"][0]["file"] == "sails.md"
    more = upload(http, "hull.md", b"# Hull\n\nThe hull is eleven metres long.\n", prev_id=knowledge_id)
    assert more["data"]["id"] == knowledge_id
    streamed = ask(http, knowledge_id, "How long is the hull?", stream=True)
    assert "eleven metres" in "".join(event.get("answer", "") for event in streamed)
    assert "docs" in streamed[-1]
    assert knowledge_id not in runtime.shelf.names()
    assert knowledge_id not in http.get("/knowledge_base/list_knowledge_bases").text


def test_a_bad_file_is_named_and_the_good_ones_can_be_asked(http: TestClient) -> None:
    files = [("files", ("bad.pdf", b"%PDF-1.4 broken")), ("files", ("keel.md", b"# Keel\n\nThe keel weighs two tons.\n"))]
    answer = http.post("/knowledge_base/upload_temp_docs", files=files).json()
    (failed,) = answer["data"]["failed_files"]
    assert list(failed) == ["bad.pdf"]
    assert "two tons" in ask(http, answer["data"]["id"], "What does the keel weigh?")[0]["answer"]


def test_unknown_and_expired_ids_are_said_and_an_upload_makes_a_new_one(http: TestClient, runtime: Runtime) -> None:
    unknown = http.post("/chat/file_chat", json={"query": "x", "knowledge_id": "../papers"}).json()
    assert (unknown["code"], unknown["msg"]) == (404, "未找到临时知识库 ../papers，请先上传文件")
    old = upload(http, "a.md", b"# A\n\nAbout anchors.\n")["data"]["id"]
    folder = runtime.settings.paths.knowledge_base / FOLDER / old
    long_ago = time.time() - EXPIRES_S - 1
    os.utime(folder / "kb.json", (long_ago, long_ago))
    assert http.post("/chat/file_chat", json={"query": "x", "knowledge_id": old}).json()["code"] == 404
    new = upload(http, "b.md", b"# Bow\n\nThe bow is painted bright yellow.\n", prev_id=old)["data"]["id"]
    assert new != old
    assert not folder.exists()
    assert "bright yellow" in ask(http, new, "How is the bow painted?")[0]["answer"]
