"""Process trees; in: the ids of processes that were started; out: every process below them, and none left after `end`.

Run as `python -m server.trees`, it is the guard: it reads "id creation-time" lines from its standard input and, when that closes
without "done" (the supervisor was killed, even with -9), stops all of them and everything they started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import IO

import psutil

KILL_WAIT_S = 2.0  # a killed process is gone within milliseconds, unless it hangs in the kernel
CLOCK_SLACK_S = 2.0  # two processes may see creation times apart by a second when the clock was set between their starts


def tree(leader: psutil.Process) -> set[psutil.Process]:
    """`leader` and all below it, living ones only; with its session, so that orphans of a dead leader are found as well."""
    found = {leader} | (set() if _reused(leader) else _session(leader.pid))
    for process in list(found):
        with contextlib.suppress(psutil.Error):
            found.update(process.children(recursive=True))
    return {process for process in found if alive(process)}


def alive(process: psutil.Process) -> bool:
    """Whether this very process (not a later one with its id) still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def signal_all(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to those that still live; psutil compares creation times, so a reused id is never hit."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def end(leaders: Iterable[psutil.Process], known: Iterable[psutil.Process] = (), *, grace_s: float, hurry: Callable[[], bool]) -> None:
    """Stop `leaders`, `known` and all below: SIGTERM, after `grace_s` SIGKILL, or at once when `hurry()`. Returns when all are gone."""
    leaders, members = list(leaders), set(known)

    def living() -> set[psutil.Process]:
        for leader in leaders:
            members.update(tree(leader))
        return {process for process in members if alive(process)}

    signal_all(living(), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while living() and time.monotonic() < deadline and not hurry():
        time.sleep(0.05)
    deadline = time.monotonic() + KILL_WAIT_S
    while (left := living()) and time.monotonic() < deadline:
        signal_all(left, signal.SIGKILL)
        time.sleep(0.02)


def line(process: psutil.Process) -> str:
    """What the guard is told about a process."""
    return f"{process.pid} {process.create_time()}\n"


def guard(orders: IO[str], grace_s: float = 4.0) -> None:
    """Read the ids of processes until the end of `orders`; then stop them all, unless the last word was "done"."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it leaves when its standard input closes, and not before
    told: dict[int, float] = {}
    for order in orders:
        if order.strip() == "done":
            return
        with contextlib.suppress(ValueError):  # the line that a kill cut short
            pid_text, created_text = order.split()
            told[int(pid_text)] = float(created_text)
    leaders: list[psutil.Process] = []
    for pid, created in told.items():
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            leaders.extend(_session(pid))
            continue
        if abs(process.create_time() - created) < CLOCK_SLACK_S:
            leaders.append(process)
    end(leaders, grace_s=grace_s, hurry=lambda: False)


def _session(pid: int) -> set[psutil.Process]:
    """The processes of the session that `pid` leads, or led: the kernel gives no id away while a session has it."""
    members = set()
    for other in psutil.pids() if hasattr(os, "getsid") else ():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(other) == pid:
                members.add(psutil.Process(other))
    return members


def _reused(leader: psutil.Process) -> bool:
    """Whether the id of a dead leader belongs to somebody else now, whose session is none of ours."""
    try:
        return psutil.Process(leader.pid) != leader
    except psutil.Error:
        return False


if __name__ == "__main__":
    guard(sys.stdin)
