"""Errors in OpenAI's shape; in: our exceptions, or what an upstream answered; out: responses with the right status, or our exceptions."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from server.access import error_headers, openai_error
from server.errors import (
    BackendFailed,
    Cancelled,
    Conflict,
    ContextOverflow,
    Forbidden,
    Invalid,
    ModelNotFound,
    NotFound,
    PaperError,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from server.llm.keys.rate_headers import retry_after_s

log = logging.getLogger(__name__)

GATEWAY_TIMEOUT = 504
MESSAGE_CHARS = 1000

_BY_CODE: dict[str, type[PaperError]] = {ContextOverflow.code or "": ContextOverflow, ModelNotFound.code or "": ModelNotFound}
_BY_STATUS: dict[int, type[PaperError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    499: Cancelled,
    503: Unavailable,
}


def shape_errors(app: Starlette) -> None:
    """Let the app answer every error in OpenAI's shape."""
    app.add_exception_handler(PaperError, _ours)
    app.add_exception_handler(HTTPException, _of_routing)
    app.add_exception_handler(Exception, _unexpected)


def status_of(exc: PaperError) -> int:
    """504 for a backend that kept silent, else the status of the class."""
    return GATEWAY_TIMEOUT if isinstance(exc, BackendFailed) and isinstance(exc.__cause__, httpx2.TimeoutException) else exc.status


def upstream_error(who: str, status: int, headers: Mapping[str, str], body: bytes, *, own_key: bool) -> PaperError:
    """The exception for an answer that is not 200. `own_key`: we sent a key of ours, so a refusal of it is not the client's fault."""
    error = _error_in(body)
    message = str(error.get("message") or body[:MESSAGE_CHARS].decode("utf-8", "replace") or f"status {status}")[:MESSAGE_CHARS]
    code = str(error.get("code") or "")
    if status == 429:
        return RateLimited(f"{who}: {message}", retry_after_s(headers) or 1.0)
    if status in (401, 403) and own_key:
        return BackendFailed(f"{who} refused the key that the settings name: {message}")
    if error.get("type") == "exceed_context_size_error" or "maximum context length" in message:
        return ContextOverflow(message)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if kind is not None:
        return kind(message)
    return Invalid(message) if 400 <= status < 500 else BackendFailed(f"{who}: {message}")


def _error_in(body: bytes) -> Mapping[str, Any]:
    """The `error` object of a body; {"detail": …} of FastAPI and problem details count too."""
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(data, Mapping):
        return {}
    error = data.get("error")
    if isinstance(error, Mapping):
        return error
    return {"message": error or data.get("message") or data.get("detail")}


async def _ours(request: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, PaperError):
        raise exc
    status = status_of(exc)
    log.info("refused path=%s status=%d error=%s", request.url.path, status, exc)
    return JSONResponse(openai_error(exc), status, error_headers(exc))


async def _of_routing(request: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, HTTPException):
        raise exc
    error = NotFound(f"no route {request.method} {request.url.path}") if exc.status_code == 404 else Invalid(str(exc.detail))
    return JSONResponse(openai_error(error), exc.status_code, exc.headers)


async def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse(openai_error(PaperError(f"unexpected {type(exc).__name__}; the log has more")), 500)
