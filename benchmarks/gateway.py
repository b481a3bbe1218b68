"""What port 20000 costs and stands: time to the first word beside the worker alone, idle streams, aborted streams, start, killed workers.

python -m benchmarks.gateway                     everything: five minutes
python -m benchmarks.gateway --part overhead     one of start, overhead, idle, aborted, killed

Clients, gateway, FastChat's controller and a worker that answers after a fixed time (benchmarks/scripted_worker.py) share this machine;
the real worker takes part in `overhead` and `aborted`. PAPERPROOF_PATHS__MODELS names its folder.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

from benchmarks.gateway_clients import Load, aborted, asked, first_words, held, share
from benchmarks.machine import head
from benchmarks.scripted_worker import MODEL
from configs.settings import ROOT
from server import weights
from tests.stack import SMALL_LLM, Process, free_port, write_settings

BEFORE_S = 0.2  # of the scripted worker, until its first word
FREED_S = 1.0
BACK_S = 2.0
START_S = 1.0
P50_MS, P99_MS = 5.0, 15.0


class Stack:
    """FastChat's controller, the gateway, and workers as they are wanted."""

    def __init__(self, folder: Path) -> None:
        local = {"source": SMALL_LLM, "engine": "llama_cpp", "context_tokens": 2048, "slots": 2}
        models = os.environ.get("PAPERPROOF_PATHS__MODELS", str(ROOT / "models"))
        places = {"knowledge_base": str(folder), "logs": str(folder), "models": models}
        llm = {"default": MODEL, "local": {MODEL: {"source": "x"}, SMALL_LLM: local}}
        self.settings = write_settings(folder, {"paths": places, "llm": llm})
        weights.fetch(SMALL_LLM, Path(models))
        self.ports: dict[str, int] = yaml.safe_load(self.settings.read_text())["server"]
        self.processes = [Process(self.settings, "server.serving.controller")]
        self.processes[0].ready(lambda: _answers(self.ports["controller_port"], "/list_models"))
        self.gateway, self.start_s = self.started()
        self.processes.append(self.gateway)

    @property
    def port(self) -> int:
        """The gateway's."""
        return self.ports["gateway_port"]

    def started(self) -> tuple[Process, float]:
        """A gateway, and the seconds until it answered."""
        began = time.monotonic()
        process = Process(self.settings, "server.serving.gateway")
        process.ready(lambda: _healthy(self.port))
        return process, time.monotonic() - began

    def worker(self) -> tuple[Process, int]:
        """A new scripted worker that is registered, and its port."""
        port = free_port()
        process = Process(self.settings, "benchmarks.scripted_worker", str(port), f"http://127.0.0.1:{self.ports['controller_port']}")
        self.processes.append(process)
        process.ready(lambda: "registered worker=" in process.log.read_text())
        return process, port

    def real_worker(self) -> tuple[Process, int]:
        """The embedded model."""
        process = Process(self.settings, "server.serving.worker", SMALL_LLM)
        self.processes.append(process)
        process.ready(lambda: "registered worker=" in process.log.read_text())
        return process, self.ports["worker_port"]

    def end(self) -> None:
        """Stop them all."""
        for process in reversed(self.processes):
            process.end(within_s=20.0)


def start(stack: Stack, options: argparse.Namespace) -> bool:
    """Median of five starts, and the memory after the first answer."""
    seconds = [stack.start_s]
    for _ in range(options.starts - 1):
        stack.processes.remove(stack.gateway)
        stack.gateway.end(within_s=20.0)
        stack.gateway, more = stack.started()
        stack.processes.append(stack.gateway)
        seconds.append(more)
    memory, median = psutil.Process(stack.gateway.pid).memory_info().rss / 2**20, statistics.median(seconds)
    print("\n## Start\n\n| | |\n|---|---|")
    print(f"| until the first answer, median of {len(seconds)} (at most {START_S:g} s is wanted) | {median:.2f} s |")
    print(f"| memory then (RSS) | {memory:.0f} MiB |")
    return median <= START_S


