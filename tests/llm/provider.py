"""A fake provider: a real HTTP server on loopback that speaks OpenAI's protocol; keys with limits, and answers that a test scripts."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal


@dataclass(frozen=True)
class Said:
    """An answer; `pieces` make it a stream, `breaks` drops the connection after them."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] | None = None
    breaks: bool = False


@dataclass(frozen=True)
class Asked:
    """What came; `at` is the provider's time, in seconds."""

    at: float
    key: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Account:
    """The limit of one key: a bucket that fills all the time, as OpenAI's, or whole minutes that are counted."""

    rpm: int
    kind: Literal["bucket", "window"] = "bucket"
    announces: bool = True
    level: float = -1.0
    at: float = 0.0

    def admits(self, now: float) -> tuple[bool, dict[str, str]]:
        """(whether the request is let in, the headers that go with it)."""
        if self.kind == "window":
            if self.level < 0 or now // 60 != self.at // 60:
                self.level = self.rpm
        else:
            self.level = self.rpm if self.level < 0 else min(self.rpm, self.level + (now - self.at) * self.rpm / 60)
        self.at = now
        admitted = self.level >= 1
        self.level -= admitted
        full_s = 60 - now % 60 if self.kind == "window" else (self.rpm - self.level) * 60 / self.rpm
        free_s = full_s if self.kind == "window" else (1 - self.level) * 60 / self.rpm
        headers = {} if admitted else {"Retry-After": f"{free_s:.3f}"}
        if self.announces:
            headers |= {
                "x-ratelimit-limit-requests": str(self.rpm),
                "x-ratelimit-remaining-requests": str(int(self.level)),
                "x-ratelimit-reset-requests": f"{full_s:.3f}s",
            }
        return admitted, headers


def chat(text: str = "hello", total_tokens: int = 7) -> Said:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": total_tokens - 1, "completion_tokens": 1, "total_tokens": total_tokens}
    return Said(200, {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage})


def event(text: str) -> bytes:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    shape = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(shape).encode() + b"\n\n"


def usage_event(total_tokens: int) -> bytes:
    """The last chunk of a stream, and its end."""
    usage = {"prompt_tokens": total_tokens - 1, "completion_tokens": 1, "total_tokens": total_tokens}
    shape = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    return b"data: " + json.dumps(shape).encode() + b"\n\ndata: [DONE]\n\n"


def error(status: int, message: str, code: str | None = None, **headers: str) -> Said:
    """An error in OpenAI's shape; headers with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Said(status, {"error": {"message": message, "type": code, "param": None, "code": code}}, named)


class Provider:
    """`answer(asked)` makes each answer; `accounts` limit keys, `revoked` ones get 401. Everything that came is in `asked`."""

    def __init__(self, base_url: str, clock: Callable[[], float]) -> None:
        self.base_url = base_url
        self.clock = clock
        self.answer: Callable[[Asked], Said] = lambda asked: chat()
        self.accounts: dict[str, Account] = {}
        self.revoked: set[str] = set()
        self.asked: list[Asked] = []
        self.statuses: Counter[int] = Counter()
        self.lock = threading.Lock()

    def keys(self) -> list[str]:
        """The keys in the order in which they were used."""
        return [asked.key for asked in self.asked]

    def script(self, *answers: Said) -> None:
        """Each of these once, then as it should be."""
        left = list(answers)
        self.answer = lambda asked: left.pop(0) if left else chat()

    def said(self, asked: Asked) -> Said:
        """The answer; counted."""
        with self.lock:
            self.asked.append(asked)
            account = self.accounts.get(asked.key)
            admitted, headers = account.admits(asked.at) if account else (True, {})
            if asked.key in self.revoked:
                made = error(401, f"Incorrect API key provided: {asked.key}", "invalid_api_key")
            elif not admitted:
                made = error(429, "Rate limit reached", "rate_limit_exceeded")
            else:
                made = self.answer(asked)
            self.statuses[made.status] += 1
        return Said(made.status, made.body, {**made.headers, **headers}, made.pieces, made.breaks)


@contextmanager
def provider(clock: Callable[[], float] = time.monotonic) -> Iterator[Provider]:
    """It runs in threads until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            key = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
            self.say(made.said(Asked(made.clock(), key, self.path, headers, body)))

        def say(self, said: Said) -> None:
            if said.breaks and said.pieces is None:
                self.drop()
                return
            raw = said.body.encode() if isinstance(said.body, str) else json.dumps(said.body).encode()
            streams = said.pieces is not None
            kind = {"Transfer-Encoding": "chunked"} if streams else {"Content-Length": str(len(raw))}
            self.send_response(said.status)
            for name, value in {"Content-Type": "text/event-stream" if streams else "application/json", **kind, **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if said.pieces is None:
                self.wfile.write(raw)
                return
            for piece in said.pieces:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if said.breaks:
                self.drop()
            else:
                self.wfile.write(b"0\r\n\r\n")

        def drop(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that has left."""

    server = Server(("127.0.0.1", 0), Handler)
    made = Provider(f"http://127.0.0.1:{server.server_address[1]}/v1", clock)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
