"""POST to an embeddings endpoint; in: a body; out: the JSON of its answer, or an error of ours. Keys and rests are the pool's matter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from server.errors import BackendFailed, Invalid, ModelNotFound, PaperError, RateLimited, Unavailable
from server.llm.keys.pool import KeyPool
from server.llm.keys.rate_headers import retry_after_s
from server.llm.keys.verdicts import said

if TYPE_CHECKING:
    import httpx2


class Refused(Invalid):
    """The endpoint does not take this body: too many texts, one too long, or something else that it says."""


class Poster:
    """Speaks to one endpoint. Thread-safe; `wait` sleeps, in seconds."""

    def __init__(self, pool: KeyPool, wait: Callable[[float], None] = time.sleep) -> None:
        self._pool = pool
        self._wait = wait

    def client(self, patience_s: float, tick: Callable[[], None] = lambda: None) -> httpx2.Client:
        """One HTTP client, for the requests of one call; close it. `tick` is called while it rests, and may raise to give up."""
        from server.llm.keys.transport import client

        return client(self._pool, patience_s=patience_s, tick=tick, wait=self._wait)

    def post(self, http: httpx2.Client, body: dict[str, Any]) -> Any:
        """The endpoint's JSON.

        Raises Refused for a body it does not take, RateLimited and Unavailable when the client's patience was too short, ModelNotFound,
        and BackendFailed when every key is refused or used up, or the answer is no JSON.
        """
        import httpx2

        label, endpoint = self._pool.label, self._pool.endpoint
        try:
            answer = http.post(f"{endpoint.base_url.rstrip('/')}/embeddings", json=body)
            if answer.status_code == 200:
                return answer.json()
        except httpx2.TimeoutException as exc:
            raise Unavailable(f"the endpoint {label!r} did not answer in {endpoint.timeout_s:g} s") from exc
        except httpx2.TransportError as exc:
            raise Unavailable(f"the endpoint {label!r} cannot be reached: {exc}") from exc
        except ValueError as exc:
            raise BackendFailed(f"the endpoint {label!r} answered with something that is not JSON") from exc
        raise self._error(answer, str(body["model"]))

    def _error(self, answer: httpx2.Response, model: str) -> PaperError:
        label, status, message = self._pool.label, answer.status_code, said(answer.content)
        if status in (401, 403):
            return BackendFailed(
                f"the endpoint {label!r} refuses the key in {self._pool.endpoint.api_key_env} or in llm.keys_file: {message}"
            )
        if status == 429 and "insufficient_quota" in answer.text:
            return BackendFailed(f"{label}: {message}")
        if status == 429:
            return RateLimited(f"{label}: {message}", retry_after_s(answer.headers) or 1.0)
        if status == 404:
            return ModelNotFound(f"the endpoint {label!r} does not know {model!r} at {answer.url}: {message}")
        told = f"the endpoint {label!r} answered {status}: {message}"
        return Unavailable(told) if status >= 500 or status in (408, 409) else Refused(told)
