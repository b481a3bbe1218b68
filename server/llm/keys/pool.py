"""The keys of one endpoint, shared by threads and tasks; in: what a request needs; out: the key with most room, or when one is free."""

from __future__ import annotations

import itertools
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from configs.endpoints import Endpoint
from server.llm.keys.key import QUOTA_REST_S, Aside, Key
from server.llm.keys.key_file import KeyEntry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should hear of. `key` is a fingerprint, or empty."""

    endpoint: str
    kind: Literal["refused", "used up", "waits", "goes on"]
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key as a status shows it. `free_in_s` None: not by itself."""

    name: str
    state: Literal["ready", "resting", "used up", "refused"]
    why: str
    free_in_s: float | None
    answers: int
    failures: int


@dataclass(frozen=True, slots=True)
class Busy:
    """No key is free. `free_in_s` None: none will be by itself; `spacing_s`: mean time between two requests of all keys."""

    free_in_s: float | None
    spacing_s: float
    resting: int
    used_up: int
    refused: int

    def __str__(self) -> str:
        counts = {"resting": self.resting, "used up": self.used_up, "refused": self.refused}
        return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


class Lease:
    """The right to send one request with a key. Every lease must be finished: until then its tokens count as spent."""

    def __init__(self, pool: KeyPool, key: Key, model: str, number: int) -> None:
        self._pool = pool
        self.key = key
        self._model = model
        self._number = number
        self._over = False

    def learn(self, headers: Mapping[str, str]) -> None:
        """What the service says about its limits."""
        with self._pool.lock:
            self.key.learn(self._model, headers, self._number, self._pool.clock())

    def answered(self) -> None:
        """The service answered as it should."""
        with self._pool.lock:
            self.key.answered(self._model, self._pool.clock())

    def failed(self) -> None:
        """Counted for the state."""
        with self._pool.lock:
            self.key.failures += 1

    def finish(self, *, requests: int = 1, tokens: int | None = None) -> None:
        """It is over and has cost so much; None: the estimate. Calling again does nothing."""
        if self._over:
            return
        self._over = True
        with self._pool.lock:
            self.key.settle(self._model, requests, tokens, self._number, self._pool.clock())

    def rest(self, rest_s: float | None, why: str) -> None:
        """The service wants this key alone to rest, for this model; None: it does not say how long."""
        with self._pool.lock:
            rest_s = self.key.limited(self._model, rest_s, self._pool.clock(), self._pool.jitter)
        log.info("rests endpoint=%s key=%s model=%s seconds=%.1f reason=%s", self._pool.label, self.key.name, self._model, rest_s, why)

    def put_aside(self, kind: Literal["refused", "used up"], why: str) -> None:
        """The service does not take this key any more; that is said once."""
        self._pool.put_aside(self.key, kind, why)


