"""A model that loads, made visible; in: the worker's sockets; out: 503 with how far it is on its port, and a line in its log every 3 s.

`POST /worker_get_status` (any path, any method) answers {"state": "loading", "model", "done", "total", "unit", "gib", "seconds"} until
the model is there; `total` is 0 while nothing is known. The answer after that is the worker's own, with status 200.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace, TracebackType
from typing import Any

from server.serving.private_network import may_ask

log = logging.getLogger(__name__)

LINE_S = 3.0  # between two lines in the log
QUIET_S = 2.0  # of a client that says nothing
LONGEST_BODY = 1 << 16
UNITS = {"Loading weights": "tensors", "Loading checkpoint shards": "shards"}  # transformers 5's bar, and that of 4


class Loading:
    """While it is entered, the sockets listen and tell how far the model is. `weights_bytes` is the size of its files."""

    def __init__(self, model: str, taken: list[socket.socket], peers: tuple[str, ...], weights_bytes: int) -> None:
        self.model = model
        self.weights_gib = weights_bytes / 2**30
        self.done, self.total, self.unit = 0, 0, ""
        self._started = time.monotonic()
        self._over = threading.Event()
        self._servers = [_server(each, peers, self.state) for each in taken]

    def state(self) -> dict[str, Any]:
        """What the port answers."""
        seconds = round(time.monotonic() - self._started, 1)
        counts = {"done": self.done, "total": self.total, "unit": self.unit}
        return {"state": "loading", "model": self.model, **counts, "gib": round(self.weights_gib, 3), "seconds": seconds}

    def __enter__(self) -> Loading:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self._write_lines, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        for server in self._servers:
            server.shutdown()  # the socket stays open: who connects now is served by the worker

    def bar(self) -> type[Any]:
        """A progress bar's class that tells us instead of drawing; for transformers and FastChat."""
        from tqdm import tqdm

        loading = self

        class Bar(tqdm):  # type: ignore[type-arg]  # generic in the stubs only
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **{**options, "file": io.StringIO(), "mininterval": 0.2, "disable": False})

            def display(self, msg: str | None = None, pos: int | None = None) -> None:
                loading.done, loading.total = int(self.n), int(self.total or 0)
                loading.unit = UNITS.get(str(self.desc or "").removesuffix(": "), "files")

        return Bar

    def hook(self, *modules: Any) -> None:
        """Let FastChat's `modules` and transformers, whichever version, show their bars here."""
        from transformers.utils import logging as transformers_logging

        transformers_logging.enable_progress_bar()
        transformers_logging.tqdm_lib = SimpleNamespace(tqdm=self.bar())
        for module in modules:
            module.tqdm = self.bar()

    def _write_lines(self) -> None:
        while not self._over.wait(LINE_S):
            log.info("%s", self.line())

    def line(self) -> str:
        """As in "loading qwen: 3 of 7 shards (14.2 GiB), 12 s"."""
        how_far = f"{self.done} of {self.total} {self.unit} " if self.total else ""
        return f"loading {self.model}: {how_far}({self.weights_gib:.1f} GiB), {time.monotonic() - self._started:.0f} s"


def _server(taken: socket.socket, peers: tuple[str, ...], state: Callable[[], dict[str, Any]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = QUIET_S

        def answer(self) -> None:
            length = self.headers.get("content-length", "0")
            if length.isdigit():
                self.rfile.read(min(int(length), LONGEST_BODY))
            body = json.dumps(state()).encode()
            self.send_response(503)
            for name, value in (("content-type", "application/json"), ("content-length", str(len(body))), ("retry-after", "1")):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            """A line for each question would drown the others."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def verify_request(self, request: Any, client_address: Any) -> bool:
            return may_ask(str(client_address[0]), peers)

        def handle_error(self, request: Any, client_address: Any) -> None:
            log.debug("a question while loading broke off", exc_info=True)

    taken.listen()
    server = Server(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = taken
    return server
