"""Who may: an ASGI wrapper for every port; in: requests; out: the app's answer, or 401, 403, 413 before the app sees anything.

Checked in this order: the Host header (a page whose own name is pointed at this address, DNS rebinding), the Origin header (a page of
another host), the bearer key when keys are set, the size of the body. Streams pass through untouched.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from configs.settings import Server, is_loopback
from server.errors import Forbidden, Invalid, PaperError, RateLimited, Unauthorized

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MIB = 1024 * 1024
IN_MEMORY_MIB = 32
TOO_LARGE = 413
POLICY_VIOLATION = 1008  # WebSocket close code


def openai_error(exc: PaperError) -> dict[str, Any]:
    """The body that an OpenAI client expects for an error."""
    return {"error": {"message": str(exc), "type": exc.type, "param": None, "code": exc.code}}


def error_headers(exc: PaperError) -> dict[str, str]:
    """The headers that belong to an error: Retry-After in whole seconds, WWW-Authenticate."""
    if isinstance(exc, RateLimited):
        return {"retry-after": str(max(1, math.ceil(exc.retry_after_s)))}
    return {"www-authenticate": "Bearer"} if isinstance(exc, Unauthorized) else {}


class Access:
    """Wraps an ASGI app. `open_paths` need no key; `body_limit_mib` None leaves the size to the app; `body` shapes the errors."""

    def __init__(
        self,
        app: App,
        server: Server,
        *,
        body_limit_mib: int | None = None,
        open_paths: Iterable[str] = ("/health",),
        body: Callable[[PaperError], Mapping[str, Any]] = openai_error,
    ) -> None:
        self._app = app
        self._keys = [key.get_secret_value().encode() for key in server.api_keys]
        self._names = {server.host.strip("[]").lower(), *(name.lower() for name in server.allowed_hosts)}
        self._any_address = server.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        self._limit = None if body_limit_mib is None else body_limit_mib * MIB
        self._open = frozenset(open_paths)
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        try:
            self._check(scope["path"], headers)
        except PaperError as exc:
            await self._refuse(scope, send, exc, exc.status)
            return
        if self._limit is None or scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")  # spooled to disk; all else is held in memory
            await self._limited(scope, receive, send, headers, self._limit if form else min(self._limit, IN_MEMORY_MIB * MIB))

    def _check(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        host = host_name(headers.get(b"host", b"").decode("latin-1"))
        if not (self._known(host) or (self._any_address and _is_address(host))):
            raise Forbidden(f"this server does not answer to the name {host!r}; if it is its name, add it to server.allowed_hosts")
        if b"origin" in headers:
            origin = headers[b"origin"].decode("latin-1")
            page = _origin_host(origin)
            if page != host and not self._known(page):
                raise Forbidden(f"pages of {origin!r} may not use this server; if they should, add their host to server.allowed_hosts")
        if self._keys and path not in self._open:
            scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
            given = key.strip() if scheme.lower() == b"bearer" else b""
            matches = [hmac.compare_digest(given, known) for known in self._keys]  # all of them, so that time tells nothing
            if not any(matches):
                raise Unauthorized("wrong API key" if given else "an API key is needed: send the header `Authorization: Bearer <key>`")

    def _known(self, host: str) -> bool:
        return bool(host) and (is_loopback(host) or host in self._names)

    async def _limited(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes], limit: int) -> None:
        length = headers.get(b"content-length", b"")
        read = int(length) if length.isdigit() else 0
        over, started = read > limit, False
        read = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read, over
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                over = over or read > limit
            return {"type": "http.disconnect"} if over else message

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if started or not over:
                started = True
                await send(message)

        try:
            if not over:
                await self._app(scope, counted, watched)
        except Exception:
            if not over or started:
                raise
        if over and not started:
            await self._refuse(scope, send, Invalid(f"the request is larger than {limit // MIB} MiB"), TOO_LARGE)

    async def _refuse(self, scope: Scope, send: Send, exc: PaperError, status: int) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": str(exc)})
            return
        body = json.dumps(self._body(exc), ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error_headers(exc)}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})


def host_name(header: str) -> str:
    """The name in a Host header, lower case, without port, brackets and the final dot; "" when there is none."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def _origin_host(origin: str) -> str:
    try:
        return (urlsplit(origin).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    """A number can't be rebound: no other page has it as its own name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
