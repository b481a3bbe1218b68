"""One request's way through the keys; in: answers and failures; out: what to do next (send with a key, rest, end). No input or output here.

A key that is refused, used up or limited is left for another at once. 5xx, broken connections and silence are tried again on another key,
or on the same when there is no other, after a random rest below 0.5, 1, 2, 4 … 30 s ("full jitter": M. Brooker, Exponential Backoff And
Jitter, AWS 2015). Once every key was tried, no try begins later than the patience after the request came: so a request ends within its
patience and the timeout of its last try. A bulk run (`patient`) does not count the time in which no key is free.
"""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import httpx2

from server.llm.keys.key import Key
from server.llm.keys.key_file import KeyEntry
from server.llm.keys.outgoing import Outgoing, UsageMeter
from server.llm.keys.pool import Busy, KeyPool, Lease
from server.llm.keys.rate_headers import rest_s, retry_after_s
from server.llm.keys.verdicts import said, verdict

log = logging.getLogger(__name__)

BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
SECRET_CHARS = 8
SLICE_S = 0.5  # the longest rest at a time: then it is looked whether the caller gave up, or the keys file has changed
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol)
_CODED = ("content-encoding", "content-length", "transfer-encoding", "connection")


class Attempts:
    """A context: leaving it ends the waiting."""

    def __init__(self, pool: KeyPool, outgoing: Outgoing, patience_s: float, patient: bool) -> None:
        self.outgoing = outgoing
        self._pool = pool
        self._patient = patient
        self._deadline = pool.clock() + patience_s
        self._not_before = -math.inf
        self._tries = 0
        self._failures = 0
        self._avoid: set[Key] = set()
        self._waits = False
        self._last = ""  # what a service said last about a limit
        self._failure: httpx2.Response | httpx2.TransportError | None = None  # the last one
        self._rested_from: float | None = None  # a bulk run's rest, which its patience does not pay for

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_: object) -> None:
        self._set_waiting(False)

    def next(self) -> Lease | float | httpx2.Response:
        """A lease to send the request with, seconds to rest before asking again, or the response that ends it. Raises the last failure."""
        now = self._pool.clock()
        if self._rested_from is not None:
            self._deadline += now - self._rested_from
            self._rested_from = None
        limited = (429,) if self._patient else ()
        if now > self._deadline and self._tries >= self._pool.size and self._failure is not None and not _of_key(self._failure, *limited):
            return _ended(self._failure)
        if now < self._not_before:
            return min(SLICE_S, self._not_before - now)
        taken = self._pool.take(self.outgoing.model, self.outgoing.tokens, self._avoid)
        if isinstance(taken, Lease):
            self._set_waiting(False)
            self._tries += 1
            return taken
        if not self._patient and (taken.free_in_s is None or now + taken.free_in_s > self._deadline):
            return self._over(taken)
        self._set_waiting(True)
        free_in_s = math.inf if taken.free_in_s is None else taken.free_in_s
        if self._patient and now + free_in_s > self._deadline:
            self._pool.tell_waits(taken)
        queued = self._pool.jitter(0, taken.spacing_s * (self._pool.waiting - 1))  # so that not all who wait wake up for one key
        pause = min(SLICE_S, free_in_s + queued)
        self._rested_from = now if self._patient else None
        return pause

    def answered(self, lease: Lease, answer: httpx2.Response) -> httpx2.Response | None:
        """A whole answer: the response for the client, or None when `next` knows what to do."""
        body = answer.content
        what = verdict(answer.status_code, body)
        if answer.status_code >= 400:
            body = _without(lease.key.entry, body)
        why = said(body) if what != "passed" else ""
        if what in ("passed", "final"):
            meter = UsageMeter()
            meter.feed(body)
            lease.finish(tokens=0 if what == "final" else meter.total)
            lease.answered()
        else:
            lease.finish(tokens=None if what == "again" else 0)
        lease.learn(answer.headers)
        headers = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _CODED]
        response = httpx2.Response(answer.status_code, headers=headers, content=body)
        if what in ("passed", "final"):
            return response
        self._last, self._failure = why, response
        lease.failed()
        if what == "limited":
            lease.rest(rest_s(answer.headers), why)
        elif what in ("refused", "used up"):
            lease.put_aside(what, why)
        elif what == "elsewhere":
            return self._elsewhere(lease, response)
        else:
            self._failed(lease, f"{answer.status_code} {why}")
            if (wished := retry_after_s(answer.headers)) is not None:
                lease.rest(wished, why)
        return response if what == "again" and self._too_late() else None

    def broke(self, lease: Lease, exc: httpx2.TransportError) -> None:
        """No answer, or half of one. Raises `exc` when it is too late for another try."""
        lease.failed()
        unsent = isinstance(exc, _UNSENT)
        lease.finish(requests=0 if unsent else 1, tokens=0 if unsent else None)
        self._failure = exc
        self._failed(lease, f"{type(exc).__name__} {exc}")
        if self._too_late():
            raise exc

    def _failed(self, lease: Lease, why: str) -> None:
        self._avoid.add(lease.key)
        pause = self._pool.jitter(0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0**self._failures))
        self._failures += 1
        self._not_before = self._pool.clock() + pause
        log.info("tries again endpoint=%s key=%s seconds=%.1f reason=%s", self._pool.label, lease.key.name, pause, why)

    def _elsewhere(self, lease: Lease, response: httpx2.Response) -> httpx2.Response | None:
        """Another key may use this model: each is asked once."""
        again = lease.key in self._avoid
        self._avoid.add(lease.key)
        return response if again or len(self._avoid) >= self._pool.size else None

    def _too_late(self) -> bool:
        return self._not_before > self._deadline

    def _set_waiting(self, waits: bool) -> None:
        if waits != self._waits:
            self._waits = waits
            self._pool.waits(1 if waits else -1)

    def _over(self, busy: Busy) -> httpx2.Response:
        """No key is free in time. What the service said about itself says more than that."""
        if self._failure is not None and (busy.free_in_s is None or not _of_key(self._failure, 429)):
            return _ended(self._failure)
        who, last = f"the endpoint {self._pool.label!r}", f": {self._last}" if self._last else ""
        if busy.free_in_s is None:
            names = ", ".join(key.name for key in self._pool.state())
            return _response(
                401, f"{who} refuses every key that it was given ({names}){last}", "authentication_error", "invalid_api_key", {}
            )
        wait_s = max(1, math.ceil(busy.free_in_s))
        quota = busy.used_up and not busy.resting
        why = f"the quota of every key of {who} is used up" if quota else f"no key of {who} is free ({busy})"
        code = "insufficient_quota" if quota else "rate_limit_exceeded"
        kind = "insufficient_quota" if quota else "rate_limit_error"
        return _response(429, f"{why}, try again in {wait_s} s{last}", kind, code, {"retry-after": str(wait_s)})


def _ended(failure: httpx2.Response | httpx2.TransportError) -> httpx2.Response:
    if isinstance(failure, httpx2.TransportError):
        raise failure
    return failure


def _of_key(failure: httpx2.Response | httpx2.TransportError, *more: int) -> bool:
    """Whether it tells of a key, not of the service: each takes a key out of the choice, so there are only so many."""
    return isinstance(failure, httpx2.Response) and failure.status_code in (401, 402, 403, *more)


def _response(status: int, message: str, kind: str, code: str, headers: dict[str, str]) -> httpx2.Response:
    """In OpenAI's shape, so that every client understands it."""
    body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return httpx2.Response(
        status, headers={"content-type": "application/json", **headers}, content=json.dumps(body, ensure_ascii=False).encode()
    )


def _without(entry: KeyEntry | None, body: bytes) -> bytes:
    """Some services repeat the key that they refuse. What is very short is a placeholder ("none"), and may be a word of the sentence."""
    secret = entry.key.get_secret_value() if entry else ""
    return body.replace(secret.encode(), entry.name.encode()) if entry and len(secret) >= SECRET_CHARS else body
