"""POST to an embeddings endpoint; in: a body; out: the JSON of its answer, or an error of ours; busy endpoints are asked again.

429, 5xx and broken connections are tried again after the time that Retry-After names, else after 1, 2, 4 … 30 seconds, within the
caller's patience. A key that is refused or a quota that is used up is not: asking again would not help.
"""

from __future__ import annotations

import email.utils
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from configs.settings import Endpoint
from server.errors import BackendFailed, Invalid, ModelNotFound, PaperError, RateLimited, Unavailable

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)
LONGEST_REST_S = 30.0  # without Retry-After
SLICE_S = 0.5  # so often a rest looks whether it was cancelled
AGAIN = (408, 409, 429, 500, 502, 503, 504, 529)


class Refused(Invalid):
    """The endpoint does not take this body: too many texts, one too long, or something else that it says."""


class Poster:
    """Speaks to one endpoint. Thread-safe; `wait` sleeps, in seconds."""

    def __init__(self, label: str, endpoint: Endpoint, key: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._label = label
        self._endpoint = endpoint
        self._headers = {"Authorization": f"Bearer {key}"}
        self._wait = wait

    def client(self) -> httpx2.Client:
        """One HTTP client, for the requests of one call; close it."""
        import httpx2

        return httpx2.Client(proxy=self._endpoint.proxy, timeout=self._endpoint.timeout_s, headers=self._headers)

    def post(self, http: httpx2.Client, body: dict[str, Any], patience_s: float, tick: Callable[[], None]) -> Any:
        """The endpoint's JSON. `tick` is called while it rests, and may raise to give up.

        Raises Refused for a body it does not take, RateLimited and Unavailable when the rests would exceed `patience_s`, ModelNotFound,
        and BackendFailed when the key is refused or the answer is no JSON.
        """
        import httpx2

        url = f"{self._endpoint.base_url.rstrip('/')}/embeddings"
        rested, rest = 0.0, 1.0
        while True:
            wished: float | None = None
            try:
                answer = http.post(url, json=body)
                if answer.status_code == 200:
                    return answer.json()
                error = self._error(answer, str(body["model"]))
                if answer.status_code not in AGAIN or isinstance(error, BackendFailed):
                    raise error
                wished = _retry_after(answer)
            except httpx2.TimeoutException:
                error = Unavailable(f"the endpoint {self._label!r} did not answer in {self._endpoint.timeout_s:g} s")
            except httpx2.TransportError as exc:
                error = Unavailable(f"the endpoint {self._label!r} cannot be reached: {exc}")
            except ValueError as exc:
                raise BackendFailed(f"the endpoint {self._label!r} answered with something that is not JSON") from exc
            pause = rest if wished is None else wished
            if rested + pause > patience_s:
                raise RateLimited(str(error), pause) if isinstance(error, RateLimited) else error
            log.info("rests endpoint=%s seconds=%.1f reason=%s", self._label, pause, error)
            self._rest(pause, tick)
            rested, rest = rested + pause, min(rest * 2, LONGEST_REST_S)

    def _rest(self, seconds: float, tick: Callable[[], None]) -> None:
        while seconds > 0:
            tick()
            self._wait(min(SLICE_S, seconds))
            seconds -= SLICE_S

    def _error(self, answer: httpx2.Response, model: str) -> PaperError:
        status, message = answer.status_code, _message(answer)
        said = f"the endpoint {self._label!r} answered {status}: {message}"
        if status in (401, 403):
            return BackendFailed(f"the endpoint {self._label!r} refuses the key in {self._endpoint.api_key_env}: {message}")
        if status == 429 and "insufficient_quota" in answer.text:
            return BackendFailed(f"the quota of the endpoint {self._label!r} is used up: {message}")
        if status == 429:
            return RateLimited(said)
        if status == 404:
            return ModelNotFound(f"the endpoint {self._label!r} does not know {model!r} at {answer.url}: {message}")
        return Refused(said) if 400 <= status < 500 and status not in AGAIN else Unavailable(said)


def _message(answer: httpx2.Response) -> str:
    """What the endpoint says is wrong, in one line of at most 300 characters."""
    try:
        error = answer.json()
        error = error.get("error", error) if isinstance(error, dict) else error
        text = error.get("message", error) if isinstance(error, dict) else error
    except ValueError:
        text = answer.text
    return " ".join(str(text).split())[:300] or "nothing"


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds; the header holds seconds or a date."""
    said = answer.headers.get("retry-after")
    if said is None:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None
