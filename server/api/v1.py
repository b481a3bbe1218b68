"""Our own routes under /api/v1: plain REST with real statuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Path, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from server import VERSION
from server.answering import Asked, depth_of
from server.api.bodies import JobBody
from server.api.knowledge_base import runtime_of, store_uploads
from server.api.responses import as_json, event_stream
from server.errors import Conflict, Invalid, PaperError
from server.identity import Known, copies
from server.image_file import has_pages
from server.jobs import Job, JobView
from server.llm import chat_model
from server.runtime import SAMPLES
from server.stores.rows import FileRow
from server.types import Box, Citation, Identity

router = APIRouter(prefix="/api/v1", tags=["PaperProof"])
EVENT_INTERVAL_S = 0.4
EXISTS = "a file of this name is in the library already; send override=true to replace it"


@router.get("/status")
def status(request: Request) -> dict[str, Any]:
    """Which models are in use, and where."""
    runtime = runtime_of(request)
    settings = runtime.settings
    name = settings.llm.default
    local = settings.llm.local.get(name)
    state = runtime.embedders.state()
    return {
        "version": VERSION,
        "llm": {
            "name": name,
            "kind": "local" if local else "online",
            "engine": local.engine if local else "openai",
            "small": chat_model.is_small(settings, name),
            "running": chat_model.is_running(settings, name, runtime.keys),
        },
        "keys": {label: [asdict(key) for key in keys] for label, keys in runtime.keys.state().items()},
        "embedding": asdict(state),
        "reranker": settings.retrieval.reranker or None,
        "depth": depth_of(settings, Asked("")),
    }


@router.get("/libraries")
def libraries(request: Request) -> list[dict[str, Any]]:
    """Every library with its counts. One that is damaged is listed with its error."""
    runtime = runtime_of(request)
    found: list[dict[str, Any]] = []
    for name in runtime.shelf.names():
        try:
            kb = runtime.shelf.open(name)
            rows = kb.catalog.files()
        except PaperError as exc:
            found.append({"name": name, "error": str(exc)})
            continue
        job = runtime.jobs.running(name)
        found.append(
            {
                "name": name,
                "info": kb.facts.info,
                "embedding": kb.facts.embedding,
                "files": len(rows),
                "ready": sum(row.state == "ready" for row in rows),
                "failed": sum(row.state == "failed" for row in rows),
                "chunks": sum(row.chunks for row in rows),
                "job": job.id if job else None,
                "error": None,
            }
        )
    return found


@router.get("/libraries/{kb}/documents")
def documents(request: Request, kb: str) -> list[dict[str, Any]]:
    """Every file of a library with its state; files nobody has ingested yet are `new`."""
    library = runtime_of(request).shelf.open(kb)
    rows = {row.name: row for row in library.catalog.files()}
    same = copies({name: Known(row.sha256, row.title, row.identity) for name, row in rows.items() if row.state == "ready"})
    names = sorted(rows.keys() | set(library.names()))
    bodies = [document_body(name, rows.get(name), same.get(name)) for name in names]
    unusable = [document_body(name, None, None) | {"state": "failed", "reason": reason} for name, reason in library.unusable().items()]
    return bodies + unusable


@router.post("/libraries/{kb}/documents", status_code=202)
def upload(
    request: Request,
    kb: str,
    files: Annotated[list[UploadFile], File()],
    override: Annotated[bool, Form()] = False,
    password: Annotated[str, Form()] = "",
) -> dict[str, Any]:
    """Store files and start to ingest them; those refused are in `failed` of the job at once.

    PDFs that `password` opens are stored without it, so that they can be read, shown and searched later.
    """
    runtime = runtime_of(request)
    library = runtime.shelf.open(kb)
    chosen = runtime.settings.splitting
    stored, refused = store_uploads(runtime, library, files, override=override, password=password, queue_as=runtime.to_remember(chosen))
    failed = {name: EXISTS if isinstance(exc, Conflict) else str(exc) for name, exc in refused.items()}
    if not stored:
        kinds = {type(exc) for exc in refused.values()}
        kind = kinds.pop() if len(kinds) == 1 else Invalid
        raise kind("; ".join(f"{name}: {reason}" for name, reason in failed.items()))
    body = job_body(runtime.start_ingest(kb, files=stored, chosen=chosen).view())
    return body | {"failed": failed}


@router.delete("/libraries/{kb}/documents", status_code=204)
def delete(request: Request, kb: str, file: str) -> Response:
    """The file and all that came from it are gone."""
    runtime_of(request).shelf.open(kb).remove_files([file], delete_content=True)
    return Response(status_code=204)


@router.post("/libraries/{kb}/jobs", status_code=202, response_model=None)
def start_job(request: Request, kb: str, body: JobBody) -> dict[str, Any] | Response:
    """Ingest a library in the background. 204 when `create` is asked for the sample library and its user has deleted it."""
    runtime = runtime_of(request)
    running = runtime.jobs.running(kb, "increment")
    if running is not None and body.kind == "increment":
        return job_body(running.view())
    if body.create and kb == SAMPLES:
        job = runtime.start_samples()
        return Response(status_code=204) if job is None else job_body(job.view())
    if body.create and kb not in runtime.shelf:
        runtime.create_library(kb)
    return job_body(runtime.start_ingest(kb, kind=body.kind).view())


@router.get("/jobs/{job_id}")
def job(request: Request, job_id: str) -> dict[str, Any]:
    """A job at this moment."""
    return job_body(runtime_of(request).jobs.get(job_id).view())


@router.get("/jobs/{job_id}/events")
def job_events(request: Request, job_id: str) -> StreamingResponse:
    """The job's state whenever it changes, until it has ended."""
    return event_stream(request, _watch(runtime_of(request).jobs.get(job_id)), "\n\n")