def overhead(stack: Stack, options: argparse.Namespace) -> bool:
    """The same request through the gateway and at the worker, by clients that alternate."""
    print("\n## Time to the first word\n")
    print(f"The scripted worker speaks after {BEFORE_S * 1000:.0f} ms. Requests alternate between both doors in one run.\n")
    print("| worker, clients | door | requests | p50 ms | p99 ms | gateway's CPU, ms a request |\n|---|---|---|---|---|---|")
    process, port = stack.worker()
    good = True
    rows = [(options.clients, options.seconds, 0.4, {"model": MODEL, "before_s": BEFORE_S, "words": 2})]
    rows.append((1, options.seconds / 3, 0.02, {"model": MODEL, "before_s": 0.01, "words": 2}))
    for clients, seconds, pause_s, body in rows:
        p50, p99 = _compared(stack, f"scripted, {clients}", port, body, clients, seconds, pause_s)
        if clients > 1:
            good = p50 <= P50_MS and p99 <= P99_MS
    process.end()
    stack.processes.remove(process)
    process, port = stack.real_worker()
    body = {"model": SMALL_LLM, "max_tokens": 1, "temperature": 0}
    _compared(stack, "llama.cpp, one token, 1", port, body, 1, options.seconds / 3, 0.05)
    process.end()
    stack.processes.remove(process)
    print(f"\nWanted with {options.clients} clients: at most {P50_MS:g} ms more at p50, {P99_MS:g} ms at p99.")
    return good


def _compared(stack: Stack, name: str, port: int, body: Any, clients: int, seconds: float, pause_s: float) -> tuple[float, float]:
    cpu = _cpu_s(stack.gateway.pid)
    doors = {"worker": port, "gateway": stack.port}
    waits = asyncio.run(first_words(doors, body, clients=clients, seconds=seconds, pause_s=pause_s, seed=SEED))
    spent = 1000 * (_cpu_s(stack.gateway.pid) - cpu) / len(waits["gateway"])
    ms = {door: [1000 * share(values, part) for part in (0.5, 0.99)] for door, values in waits.items()}
    for door, values in waits.items():
        print(
            f"| {name} | {door} | {len(values)} | {ms[door][0]:.1f} | {ms[door][1]:.1f} | {f'{spent:.1f}' if door == 'gateway' else ''} |"
        )
    more = [ms["gateway"][i] - ms["worker"][i] for i in (0, 1)]
    print(f"| {name} | **more** | | **{more[0]:.1f}** | **{more[1]:.1f}** | |", flush=True)
    return more[0], more[1]


def idle(stack: Stack, options: argparse.Namespace) -> bool:
    """Streams with a word a second, held open together."""
    process, port = stack.worker()
    gateway = psutil.Process(stack.gateway.pid)
    before, cpu, words = gateway.memory_info().rss, _cpu_s(stack.gateway.pid), max(2, round(options.idle_s))

    async def both() -> tuple[int, Counter[str]]:
        going = asyncio.create_task(held(stack.port, {"model": MODEL, "every_s": 1.0}, streams=options.idle, words=words))
        await asyncio.sleep(options.idle_s * 0.8)
        return gateway.memory_info().rss, await going

    during, ends = asyncio.run(both())
    print("\n## Idle streams\n\n| | |\n|---|---|")
    print(f"| held for {words - 1} s, a word a second | {options.idle} |")
    print(f"| whole to the end, with every word | {ends.pop('whole', 0)}; else {dict(ends) or 'nothing'} |")
    print(f"| gateway's memory before, meanwhile | {before / 2**20:.0f}, {during / 2**20:.0f} MiB |")
    print(f"| gateway's CPU, of one core | {100 * (_cpu_s(stack.gateway.pid) - cpu) / words:.0f} % |")
    print(f"| requests open at the worker afterwards | {len(asked(port, '/busy'))} |", flush=True)
    process.end()
    stack.processes.remove(process)
    return not ends


def abort(stack: Stack, options: argparse.Namespace) -> bool:
    """Clients that go at random moments: before the first word, between words; then in the real model's prompt and answer."""
    process, port = stack.worker()
    body = {"model": MODEL, "before_s": 0.3, "every_s": 0.05, "words": 400}
    left = asyncio.run(aborted(stack.port, body, streams=options.aborted, at_once=16, longest_s=0.8, seed=SEED))
    time.sleep(FREED_S)
    ended, busy = asked(port, "/ended"), asked(port, "/busy")
    reached = {mark: when for mark, when in left.items() if mark in ended or mark in busy}
    freed = sorted(1000 * max(0.0, ended[mark] - when) for mark, when in reached.items() if mark in ended)
    print("\n## Aborted streams\n")
    print("| worker | aborted | that the worker had | slots leaked | freed after p50, p99, longest ms |\n|---|---|---|---|---|")
    times = ", ".join(f"{share(freed, part):.0f}" for part in (0.5, 0.99, 1.0))
    print(f"| scripted | {len(left)} | {len(reached)} | {len(busy)} | {times} |", flush=True)
    process.end()
    stack.processes.remove(process)
    process, port = stack.real_worker()
    waits = sorted(_real_aborts(stack.port, port, options.real_aborted))
    leaked = asked(port, "/worker_get_status")["queue_length"]
    times = ", ".join(f"{1000 * share(waits, part):.0f}" for part in (0.5, 0.99, 1.0))
    print(f"| llama.cpp | {len(waits)} | {len(waits)} | {leaked} | {times} |", flush=True)
    process.end()
    stack.processes.remove(process)
    return not busy and not leaked and freed[-1] <= 1000 * FREED_S and waits[-1] <= FREED_S


