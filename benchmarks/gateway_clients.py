"""Clients of port 20000 that cost little themselves; in: a port and a request; out: seconds to the first word, or how a request ended.

Bare HTTP/1.1 over asyncio's streams, one loop for all clients: a client library takes milliseconds of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

HI = [{"role": "user", "content": "hi"}]
LOST = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@dataclass
class Connection:
    """One kept connection."""

    port: int
    reader: asyncio.StreamReader = field(init=False)
    writer: asyncio.StreamWriter = field(init=False)

    async def send(self, body: Mapping[str, Any]) -> None:
        """A POST of a chat."""
        if not hasattr(self, "writer") or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = json.dumps({"messages": HI, **body}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
        self.writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)

    async def status(self) -> int:
        """Of the answer, when its head is there."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])

    async def event(self) -> bytes:
        """The next event of a stream, with whatever stands before it."""
        return await self.reader.readuntil(b"\n\n")

    async def rest(self) -> bytes:
        """All until the end of the stream."""
        return await self.reader.readuntil(b"0\r\n\r\n")

    def close(self) -> None:
        """At once."""
        if hasattr(self, "writer"):
            self.writer.close()


async def first_words(
    doors: Mapping[str, int], body: Mapping[str, Any], *, clients: int, seconds: float, pause_s: float, seed: int
) -> dict[str, list[float]]:
    """Door -> seconds to the first word, sorted. Each client asks one door after the other, in an order of its own."""
    waits: dict[str, list[float]] = {name: [] for name in doors}
    end = time.monotonic() + seconds

    async def work(number: int) -> None:
        dice = random.Random(seed + number)
        connections = {name: Connection(port) for name, port in doors.items()}
        warm = set[str]()
        await asyncio.sleep(dice.uniform(0, pause_s * 2))
        while time.monotonic() < end:
            for name in dice.sample(sorted(doors), len(doors)):
                sent = time.monotonic()
                await connections[name].send({**body, "stream": True})
                assert await connections[name].status() == 200
                await connections[name].event()
                waited = time.monotonic() - sent
                if name in warm:  # the first one makes the connection
                    waits[name].append(waited)
                warm.add(name)
                await connections[name].rest()
                await asyncio.sleep(dice.uniform(0, pause_s * 2))
        for connection in connections.values():
            connection.close()

    await asyncio.gather(*(work(number) for number in range(clients)))
    return {name: sorted(values) for name, values in waits.items()}


async def held(port: int, body: Mapping[str, Any], *, streams: int, words: int) -> Counter[str]:
    """How the streams ended: `whole` with all words, or what came instead."""

    async def work() -> str:
        connection = Connection(port)
        try:
            await connection.send({**body, "stream": True, "words": words})
            if (status := await connection.status()) != 200:
                return f"status {status}"
            text = await connection.rest()
            if text.count(b'"delta"') == words and b"[DONE]" in text:
                return "whole"
            return text[text.find(b'"error"') :][:200].decode(errors="replace")
        except LOST as exc:
            return type(exc).__name__
        finally:
            connection.close()

    return Counter(await asyncio.gather(*(work() for _ in range(streams))))


async def aborted(port: int, body: Mapping[str, Any], *, streams: int, at_once: int, longest_s: float, seed: int) -> dict[str, float]:
    """Mark -> monotonic time at which the client went: at a random moment within `longest_s`, every other one without streaming."""
    left: dict[str, float] = {}
    numbers = iter(range(streams))

    async def work() -> None:
        for number in numbers:
            dice = random.Random(seed + number)
            connection = Connection(port)
            await connection.send({**body, "stream": number % 4 != 0, "mark": f"abort-{seed}-{number}"})
            reading = asyncio.create_task(connection.reader.read(1 << 20))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(dice.uniform(0.01, longest_s)):
                    while await asyncio.shield(reading):
                        reading = asyncio.create_task(connection.reader.read(1 << 20))
            reading.cancel()
            connection.close()
            left[f"abort-{seed}-{number}"] = time.monotonic()

    await asyncio.gather(*(work() for _ in range(at_once)))
    return left


@dataclass
class Load:
    """Clients that go on asking; `right` holds the times of right answers, `wrong` counts what else came."""

    port: int
    body: Mapping[str, Any]
    right: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    going: bool = True

    async def client(self) -> None:
        """One of them."""
        while self.going:
            connection = Connection(self.port)
            try:
                await connection.send({**self.body, "stream": True})
                status = await connection.status()
                if status != 200:
                    self.wrong[str(status)] += 1
                    await asyncio.sleep(0.05)
                elif b'"error"' in await connection.rest():
                    self.wrong["error in a stream"] += 1
                else:
                    self.right.append(time.monotonic())
            except LOST as exc:
                self.wrong[type(exc).__name__] += 1
                await asyncio.sleep(0.05)
            finally:
                connection.close()


def share(values: Sequence[float], part: float) -> float:
    """The value that `part` of the sorted values do not exceed."""
    return values[min(len(values) - 1, int(part * len(values)))]


def asked(port: int, path: str) -> Any:
    """What a worker says."""
    return httpx2.post(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=10.0).json()