@router.delete("/jobs/{job_id}", status_code=202)
def cancel(request: Request, job_id: str) -> dict[str, Any]:
    """Ask a job to stop; it does so between two batches."""
    found = runtime_of(request).jobs.get(job_id)
    found.cancelled.set()
    return job_body(found.view())


@router.get("/libraries/{kb}/chunks/{chunk_id}/section")
def section_of(request: Request, kb: str, chunk_id: Annotated[int, Path(ge=0, lt=1 << 63)]) -> dict[str, Any]:
    """The whole section that a chunk belongs to; what its chunks repeat stands in `text` once."""
    passages = runtime_of(request).shelf.open(kb).catalog.section_of(kb, chunk_id)
    first = passages[0]
    text = first.text + "".join(p.text[p.repeated :] if p.repeated else f"\n{p.text}" for p in passages[1:])
    return {
        "file": first.file,
        "title": first.title,
        "section": list(first.section),
        "page": min(p.page for p in passages),
        "page_end": max(p.page_end for p in passages),
        "text": text,
        "chunks": [str(p.chunk_id) for p in passages],  # JavaScript's numbers are too small for them
    }


@router.get("/libraries/{kb}/page")
def page_image(request: Request, kb: str, file: str, page: int, boxes: str = "", dpi: int = 110) -> Response:
    """A page as PNG, the boxes highlighted."""
    runtime = runtime_of(request)
    path = runtime.shelf.open(kb).existing(file)
    passwords = [password.get_secret_value() for password in runtime.settings.readers.passwords]
    png = runtime.pages.page_image(path, page, _boxes(boxes, page), dpi, passwords)
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=300"})


def document_body(name: str, row: FileRow | None, same: tuple[str, str] | None) -> dict[str, Any]:
    """A file as JSON; without a row nobody has ingested it yet."""
    fields = ("title", "language", "state", "reason", "pages", "chunks", "bytes", "warnings", "updated_at", "ocr_pages")
    body: dict[str, Any] = {"file": name, "same_as": {"file": same[0], "reason": same[1]} if same else None}
    if row is None:
        fresh = {"title": "", "state": "new", "reason": "", "pages": 0, "chunks": 0, "warnings": [], "ocr_pages": [], "hidden": []}
        return body | dict.fromkeys(fields) | fresh | asdict(Identity())
    hidden = [{"text": each.text, "reason": each.reason, "box": each.box._asdict()} for each in row.hidden]
    return body | {field: getattr(row, field) for field in fields} | asdict(row.identity) | {"hidden": hidden}


def job_body(view: JobView) -> dict[str, Any]:
    """A job as JSON."""
    p = view.progress
    return {
        "id": view.id,
        "kb": view.kb,
        "kind": view.kind,
        "state": view.state,
        "message": view.message,
        "total": p.total,
        "done": p.done,
        "read": p.read,
        "unchanged": p.unchanged,
        "removed": p.removed,
        "current": p.current,
        "page": p.page,
        "of_pages": p.of_pages,
        "pages": p.pages,
        "chunks": p.chunks,
        "seconds": round(p.seconds, 2),
        "failed": p.failed,
        "left_s": None if p.left_s is None else round(p.left_s, 1),
    }


def citation_body(citation: Citation) -> dict[str, Any]:
    """A citation as JSON; `url`, relative to port 7861, is the page image with the quote highlighted, or the file if it has no pages."""
    kb, file = quote(citation.kb, safe=""), quote(citation.file, safe="")
    own = [box for box in citation.boxes if box.page == citation.page]
    boxes = ";".join(",".join(f"{value:g}" for value in box[1:]) for box in own)
    url = f"/api/v1/libraries/{kb}/page?file={file}&page={citation.page}" + (f"&boxes={quote(boxes, safe='')}" if boxes else "")
    return {
        "index": citation.index,
        "kb": citation.kb,
        "file": citation.file,
        "title": citation.title,
        "page": citation.page,
        "boxes": [{"page": box.page, "x0": box.x0, "y0": box.y0, "x1": box.x1, "y1": box.y1} for box in citation.boxes],
        "quote": citation.quote,
        "verified": citation.verified,
        "score": citation.score,
        "url": url if has_pages(citation.file) else f"/knowledge_base/download_doc?knowledge_base_name={kb}&file_name={file}",
    }


def _watch(found: Job) -> Iterator[str]:
    version = -1
    while True:
        version, view = found.wait(version, 10)
        yield as_json(job_body(view))
        if view.state != "running":
            return
        time.sleep(EVENT_INTERVAL_S)  # not every batch is news


def _boxes(text: str, page: int) -> list[Box]:
    boxes = []
    for part in filter(None, text.split(";")):
        try:
            x0, y0, x1, y1 = (float(number) for number in part.split(","))
        except ValueError as exc:
            raise Invalid(f"boxes must look like x0,y0,x1,y1;x0,…, not {part!r}") from exc
        boxes.append(Box(page, x0, y0, x1, y1))
    return boxes
