"""The /knowledge_base routes of Chatchat 0.2 clients: HTTP 200 with the status in the body's `code`."""

from __future__ import annotations

import html
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse
from pydantic import TypeAdapter, ValidationError

from configs.settings import Splitting
from server.api.bodies import CreateBody, OldDocument, SearchBody
from server.api.responses import Envelope, failure
from server.editing import Written
from server.errors import Forbidden, Invalid, PaperError, Unprocessable
from server.knowledge_base import KnowledgeBase
from server.readers.process import ReaderProcess
from server.runtime import Runtime
from server.stores.where import Where
from server.types import Passage

_DOCS = TypeAdapter(dict[str, list[OldDocument]])

router = APIRouter(prefix="/knowledge_base", tags=["Knowledge Base Management"])
CHATCHAT_CHUNK_SIZE, CHATCHAT_OVERLAP_SHARE = 250, 5  # its CHUNK_SIZE, and what CHUNK_SIZE is of OVERLAP_SIZE
INLINE = ("application/pdf", "text/plain", "image/png", "image/jpeg", "image/bmp")  # what a browser may show: never HTML of a paper


def runtime_of(request: Request) -> Runtime:
    """The objects of this server."""
    runtime: Runtime = request.app.state.runtime
    return runtime


@router.get("/list_knowledge_bases")
def list_knowledge_bases(request: Request) -> Envelope:
    """Names of all libraries."""
    return Envelope(data=runtime_of(request).shelf.names())


@router.post("/create_knowledge_base")
def create_knowledge_base(request: Request, body: CreateBody) -> Envelope:
    """A new empty library."""
    try:
        runtime_of(request).create_library(body.knowledge_base_name, store=body.vector_store_type, embedding_model=body.embed_model or None)
    except PaperError as exc:
        if isinstance(exc, Forbidden):
            return Envelope(code=403, msg="Don't attack me")  # word for word what old clients know
        old_codes = {400: 404, 409: 404}  # an empty or a taken name is 404 to old clients
        return Envelope(code=old_codes.get(exc.status, exc.status), msg=str(exc))
    return Envelope(msg=f"已新增知识库 {body.knowledge_base_name}")


@router.post("/delete_knowledge_base")
def delete_knowledge_base(request: Request, knowledge_base_name: Annotated[str, Body(examples=["samples"])]) -> Envelope:
    """The library and its papers are gone."""
    try:
        runtime_of(request).delete_library(knowledge_base_name)
    except PaperError as exc:
        return failure(exc)
    return Envelope(msg=f"成功删除知识库 {knowledge_base_name}")


@router.get("/list_files")
def list_files(request: Request, knowledge_base_name: str) -> Envelope:
    """Names of a library's files, sub-folders kept."""
    try:
        return Envelope(data=runtime_of(request).shelf.open(knowledge_base_name).names())
    except PaperError as exc:
        return Envelope(code=exc.status, msg=str(exc), data=[])


@router.post("/search_docs")
def search_docs(request: Request, body: SearchBody) -> list[dict[str, Any]]:
    """Passages with their distance; without a query the chunks of `file_name`. An unknown library gives an empty list."""
    runtime = runtime_of(request)
    if body.knowledge_base_name not in runtime.shelf:
        return []
    kb = runtime.shelf.open(body.knowledge_base_name)
    files = (body.file_name,) if body.file_name else ()
    if body.query:
        least = similarity_of(body.score_threshold)
        found = runtime.search([kb.name], body.query, top_k=body.top_k, where=Where(files=files), min_similarity=least)
    else:
        known = {row.name for row in kb.catalog.files()}
        names = files or (sorted(known) if body.metadata else ())
        found = [passage for name in names if name in known for passage in kb.catalog.listing(kb.name, name)]
    return [as_document(p) for p in found if all(metadata_of(p).get(key) == value for key, value in body.metadata.items())]


