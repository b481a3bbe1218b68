"""The supervisor's control port, both ends; in: "start this model" from port 7861; out: what came of it.

It listens on loopback, on a port of the system's choice; address and secret reach the API by its environment and nobody else.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from server.errors import BackendFailed, Cancelled, Conflict, Invalid, ModelNotFound, PaperError, Unauthorized, Unavailable

URL, SECRET = "PAPERPROOF_CONTROL_URL", "PAPERPROOF_CONTROL_SECRET"  # environment variables
BODY_LIMIT = 1 << 16  # bytes; names are short
CONNECT_S = 2.0
LONGEST_S = 3600.0  # 13 GB may have to be fetched and read first
_ERRORS: dict[int, type[PaperError]] = {
    kind.status: kind for kind in (Invalid, Unauthorized, ModelNotFound, Conflict, Cancelled, Unavailable, BackendFailed)
}

Wish = Callable[[Mapping[str, str], "Future[Any]"], None]


class ControlPort:
    """Serves `wishes` by name until closed. Each is called in a thread, with the request and the future that answers it."""

    def __init__(self, wishes: Mapping[str, Wish]) -> None:
        self._secret = secrets.token_urlsafe(32)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(wishes))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="control", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """For the process that may use it."""
        return {URL: f"http://127.0.0.1:{self._server.server_address[1]}", SECRET: self._secret}

    def close(self) -> None:
        """No further requests; those under way are answered by whoever has their future."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, wishes: Mapping[str, Wish]) -> type[BaseHTTPRequestHandler]:
        secret = self._secret

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0  # seconds for the request to arrive

            def do_POST(self) -> None:
                try:
                    self._reply(200, self._answer())
                except PaperError as exc:
                    self._reply(exc.status, {"message": str(exc)})

            def _answer(self) -> object:
                given = self.headers.get("authorization", "").removeprefix("Bearer ")
                if not hmac.compare_digest(given.encode(), secret.encode()):
                    raise Unauthorized("the control port serves the API that startup.py started")
                wish = wishes.get(self.path.strip("/"))
                length = self.headers.get("content-length", "")
                if wish is None or not length.isdigit() or int(length) > BODY_LIMIT:
                    raise Invalid(f"no wish {self.path[:80]!r}, or no body of at most {BODY_LIMIT} bytes")
                try:
                    body = json.loads(self.rfile.read(int(length)))
                except ValueError as exc:
                    raise Invalid(f"the body is not valid JSON: {exc}") from exc
                done: Future[Any] = Future()
                wish(body if isinstance(body, dict) else {}, done)
                return done.result()

            def _reply(self, status: int, body: object) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """The wishes log what they do."""

        return Handler


class Control:
    """The end of port 7861. Without the supervisor's environment every method raises Unavailable."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._url, self._secret = environment.get(URL, ""), environment.get(SECRET, "")

    @classmethod
    def of_this_process(cls) -> Control:
        """Takes address and secret out of the environment, so that children, such as the readers of papers, do not get them."""
        return cls({name: os.environ.pop(name, "") for name in (URL, SECRET)})

    @property
    def there(self) -> bool:
        """Whether this process was started by startup.py."""
        return bool(self._url)

    def states(self) -> list[dict[str, Any]]:
        """Every local model: name, state, reason, address, log, seconds_to_load, memory_mib, source, engine."""
        return list(self._ask("states", {}))

    def start(self, name: str) -> None:
        """Returns when the model can be asked. Raises ModelNotFound, Conflict, or Unavailable saying why it does not load."""
        self._ask("start", {"name": name})

    def stop(self, name: str) -> None:
        """Returns when its worker has ended. Raises ModelNotFound, Conflict, or Invalid when it does not run."""
        self._ask("stop", {"name": name})

    def change(self, old: str, new: str) -> None:
        """Returns when `new` can be asked instead of `old`. When that fails, `old` runs again, and Unavailable says why."""
        self._ask("change", {"old": old, "new": new})

    def _ask(self, wish: str, body: Mapping[str, str]) -> Any:
        if not self._url:
            raise Unavailable("models are started and stopped by startup.py, and this API was started without it")
        try:
            timeout = httpx2.Timeout(LONGEST_S, connect=CONNECT_S)
            headers = {"authorization": f"Bearer {self._secret}"}
            with httpx2.Client(trust_env=False, timeout=timeout, headers=headers) as http:
                response = http.post(f"{self._url}/{wish}", json=dict(body))
            answer = response.json()
        except (httpx2.HTTPError, ValueError) as exc:
            raise Unavailable(f"startup.py does not answer ({type(exc).__name__})") from exc
        if response.status_code != 200:
            raise _ERRORS.get(response.status_code, BackendFailed)(str(answer.get("message", "")))
        return answer