def _real_aborts(gateway: int, worker: int, count: int) -> list[float]:
    """Seconds from each client's going until the worker has nothing to do. Every third is in the prompt."""
    waits = []
    for number in range(count):
        text = "word " * 1500 if number % 3 == 0 else "Tell a very long story."
        body = {"model": SMALL_LLM, "messages": [{"role": "user", "content": f"{number} {text}"}]}
        asyncio.run(aborted(gateway, body, streams=1, at_once=1, longest_s=0.2 + 0.1 * (number % 10), seed=SEED + number))
        left = time.monotonic()
        while asked(worker, "/worker_get_status")["queue_length"] and time.monotonic() - left < 30.0:
            time.sleep(0.005)
        waits.append(time.monotonic() - left)
    return waits


def killed(stack: Stack, options: argparse.Namespace) -> bool:
    """kill -9 under load: one of two workers, then the only one."""
    process, _ = stack.worker()
    other, _ = stack.worker()
    body = {"model": MODEL, "before_s": 0.05, "every_s": 0.02, "words": 5}
    seconds = options.killed_s

    async def phases() -> tuple[Load, dict[str, int], float, float, float]:
        load = Load(stack.port, body)
        clients = [asyncio.create_task(load.client()) for _ in range(16)]
        await asyncio.sleep(seconds)
        one = time.monotonic()
        await asyncio.to_thread(process.end, 9)
        await asyncio.sleep(seconds)
        two, lost = time.monotonic(), dict(load.wrong)
        await asyncio.to_thread(other.end, 9)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(stack.worker)
        up = time.monotonic()
        await asyncio.sleep(seconds)
        load.going = False
        await asyncio.gather(*clients)
        return load, lost, one, two, up

    load, lost, one, two, up = asyncio.run(phases())
    gap, back = next(when for when in load.right if when > one) - one, next(when for when in load.right if when > up) - up
    before = _longest_gap(load.right, 0, one)
    longest = _longest_gap(load.right, one, two)
    print("\n## Workers killed with -9 under 16 clients\n\n| | |\n|---|---|")
    print(f"| right answers | {len(load.right)} |")
    print(f"| what else came when one of two was killed, and in all | {lost or 'nothing'}; {dict(load.wrong) or 'nothing'} |")
    print(f"| one of two killed: until the next right answer | {gap:.2f} s |")
    print(f"| longest time without a right answer before that, and after | {before:.2f}, {longest:.2f} s |")
    print(f"| the only one killed: next right answer after its successor is registered (at most {BACK_S:g} s) | {back:.2f} s |", flush=True)
    return gap <= BACK_S and back <= BACK_S


def _longest_gap(times: list[float], start: float, end: float) -> float:
    inside = [when for when in times if start < when < end]
    return max((later - earlier for earlier, later in itertools.pairwise(inside)), default=0.0)


def _healthy(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=2.0).status_code == 200
    except httpx2.HTTPError:
        return False


def _answers(port: int, path: str) -> bool:
    try:
        return asked(port, path) is not None
    except httpx2.HTTPError:
        return False


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


SEED = 20_261_122
PARTS: dict[str, Callable[[Stack, argparse.Namespace], bool]] = {
    "start": start,
    "overhead": overhead,
    "idle": idle,
    "aborted": abort,
    "killed": killed,
}


def main() -> int:
    """Print the tables; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=list(PARTS), action="append", help="may be named several times; none: all")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--clients", type=int, default=32, help="of overhead (default: 32)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overhead (default: 60)")
    parser.add_argument("--idle", type=int, default=200, help="streams held (default: 200)")
    parser.add_argument("--idle-s", type=float, default=60.0)
    parser.add_argument("--aborted", type=int, default=1000, help="streams left at random moments (default: 1000)")
    parser.add_argument("--real-aborted", type=int, default=30, help="the same at llama.cpp (default: 30)")
    parser.add_argument("--killed-s", type=float, default=5.0, help="of load before and after each kill (default: 5)")
    options = parser.parse_args()
    print(head("Port 20000"))
    print(f"seed {SEED}")
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            for name in options.part or PARTS:
                if not PARTS[name](stack, options):
                    missed.append(name)
        finally:
            stack.end()
    print(f"\nMissed: {', '.join(missed) or 'nothing'}.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
