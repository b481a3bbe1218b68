"""Which server answers for a model; in: its name; out: the worker, the endpoint, or port 7861, ready to be asked.

`kb/…` and embeddings go to port 7861; a model of an endpoint goes there; every other name is looked for behind the FastChat controller.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import httpx2

from configs.settings import Settings, local_url
from server.errors import ModelNotFound, PaperError, Unavailable
from server.llm.keys.of_settings import Keys
from server.llm.keys.transport import async_client
from server.serving.fastchat import CONNECT_S, FastChat
from server.serving.forwarding import Forwarding
from server.serving.openai_errors import upstream_error
from server.serving.workers import LOCAL_TIMEOUT, AnyWorker, Upstream, Workers

log = logging.getLogger(__name__)

LIBRARY = "kb/"
LIST_S = 2.0
ENDPOINT_CONNECT_S = 10.0
# An idle connection is dropped before any server (5 s by uvicorn's default) closes it under our hands.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=3.0)


class Upstreams:
    """All servers behind the gateway. Close it at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local = httpx2.AsyncClient(trust_env=False, limits=_LIMITS)
        self._online: dict[str, httpx2.AsyncClient] = {}
        self._keys = Keys(settings)
        self._fastchat = FastChat(settings.controller_url(), self._local)
        self._workers = Workers(self._fastchat, self._local)
        self._api = f"{local_url(settings.server.host, settings.server.api_port)}/api/v1"
        self._endpoints = {model: name for name, endpoint in settings.llm.endpoints.items() for model in endpoint.models}
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
        return Forwarding("the knowledge-base API", self._api, self._local, LOCAL_TIMEOUT, headers)

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
            found = await self._workers.find(model)
        except Unavailable as exc:
            if model in self._settings.llm.local or model in self._seen:
                raise Unavailable(f"{exc}; it is starting, or it stopped: the logs are in {self._settings.paths.logs}") from exc
            raise ModelNotFound(f"unknown model {model!r}; known: {await self._known(authorization)}") from exc
        self._seen.add(model)
        return AnyWorker(self._workers, model, found)

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
