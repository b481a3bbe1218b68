"""POST /api/v1/search: one library and several, every filter, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from server.runtime import Runtime
from tests.api.conftest import add_library
from tests.api.test_v1 import check_problem, followed, upload

FIELDS = {
    *("library", "file", "title", "section", "page", "page_end", "kind", "language", "text", "score", "similarity", "chunk"),
}


def find(http: TestClient, query: str = "What does a kill at any point leave?", **body: Any) -> Any:
    return http.post("/api/v1/search", json={"query": query, "libraries": ["papers"], **body})


def test_passages_come_best_first_with_all_that_leads_to_them(http: TestClient, runtime: Runtime):
    found = find(http, top_k=4).json()
    assert len(found) == 4
    assert all(set(passage) == FIELDS for passage in found)
    assert [p["score"] for p in found] == sorted((p["score"] for p in found), reverse=True)
    best = found[0]
    section = http.get(f"/api/v1/libraries/papers/chunks/{best['chunk']}/section").json()
    assert best["text"] in section["text"]
    assert find(http, min_similarity=0.999).json() == []
    assert [p["chunk"] for p in find(http, top_k=1).json()] == [best["chunk"]]


def test_several_libraries_in_one_search(http: TestClient, runtime: Runtime):
    add_library(runtime, "第二")
    job = upload(http, "第二", {"own.md": b"# Zebra\n\nZebras have stripes."}).json()
    followed(http, job)
    found = find(http, "zebra stripes", libraries=["papers", "第二"], top_k=50).json()
    assert found[0]["library"] == "第二"
    texts = [(p["kind"], p["text"]) for p in found]
    assert len(set(texts)) == len(texts)  # papers that both have stand there once
    assert {p["library"] for p in found} == {"papers", "第二"}
    runtime.delete_library("第二")
    check_problem(find(http, libraries=["papers", "第二"]), 404, "第二")


def test_filters(http: TestClient):
    files = {p["file"] for p in find(http, top_k=50).json()}
    one = sorted(files)[0]
    assert {p["file"] for p in find(http, top_k=50, files=[one]).json()} == {one}
    assert find(http, top_k=50, files=["*"]).json() == []
    assert find(http, year_from=3000).json() == []
    assert find(http, authors=["nobody of this name"]).json() == []
    headed = next(p for p in find(http, top_k=50).json() if p["section"])
    heading = headed["section"][0]
    narrowed = find(http, top_k=50, sections=[heading.upper()]).json()
    assert narrowed
    assert all(any(heading.casefold() in part.casefold() for part in p["section"]) for p in narrowed)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": ""}, 422),
        ({"query": "  "}, 400),
        ({"libraries": []}, 422),
        ({"libraries": ["nowhere"]}, 404),
        ({"libraries": ["pap*"]}, 404),
        ({"top_k": 0}, 422),
        ({"top_k": 201}, 422),
        ({"min_similarity": 2}, 422),
        ({"year_from": 2020, "year_to": 2010}, 400),
        ({"authors": [""]}, 400),
        ({"colour": "red"}, 422),
    ],
)
def test_what_cannot_be_searched_for_is_refused(http: TestClient, body: dict[str, Any], status: int):
    check_problem(find(http, **body), status, "")
