"""A worker in a process of its own, to be stopped and killed: `python -m tests.serving.slow_worker PORT BEFORE_S PIECES EVERY_S`.

It speaks FastChat's protocol, says its process id word by word, and counts the requests it has in work.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse


def app(before_s: float, pieces: int, every_s: float) -> FastAPI:
    """`before_s` until the first word, then one every `every_s`."""
    app = FastAPI()
    open_now = 0

    @app.post("/worker_get_status")
    async def status() -> dict[str, Any]:
        return {"model_names": ["small"], "speed": 1, "queue_length": open_now, "messages": True, "context_length": 100}

    @app.post("/worker_generate_stream")
    async def generate() -> Response:
        async def data() -> AsyncIterator[bytes]:
            nonlocal open_now
            open_now += 1
            try:
                await asyncio.sleep(before_s)
                for number in range(1, pieces + 1):
                    last = number == pieces
                    text = " ".join([str(os.getpid())] * number)
                    piece = {"text": text, "error_code": 0, "usage": {}, "finish_reason": "stop" if last else None}
                    yield json.dumps(piece).encode() + b"\0"
                    await asyncio.sleep(0 if last else every_s)
            finally:
                open_now -= 1

        return StreamingResponse(data())

    return app


if __name__ == "__main__":
    uvicorn.run(app(float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])), port=int(sys.argv[1]), log_level="warning")
