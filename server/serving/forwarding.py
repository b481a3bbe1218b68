"""One OpenAI-compatible server behind us; in: a request; out: its answer, or its events, byte for byte; its errors as ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from server.errors import BackendFailed, Unavailable
from server.serving.openai_chunks import whole_events
from server.serving.openai_errors import upstream_error


@dataclass(frozen=True, slots=True)
class Forwarding:
    """`base_url` ends where /chat/completions begins. `own_key`: the headers hold a key of ours, not the client's."""

    who: str
    base_url: str
    client: httpx2.AsyncClient
    timeout: httpx2.Timeout
    headers: Mapping[str, str] = field(default_factory=dict)
    own_key: bool = False

    async def answer(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The whole answer, JSON."""
        try:
            response = await self.client.send(self._request(path, body))
        except httpx2.HTTPError as exc:
            raise self._failure(exc) from exc
        self._check(response, response.content, "json")
        return response.content

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """Whole events as they come. Closing the generator closes the connection."""
        try:
            response = await self.client.send(self._request(path, body), stream=True)
            try:
                if response.status_code != 200:
                    self._check(response, await response.aread(), "")
                self._check(response, b"", "event-stream")
                async for event in whole_events(response.aiter_bytes()):
                    yield event
            finally:
                await response.aclose()
        except httpx2.HTTPError as exc:
            raise self._failure(exc) from exc

    def _request(self, path: str, body: Mapping[str, Any]) -> httpx2.Request:
        headers = {"content-type": "application/json", **self.headers}
        content = json.dumps(body, ensure_ascii=False).encode()
        return self.client.build_request("POST", f"{self.base_url}{path}", content=content, headers=headers, timeout=self.timeout)

    def _check(self, response: httpx2.Response, content: bytes, kind: str) -> None:
        if response.status_code != 200:
            raise upstream_error(self.who, response.status_code, response.headers, content, own_key=self.own_key)
        media_type = response.headers.get("content-type", "")
        if kind not in media_type:
            raise BackendFailed(f"{self.who} answered with {media_type or 'nothing known'} instead of {kind}; is its address right?")

    def _failure(self, exc: httpx2.HTTPError) -> Unavailable:
        if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
            return Unavailable(f"{self.who} cannot be reached at {self.base_url}: {exc or type(exc).__name__}")
        if isinstance(exc, httpx2.TimeoutException):
            return BackendFailed(f"{self.who} was silent for {self.timeout.read or 0:g} s")
        return BackendFailed(f"{self.who} broke off its answer ({type(exc).__name__})")
