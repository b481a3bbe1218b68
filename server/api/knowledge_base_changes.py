"""The /knowledge_base routes of Chatchat 0.2 clients that change what is there: chunks, descriptions, splitting, all of it anew."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from server.api.bodies import EditBody, InfoBody, RecreateBody, UpdateBody
from server.api.chat import guarded
from server.api.knowledge_base import asked_splitting, own_docs, runtime_of, write_own, written
from server.api.responses import Envelope, as_json, event_stream, failure
from server.errors import PaperError
from server.jobs import Job
from server.runtime import Runtime
from server.stopping import Stop

router = APIRouter(prefix="/knowledge_base", tags=["Knowledge Base Management"])
LOOK_S = 0.5  # longest time between two looks at a job's files


@router.post("/update_docs_by_id")
def update_docs_by_id(request: Request, body: EditBody) -> Envelope:
    """Chunks get another text and other metadata; an empty text removes one. All others stay as they are."""
    try:
        runtime_of(request).edit_chunks(body.knowledge_base_name, {chunk_id: written(doc) for chunk_id, doc in body.docs.items()})
    except PaperError as exc:
        return failure(exc)
    return Envelope(msg="文档更新成功")


@router.post("/update_info")
def update_info(request: Request, body: InfoBody) -> Envelope:
    """What the library says about itself."""
    try:
        runtime_of(request).shelf.describe(body.knowledge_base_name, body.kb_info)
    except PaperError as exc:
        return failure(exc)
    return Envelope(msg="知识库介绍修改完成", data={"kb_info": body.kb_info})


@router.post("/update_docs")
def update_docs(request: Request, body: UpdateBody) -> Envelope:
    """Read files again, or give them chunks of one's own; those with such chunks are left alone unless `override_custom_docs`."""
    runtime = runtime_of(request)
    try:
        own = own_docs(body.docs)
        chosen = asked_splitting(runtime.settings.splitting, body.chunk_size, body.chunk_overlap, body.zh_title_enhance)
        kb = runtime.shelf.open(body.knowledge_base_name)
        edited = {row.name for row in kb.catalog.rows(body.file_names) if row.edited}
        again = [name for name in body.file_names if name not in own and (body.override_custom_docs or name not in edited)]
        kb.catalog.queue([name for name in again if (kb.content / name).is_file()], runtime.to_remember(chosen))
        failed = write_own(runtime, kb.name, own)
        if again:
            failed |= runtime.start_ingest(kb.name, files=again, chosen=chosen).result().failed
    except PaperError as exc:
        return failure(exc)
    return Envelope(msg="更新文档完成", data={"failed_files": failed})


@router.post("/recreate_vector_store")
def recreate_vector_store(request: Request, body: RecreateBody) -> StreamingResponse:
    """Read, split and embed every file again: an event a file, those that fail with code 500. When the client goes, the job goes on."""
    return event_stream(request, guarded(_recreated(runtime_of(request), body)), stop=Stop())


def _recreated(runtime: Runtime, body: RecreateBody) -> Iterator[str]:
    began = time.time()
    chosen = None
    if (body.chunk_size, body.chunk_overlap, body.zh_title_enhance) != (None, None, None):
        chosen = asked_splitting(runtime.settings.splitting, body.chunk_size, body.chunk_overlap, body.zh_title_enhance)
    job = runtime.start_anew(body.knowledge_base_name, chosen=chosen, embedding_model=body.embed_model, store=body.vs_type)
    kb = runtime.shelf.open(body.knowledge_base_name)
    total, told = len(kb.names()), set[str]()
    for ended in _until_the_end(job):
        failed = job.result().failed if ended else {}
        for row in kb.catalog.files():
            fresh = row.updated_at >= began and row.state in ("ready", "failed")
            if row.name in told or not (fresh or ended):
                continue
            told.add(row.name)
            reason = failed.get(row.name) or (row.reason if row.state == "failed" else "")
            event = {"code": 500 if reason else 200, "total": total, "finished": len(told), "doc": row.name}
            yield as_json(event | {"msg": f"({len(told)} / {total}): {row.name}" + (f" {reason}" if reason else "")})


def _until_the_end(job: Job) -> Iterator[bool]:
    """False each time that something may have changed, then True."""
    version, view = job.wait(-1, 0)
    while view.state == "running":
        yield False
        version, view = job.wait(version, LOOK_S)
    yield True