@router.post("/upload_docs")
def upload_docs(
    request: Request,
    files: Annotated[list[UploadFile], File()],
    knowledge_base_name: Annotated[str, Form()],
    override: Annotated[bool, Form()] = False,
    to_vector_store: Annotated[bool, Form()] = True,
    chunk_size: Annotated[int | None, Form()] = None,
    chunk_overlap: Annotated[int | None, Form()] = None,
    zh_title_enhance: Annotated[bool | None, Form()] = None,
    password: Annotated[str, Form()] = "",
    docs: Annotated[str, Form()] = "",
) -> Envelope:
    """Store the files and, unless told otherwise, ingest them before answering; PDFs that `password` opens are stored without it.

    `docs` is JSON: file -> chunks of one's own, which are taken instead of reading that file.

    With a `chunk_size` or `chunk_overlap` (characters) they are split as Langchain-Chatchat does, else as the settings say; that is
    remembered with each file.
    """
    runtime = runtime_of(request)
    try:
        own = own_docs(docs)
        chosen = asked_splitting(runtime.settings.splitting, chunk_size, chunk_overlap, zh_title_enhance)
        kb = runtime.shelf.open(knowledge_base_name)
    except PaperError as exc:
        return failure(exc)
    remember = runtime.to_remember(chosen) if to_vector_store else None
    stored, refused = store_uploads(runtime, kb, files, override=override, password=password, queue_as=remember)
    failed = {name: str(reason) for name, reason in refused.items()}
    if to_vector_store and stored:
        try:
            failed |= write_own(runtime, kb.name, {name: chunks for name, chunks in own.items() if name in stored})
            if read := [name for name in stored if name not in own]:
                failed |= runtime.start_ingest(kb.name, files=read, chosen=chosen).result().failed
        except PaperError as exc:
            return failure(exc)
    return Envelope(msg="文件上传与向量化完成", data={"failed_files": failed})


@router.post("/delete_docs")
def delete_docs(
    request: Request,
    knowledge_base_name: Annotated[str, Body()],
    file_names: Annotated[list[str], Body()],
    delete_content: Annotated[bool, Body()] = False,
) -> Envelope:
    """The files leave the search; their content stays unless `delete_content`."""
    failed: dict[str, str] = {}
    try:
        kb = runtime_of(request).shelf.open(knowledge_base_name)
    except PaperError as exc:
        return failure(exc)
    for name in file_names:
        try:
            kb.remove_files([name], delete_content=delete_content)
        except PaperError as exc:
            failed[name] = str(exc)
    return Envelope(msg="文件删除完成", data={"failed_files": failed})


@router.get("/download_doc", response_model=None)
def download_doc(request: Request, knowledge_base_name: str, file_name: str, preview: bool = False) -> FileResponse | JSONResponse:
    """The file's bytes; `preview` shows harmless types in the browser."""
    try:
        path = runtime_of(request).shelf.open(knowledge_base_name).existing(file_name)
    except PaperError as exc:
        return JSONResponse(failure(exc).model_dump())
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    inline = preview and kind in INLINE
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    headers["Content-Disposition"] = f"{'inline' if inline else 'attachment'}; filename*=UTF-8''{quote(path.name)}"
    return FileResponse(path, media_type=kind, headers=headers)


def store_uploads(
    runtime: Runtime, kb: KnowledgeBase, files: list[UploadFile], *, override: bool, password: str = "", queue_as: str | None
) -> tuple[list[str], dict[str, PaperError]]:
    """(names that were stored, name -> why not). PDFs that `password` opens are stored without it.

    With `queue_as` (FileRow.splitting) they are marked as queued before: a program that is killed ingests them at its next start.
    What could not be read may be replaced without `override`: a better copy is what its user has come with.
    """
    stored: list[str] = []
    refused: dict[str, PaperError] = {}
    names = [(upload.filename or "").replace("\\", "/") for upload in files]
    bad = {row.name for row in kb.catalog.rows(names) if row.state == "failed" and not row.chunks}
    limit_bytes = runtime.settings.server.upload_limit_mib << 20
    limits = runtime.settings.readers

    def unlock(path: Path) -> None:
        with ReaderProcess(timeout_s=limits.timeout_s, memory_mib=limits.memory_mib) as process:
            process.unlock(path, password)

    for name, upload in zip(names, files, strict=True):
        locked = bool(password) and name.lower().endswith(".pdf")
        try:
            path = kb.store_file(
                name,
                upload.file,
                override=override or name in bad,
                limit_bytes=limit_bytes,
                prepare=unlock if locked else lambda path: None,
                queue=queue_as is not None,
                splitting=queue_as,
            )
            stored.append(path.relative_to(kb.content).as_posix())
        except PaperError as exc:
            refused[name] = exc
        except UnicodeError as exc:
            refused[name.encode(errors="replace").decode()] = Invalid(f"the name is not UTF-8: {exc}")
    return stored, refused