class KeyPool:
    """`source` gives the keys as they are now, the same tuple while nothing changes, and is asked at each request. Thread-safe.

    `clock` is in seconds; `jitter(a, b)` gives a random number between them, to spread what would happen at once.

    `notices` are called outside the lock, in the thread of a request: they must neither block nor raise.
    """

    def __init__(
        self,
        label: str,
        endpoint: Endpoint,
        source: Callable[[], tuple[KeyEntry, ...]],
        clock: Callable[[], float] = time.monotonic,
        notices: Sequence[Callable[[Notice], None]] = (),
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.label = label
        self.endpoint = endpoint
        self.clock = clock
        self.jitter = jitter
        self.lock = threading.Lock()
        self._source = source
        self._notices = notices
        self._entries: tuple[KeyEntry, ...] | None = None
        self._keys: list[Key] = []
        self._numbers = itertools.count()
        self._waiting = 0
        self._told = False  # that requests wait

    def __repr__(self) -> str:
        return f"KeyPool({self.label!r}, keys={[key.name for key in self._keys]})"

    @property
    def size(self) -> int:
        """How many keys there were at the last look."""
        return len(self._keys)

    @property
    def waiting(self) -> int:
        """Requests that wait for a free key."""
        return self._waiting

    def take(self, model: str, tokens: int, avoid: Collection[Key] = ()) -> Lease | Busy:
        """The free key with most room, those of `avoid` only when no other is free; else when one will be."""
        with self.lock:
            now = self._followed()
            free_in = {key: key.free_in_s(model, tokens, now) for key in self._keys}
            free = [key for key, wait_s in free_in.items() if wait_s == 0]
            if not free:
                return self._busy(model, free_in, now)
            best = max(
                free, key=lambda key: (key not in avoid, key.aside is None, key.room(model, tokens, now), -key.in_flight(), -key.last_lease)
            )
            number = next(self._numbers)
            best.spend(model, tokens, number, now)
            best.last_lease = number
            if best.aside is not None:  # its quota may be there again: this request finds out, and no other meanwhile
                best.aside = Aside(best.aside.kind, best.aside.why, now + QUOTA_REST_S)
            told, self._told = self._told, False
        if told:
            self._tell("goes on", None, f"requests to the endpoint {self.label!r} go on with the key {best.name}")
        return Lease(self, best, model, number)

    def usable(self) -> bool:
        """Whether there is a key, and the service has not refused all of them."""
        with self.lock:
            self._followed()
            return any(key.entry is not None and (key.aside is None or key.aside.kind != "refused") for key in self._keys)

    def named(self) -> bool:
        """Whether there is a key at all."""
        with self.lock:
            self._followed()
            return bool(self._entries)

    def state(self) -> tuple[KeyState, ...]:
        """Every key, without its secret."""
        with self.lock:
            now = self._followed()
            return tuple(_state(key, now) for key in self._keys)

    def waits(self, more: int) -> None:
        """So many more requests wait, or fewer."""
        with self.lock:
            self._waiting += more

    def tell_waits(self, busy: Busy) -> None:
        """Say once that a bulk run waits, until a request goes out again."""
        with self.lock:
            told, self._told = self._told, True
        if not told:
            when = f"the first is free in {busy.free_in_s:.0f} s" if busy.free_in_s is not None else "put a valid one into the keys file"
            self._tell("waits", None, f"no key of the endpoint {self.label!r} is free ({busy}): this run waits; {when}")

    def put_aside(self, key: Key, kind: Literal["refused", "used up"], why: str) -> None:
        """Not to be used again: a refused key until its entry changes, a used up one for an hour. Said once for each key."""
        with self.lock:
            before = key.aside
            key.aside = Aside(kind, why, None if kind == "refused" else self.clock() + QUOTA_REST_S)
            left = sum(other.aside is None for other in self._keys)
        if before is None or before.kind != kind:
            what = "is refused" if kind == "refused" else "has no quota left"
            self._tell(kind, key, f"the key {key.name} of the endpoint {self.label!r} {what} and is set aside; {left} left: {why}")

    def _tell(self, kind: Literal["refused", "used up", "waits", "goes on"], key: Key | None, text: str) -> None:
        log.log(logging.INFO if kind == "goes on" else logging.WARNING, "%s", text)
        notice = Notice(self.label, kind, key.name if key else "", text)
        for hear in self._notices:
            hear(notice)

    def _followed(self) -> float:
        """The time, after the keys were brought up to date."""
        now = self.clock()
        entries = self._source()
        if entries is not self._entries:
            self._entries = entries
            known = {_identity(key.entry): key for key in self._keys}
            wanted: list[KeyEntry | None] = [*entries] if entries else [None]
            keys = [known.get(_identity(entry)) or Key(entry, now) for entry in wanted]
            for key, entry in zip(keys, wanted, strict=True):
                key.follow(entry, now)
            self._keys = keys
        return now

    def _busy(self, model: str, free_in: Mapping[Key, float | None], now: float) -> Busy:
        times = [wait_s for wait_s in free_in.values() if wait_s is not None]
        rate = sum(key.rate(model, now) for key, wait_s in free_in.items() if wait_s is not None)
        kinds = [key.aside.kind if key.aside else "resting" for key in free_in]
        spacing_s = 0.0 if rate == 0 or math.isinf(rate) else 1 / rate
        return Busy(min(times, default=None), spacing_s, kinds.count("resting"), kinds.count("used up"), kinds.count("refused"))


def _identity(entry: KeyEntry | None) -> tuple[object, ...]:
    """What makes a key another one; its limits do not."""
    return () if entry is None else (entry.key, entry.base_url, entry.organization)


def _state(key: Key, now: float) -> KeyState:
    if key.aside is not None:
        free_in = None if key.aside.until is None else max(0.0, key.aside.until - now)
        return KeyState(key.name, key.aside.kind, key.aside.why, free_in, key.answers, key.failures)
    rests_s = key.rests_s(now)
    return KeyState(key.name, "resting" if rests_s > 0 else "ready", "", max(0.0, rests_s), key.answers, key.failures)
