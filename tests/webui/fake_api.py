"""The API's contract in small, with scripted answers: for tests of the web UI and for working on it without models.

`python -m tests.webui.fake_api --port 7861` serves it. Jobs move one file each time somebody looks, so no test waits for a clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pymupdf
import uvicorn
from fastapi import Body, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse

KEY = "a-key-for-the-tests-only"
PAPER = "rank-fusion.pdf"
QUOTE = "A weighted sum of min-max scaled scores beats reciprocal rank fusion on every set we tried."
ANSWER = "Scale both score lists to the same range and add them with a weight [1]. Reciprocal rank fusion ignores the scores [2]."
HOSTILE = (
    "![x](http://evil.test/a.png) ![y][ref] <img src='http://evil.test/b.png'> http://evil.test/c www.evil.test "
    "[click](javascript:alert(1)) $\\href{http://evil.test/d}{x}$ spy@evil.test **bold** [1]\n\n[ref]: http://evil.test/e.png"
)
CITATIONS: list[dict[str, Any]] = [
    {
        "index": 1, "file": PAPER, "title": "Rank fusion for small libraries", "page": 3,
        "boxes": [{"page": 3, "x0": 72, "y0": 138, "x1": 500, "y1": 158}, {"page": 4, "x0": 72, "y0": 72, "x1": 90, "y1": 80}],
        "quote": QUOTE, "verified": True, "score": 0.83, "url": "/api/v1/libraries/samples/page?page=3",
    },
    {
        "index": 2, "file": PAPER, "title": "Rank fusion for small libraries", "page": 4,
        "boxes": [{"page": 4, "x0": 72, "y0": 164, "x1": 480, "y1": 184}],
        "quote": "Reciprocal rank fusion looks at positions only, so a clear winner counts no more than a narrow one.",
        "verified": True, "score": 0.79, "url": "/api/v1/libraries/samples/page?page=4",
    },
    {
        "index": 3, "file": "中文检索.md", "title": "中文检索的分词方法", "page": 1, "boxes": [],
        "quote": "二元分词在短查询上优于词典分词。", "verified": False, "score": 0.71, "url": "/knowledge_base/download_doc?x=y",
    },
]  # fmt: skip


@dataclass
class State:
    """What the fake server holds; tests set and read it directly."""

    libraries: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # name -> file -> document
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    queues: dict[str, list[str]] = field(default_factory=dict)  # job -> files to come
    key: str = ""
    small: bool = True
    running: bool = True
    embedding: str = "ready"
    hold: bool = False  # jobs stand still
    requests: list[tuple[str, str]] = field(default_factory=list)  # (method, path with query)
    chats: list[dict[str, Any]] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)  # one an upload
    go_on: threading.Event = field(default_factory=threading.Event)  # lets a "slow" answer end
    gone: threading.Event = field(default_factory=threading.Event)  # the client of a "slow" answer went away


def document(file: str, **more: Any) -> dict[str, Any]:
    """A readable document, changed by `more`."""
    return {
        "file": file, "title": file, "language": "en", "state": "ready", "reason": None, "pages": 8, "chunks": 24, "bytes": 81234,
        "warnings": [], "updated_at": "2025-11-20T10:00:00Z", **more,
    }  # fmt: skip


def sample_state() -> State:
    """One library, "samples", with a failed file among good ones."""
    documents = [
        document(PAPER, title="Rank fusion for small libraries", pages=12, chunks=41, authors=["A. Author", "李明"], year=2024),
        document(
            "中文检索.md",
            title="中文检索的分词方法",
            language="zh",
            pages=1,
            chunks=9,
            same_as={"file": PAPER, "reason": "title"},
        ),
        document("crash-safe-ingestion.pdf", title="Killing ingestion nine hundred times", pages=9, chunks=33),
        document("scan-1987.pdf", title=None, language=None, state="failed", reason="encrypted: needs a password", pages=0, chunks=0),
    ]
    return State(libraries={"samples": {item["file"]: item for item in documents}})


def make_app(state: State) -> FastAPI:
    """The contract of port 7861 as far as the web UI uses it."""
    app = FastAPI()

    def problem(status: int, detail: str) -> JSONResponse:
        return JSONResponse({"type": "about:blank", "title": "Error", "status": status, "detail": detail}, status)

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        state.requests.append((request.method, str(request.url).removeprefix(str(request.base_url).rstrip("/"))))
        if state.key and request.headers.get("authorization") != f"Bearer {state.key}":
            return problem(401, "no key, or a wrong one")
        answer: Response = await call_next(request)
        return answer

    @app.get("/api/v1/status")
    def status() -> dict[str, Any]:
        return {
            "version": "0.1.0",
            "llm": {
                "name": "smollm2-135m-instruct", "kind": "local", "engine": "llama_cpp", "small": state.small, "running": state.running,
            },
            "embedding": {
                "name": "multilingual-e5-small", "source": "hf", "state": state.embedding, "device": "cpu", "dtype": "float32",
                "dimension": 384, "error": "no weights" if state.embedding == "failed" else None,
            },
            "depth": "quotes" if state.small else "fast",
        }  # fmt: skip

    @app.get("/api/v1/libraries")
    def libraries() -> list[dict[str, Any]]:
        return [
            {
                "name": name, "info": "", "embedding": "multilingual-e5-small", "files": len(files),
                "ready": sum(item["state"] == "ready" for item in files.values()),
                "failed": sum(item["state"] == "failed" for item in files.values()),
                "chunks": sum(item["chunks"] for item in files.values()),
                "job": next((job["id"] for job in state.jobs.values() if job["kb"] == name and job["state"] == "running"), None),
            }
            for name, files in state.libraries.items()
        ]  # fmt: skip

    @app.post("/knowledge_base/delete_knowledge_base")
    def delete_library(kb: Annotated[str, Body()]) -> dict[str, Any]:
        if state.libraries.pop(kb, None) is None:
            return {"code": 404, "msg": f"未找到知识库 {kb}"}
        return {"code": 200, "msg": f"成功删除知识库 {kb}"}

    @app.get("/api/v1/libraries/{kb}/documents", response_model=None)
    def documents(kb: str) -> Any:
        return list(state.libraries[kb].values()) if kb in state.libraries else problem(404, f"no library {kb!r}")

    def begin(kb: str, kind: str, files: list[str], refused: dict[str, str] | None = None) -> JSONResponse:
        job: dict[str, Any] = {
            "id": f"job-{len(state.jobs) + 1}", "kb": kb, "kind": kind, "state": "running" if files else "done", "total": len(files),
            "done": 0, "current": files[0] if files else None, "pages": 0, "chunks": 0, "seconds": 0.0, "left_s": None, "failed": {},
            "message": "",
        }  # fmt: skip
        state.jobs[job["id"]] = job
        state.queues[job["id"]] = list(files)
        return JSONResponse(job | {"failed": refused or {}}, 202)  # only this answer names what was refused

    @app.post("/api/v1/libraries/{kb}/documents")
    def upload(
        kb: str,
        files: Annotated[list[UploadFile], File()],
        override: Annotated[bool, Form()] = False,
        password: Annotated[str, Form()] = "",
    ) -> JSONResponse:
        state.passwords.append(password)
        if kb not in state.libraries:
            return problem(404, f"no library {kb!r}")
        names = [file.filename or "" for file in files]
        there = {name: f"文件 {name} 已存在。" for name in names if name in state.libraries[kb] and not override}
        stored = [name for name in names if name not in there]
        if not stored:
            return problem(409, "; ".join(f"{name}: {reason}" for name, reason in there.items()))
        for name in stored:
            state.libraries[kb][name] = document(name, state="queued", chunks=0, pages=0)
        return begin(kb, "increment", stored, there)

    @app.delete("/api/v1/libraries/{kb}/documents", response_model=None)
    def delete(kb: str, file: str) -> Response:
        if state.libraries[kb].pop(file, None) is None:
            return problem(404, f"no document {file!r}")
        return Response(status_code=204)

    @app.post("/api/v1/libraries/{kb}/jobs")
    def start(kb: str, body: dict[str, Any]) -> JSONResponse:
        if body.get("create"):
            if "/" in kb or kb.startswith("."):
                return problem(400, f"{kb!r} is no good name")
            state.libraries.setdefault(kb, {})
        if kb not in state.libraries:
            return problem(404, f"no library {kb!r}")
        return begin(kb, body["kind"], list(state.libraries[kb]))

    def step(job: dict[str, Any]) -> dict[str, Any]:
        """One file further; a name with "bad" in it fails."""
        queue = state.queues[job["id"]]
        if job["state"] != "running" or state.hold:
            return dict(job)
        if queue:
            name = queue.pop(0)
            bad = "bad" in name
            if bad:
                job["failed"][name] = "not a PDF: the header is missing"
            state.libraries[job["kb"]][name].update(
                {"state": "failed", "reason": job["failed"][name]} if bad else {"state": "ready", "chunks": 12, "pages": 4}
            )
            job["done"] += 1
            job["seconds"] += 2.0
        job["current"] = queue[0] if queue else None
        job["left_s"] = 2.0 * len(queue)
        job["state"] = "running" if queue else "done"
        return dict(job)

    @app.get("/api/v1/jobs/{job_id}", response_model=None)
    def job(job_id: str) -> Any:
        return step(state.jobs[job_id]) if job_id in state.jobs else problem(404, f"no job {job_id!r}")

    @app.get("/api/v1/jobs/{job_id}/events")
    def job_events(job_id: str) -> Response:
        if job_id not in state.jobs:
            return problem(404, f"no job {job_id!r}")

        def events() -> Iterator[str]:
            yield ": ping\r\n\r\n"
            while True:
                now = step(state.jobs[job_id])
                yield event(now)
                if now["state"] != "running":
                    return

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.delete("/api/v1/jobs/{job_id}", status_code=202)
    def cancel(job_id: str) -> dict[str, str]:
        state.jobs[job_id]["state"] = "cancelled"
        return {}

    @app.get("/api/v1/libraries/{kb}/page")
    def page(kb: str, file: str, page: int, boxes: str = "", dpi: int = 144) -> Response:
        if file not in state.libraries.get(kb, {}):
            return problem(404, f"no document {file!r}")
        return Response(page_png(page, boxes, dpi), media_type="image/png")

    @app.post("/api/v1/chat/completions")
    def chat(body: dict[str, Any]) -> Response:
        state.chats.append(body)
        name = body["model"].removeprefix("kb/")
        if name not in state.libraries:
            return JSONResponse({"error": {"message": f"no library {name!r}", "type": "x", "param": None, "code": "model_not_found"}}, 404)
        question = body["messages"][-1]["content"].lower()
        return StreamingResponse(slow_answer() if "slow" in question else answer(question), media_type="text/event-stream")

    async def slow_answer() -> AsyncIterator[str]:
        try:  # async, since a plain generator is not told when its client goes away
            yield chunk({"content": "Once upon a time "})
            while not state.go_on.is_set():
                await asyncio.sleep(0.02)
            yield chunk({"content": "it ended."})
            yield "data: [DONE]\r\n\r\n"
        except asyncio.CancelledError:
            state.gone.set()
            raise

    def answer(question: str) -> Iterator[str]:
        yield chunk({"role": "assistant", "content": ""})
        if "refuse" in question:
            yield chunk({"content": "The library does not say."})
            yield chunk({"citations": CITATIONS[:2], "refused": True})
        elif "error" in question:
            yield chunk({"content": "Half an "})
            yield event({"error": {"message": "the worker died", "type": "server_error", "param": None, "code": None}})
            return
        elif "verbatim" in question:
            yield chunk({"content": f"“{QUOTE}” [1]"})
            yield chunk({"citations": CITATIONS[:1], "refused": False})
        elif "hostile" in question:
            yield chunk({"content": HOSTILE})
            yield chunk({"citations": [{**CITATIONS[0], "title": HOSTILE, "quote": HOSTILE}], "refused": False})
        else:
            for word in ANSWER.split(" "):
                yield chunk({"content": f"{word} "})
            yield chunk({"citations": CITATIONS, "refused": False})
        yield "data: [DONE]\r\n\r\n"

    return app


def event(data: object) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\r\n\r\n"


def chunk(delta: dict[str, Any]) -> str:
    return event({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "kb/samples",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    })  # fmt: skip


def page_png(number: int, boxes: str, dpi: int) -> bytes:
    """A page of an invented paper, its boxes highlighted."""
    with pymupdf.open() as pdf:
        page = pdf.new_page()
        page.insert_text((72, 90), "Rank fusion for small libraries", fontsize=18)
        page.insert_text((520, 800), str(number), fontsize=10)
        for line in range(24):
            text = QUOTE if line == 1 else "Scores of two searches do not share a scale; before they are added they must be made to."
            page.insert_text((72, 126 + line * 26), text, fontsize=10)
        for box in filter(None, boxes.split(";")):
            page.add_highlight_annot(pymupdf.Rect(*(float(edge) for edge in box.split(","))))
        return bytes(page.get_pixmap(dpi=dpi).tobytes("png"))


@contextlib.contextmanager
def serve(state: State, port: int = 0) -> Iterator[str]:
    """The fake server on a thread; yields its address. The socket listens before it starts, so nobody has to wait for it."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(make_app(state), log_level="warning", ws="none", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        state.go_on.set()
        server.should_exit = True
        thread.join(10)
        listener.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=7861)
    uvicorn.run(make_app(sample_state()), port=parser.parse_args().port)
