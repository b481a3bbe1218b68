"""A client's request to an endpoint -> the same request for one key (address, headers, form), and a bound of the tokens that it costs.

Only addresses below the endpoint's base URL are taken, and only those of settings and keys file are asked.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

import httpx2

from configs.endpoints import Endpoint
from server.errors import Forbidden, Invalid
from server.llm.keys.key_file import KeyEntry

TEMPLATE_TOKENS = 64  # what a chat template may put in front by itself
ANSWER_TOKENS = 4096  # reserved for an answer that has no limit of its own
_TOTAL = re.compile(rb'"total_tokens"\s*:\s*(\d+)')
_TAIL = 64  # bytes in which the name and its number fit
_OURS = ("host", "content-length", "transfer-encoding", "authorization", "api-key", "openai-organization", "openai-project", "cookie")


class Outgoing:
    """One request, ready to be sent with any key.

    Raises Forbidden for an address that is not the endpoint's, and Invalid where Azure's form needs a model and there is none.
    """

    def __init__(self, endpoint: Endpoint, request: httpx2.Request, body: bytes) -> None:
        home = httpx2.URL(endpoint.base_url)
        below, path = (url.raw_path.decode().partition("?")[0] for url in (home, request.url))
        below = below.rstrip("/")
        same = (request.url.scheme, request.url.host, request.url.port) == (home.scheme, home.host, home.port)
        if not same or not path.startswith(f"{below}/") or ".." in request.url.path.split("/"):
            raise Forbidden(f"{request.url.scheme}://{request.url.host}{path} is no address of the endpoint at {endpoint.base_url}")
        self._endpoint = endpoint
        self._request = request
        self._body = body
        self._path = path[len(below) :]
        asked = _object(body)
        self.model = str(asked.get("model", ""))
        if endpoint.api == "azure" and not self.model:
            raise Invalid(f"a request to {self._path} names no model, and Azure wants its deployment in the address")
        self.streams = asked.get("stream") is True
        self.tokens = tokens_bound(body, asked, answers=not self._path.endswith("/embeddings")) if body else 0

    def with_key(self, entry: KeyEntry | None) -> httpx2.Request:
        """The request as this key's service takes it."""
        endpoint = self._endpoint
        base = ((entry.base_url if entry else None) or endpoint.base_url).rstrip("/")
        headers = httpx2.Headers([(name, value) for name, value in self._request.headers.items() if name.lower() not in _OURS])
        if self.streams:
            headers["accept-encoding"] = "identity"  # so that the usage at its end can be read
        query = self._request.url.params
        if endpoint.api == "azure":
            base += f"/deployments/{urllib.parse.quote(endpoint.deployments.get(self.model, self.model), safe='')}"
            query = query.set("api-version", endpoint.api_version)
        if entry is not None:
            secret = entry.key.get_secret_value()
            headers.update({"api-key": secret} if endpoint.api == "azure" else {"authorization": f"Bearer {secret}"})
            if entry.organization:
                headers["openai-organization"] = entry.organization
        url = httpx2.URL(f"{base}{self._path}", params=query) if query else httpx2.URL(f"{base}{self._path}")
        return httpx2.Request(self._request.method, url, headers=headers, content=self._body, extensions=dict(self._request.extensions))


def tokens_bound(body: bytes, asked: Mapping[str, Any], *, answers: bool) -> int:
    """At least the tokens of the texts in a request and, where it `answers` in tokens, of its answer.

    No token of a byte-level or byte-fallback tokenizer is shorter than a byte, so the bytes of the JSON are a bound; its braces and names
    pay for what a template puts between messages. English has about 4 bytes a token: what is too much comes back with the answer's `usage`.
    Pictures that are given by address are the exception.
    """
    if not answers:
        return len(body) + TEMPLATE_TOKENS
    limit = next((asked[name] for name in ("max_completion_tokens", "max_tokens", "max_output_tokens") if _is_count(asked.get(name))), None)
    count = max([asked[name] for name in ("n", "best_of") if _is_count(asked.get(name))], default=1)
    return len(body) + TEMPLATE_TOKENS + (ANSWER_TOKENS if limit is None else limit) * count


class UsageMeter:
    """Reads `total_tokens` out of an answer that passes by in pieces; `total` is the last one named."""

    def __init__(self) -> None:
        self.total: int | None = None
        self._tail = b""

    def feed(self, piece: bytes) -> bytes:
        """The piece itself."""
        window = self._tail + piece
        at = window.rfind(b'"total_tokens"')
        found = _TOTAL.match(window, at) if at >= 0 else None
        if found:
            self.total = int(found[1])
        self._tail = window[-_TAIL:]
        return piece


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
