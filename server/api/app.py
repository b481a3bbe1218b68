"""The application of port 7861: routers, errors, limits, Swagger's assets without a CDN."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from server import VERSION
from server.access import Access, error_headers, openai_error
from server.api import chat, conversations, knowledge_base, knowledge_base_changes, llm_model, openai, search, server_state, temporary, v1
from server.api.responses import failure, problem, refusal
from server.errors import Invalid, PaperError, Unprocessable
from server.runtime import Runtime

log = logging.getLogger(__name__)


def create_app(runtime: Runtime) -> Access:
    """The ASGI app over `runtime`; warms the embedding model up and resumes interrupted ingestion when it starts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = runtime.settings.server.threads
        runtime.embedders.warm_up()
        await anyio.to_thread.run_sync(runtime.resume)
        yield
        runtime.close()

    app = FastAPI(title="PaperProof", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.openapi_version = "3.0.3"  # the newest that Swagger UI 4 shows
    app.mount("/swagger", StaticFiles(directory=swagger_ui_path))
    app.state.runtime = runtime
    for module in (knowledge_base, knowledge_base_changes, chat, conversations, temporary, llm_model, server_state, v1, search, openai):
        app.include_router(module.router)
    app.add_exception_handler(PaperError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_crash)

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="PaperProof API",
            swagger_js_url="/swagger/swagger-ui-bundle.js",
            swagger_css_url="/swagger/swagger-ui.css",
            swagger_favicon_url="/swagger/favicon-32x32.png",
        )

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": VERSION}

    limit = runtime.settings.server.upload_limit_mib * 20  # a request may carry many files; each one is limited by itself
    return Access(app, runtime.settings.server, body_limit_mib=limit, body=refusal)


def _is_openai(request: Request) -> bool:
    return request.url.path in ("/api/v1/chat/completions", "/api/v1/embeddings", "/api/v1/models")


def _on_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, PaperError)  # noqa: S101 - registered for this class only
    log.info("refused path=%s status=%d reason=%s", request.url.path, exc.status, exc)
    if _is_openai(request):
        return JSONResponse(openai_error(exc), exc.status, error_headers(exc))
    if request.url.path.startswith("/api/v1/"):
        return problem(exc)
    return JSONResponse(failure(exc).model_dump())


def _on_crash(request: Request, exc: Exception) -> Response:
    """A bug: the traceback is in the log, the client gets its own kind of body."""
    log.exception("request failed path=%s", request.url.path, exc_info=exc)
    ours = PaperError(f"internal error ({type(exc).__name__}); the log has the details")
    answer = _on_error(request, ours)
    answer.status_code = 500
    return answer


async def _on_invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - registered for this class only
    if not request.url.path.startswith("/api/v1/"):
        shown = [{key: value for key, value in error.items() if key not in ("input", "ctx", "url")} for error in exc.errors()]
        return JSONResponse({"detail": jsonable_encoder(shown)}, 422)  # FastAPI's shape without the body that was refused
    first = exc.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    reason = f"{place}: {first['msg']}" if place else str(first["msg"])
    return JSONResponse(openai_error(Invalid(reason)), 400) if _is_openai(request) else problem(Unprocessable(reason))
