"""Old routes that change chunks, descriptions and splitting, through the real app; and that nothing else changes by them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.runtime import Runtime


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\r\n\r\n") if line.startswith("data: ")]


@pytest.fixture
def kb(http: TestClient, scratch: str) -> str:
    """A library of two files."""
    files = [
        ("files", (f"{n}.md", f"# {n}\n\nThe {n} engine turns.\n\n# Size\n\nIt has {n} cylinders.\n".encode())) for n in ("red", "blue")
    ]
    answer = http.post("/knowledge_base/upload_docs", files=files, data={"knowledge_base_name": scratch})
    assert answer.json()["data"] == {"failed_files": {}}
    return scratch


def listing(http: TestClient, kb: str, file: str) -> list[dict[str, Any]]:
    return http.post("/knowledge_base/search_docs", json={"knowledge_base_name": kb, "file_name": file}).json()


def best(http: TestClient, kb: str, query: str) -> dict[str, Any]:
    return http.post("/knowledge_base/search_docs", json={"knowledge_base_name": kb, "query": query, "score_threshold": 4}).json()[0]


def test_one_edited_chunk_never_harms_the_others(http: TestClient, kb: str) -> None:
    before = {doc["id"]: doc for doc in listing(http, kb, "red.md")}
    target = next(doc for doc in before.values() if "cylinders" in doc["page_content"])
    new = {"page_content": "A turbine instead.", "metadata": {**target["metadata"], "checked": "yes"}}
    answer = http.post("/knowledge_base/update_docs_by_id", json={"knowledge_base_name": kb, "docs": {target["id"]: new}}).json()
    assert (answer["code"], answer["msg"]) == (200, "文档更新成功")
    after = {doc["id"]: doc for doc in listing(http, kb, "red.md")}
    assert after.pop(target["id"])["page_content"] == "A turbine instead."
    assert after == {key: doc for key, doc in before.items() if key != target["id"]}
    assert best(http, kb, "turbine")["metadata"]["checked"] == "yes"
    http.post("/knowledge_base/update_docs_by_id", json={"knowledge_base_name": kb, "docs": {target["id"]: {"page_content": ""}}})
    assert target["id"] not in {doc["id"] for doc in listing(http, kb, "red.md")}
    unknown = http.post("/knowledge_base/update_docs_by_id", json={"knowledge_base_name": kb, "docs": {"77": {"page_content": "x"}}}).json()
    assert unknown["code"] == 404
    assert http.post("/knowledge_base/update_docs_by_id", json={"knowledge_base_name": "nobody", "docs": {}}).json()["code"] == 404


def test_the_description_is_kept(http: TestClient, kb: str, runtime: Runtime) -> None:
    answer = http.post("/knowledge_base/update_info", json={"knowledge_base_name": kb, "kb_info": "发动机 engines"}).json()
    assert (answer["code"], answer["msg"]) == (200, "知识库介绍修改完成")
    assert next(row["info"] for row in http.get("/api/v1/libraries").json() if row["name"] == kb) == "发动机 engines"
    assert runtime.shelf.open(kb).facts.embedding == runtime.embedders.default
    assert http.post("/knowledge_base/update_info", json={"knowledge_base_name": "nobody", "kb_info": ""}).json()["code"] == 404


def test_files_are_split_anew_and_those_with_chunks_of_ones_own_are_spared(http: TestClient, kb: str) -> None:
    own = {"blue.md": [{"page_content": "Own words on sails.", "metadata": {"page": 2}}, {"page_content": "And masts."}]}
    body = {"knowledge_base_name": kb, "file_names": ["blue.md", "red.md", "gone.md"], "docs": json.dumps(own), "chunk_size": 20}
    answer = http.post("/knowledge_base/update_docs", json=body).json()
    assert (answer["code"], answer["msg"]) == (200, "更新文档完成")
    assert answer["data"]["failed_files"] == {"gone.md": "the file is not there"}
    assert [doc["page_content"] for doc in listing(http, kb, "blue.md")] == ["Own words on sails.", "And masts."]
    assert max(len(doc["page_content"]) for doc in listing(http, kb, "red.md")) <= 20
    assert best(http, kb, "sails")["metadata"]["page"] == 2
    again = {"knowledge_base_name": kb, "file_names": ["blue.md"]}
    http.post("/knowledge_base/update_docs", json=again)
    assert len(listing(http, kb, "blue.md")) == 2
    http.post("/knowledge_base/update_docs", json={**again, "override_custom_docs": True})
    assert "The blue engine turns." in {doc["page_content"].split("\n")[-1] for doc in listing(http, kb, "blue.md")}
    wrong = http.post("/knowledge_base/update_docs", json={**again, "docs": "{broken"}).json()
    assert wrong["code"] == 422
    assert "docs is not" in wrong["msg"]


def test_an_upload_may_bring_its_own_chunks(http: TestClient, kb: str) -> None:
    docs = json.dumps({"ship.md": [{"page_content": "Keel and rudder.", "metadata": {}}]})
    files = [("files", ("ship.md", b"# Ship\n\nNothing of this is taken.\n"))]
    answer = http.post("/knowledge_base/upload_docs", files=files, data={"knowledge_base_name": kb, "docs": docs}).json()
    assert answer["data"] == {"failed_files": {}}
    assert [doc["page_content"] for doc in listing(http, kb, "ship.md")] == ["Keel and rudder."]


def test_all_of_it_anew_tells_every_file_and_a_bad_one_stops_nothing(http: TestClient, kb: str, runtime: Runtime) -> None:
    (runtime.shelf.open(kb).content / "bad.pdf").write_bytes(b"%PDF-1.4 broken")
    answer = http.post("/knowledge_base/recreate_vector_store", json={"knowledge_base_name": kb, "vs_type": "faiss", "chunk_size": 40})
    told = events(answer.text)
    assert [event["finished"] for event in told] == [1, 2, 3]
    assert {event["total"] for event in told} == {3}
    assert {event["doc"]: event["code"] for event in told} == {"red.md": 200, "blue.md": 200, "bad.pdf": 500}
    assert all(event["msg"].startswith(f"({event['finished']} / 3): {event['doc']}") for event in told)
    assert "blue" in best(http, kb, "blue engine")["page_content"]
    assert max(len(doc["page_content"]) for doc in listing(http, kb, "red.md")) <= 40
    (unknown,) = events(http.post("/knowledge_base/recreate_vector_store", json={"knowledge_base_name": "nobody"}).text)
    assert unknown["code"] == 404
    (refused,) = events(http.post("/knowledge_base/recreate_vector_store", json={"knowledge_base_name": kb, "vs_type": "pg"}).text)
    assert refused["code"] == 400
    assert "blue" in best(http, kb, "blue engine")["page_content"]  # nothing was emptied for it
