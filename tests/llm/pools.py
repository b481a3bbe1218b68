"""Pools of keys for tests, with a clock that only rests move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from configs.endpoints import Endpoint
from server.llm.keys.key_file import KeyEntry
from server.llm.keys.pool import KeyPool, Notice

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}


def secret(letter: str) -> str:
    """A key whose last four characters are `letter` four times."""
    return f"sk-test-0123456789-{letter * 4}"


def entry(letter: str, **more: Any) -> KeyEntry:
    """That key with what goes with it."""
    return KeyEntry(key=SecretStr(secret(letter)), **more)


class Time:
    """Passes only in rests, which are kept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rests: list[float] = []
        self.hooks: list[Callable[[], None]] = []

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds
        for hook in self.hooks:
            hook()

    async def rest_async(self, seconds: float) -> None:
        self.rest(seconds)


class Held:
    """The keys of a pool, which a test may change."""

    def __init__(self, entries: tuple[KeyEntry, ...]) -> None:
        self.entries = entries

    def __call__(self) -> tuple[KeyEntry, ...]:
        return self.entries


def make_pool(base_url: str, *letters: str, clock: Callable[[], float], **more: Any) -> tuple[KeyPool, list[Notice], Held]:
    """(a pool of these keys whose random rests are the longest, what it says, its keys); `more` are settings of the endpoint."""
    endpoint = Endpoint.model_validate({"base_url": base_url, "models": ("m",), "timeout_s": 5, **more})
    held, notices = Held(tuple(entry(letter) for letter in letters)), list[Notice]()
    return KeyPool("cloud", endpoint, held, clock, [notices.append], jitter=lambda least, most: most), notices, held
