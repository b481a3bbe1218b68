"""Chat with uploaded files: the routes of Chatchat 0.2 clients over temporary libraries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, StreamingResponse

from server.api.bodies import FileChatBody
from server.api.chat import guarded, library_chat
from server.api.knowledge_base import asked_splitting, runtime_of, store_uploads
from server.api.responses import Envelope, event_stream, failure
from server.errors import PaperError
from server.ingestion import ingest
from server.stopping import Stop

router = APIRouter(tags=["Chat"])


@router.post("/knowledge_base/upload_temp_docs")
def upload_temp_docs(
    request: Request,
    files: Annotated[list[UploadFile], File()],
    prev_id: Annotated[str, Form()] = "",
    chunk_size: Annotated[int | None, Form()] = None,
    chunk_overlap: Annotated[int | None, Form()] = None,
    zh_title_enhance: Annotated[bool | None, Form()] = None,
) -> Envelope:
    """Files for a chat, readable when this answers. With `prev_id` they join what was uploaded before; an expired id gets a new one."""
    runtime = runtime_of(request)
    try:
        chosen = asked_splitting(runtime.settings.splitting, chunk_size, chunk_overlap, zh_title_enhance)
        kb = runtime.temporary_library(prev_id)
        stored, refused = store_uploads(runtime, kb, files, override=True, queue_as=None)
        failed = {name: str(reason) for name, reason in refused.items()}
        readers = runtime.settings.readers
        failed |= ingest(kb, runtime.embedder_of(kb), runtime.settings.splitting, files=stored, chosen=chosen, readers=readers).failed
    except PaperError as exc:
        return failure(exc)
    return Envelope(data={"id": kb.name, "failed_files": [{name: reason} for name, reason in failed.items()]})


@router.post("/chat/file_chat", response_model=None)
def file_chat(request: Request, body: FileChatBody) -> StreamingResponse | JSONResponse:
    """Ask the files of `knowledge_id`: events {answer}…, then {docs, citations, refused}."""
    runtime = runtime_of(request)
    try:
        kb = runtime.temporary.open(body.knowledge_id)
    except PaperError as exc:
        return JSONResponse(failure(exc).model_dump())
    stop = Stop()
    return event_stream(request, guarded(library_chat(runtime, [kb], body, "", stop)), stop=stop)
