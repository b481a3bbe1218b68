"""The routes of port 20000; in: OpenAI's requests; out: the answer of whoever serves the model."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.errors import Invalid, ModelNotFound
from server.serving.messages import plain_messages
from server.serving.openai_replies import body_of, stream
from server.serving.streams import while_connected
from server.serving.upstreams import LIBRARY, Upstreams
from server.serving.workers import Upstream

log = logging.getLogger(__name__)

LONGEST_NAME = 300  # characters; a path of kb/<library>@<llm> has fewer


def routes(upstreams: Upstreams, default_model: str) -> list[Route]:
    """`default_model` is used when a chat names none."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": await upstreams.models(_key(request))})

    async def model(request: Request) -> Response:
        name, listed = request.path_params["name"], await upstreams.models(_key(request))
        for entry in listed:
            if entry["id"] == name:
                return JSONResponse(entry)
        raise ModelNotFound(f"no model {name!r} is served; known: {', '.join(entry['id'] for entry in listed) or 'none yet'}")

    async def chat(request: Request) -> Response:
        body = await body_of(request)
        _check_messages(body)
        name = body["model"] = _model(body, default_model)
        return await _ask(request, await upstreams.chat(name, _key(request)), "/chat/completions", body)

    async def completions(request: Request) -> Response:
        body = await body_of(request)
        name = body["model"] = _model(body, default_model)
        if name.startswith(LIBRARY):
            raise Invalid(f"{name} answers chats: use /v1/chat/completions")
        return await _ask(request, await upstreams.chat(name, _key(request)), "/completions", body)

    async def embeddings(request: Request) -> Response:
        body = await body_of(request)
        upstream = upstreams.embeddings(_model(body, ""), _key(request))
        answer = await while_connected(request, upstream.answer("/embeddings", body))
        return Response(answer, media_type="application/json")

    return [
        Route("/health", health),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),  # names contain slashes
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/embeddings", embeddings, methods=["POST"]),
    ]


async def _ask(request: Request, upstream: Upstream, path: str, body: Mapping[str, Any]) -> Response:
    started = time.monotonic()
    if body.get("stream"):
        response = await stream(request, upstream.events(path, body))
    else:
        response = Response(await while_connected(request, upstream.answer(path, body)), media_type="application/json")
    seconds = time.monotonic() - started  # of a stream: to its first event
    log.info("answered path=%s model=%s stream=%s seconds=%.2f", path, body["model"], bool(body.get("stream")), seconds)
    return response


def _check_messages(body: Mapping[str, Any]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, Mapping) for message in messages):
        plain_messages(messages)  # raises, saying which message is wrong


def _model(body: Mapping[str, Any], default: str) -> str:
    name = body.get("model") or default
    if not isinstance(name, str):
        raise Invalid("`model` must be a name")
    if len(name) > LONGEST_NAME:
        raise Invalid(f"`model` has {len(name)} characters; names have at most {LONGEST_NAME}")
    return name


def _key(request: Request) -> str:
    return request.headers.get("authorization", "")
