"""A limit of N a minute -> how long until an amount fits, and how much is left: a token bucket, and a log of the last minute.

The bucket spreads what is sent; the log keeps a burst and the pace after it from being more than N in any minute, which a service that
counts whole minutes would refuse. Time is a parameter, in seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from server.llm.keys.rate_headers import Limit

PACE = 0.99  # of the limit, so that clocks that differ a little do no harm
WINDOW_S = 61.0  # the last minute, and a second for requests that are slow to arrive
REQUESTS_BURST_S = 10.0  # services spread a minute's requests over windows of 1 to 10 s (Azure says so)
LEAST_BURST = 5.0  # requests; with 3 a minute a person may still ask thrice in a row
TOKENS_BURST_S = 60.0  # one request may need much of a minute's tokens
_ROUNDING = 1e-6


@dataclass(slots=True)
class Spent:
    """What one request has taken; `logged` until a minute has passed."""

    at: float
    amount: float
    logged: bool = True


class Bucket:
    """`per_minute` None: nothing is known, and everything fits. Not thread-safe: its pool holds the lock."""

    def __init__(self, per_minute: float | None, now: float, burst_s: float, least: float = 0.0) -> None:
        self._burst_s, self._least = burst_s, least
        self._at = now
        self._limit: float | None = None
        self._level = self._rate = self._capacity = 0.0
        self._log: deque[Spent] = deque()
        self._logged = 0.0
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
        """Seconds until `amount` fits; one above the limit fits when all the rest is paid off."""
        if self._limit is None:
            return 0.0
        self._fill(now)
        missing = min(amount, self._capacity) - self._level
        filled_s = max(0.0, self._at - now) + missing / self._rate if missing > _ROUNDING else 0.0
        over = self._logged + min(amount, self._limit) - self._limit
        logged_s = 0.0
        for spent in self._log:
            if over <= _ROUNDING:
                break
            over -= spent.amount
            logged_s = spent.at + WINDOW_S - now
        return max(filled_s, logged_s)

    def room(self, amount: float) -> float:
        """How many times `amount` fits, as of the last look."""
        return math.inf if self._limit is None or amount <= 0 else min(self._level, self._limit - self._logged) / amount

    def take(self, amount: float, now: float) -> Spent:
        """It is spent."""
        self._forget(now)
        spent = Spent(now, amount)
        self._log.append(spent)
        self._logged += amount
        self._level -= amount
        return spent

    def correct(self, spent: Spent, amount: float) -> None:
        """It was another amount."""
        more = amount - spent.amount
        spent.amount = amount
        if spent.logged:
            self._logged += more
        self._level = min(self._level - more, self._capacity)

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
        self._forget(now)
        if now > self._at:
            self._level = min(self._level + (now - self._at) * self._rate, self._capacity)
            self._at = now

    def _forget(self, now: float) -> None:
        while self._log and self._log[0].at + WINDOW_S <= now + _ROUNDING:
            old = self._log.popleft()
            old.logged = False
            self._logged -= old.amount
