"""chunk_size, chunk_overlap and zh_title_enhance of upload_docs; the whole section of a chunk."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.ingestion import ingest
from server.runtime import Runtime

SENTENCES = "".join(f"这是第{n}句比较长的中文句子，它的后面还有许多别的句子。" for n in "一二三四五六七八九十")


def upload(http: TestClient, kb: str, content: str = SENTENCES, name: str = "a.txt", **form: Any) -> dict[str, Any]:
    files = [("files", (name, content.encode()))]
    answer = http.post("/knowledge_base/upload_docs", files=files, data={"knowledge_base_name": kb, "override": "true", **form})
    assert answer.status_code == 200
    return answer.json()


def texts(http: TestClient, kb: str, name: str = "a.txt") -> list[str]:
    found = http.post("/knowledge_base/search_docs", json={"knowledge_base_name": kb, "file_name": name}).json()
    return [row["page_content"] for row in found]


def remembered(runtime: Runtime, kb: str) -> dict[str, Any]:
    (row,) = runtime.shelf.open(kb).catalog.files()
    return json.loads(row.splitting or "{}")


def test_a_size_in_characters_is_honoured_for_this_file_and_kept_by_later_ingestion(http: TestClient, scratch: str, runtime: Runtime):
    assert upload(http, scratch)["data"]["failed_files"] == {}
    assert texts(http, scratch) == [SENTENCES]
    assert upload(http, scratch, chunk_size=60, chunk_overlap=0)["code"] == 200
    parts = texts(http, scratch)
    assert [len(part) for part in parts] == [54] * 5
    assert "".join(parts) == SENTENCES
    kb = runtime.shelf.open(scratch)
    assert ingest(kb, runtime.embedders.get(), runtime.settings.splitting).unchanged == 1
    assert ingest(kb, runtime.embedders.get(), runtime.settings.splitting, force=True).read == 1
    assert texts(http, scratch) == parts
    upload(http, scratch)  # nothing is asked for: as the settings say
    assert texts(http, scratch) == [SENTENCES]
    assert remembered(runtime, scratch) == {}


def test_overlap_repeats_whole_parts(http: TestClient, scratch: str):
    upload(http, scratch, chunk_size=60, chunk_overlap=30)
    parts = texts(http, scratch)
    assert len(parts) == 9
    assert all(after.startswith(before[-27:]) for before, after in itertools.pairwise(parts))


@pytest.mark.parametrize(
    ("form", "kept"),
    [
        ({"chunk_size": 250, "chunk_overlap": 50}, (250, 50)),
        ({"chunk_size": 100}, (100, 20)),
        ({"chunk_overlap": 10}, (250, 10)),
    ],
)
def test_a_size_that_is_not_sent_is_chatchats(
    http: TestClient, scratch: str, runtime: Runtime, form: dict[str, int], kept: tuple[int, int]
):
    upload(http, scratch, **form)
    choice = remembered(runtime, scratch)
    assert (choice["splitter"], choice["chunk_size"], choice["chunk_overlap"]) == ("chinese_recursive", *kept)


@pytest.mark.parametrize(
    "form", [{"chunk_size": 19}, {"chunk_size": 20001}, {"chunk_size": 100, "chunk_overlap": 51}, {"chunk_overlap": -1}]
)
def test_sizes_that_do_not_fit_are_refused_in_both_languages_and_nothing_is_stored(
    http: TestClient, scratch: str, runtime: Runtime, form: dict[str, int]
):
    answer = upload(http, scratch, **form)
    assert answer["code"] == 422
    assert "chunk_overlap 不超过它的一半" in answer["msg"]
    assert "chunk_size must be 20 to 20000 characters" in answer["msg"]
    assert runtime.shelf.open(scratch).names() == []


def test_a_size_that_is_no_number_is_refused(http: TestClient, scratch: str):
    files = [("files", ("a.txt", b"x"))]
    answer = http.post("/knowledge_base/upload_docs", files=files, data={"knowledge_base_name": scratch, "chunk_size": "many"})
    assert answer.status_code == 422


def test_titles_alone_keep_the_splitter_of_the_settings(http: TestClient, scratch: str, runtime: Runtime):
    upload(http, scratch, zh_title_enhance="false")
    assert remembered(runtime, scratch) == {}
    upload(http, scratch, zh_title_enhance="true")
    choice = remembered(runtime, scratch)
    assert (choice["splitter"], choice["zh_title_enhance"]) == ("sections", True)
    assert texts(http, scratch) == [SENTENCES]


def test_a_new_upload_through_the_other_route_is_split_as_the_settings_say(http: TestClient, scratch: str, runtime: Runtime):
    upload(http, scratch, chunk_size=60)
    files = [("files", ("a.txt", b"New words."))]
    job = http.post(f"/api/v1/libraries/{scratch}/documents", files=files, data={"override": "true"}).json()
    runtime.jobs.get(job["id"]).result()
    assert remembered(runtime, scratch) == {}


def section(http: TestClient, kb: str, chunk_id: object) -> Any:
    return http.get(f"/api/v1/libraries/{kb}/chunks/{chunk_id}/section")


def ids(http: TestClient, kb: str, name: str) -> list[str]:
    found = http.post("/knowledge_base/search_docs", json={"knowledge_base_name": kb, "file_name": name}).json()
    return [row["id"] for row in found]


def test_the_whole_section_is_reached_from_any_of_its_chunks(http: TestClient, scratch: str):
    markdown = f"# 甲\n\n{SENTENCES}\n\n第二段。\n\n# 乙\n\n别的一节。\n"
    upload(http, scratch, markdown, "a.md", chunk_size=60, chunk_overlap=30)
    every = ids(http, scratch, "a.md")
    for chunk_id in every[:-1]:
        body = section(http, scratch, chunk_id).json()
        assert body == {
            "file": "a.md",
            "title": "甲",
            "section": ["甲"],
            "page": 1,
            "page_end": 1,
            "text": f"{SENTENCES}\n第二段。",
            "chunks": every[:-1],
        }
    assert section(http, scratch, every[-1]).json()["text"] == "别的一节。"


@pytest.mark.parametrize(("chunk_id", "status"), [("1", 404), ("-1", 422), (str(1 << 63), 422), ("x", 422)])
def test_a_chunk_that_is_not_there_is_a_problem_with_its_status(http: TestClient, chunk_id: str, status: int):
    answer = section(http, "papers", chunk_id)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert section(http, "gone", 1).status_code == 404
