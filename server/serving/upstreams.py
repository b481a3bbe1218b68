"""Which server answers for a model; in: its name; out: the worker, the endpoint, or port 7861, ready to be asked.

`kb/…` and embeddings go to port 7861; a model of an endpoint goes there; every other name is looked for behind the FastChat controller.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

import httpx2

from configs.settings import Settings, local_url
from server.errors import ModelNotFound, PaperError, Unavailable
from server.llm.keys.of_settings import Keys
from server.llm.keys.transport import async_client
from server.serving.fastchat import CONNECT_S, SILENCE_S, FastChat, WorkerStatus, refused
from server.serving.fastchat_upstream import FastChatUpstream
from server.serving.forwarding import Forwarding
from server.serving.local_models import controller_of
from server.serving.openai_errors import upstream_error

log = logging.getLogger(__name__)

LIBRARY = "kb/"
ATTEMPTS = 8  # questions to the controller for one request
LIST_S = 2.0
ENDPOINT_CONNECT_S = 10.0
_LOCAL_TIMEOUT = httpx2.Timeout(SILENCE_S, connect=CONNECT_S, pool=None)
# An idle connection is dropped before any server (5 s by uvicorn's default) closes it under our hands.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=3.0)


class Upstream(Protocol):
    """A server that answers in OpenAI's protocol. `path` begins behind /v1."""

    async def answer(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The whole answer, JSON."""

    def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """Server-sent events as they come."""


class Upstreams:
    """All servers behind the gateway. Close it at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local = httpx2.AsyncClient(trust_env=False, limits=_LIMITS)
        self._online: dict[str, httpx2.AsyncClient] = {}
        self._keys = Keys(settings)
        self._fastchat = FastChat(controller_of(settings), self._local)
        self._api = f"{local_url(settings.server.host, settings.server.api_port)}/api/v1"
        self._endpoints = {model: name for name, endpoint in settings.llm.endpoints.items() for model in endpoint.models}
        self._last: dict[str, str] = {}  # model: the worker that answered last, for while the controller is away or new
        self._seen: set[str] = set()  # models that a worker served once
        self._started = int(time.time())

    async def aclose(self) -> None:
        """Close all connections."""
        for client in (self._local, *self._online.values()):
            await client.aclose()

    async def models(self, authorization: str) -> list[dict[str, Any]]:
        """OpenAI's list: served local models, models of endpoints, and what port 7861 adds while it runs."""
        served, libraries = await asyncio.gather(self._served(), self._libraries(authorization))
        owners = {**self._endpoints, **dict.fromkeys(served, "local")}
        ours = [{"id": name, "object": "model", "created": self._started, "owned_by": owner} for name, owner in sorted(owners.items())]
        return [*ours, *(entry for entry in libraries if entry["id"] not in owners)]

    async def chat(self, model: str, authorization: str) -> Upstream:
        """Who answers chats and completions of `model`. Raises ModelNotFound naming the known ones, or Unavailable."""
        if model.startswith(LIBRARY):
            return self.api(authorization)
        if model in self._endpoints and model not in self._settings.llm.local:
            return self._endpoint(self._endpoints[model])
        return await self._worker(model, authorization)

    def embeddings(self, model: str, authorization: str) -> Upstream:
        """Who makes embeddings: the endpoint that lists the model, else port 7861."""
        return self._endpoint(self._endpoints[model]) if model in self._endpoints else self.api(authorization)

    def api(self, authorization: str) -> Upstream:
        """Port 7861, asked with the client's own key."""
        headers = {"authorization": authorization} if authorization else {}
        return Forwarding("the knowledge-base API", self._api, self._local, _LOCAL_TIMEOUT, headers)

    def _endpoint(self, name: str) -> Upstream:
        endpoint = self._settings.llm.endpoints[name]
        timeout = httpx2.Timeout(endpoint.timeout_s, connect=ENDPOINT_CONNECT_S, pool=None)
        return Forwarding(f"endpoint {name}", endpoint.base_url.rstrip("/"), self._client(name), timeout, own_key=True)

    def _client(self, name: str) -> httpx2.AsyncClient:
        if name not in self._online:  # made late: reading certificates takes 30 ms each
            self._online[name] = async_client(self._keys.pool(name), limits=_LIMITS)
        return self._online[name]

    async def _worker(self, model: str, authorization: str) -> Upstream:
        try:
            address, status = await self._living(model)
        except Unavailable as exc:
            if model in self._settings.llm.local or model in self._seen:
                raise
            raise ModelNotFound(f"unknown model {model!r}; known: {await self._known(authorization)}") from exc
        self._last[model] = address
        self._seen.add(model)
        if status.openai:
            return Forwarding(f"worker {address}", f"{address}/v1", self._local, _LOCAL_TIMEOUT)
        return FastChatUpstream(self._fastchat, address, status, model)

    async def _living(self, model: str) -> tuple[str, WorkerStatus]:
        """A worker that answers. The controller names dead ones for up to 90 s, so each is asked, and it is told to look."""
        trouble: Unavailable | None = None
        dead: set[str] = set()
        for _ in range(ATTEMPTS):
            try:
                address = await self._fastchat.address(model)
            except Unavailable as exc:
                trouble, address = exc, ""
            address = address or self._last.get(model, "")
            if not address:
                break
            if address in dead:
                continue  # each time it is named the controller adds one to its queue, so another's turn comes
            try:
                status = await self._fastchat.status(address)
                if model in status.models:
                    return address, status
            except Unavailable as exc:
                trouble = exc
                if refused(exc):  # asking a controller to look at a hung worker would make it hang for 5 s itself
                    await self._refresh()
            log.warning("worker=%s model=%s does not answer", address, model)
            dead.add(address)
            self._last.pop(model, None)
        why = f" ({trouble})" if trouble else ""
        logs = self._settings.paths.logs
        raise Unavailable(f"no worker serves {model} right now{why}; it is starting, or it stopped: the logs are in {logs}")

    async def _refresh(self) -> None:
        try:
            await self._fastchat.refresh()
        except Unavailable as exc:
            log.warning("controller not refreshed error=%s", exc)

    async def _known(self, authorization: str) -> str:
        names = [entry["id"] for entry in await self.models(authorization)]
        starting = [f"{name} (not served now)" for name in sorted(self._settings.llm.local) if name not in names]
        return ", ".join([*names, *starting]) or "none"

    async def _served(self) -> tuple[str, ...]:
        try:
            return await self._fastchat.models()
        except Unavailable as exc:
            log.warning("local models not listed error=%s", exc)
            return ()

    async def _libraries(self, authorization: str) -> list[dict[str, Any]]:
        headers = {"authorization": authorization} if authorization else {}
        try:
            response = await self._local.get(f"{self._api}/models", headers=headers, timeout=httpx2.Timeout(LIST_S, connect=CONNECT_S))
            if response.status_code != 200:
                raise upstream_error("port 7861", response.status_code, response.headers, response.content, own_key=False)
            entries = response.json()["data"]
            return [entry for entry in entries if isinstance(entry.get("id"), str)]
        except httpx2.HTTPError:
            return []  # not started, which is a way to run this
        except (PaperError, ValueError, KeyError, TypeError, AttributeError) as exc:
            log.warning("libraries not listed error=%s", exc)
            return []
