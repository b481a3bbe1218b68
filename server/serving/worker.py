"""A model worker with llama.cpp; in: a name of llm.local; out: a process behind the controller. `python -m server.serving.worker NAME`

It speaks OpenAI's protocol (our gateway sends messages, and the model's own chat template is used) and FastChat's (for other clients).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from configs.settings import load_settings
from server import weights
from server.errors import Invalid, PaperError, Unavailable
from server.serving.fastchat import FastChat, code_of
from server.serving.listening import bind, log_to_stderr, run
from server.serving.llama_cpp import LlamaCpp
from server.serving.loading import Loading
from server.serving.local_models import CHATML, arguments, assignment
from server.serving.openai_chunks import Chunk
from server.serving.openai_errors import shape_errors
from server.serving.openai_replies import body_of, reply
from server.serving.registration import keep_registered
from server.serving.streams import EventStream, while_connected

_SAME = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "stop", "messages", "prompt")
_RENAMED = {"max_new_tokens": "max_tokens", "repetition_penalty": "repeat_penalty"}  # FastChat's name: llama.cpp's


def build(engine: LlamaCpp, address: str, controller: str) -> FastAPI:
    """The worker's app; while it runs it keeps itself registered as `address`."""

    def status() -> dict[str, Any]:
        return {
            "model_names": [engine.name],
            "speed": 1,
            "queue_length": engine.queue_length,
            "openai": True,
            "messages": True,
            "context_length": engine.context_tokens,
        }

    @contextlib.asynccontextmanager
    async def registered(app: FastAPI) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(trust_env=False) as client:
            task = asyncio.create_task(keep_registered(FastChat(controller, client), address, status))
            yield
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    app = FastAPI(lifespan=registered, docs_url=None, redoc_url=None, openapi_url=None)
    shape_errors(app)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await body_of(request)
        return await reply(request, body, engine.chat(body))

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        body = await body_of(request)
        return await reply(request, body, engine.complete(body))

    @app.post("/worker_get_status")
    async def get_status() -> dict[str, Any]:
        return status()

    @app.post("/worker_generate_stream")
    async def generate_stream(request: Request) -> Response:
        pieces = fastchat_pieces(engine, await body_of(request))
        return EventStream(await while_connected(request, _first(pieces)), pieces, "application/octet-stream")

    @app.post("/worker_generate")
    async def generate(request: Request) -> Response:
        pieces = fastchat_pieces(engine, await body_of(request))
        last = await while_connected(request, _last(pieces))
        return JSONResponse(json.loads(last.rstrip(b"\0")))

    @app.post("/count_token")
    def count_token(body: dict[str, Any]) -> dict[str, int]:
        return {"count": engine.count_tokens(str(body.get("prompt", ""))), "error_code": 0}

    @app.post("/model_details")
    async def model_details() -> dict[str, int]:
        return {"context_length": engine.context_tokens}

    @app.post("/worker_get_conv_template")
    async def conversation_template() -> dict[str, Any]:
        if "<|im_start|>" not in engine.template:
            raise Invalid("FastChat has no conversation template for this model; send `messages` instead of `prompt`")
        return {"conv": CHATML}

    @app.post("/worker_get_embeddings")
    async def embeddings() -> dict[str, Any]:
        raise Invalid(f"{engine.name} is a chat model and makes no embeddings; port 20000 has an embedding model")

    return app


async def fastchat_pieces(engine: LlamaCpp, params: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
    """FastChat's stream: JSON objects ended by NUL, each with the whole text so far; an error is an object, too."""
    body = {key: params[key] for key in _SAME if params.get(key) is not None}
    body |= {new: params[old] for old, new in _RENAMED.items() if params.get(old) is not None}
    text = str(params.get("prompt", "")) if params.get("echo", True) and "messages" not in params else ""
    finish: str | None = None
    chunks = engine.chat(body) if "messages" in body else engine.complete(body)
    try:
        async for chunk in chunks:
            for choice in chunk["choices"]:
                text += _text(choice)
                finish = choice.get("finish_reason") or finish
            if chunk["choices"] and not finish:
                yield _piece(text, None, {})
            elif not chunk["choices"]:
                yield _piece(text, finish, chunk["usage"])
    except PaperError as exc:
        yield _nul({"text": str(exc), "error_code": code_of(exc)})
    finally:
        await chunks.aclose()


def _text(choice: Chunk) -> str:
    return str(choice.get("text") or choice.get("delta", {}).get("content") or "")


def _piece(text: str, finish: str | None, usage: Mapping[str, int]) -> bytes:
    return _nul({"text": text, "error_code": 0, "usage": dict(usage), "finish_reason": finish, "logprobs": None})


def _nul(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode() + b"\0"


async def _first(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces)


async def _last(pieces: AsyncGenerator[bytes, None]) -> bytes:
    last = b"{}"
    async for piece in pieces:
        last = piece
    return last


def main() -> None:
    """Load the model, then serve it."""
    given = arguments("A FastChat model worker with llama.cpp.")
    log_to_stderr()
    settings = load_settings()
    try:
        job = assignment(settings, given, "llama_cpp")
        file = weights.find(job.model.source, settings.paths.models)
        if file.is_dir():
            raise Unavailable(f"cannot load {job.name}: llama.cpp needs a .gguf file, and {file} is a folder; name the file as the source")
        taken = [bind(host, job.port) for host in job.hosts]
        with Loading(job.name, taken, job.peers, file.stat().st_size):
            engine = LlamaCpp(job.name, file, job.model)
    except PaperError as exc:
        raise SystemExit(str(exc)) from exc
    run(job.guarded(build(engine, job.address, job.controller)), *taken)


if __name__ == "__main__":
    main()
