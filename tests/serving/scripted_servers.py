"""Servers that do what a test says: an OpenAI-compatible one, a FastChat controller, a FastChat worker."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

Answer = Callable[[dict[str, Any]], Awaitable[Response]]


@dataclass
class OpenAI:
    """Answers every POST with `answer(body)`; keeps what it was asked."""

    answer: Answer
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/{path:path}/models")
        async def models() -> dict[str, Any]:
            return {
                "object": "list",
                "data": [{"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in self.listed],
            }

        @app.post("/{path:path}")
        async def post(request: Request) -> Response:
            body = await request.json()
            self.asked.append({**body, "path": request.url.path})
            self.headers.append(dict(request.headers))
            return await self.answer(body)

        return app


@dataclass
class Controller:
    """Names the workers of a model in turn, dead ones too, until it is told to refresh."""

    workers: dict[str, list[str]]
    dead: set[str] = field(default_factory=set)
    refreshed: int = 0
    turn: int = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/list_models")
        async def list_models() -> dict[str, Any]:
            return {"models": [model for model, addresses in self.workers.items() if addresses]}

        @app.post("/get_worker_address")
        async def get_worker_address(body: dict[str, Any]) -> dict[str, str]:
            addresses = self.workers.get(body["model"], [])
            self.turn += 1
            return {"address": addresses[(self.turn - 1) % len(addresses)] if addresses else ""}

        @app.post("/refresh_all_workers")
        async def refresh() -> None:
            self.refreshed += 1
            self.workers = {model: [at for at in addresses if at not in self.dead] for model, addresses in self.workers.items()}

        return app


@dataclass
class Worker:
    """Speaks FastChat's protocol: `pieces` are sent as they are, NUL included."""

    model: str
    pieces: list[bytes]
    messages: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/worker_get_status")
        async def status() -> dict[str, Any]:
            return {"model_names": [self.model], "speed": 1, "queue_length": 0, "messages": self.messages, "context_length": 100}

        @app.post("/worker_generate_stream")
        async def generate(body: dict[str, Any]) -> Response:
            self.asked.append(body)

            async def data() -> AsyncIterator[bytes]:
                for piece in self.pieces:
                    yield piece
                    await asyncio.sleep(0)

            return StreamingResponse(data())

        return app


def says(text: str) -> Answer:
    """One whole answer."""

    async def answer(body: dict[str, Any]) -> Response:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({"id": "x", "object": "chat.completion", "created": 1, "model": body.get("model"), "choices": [choice]})

    return answer


def refuses(status: int, content: Any, **headers: str) -> Answer:
    """An error."""

    async def answer(body: dict[str, Any]) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(content if isinstance(content, bytes) else json.dumps(content), status, named)

    return answer


def streams(*parts: bytes, fail: bool = False) -> Answer:
    """A stream of these bytes; `fail` breaks the connection after them."""

    async def answer(body: dict[str, Any]) -> Response:
        async def data() -> AsyncIterator[bytes]:
            for part in parts:
                yield part
                await asyncio.sleep(0.01)
            if fail:
                raise ConnectionAbortedError("scripted")

        return StreamingResponse(data(), media_type="text/event-stream")

    return answer


def streams_until_left(gone: threading.Event, first: bytes = b"") -> Answer:
    """A stream that begins with `first` and never ends by itself; `gone` is set when nobody listens any more."""

    async def answer(body: dict[str, Any]) -> Response:
        async def data() -> AsyncIterator[bytes]:
            try:
                yield first
                while True:
                    yield b'data: {"choices": []}\n\n'
                    await asyncio.sleep(0.01)
            finally:
                gone.set()

        return StreamingResponse(data(), media_type="text/event-stream")

    return answer


def thinks_until_left(gone: threading.Event) -> Answer:
    """An answer without a word; `gone` is set when nobody waits any more."""

    async def answer(body: dict[str, Any]) -> Response:
        async def data() -> AsyncIterator[bytes]:
            try:
                await asyncio.sleep(60)
                yield b""
            finally:
                gone.set()

        return StreamingResponse(data(), media_type="text/event-stream" if body.get("stream") else "application/json")

    return answer
