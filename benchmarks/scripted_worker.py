"""A worker that does what each request says: `python -m benchmarks.scripted_worker PORT CONTROLLER`; out: a process behind the controller.

A chat says in fields of its own `before_s` (until the first word), `every_s` and `words`, and `mark`, a name under which the end of the
request is kept. The text is the process id, again and again. POST /ended answers {mark: monotonic time of its end}, POST /busy the marks
that are open. Nothing of the server's own code takes part in an answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx2
import uvicorn

from server.serving.fastchat import FastChat
from server.serving.listening import log_to_stderr
from server.serving.registration import keep_registered

MODEL = "scripted"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Worker:
    """The ASGI app."""

    def __init__(self, port: int, controller: str) -> None:
        self._address = f"http://127.0.0.1:{port}"
        self._controller = controller
        self._open: set[str] = set()
        self._ended: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def status(self) -> dict[str, Any]:
        """As FastChat's workers tell it."""
        told = {"model_names": [MODEL], "speed": 1, "queue_length": len(self._open)}
        return {**told, "openai": True, "messages": True, "context_length": 8192}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or live through the app's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if scope["path"] != "/v1/chat/completions":
            answers = {"/worker_get_status": self.status, "/ended": lambda: self._ended, "/busy": lambda: sorted(self._open)}
            await _json(send, answers[scope["path"]]())
            return
        asked = json.loads(body)
        mark = str(asked.get("mark", time.monotonic_ns()))
        self._open.add(mark)
        work = asyncio.create_task(_answer(asked, send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            self._open.discard(mark)
            self._ended[mark] = time.monotonic()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with httpx2.AsyncClient(trust_env=False) as client:
            self._task = asyncio.create_task(keep_registered(FastChat(self._controller, client), self._address, self.status))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})


async def _answer(asked: dict[str, Any], send: Send) -> None:
    words = int(asked.get("words", 1))
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    await asyncio.sleep(float(asked.get("before_s", 0)))
    if not asked.get("stream"):
        message = {"role": "assistant", "content": str(os.getpid())}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await _json(send, {**head, "object": "chat.completion", "choices": [choice]})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(words):
        delta = {"content": f"{os.getpid()} "} | ({"role": "assistant"} if not number else {})
        choice = {"index": 0, "delta": delta, "finish_reason": "stop" if number == words - 1 else None}
        event = b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(float(asked.get("every_s", 0)) if number < words - 1 else 0)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _json(send: Send, value: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


if __name__ == "__main__":
    log_to_stderr()
    port = int(sys.argv[1])
    uvicorn.run(Worker(port, sys.argv[2]), port=port, log_level="warning", timeout_keep_alive=75, timeout_graceful_shutdown=1)
