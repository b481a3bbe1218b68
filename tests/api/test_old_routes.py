"""The routes of Chatchat 0.2 clients on port 7861: names, messages and event framing to the letter, over real files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.runtime import Runtime

NOTHING = "<span style='color:red'>未找到相关文档,该回答为大模型自身能力解答！</span>"


def events(http: TestClient, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, whose framing is checked."""
    answer = http.post(path, json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, rest = answer.text.split("\r\n\r\n")
    assert rest == ""
    assert all(frame.startswith("data: {") for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def upload(http: TestClient, kb: str, files: dict[str, bytes], **form: str) -> dict[str, Any]:
    parts = [("files", (name, content)) for name, content in files.items()]
    return http.post("/knowledge_base/upload_docs", files=parts, data={"knowledge_base_name": kb, **form}).json()


def test_libraries_and_files_are_listed(http: TestClient):
    assert http.get("/knowledge_base/list_knowledge_bases").json() == {"code": 200, "msg": "success", "data": ["papers"]}
    listed = http.get("/knowledge_base/list_files", params={"knowledge_base_name": "papers"}).json()
    assert listed == {"code": 200, "msg": "success", "data": ["notes.md", "paper.pdf", "table.csv", "中文.md"]}
    missing = http.get("/knowledge_base/list_files", params={"knowledge_base_name": "gone"}).json()
    assert (missing["code"], missing["data"]) == (404, [])


def test_the_four_answers_of_create_and_the_two_of_delete(http: TestClient):
    def create(name: str) -> tuple[int, str]:
        answer = http.post("/knowledge_base/create_knowledge_base", json={"knowledge_base_name": name, "vector_store_type": "faiss"})
        assert answer.status_code == 200
        return answer.json()["code"], answer.json()["msg"]

    def delete(name: str) -> tuple[int, str]:
        answer = http.post("/knowledge_base/delete_knowledge_base", json=name).json()
        return answer["code"], answer["msg"]

    assert create("新文库") == (200, "已新增知识库 新文库")
    assert create("新文库") == (404, "已存在同名知识库 新文库")
    assert create(" ") == (404, "知识库名称不能为空，请重新填写知识库名称")
    assert create("../x") == (403, "Don't attack me")
    assert delete("新文库") == (200, "成功删除知识库 新文库")
    assert delete("新文库") == (404, "未找到知识库 新文库")
    assert delete("../papers") == (404, "未找到知识库 ../papers")


def test_search_gives_documents_with_distances(http: TestClient):
    body = {"query": "one transaction for each file", "knowledge_base_name": "papers", "top_k": 4, "score_threshold": 4}
    found = http.post("/knowledge_base/search_docs", json=body).json()
    assert isinstance(found, list)
    best = found[0]
    assert set(best) == {"page_content", "metadata", "type", "id", "score"}
    assert (best["type"], best["metadata"]["source"], best["metadata"]["page"]) == ("Document", "paper.pdf", 1)
    assert {"page_end", "title", "section"} <= best["metadata"].keys()
    assert "one transaction for each file" in best["page_content"]
    assert all(0 <= row["score"] <= 4 for row in found)
    assert len(found) == 4


def test_the_threshold_is_a_squared_distance(http: TestClient, runtime: Runtime):
    def scores(threshold: float) -> list[float]:
        body = {"query": "windows", "knowledge_base_name": "papers", "top_k": 20, "score_threshold": threshold}
        return sorted(row["score"] for row in http.post("/knowledge_base/search_docs", json=body).json())

    every = scores(4)
    middle = every[len(every) // 2]
    assert scores(middle + 1e-6) == [score for score in every if score <= middle + 1e-6]
    assert scores(0) == []
    embedder = runtime.embedders.get()
    kb = runtime.shelf.open("papers")
    cosine = kb.search(embedder.embed_query("windows"), 1)[0][1]
    assert every[0] == pytest.approx(2 - 2 * cosine, abs=1e-4)
    for wrong in (-0.1, 4.1):
        answer = http.post("/knowledge_base/search_docs", json={"query": "x", "knowledge_base_name": "papers", "score_threshold": wrong})
        assert answer.status_code == 422


def test_search_without_a_question_lists_the_chunks_of_a_file(http: TestClient):
    def listed(**body: Any) -> list[dict[str, Any]]:
        return http.post("/knowledge_base/search_docs", json={"knowledge_base_name": "papers", **body}).json()

    sources = [row["metadata"]["source"] for row in listed(file_name="notes.md")]
    assert sources
    assert set(sources) == {"notes.md"}
    assert listed(file_name="gone.md") == []
    assert {row["metadata"]["source"] for row in listed(metadata={"page": 1, "source": "paper.pdf"})} == {"paper.pdf"}
    assert listed() == []
    assert http.post("/knowledge_base/search_docs", json={"knowledge_base_name": "gone", "query": "x"}).json() == []
    assert {row["metadata"]["source"] for row in listed(query="windows", file_name="中文.md", score_threshold=4)} == {"中文.md"}


def test_an_upload_is_searchable_when_it_is_answered(http: TestClient, scratch: str):
    answer = upload(http, scratch, {"a.md": b"# Apples\n\nApples grow on trees in the garden."})
    assert answer == {"code": 200, "msg": "文件上传与向量化完成", "data": {"failed_files": {}}}
    found = http.post("/knowledge_base/search_docs", json={"query": "apples", "knowledge_base_name": scratch, "score_threshold": 4}).json()
    assert [row["metadata"]["source"] for row in found] == ["a.md"]


def test_an_existing_file_a_bad_one_and_an_attack_are_failed_files_with_reasons(http: TestClient, scratch: str, runtime: Runtime):
    upload(http, scratch, {"a.md": b"first"})
    answer = upload(
        http, scratch, {"a.md": b"second", "b.pdf": b"no pdf", "c.md": b"", "../../evil.md": b"x", "d.md": b"x" * (1 << 20 | 1)}
    )
    failed = answer["data"]["failed_files"]
    assert (answer["code"], answer["msg"]) == (200, "文件上传与向量化完成")
    assert failed["a.md"] == "文件 a.md 已存在。"
    assert "0 bytes" in failed["c.md"]
    assert "is not a file name inside a library" in failed["../../evil.md"]
    assert failed["d.md"].startswith("d.md is larger than 1 MiB")
    assert failed["b.pdf"]
    assert not list(runtime.shelf.root.parent.rglob("evil.md"))
    assert upload(http, scratch, {"a.md": b"second"}, override="true")["data"]["failed_files"] == {}
    assert (runtime.shelf.open(scratch).content / "a.md").read_bytes() == b"second"


def test_an_upload_can_be_stored_without_being_read_and_deleted_with_or_without_its_content(http: TestClient, scratch: str):
    def files() -> list[str]:
        return http.get("/knowledge_base/list_files", params={"knowledge_base_name": scratch}).json()["data"]

    def delete(names: list[str], content: bool) -> dict[str, Any]:
        body = {"knowledge_base_name": scratch, "file_names": names, "delete_content": content}
        return http.post("/knowledge_base/delete_docs", json=body).json()

    upload(http, scratch, {"a.md": b"apple"}, to_vector_store="false")
    assert http.post("/knowledge_base/search_docs", json={"query": "apple", "knowledge_base_name": scratch}).json() == []
    upload(http, scratch, {"b.md": b"banana"})
    assert delete(["b.md"], False) == {"code": 200, "msg": "文件删除完成", "data": {"failed_files": {}}}
    assert files() == ["a.md", "b.md"]
    gone = delete(["a.md", "never.md", "../kb.json"], True)["data"]["failed_files"]
    assert sorted(gone) == ["../kb.json", "never.md"]
    assert files() == ["b.md"]
    assert http.post("/knowledge_base/delete_docs", json={"knowledge_base_name": "gone", "file_names": []}).json()["code"] == 404


@pytest.mark.parametrize(
    ("name", "preview", "kind", "shown"),
    [
        ("paper.pdf", "true", "application/pdf", "inline"),
        ("paper.pdf", "false", "application/pdf", "attachment"),
        ("notes.md", "true", "text/markdown", "attachment"),
        ("中文.md", "false", "text/markdown", "attachment"),
    ],
)
def test_a_download_has_its_type_and_shows_only_harmless_files(
    http: TestClient, runtime: Runtime, name: str, preview: str, kind: str, shown: str
):
    answer = http.get("/knowledge_base/download_doc", params={"knowledge_base_name": "papers", "file_name": name, "preview": preview})
    assert answer.content == (runtime.shelf.open("papers").content / name).read_bytes()
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["content-disposition"].startswith(f"{shown}; filename*=UTF-8''")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize("name", ["../kb.json", "..%2fkb.json", "/etc/passwd", "..\\kb.json", ".", "gone.md", "a\0b"])
def test_a_download_never_leaves_the_library(http: TestClient, name: str):
    answer = http.get("/knowledge_base/download_doc", params={"knowledge_base_name": "papers", "file_name": name})
    assert answer.json()["code"] in (403, 404)
    other = http.get("/knowledge_base/download_doc", params={"knowledge_base_name": "..", "file_name": "x"})
    assert other.json()["code"] == 404


def test_a_library_chat_streams_its_answer_and_the_documents_last(http: TestClient):
    body = {"query": "What does a kill leave?", "knowledge_base_name": "papers", "stream": True, "score_threshold": 4, "top_k": 2}
    *parts, last = events(http, "/chat/knowledge_base_chat", body)
    assert parts
    assert all(set(part) == {"answer"} for part in parts)
    assert set(last) == {"docs", "citations", "refused"}
    assert "A kill at any point leaves the old version or the new one." in "".join(part["answer"] for part in parts)
    assert len(last["docs"]) == 2
    url = "http://127.0.0.1:7861/knowledge_base/download_doc?knowledge_base_name=papers&file_name="
    assert last["docs"][0].startswith(f"出处 [1] [paper.pdf]({url}paper.pdf) \n\n")
    assert last["docs"][0].endswith("\n\n")
    assert {"index", "file", "title", "page", "boxes", "quote", "verified", "score", "url"} <= last["citations"][0].keys()


def test_without_stream_the_same_comes_in_one_event(http: TestClient):
    body = {"query": "什么适合关键词检索？", "knowledge_base_name": "papers"}
    (only,) = events(http, "/chat/knowledge_base_chat", body)
    assert {"answer", "docs", "citations"} <= only.keys()
    assert only["answer"].startswith("知识库中的原文：")
    assert "知识库中的原文" in http.post("/chat/knowledge_base_chat", json=body).text  # not escaped


def test_no_document_within_the_threshold_is_said_in_red(http: TestClient):
    (only,) = events(http, "/chat/knowledge_base_chat", {"query": "kill", "knowledge_base_name": "papers", "score_threshold": 0})
    assert only["docs"] == [NOTHING]


def test_an_unknown_library_is_plain_json(http: TestClient):
    answer = http.post("/chat/knowledge_base_chat", json={"query": "x", "knowledge_base_name": "没有"})
    assert (answer.status_code, answer.json()) == (200, {"code": 404, "msg": "未找到知识库 没有"})
    assert answer.headers["content-type"] == "application/json"


def test_one_question_to_several_libraries(http: TestClient, scratch: str):
    files = [("files", ("moon.md", b"# Moon\n\nThe moon base stores nineteen tons of ice.\n"))]
    http.post("/knowledge_base/upload_docs", files=files, data={"knowledge_base_name": scratch})
    body = {"query": "How many tons of ice stores the moon base?", "depth": "quotes", "score_threshold": 4, "top_k": 10}
    (alone,) = events(http, "/chat/knowledge_base_chat", {**body, "knowledge_base_name": ["papers"]})
    assert not any(citation["file"] == "moon.md" for citation in alone["citations"])
    (both,) = events(http, "/chat/knowledge_base_chat", {**body, "knowledge_base_name": ["papers", scratch, scratch]})
    best = both["citations"][0]
    assert (best["kb"], best["file"]) == (scratch, "moon.md")
    assert "nineteen tons" in best["quote"]
    assert len({doc.split("](")[0] for doc in both["docs"]}) > 1
    missing = http.post("/chat/knowledge_base_chat", json={**body, "knowledge_base_name": ["papers", "nobody"]}).json()
    assert (missing["code"], missing["msg"]) == (404, "未找到知识库 nobody")
    assert http.post("/chat/knowledge_base_chat", json={**body, "knowledge_base_name": []}).json()["code"] == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/chat", {"query": "hello"}),
        ("/chat/chat", {"query": "hello", "stream": True, "history": 3}),
        (
            "/chat/knowledge_base_chat",
            {"query": "What does a kill leave?", "knowledge_base_name": "papers", "depth": "fast", "stream": True},
        ),
    ],
)
def test_a_language_model_that_is_away_is_an_event_with_code_and_reason(http: TestClient, path: str, body: dict[str, Any]):
    last = events(http, path, body)[-1]
    assert last["code"] == 503
    assert "the language model cannot be reached" in last["msg"]


@pytest.mark.parametrize(
    ("body", "code"),
    [({"query": " "}, 400), ({"query": "x", "depth": "careful"}, 400), ({"query": "x", "depth": "fast", "model_name": "gpt-9"}, 404)],
)
def test_every_failure_of_a_chat_is_an_event(http: TestClient, body: dict[str, Any], code: int):
    (only,) = events(http, "/chat/knowledge_base_chat", {"knowledge_base_name": "papers", **body})
    assert only["code"] == code
    assert only["msg"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/knowledge_base/search_docs", {"knowledge_base_name": "papers", "query": "x"}),
        ("/chat/chat", {"query": "x"}),
        ("/chat/knowledge_base_chat", {"query": "x", "knowledge_base_name": "papers"}),
        ("/knowledge_base/create_knowledge_base", {"knowledge_base_name": "y"}),
    ],
)
def test_a_controller_address_is_refused_and_other_unknown_fields_are_ignored(http: TestClient, path: str, body: dict[str, Any]):
    answer = http.post(path, json={**body, "controller_address": "http://169.254.169.254"})
    assert answer.status_code == 422
    assert "controller_address is refused" in answer.text
    if "search" in path:
        assert http.post(path, json={**body, "local_doc_url": False}).status_code == 200


def test_a_name_that_is_too_long_is_a_failed_file(http: TestClient, scratch: str):
    assert upload(http, scratch, {"x" * 300 + ".md": b"x"})["data"]["failed_files"]


def test_the_root_goes_to_docs_and_docs_need_no_other_host(http: TestClient):
    answer = http.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert "//cdn" not in http.get("/docs").text
    assert http.get("/openapi.json").json()["info"]["title"] == "PaperProof"


def test_a_refused_body_is_not_sent_back(http: TestClient):
    answer = http.post("/knowledge_base/update_info", json={"knowledge_base_name": ["x" * 100_000], "kb_info": "y" * 100_000})
    assert answer.status_code == 422
    assert len(answer.content) < 1000
    assert {tuple(error["loc"]) for error in answer.json()["detail"]} == {("body", "knowledge_base_name"), ("body", "kb_info")}
