"""Five keys with limits against a fake provider on loopback: rate reached, share of 429, keys revoked meanwhile, seconds until a new key.

python -m benchmarks.keys [--seconds 12] [--speed 10] [--tasks 20]

Time runs `--speed` times as fast for provider and pool, so that two minutes of limits pass in twelve seconds. The theoretical rate is the
sum of the limits of the keys that are valid at each time. A provider that gives a full bucket at first admits more than that; a pool that
knows the limits does not ask for it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import httpx2
import yaml
from pydantic import SecretStr

from benchmarks.machine import head
from configs.endpoints import Endpoint
from configs.profiles import PROFILES
from configs.settings import Settings
from server.llm.keys.key import Key
from server.llm.keys.key_file import KeyEntry
from server.llm.keys.of_settings import Keys
from server.llm.keys.pool import Busy, KeyPool, Lease
from server.llm.keys.transport import async_client, client
from tests.llm.provider import Account, provider

KEYS = tuple(f"sk-bench-0123456789-{n}{n}{n}{n}" for n in range(5))
RPM = 60
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
RESULT = Path(__file__).parent / "results" / "keys.md"


@dataclass(frozen=True)
class Outcome:
    """Of one run: the rate as a share of the theoretical one, the share of answers 429, answers, and those that failed for the client.

    `refused` are answers 401, `late` requests with a key that was set aside before.
    """

    share: float
    limited: float
    answers: int
    failed: int
    refused: int
    late: int


class WatchedPool(KeyPool):
    """Counts in `late` how often a key went out that had been refused before."""

    late = 0

    def take(self, model: str, tokens: int, avoid: Collection[Key] = ()) -> Lease | Busy:
        """As the pool."""
        refused = {key.name for key in self.state() if key.state == "refused"}
        taken = super().take(model, tokens, avoid)
        self.late += isinstance(taken, Lease) and taken.key.name in refused
        return taken


def run(
    seconds: float, speed: float, tasks: int, *, kind: str = "bucket", announces: bool = True, known: bool = True, revoke: int = 0
) -> Outcome:
    """`tasks` ask as fast as they are let for `seconds` of real time; after a third of it `revoke` keys are revoked."""
    began = time.monotonic()

    def clock() -> float:
        return (time.monotonic() - began) * speed

    async def wait(pause: float) -> None:
        await asyncio.sleep(pause / speed)

    with provider(clock) as cloud:
        cloud.accounts = {key: Account(RPM, kind, announces) for key in KEYS}  # type: ignore[arg-type]
        endpoint = Endpoint(base_url=cloud.base_url, models=("m",))
        entries = tuple(KeyEntry(key=SecretStr(key), rpm=RPM if known else None) for key in KEYS)
        pool = WatchedPool("bench", endpoint, lambda: entries, clock)
        whole, revoked_at = seconds * speed, seconds * speed / 3
        answered: list[float] = []
        failed = 0

        async def ask(http: httpx2.AsyncClient) -> None:
            nonlocal failed
            while clock() < whole:
                status = (await http.post(f"{cloud.base_url}/chat/completions", json=ASK)).status_code
                answered.append(clock())
                failed += status != 200

        async def take_away() -> None:
            await wait(revoked_at)
            cloud.revoked = set(KEYS[:revoke])

        async def main() -> None:
            async with async_client(pool, patient=True, wait=wait, limits=httpx2.Limits(max_connections=tasks)) as http:
                await asyncio.gather(take_away(), *(ask(http) for _ in range(tasks)))

        asyncio.run(main())
        theoretical = RPM / 60 * (len(KEYS) * whole - revoke * (whole - revoked_at))
        return Outcome(
            sum(at < whole for at in answered) / theoretical,
            cloud.statuses[429] / sum(cloud.statuses.values()),
            len(answered),
            failed,
            cloud.statuses[401],
            pool.late,
        )


def reload_s() -> float:
    """Seconds from a change of the keys file until a request goes out with the new key."""
    with provider() as cloud, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.yaml"

        def write(key: str) -> None:
            fresh = path.with_suffix(".new")
            fresh.write_text(yaml.safe_dump({"bench": [{"key": key}]}))
            fresh.chmod(0o600)
            os.replace(fresh, path)

        write(KEYS[0])
        endpoints = {"bench": {"base_url": cloud.base_url, "models": ["m"]}}
        settings = Settings.model_validate(
            {**PROFILES["embedded"], "llm": {"default": "m", "endpoints": endpoints, "keys_file": str(path)}}
        )
        with client(Keys(settings).pool("bench")) as http:
            http.post(f"{cloud.base_url}/chat/completions", json=ASK)
            write(KEYS[1])
            changed = time.monotonic()
            while cloud.asked[-1].key != KEYS[1]:
                http.post(f"{cloud.base_url}/chat/completions", json=ASK)
                time.sleep(0.01)
            return time.monotonic() - changed


def main() -> None:
    """Prints the table and keeps it."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=float, default=12.0, help="real time of each run")
    asked.add_argument("--speed", type=float, default=10.0, help="how much faster the clock of limits runs")
    asked.add_argument("--tasks", type=int, default=20, help="requests at once")
    how = asked.parse_args()
    logging.disable(logging.CRITICAL)
    runs = {
        "limits in the keys file, the provider says nothing": {"announces": False},
        "limits learned from headers": {"known": False},
        "whole minutes are counted, headers": {"kind": "window", "known": False},
        "whole minutes are counted, the provider says nothing": {"kind": "window", "announces": False},
        "no limit known, Retry-After only": {"known": False, "announces": False},
        "3 of 5 keys revoked after a third": {"revoke": 3},
    }
    lines = [
        f"{head('Keys of an endpoint')}- 5 keys of {RPM} requests a minute, {how.tasks} tasks, {how.seconds:g} s at speed {how.speed:g}",
        f"- load of the machine before: {os.getloadavg()[0]:.1f}\n",
        "| | rate of the theoretical | answers 429 | answers | failed for the client | revoked key used again |",
        "|---|---|---|---|---|---|",
    ]
    for name, chosen in runs.items():
        found = run(how.seconds, how.speed, how.tasks, **chosen)
        late = f"{found.late} (answers 401: {found.refused})" if "revoke" in chosen else ""
        lines.append(f"| {name} | {found.share:.1%} | {found.limited:.2%} | {found.answers} | {found.failed} | {late} |")
    times = sorted(reload_s() for _ in range(5))
    lines += ["", f"A new key in the file is used after {times[0]:.2f} to {times[-1]:.2f} s (5 changes)."]
    text = "\n".join(lines)
    print(text)
    RESULT.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
