"""One key of an endpoint -> what it may still spend for a model, how long it rests, whether it is set aside. Its pool holds the lock."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from server.llm.keys.buckets import LEAST_BURST, REQUESTS_BURST_S, TOKENS_BURST_S, Bucket, Spent
from server.llm.keys.key_file import KeyEntry
from server.llm.keys.rate_headers import limits

LEAST_REST_S, LONGEST_REST_S = 0.1, 60.0
NO_KEY = "no key"  # the name of the key of a service that wants none
QUOTA_REST_S = 3600.0  # a used up quota is tried again so often, since paying for it tells nobody


@dataclass(frozen=True, slots=True)
class Aside:
    """Why a key is not used. `until` is a time of the pool's clock; None: until its entry changes."""

    kind: Literal["refused", "used up"]
    why: str
    until: float | None


@dataclass(slots=True)
class Lane:
    """A key for one model: services count each model apart, so what their headers say is learned here."""

    requests: Bucket
    tokens: Bucket
    rests_until: float = 0.0
    limited: int = 0  # answers 429 in a row
    in_flight: dict[int, list[Spent]] = field(default_factory=dict)  # lease: what it took, tokens last


class Key:
    """`entry` None: the service is asked without a key."""

    def __init__(self, entry: KeyEntry | None, now: float) -> None:
        self.entry = entry
        self.name = entry.name if entry else NO_KEY
        self.aside: Aside | None = None
        self.last_lease = -1
        self.answers = self.failures = 0
        self._requests = Bucket(entry.rpm if entry else None, now, REQUESTS_BURST_S, LEAST_BURST)
        self._tokens = Bucket(entry.tpm if entry else None, now, TOKENS_BURST_S)
        self._lanes: dict[str, Lane] = {}

    def follow(self, entry: KeyEntry | None, now: float) -> None:
        """The same key with other limits."""
        self.entry = entry
        self._requests.set_limit(entry.rpm if entry else None, now)
        self._tokens.set_limit(entry.tpm if entry else None, now)

    def lane(self, model: str, now: float) -> Lane:
        """The lane of that model."""
        if model not in self._lanes:
            self._lanes[model] = Lane(Bucket(None, now, REQUESTS_BURST_S, LEAST_BURST), Bucket(None, now, TOKENS_BURST_S))
        return self._lanes[model]

    def in_flight(self) -> int:
        """Requests that are being answered."""
        return sum(len(lane.in_flight) for lane in self._lanes.values())

    def free_in_s(self, model: str, tokens: float, now: float) -> float | None:
        """Seconds until such a request may go out; None: not by itself."""
        if self.aside is not None and self.aside.until is None:
            return None
        lane = self.lane(model, now)
        amounts = (1, 1, tokens, tokens)
        waits = [bucket.wait_s(amount, now) for bucket, amount in zip(self._buckets(lane), amounts, strict=True)]
        return max(0.0, *waits, lane.rests_until - now, (self.aside.until or 0.0) - now if self.aside else 0.0)

    def rests_s(self, now: float) -> float:
        """The longest rest of any model."""
        return max((lane.rests_until - now for lane in self._lanes.values()), default=0.0)

    def room(self, model: str, tokens: float, now: float) -> float:
        """How many such requests fit now."""
        buckets = self._buckets(self.lane(model, now))
        return min(bucket.room(amount) for bucket, amount in zip(buckets, (1, 1, tokens, tokens), strict=True))

    def rate(self, model: str, now: float) -> float:
        """Requests a second in the long run; inf where no limit is known."""
        rates = [bucket.rate for bucket in (self._requests, self.lane(model, now).requests)]
        return min((rate for rate in rates if rate is not None), default=math.inf)

    def spend(self, model: str, tokens: float, number: int, now: float) -> None:
        """Lease `number` takes a request and its tokens from all buckets."""
        lane = self.lane(model, now)
        amounts = (1, 1, tokens, tokens)
        lane.in_flight[number] = [bucket.take(amount, now) for bucket, amount in zip(self._buckets(lane), amounts, strict=True)]

    def settle(self, model: str, requests: float, tokens: float | None, number: int, now: float) -> None:
        """Lease `number` is over and has cost so much; None: what was taken for it."""
        lane = self.lane(model, now)
        cost = (requests, requests, tokens, tokens)
        for bucket, spent, amount in zip(self._buckets(lane), lane.in_flight.pop(number), cost, strict=True):
            if amount is not None:
                bucket.correct(spent, amount)

    def answered(self, model: str, now: float) -> None:
        """As it should: a quota that was used up is there again."""
        self.answers += 1
        self.lane(model, now).limited = 0
        if self.aside is not None and self.aside.kind == "used up":
            self.aside = None

    def limited(self, model: str, rest_s: float | None, now: float, jitter: Callable[[float, float], float]) -> float:
        """A 429: this key rests for this model; None: for half of 1, 2, 4 … 60 s or more. The seconds that it rests."""
        lane = self.lane(model, now)
        longest_s = min(LONGEST_REST_S, 2.0 ** min(lane.limited, 10))
        rest_s = max(LEAST_REST_S, jitter(longest_s / 2, longest_s) if rest_s is None else rest_s)
        lane.limited += 1
        lane.rests_until = max(lane.rests_until, now + rest_s)
        self._requests.drain(now, lane.rests_until)
        lane.requests.drain(now, lane.rests_until)
        return rest_s

    def learn(self, model: str, headers: Mapping[str, str], lease: int, now: float) -> None:
        """What the headers of an answer to `lease` say. Its own tokens are counted as long as it is in flight."""
        lane = self.lane(model, now)
        said_requests, said_tokens = limits(headers)
        lane.requests.learn(said_requests, sum(other != lease for other in lane.in_flight), now)
        lane.tokens.learn(said_tokens, sum(taken[-1].amount for taken in lane.in_flight.values()), now)

    def _buckets(self, lane: Lane) -> tuple[Bucket, Bucket, Bucket, Bucket]:
        """Two of requests, two of tokens."""
        return self._requests, lane.requests, self._tokens, lane.tokens