def asked_splitting(default: Splitting, chunk_size: int | None, chunk_overlap: int | None, zh_title_enhance: bool | None) -> Splitting:
    """How a caller of an old route wants files to be split; what is None was not sent. Raises Unprocessable.

    A size in characters means Chatchat's splitter. When only one of the two was sent, the other is Chatchat's: 250, or a fifth of the
    size, as 50 is of 250.
    """
    titles = default.zh_title_enhance if zh_title_enhance is None else zh_title_enhance
    if chunk_size is None and chunk_overlap is None:
        return default.model_copy(update={"zh_title_enhance": titles})
    size = CHATCHAT_CHUNK_SIZE if chunk_size is None else chunk_size
    overlap = size // CHATCHAT_OVERLAP_SHARE if chunk_overlap is None else chunk_overlap
    try:
        return Splitting(splitter="chinese_recursive", chunk_size=size, chunk_overlap=overlap, zh_title_enhance=titles)
    except ValidationError as exc:
        raise Unprocessable(
            f"chunk_size={size}, chunk_overlap={overlap} 不可用：chunk_size 为 20 到 20000 个字符，chunk_overlap 不超过它的一半。"
            "chunk_size must be 20 to 20000 characters, chunk_overlap 0 to half of it."
        ) from exc


def distance(passage: Passage) -> float:
    """Squared L2 of unit vectors, as old clients expect it: 2 - 2 cos, in 0..4, smaller is closer."""
    return max(0.0, 2 - 2 * passage.similarity)


def similarity_of(squared_distance: float) -> float:
    """The cosine that has this `distance`."""
    return 1 - squared_distance / 2


def metadata_of(passage: Passage) -> dict[str, Any]:
    """What old clients find in `metadata`."""
    own = {"source": passage.file, "page": passage.page, "page_end": passage.page_end, "title": passage.title}
    return {**passage.metadata, **own, "section": " / ".join(passage.section)}


def as_document(passage: Passage) -> dict[str, Any]:
    """A passage as LangChain's Document with id and score."""
    return {
        "page_content": passage.text,
        "metadata": metadata_of(passage),
        "type": "Document",
        "id": str(passage.chunk_id),
        "score": round(distance(passage), 6),
    }


def document_lines(base_url: str, passages: list[Passage]) -> list[str]:
    """The `docs` of a chat: Markdown with a link to the file under the host that the client used; "" means no link."""
    lines = []
    for number, p in enumerate(passages, 1):
        url = f"{base_url}knowledge_base/download_doc?knowledge_base_name={quote(p.kb)}&file_name={quote(p.file)}"
        label = html.escape(re.sub(r"([\\\[\]()])", r"\\\1", p.file), quote=False)  # a name is data: no link, no markup
        lines.append(f"出处 [{number}] [{label}]{f'({url})' if base_url else ''} \n\n{p.text}\n\n")
    return lines


def own_docs(text: str) -> dict[str, list[OldDocument]]:
    """The `docs` of a form: JSON, file -> chunks. Raises Unprocessable."""
    try:
        return _DOCS.validate_json(text) if text else {}
    except ValidationError as exc:
        first = exc.errors()[0]
        raise Unprocessable(f"docs is not {{file: [{{page_content, metadata}}]}}: {first['loc']}: {first['msg']}") from exc


def write_own(runtime: Runtime, kb: str, docs: Mapping[str, Sequence[OldDocument]]) -> dict[str, str]:
    """Give files chunks of one's own; file -> why not."""
    failed = {}
    for file, chunks in docs.items():
        try:
            runtime.write_file(kb, file, [written(chunk) for chunk in chunks])
        except PaperError as exc:
            failed[file] = str(exc)
    return failed


def written(document: OldDocument) -> Written:
    """A chunk of one's own."""
    return Written(document.page_content, document.metadata)
