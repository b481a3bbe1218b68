"""What the controller may be told; in: a request that names a worker; out: the same to FastChat's controller, or 400, or 403.

FastChat's controller believes every address that it is given, and sends requests there when it refreshes its list: whoever reaches it
could make it ask any server. So a worker's address is http, an address of this machine or of the sender itself, and short.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from configs.settings import is_loopback
from server.access import App, Receive, Scope, Send, openai_error
from server.errors import Forbidden, Invalid, PaperError
from server.serving.private_network import inside

LONGEST_NAME = 300  # characters of a model's or a worker's name
MOST_MODELS = 100  # that one worker serves
_CHECKED = ("/register_worker", "/receive_heart_beat")


class Registrations:
    """Wraps FastChat's controller. `networks` are those whose machines may bring workers."""

    def __init__(self, app: App, networks: tuple[str, ...]) -> None:
        self._app = app
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http" or scope["path"] not in _CHECKED:
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        try:
            told = _object(body)
            registering = scope["path"] == _CHECKED[0]
            check_worker(told.get("worker_name"), scope["client"][0] if registering else "", self._networks)
            if registering:
                _check_status(told.get("worker_status"))
        except PaperError as exc:
            await JSONResponse(openai_error(exc), exc.status)(scope, receive, send)
            return
        rest = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Any:
            return next(rest, None) or await receive()

        await self._app(scope, again, send)


def check_worker(name: object, sender: str, networks: tuple[str, ...]) -> None:
    """Raises Invalid when `name` is no worker's address, Forbidden when it is not for `sender` to bring; "": for anybody."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        raise Invalid(f"worker_name must be a URL of at most {LONGEST_NAME} characters, such as http://127.0.0.1:20002")
    try:
        url = urlsplit(name)
        port = url.port
    except ValueError:
        port = None
    if port is None or name not in (f"http://{url.netloc}", f"http://{url.netloc}/") or "@" in url.netloc:
        raise Invalid(f"worker_name must be http, an address and a port, such as http://127.0.0.1:20002, not {name!r}")
    host = url.hostname or ""
    if is_loopback(host) and (not sender or inside(sender, ("127.0.0.0/8", "::1/128"))):
        return
    if not inside(host, networks):
        raise Forbidden(
            f"a worker at {host} is refused: workers run on this machine or in server.worker_networks, {networks or 'none named'}"
        )
    if sender and not inside(sender, (host,)):
        raise Forbidden(f"{sender} may bring a worker at its own address, not at {host}")


def _check_status(status: object) -> None:
    """None makes FastChat ask the worker itself."""
    if status is None:
        return
    names = status.get("model_names") if isinstance(status, Mapping) else None
    if not isinstance(names, list) or not names or len(names) > MOST_MODELS or not all(_is_name(name) for name in names):
        raise Invalid(f"worker_status.model_names must be a list of 1 to {MOST_MODELS} names of at most {LONGEST_NAME} characters")
    if not isinstance(status, Mapping) or not all(_is_number(status.get(key)) for key in ("speed", "queue_length")) or not status["speed"]:
        raise Invalid("worker_status must have the numbers speed (above 0) and queue_length")


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value >= 0


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Invalid("the body must be a JSON object with worker_name")
    return told
