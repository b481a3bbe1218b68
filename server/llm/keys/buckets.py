"""A limit of N a minute -> a token bucket: how long until an amount fits, and what is left of it. Time is a parameter, in seconds."""

from __future__ import annotations

import math

from server.llm.keys.rate_headers import Limit

PACE = 0.99  # of the limit: a service that counts whole minutes sees no more than its limit, whenever its minute begins
REQUESTS_BURST_S = 10.0  # services spread a minute's requests over windows of 1 to 10 s (Azure says so)
LEAST_BURST = 5.0  # requests; with 3 a minute a person may still ask thrice in a row
TOKENS_BURST_S = 60.0  # one request may need much of a minute's tokens
_ROUNDING = 1e-6


class Bucket:
    """`per_minute` None: nothing is known, and everything fits. Not thread-safe: its pool holds the lock."""

    def __init__(self, per_minute: float | None, now: float, burst_s: float, least: float = 0.0) -> None:
        self._burst_s, self._least = burst_s, least
        self._at = now
        self._limit: float | None = None
        self._level = self._rate = self._capacity = 0.0
        if per_minute is not None:
            self._set(per_minute)
            self._level = self._capacity

    @property
    def rate(self) -> float | None:
        """Units a second, in the long run; None: unlimited."""
        return None if self._limit is None else self._rate

    def set_limit(self, per_minute: float | None, now: float) -> None:
        """Another limit, from now on."""
        if per_minute == self._limit:
            return
        if per_minute is None:
            self._limit = None
            return
        self._fill(now)
        fresh = self._limit is None
        self._set(per_minute)
        self._level = self._capacity if fresh else min(self._level, self._capacity)

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` fits; one above the capacity fits when the bucket is full, and is paid off afterwards."""
        if self._limit is None:
            return 0.0
        self._fill(now)
        missing = min(amount, self._capacity) - self._level
        return max(0.0, self._at - now) + missing / self._rate if missing > _ROUNDING else 0.0

    def room(self, amount: float) -> float:
        """How many times `amount` fits, as of the last look."""
        return math.inf if self._limit is None or amount <= 0 else self._level / amount

    def take(self, amount: float) -> None:
        """It is spent, or, where negative, given back."""
        if self._limit is not None:
            self._level = min(self._level - amount, self._capacity)

    def drain(self, now: float, until: float) -> None:
        """The service says that nothing is left until then: one fits at that time, and no burst that would run into the limit again."""
        if self._limit is not None:
            self._fill(now)
            self._level, self._at = min(self._level, 1.0), max(self._at, until)

    def learn(self, said: Limit, in_flight: float, now: float) -> None:
        """What an answer said. `in_flight` is what other requests have taken that the service may not have counted yet."""
        if said.limit is not None and said.limit >= 1:
            self.set_limit(said.limit, now)
        if said.remaining is not None and self._limit is not None:
            self._fill(now)
            self._level = min(self._level, said.remaining - in_flight)

    def _set(self, per_minute: float) -> None:
        self._limit = per_minute
        self._rate = PACE * per_minute / 60
        self._capacity = max(min(per_minute, self._least), per_minute * self._burst_s / 60)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._level + (now - self._at) * self._rate, self._capacity)
            self._at = now
