"""Run, watch and stop commands; in: `Part`s (command, health check, log); out: a state for each, one clear line an event.

A part in a session of its own is started, asked until it answers and from then on whether it still does, started again with a growing
pause when it dies or hangs, given up after too many quick deaths, and stopped with everything below it, alone or with all others. When
the supervisor itself is killed, the kernel (Linux) and the guard (server/trees.py) stop the parts. All methods belong to the main
thread: the kernel's signal follows the thread that started a part.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from server import trees
from server.log_excerpt import reason_in
from server.parts import Part, Patience, Report, State

log = logging.getLogger(__name__)

_CODE = Path(__file__).resolve().parents[1]
TELL_S = 5.0  # between two lines about a part that is loading
LOOK_S = 1.0  # between two questions to a part that is ready
RECORD_S = 3.0  # how often new grandchildren are looked for
ORDERLY_S = 5.5  # of the ten seconds that a stop may take: for parts to leave by themselves
GRACE_S = 1.0  # then, after SIGTERM to whatever is left, before SIGKILL

# Becomes the part after asking the kernel to send SIGTERM when the supervisor's main thread is gone. A program instead of preexec_fn, which
# may deadlock in a process with threads.
_LEASH = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,15);os.getppid()==int(sys.argv[1]) or os._exit(1);os.execvp(sys.argv[2],sys.argv[2:])"
)


@dataclass(slots=True, eq=False)
class _Pulse:
    """What the thread that asks one process has heard: `progress` while it starts; `missed` questions in a row since `silent_since`."""

    answered: threading.Event = field(default_factory=threading.Event)
    progress: str = ""
    told: float = 0.0  # monotonic, as silent_since
    missed: int = 0
    silent_since: float = 0.0


@dataclass(slots=True, eq=False)
class _Life:
    """A part and what happened to it; `pulse` belongs to its present process."""

    part: Part
    state: State = "waiting"
    reason: str = ""
    process: subprocess.Popen[bytes] | None = None
    leader: psutil.Process | None = None  # the same process, or a dead one whose children may live
    pulse: _Pulse = field(default_factory=_Pulse)
    hung: bool = False
    first_started: float = 0.0  # monotonic
    started: float = 0.0
    seconds: float | None = None
    log_start: int = 0
    deaths: int = 0
    again_at: float = 0.0
    known: set[psutil.Process] = field(default_factory=set)


class Supervisor:
    """Keeps parts running. Call `tick` at least twice a second, and `stop` at the end, whatever happens."""

    def __init__(self, root: Path, news: Callable[[str], None], trouble: Callable[[str], None], patience: Patience | None = None) -> None:
        """`root` is the working directory of all parts; `news` and `trouble` get the lines for the person who looks on."""
        self.root = root
        self.news = news
        self.trouble = trouble
        self.patience = patience or Patience()
        self._lives: dict[str, _Life] = {}
        self._errands: list[tuple[psutil.Process, subprocess.Popen[bytes]]] = []
        self._guard: subprocess.Popen[str] | None = None
        self._told: set[psutil.Process] = set()
        self._recorded = 0.0
        self._over = threading.Event()

    def expect(self, part: Part, reason: str) -> None:
        """Note a part that is started later."""
        self._lives[part.name] = _Life(part, reason=reason)

    def start(self, part: Part) -> None:
        """Start a part for the first time; its log begins anew."""
        life = self._lives[part.name] = _Life(part)
        part.log.parent.mkdir(parents=True, exist_ok=True)
        part.log.write_bytes(b"")
        life.first_started = time.monotonic()
        self._spawn(life)

    def end(self, name: str) -> None:
        """Stop one part while the others go on; `tick` sees to it, and its state becomes `stopped`. It may be started again."""
        life = self._lives[name]
        life.state, life.reason, life.again_at = "stopping", "", time.monotonic() + ORDERLY_S
        if life.process is not None:
            with contextlib.suppress(OSError):
                life.process.terminate()
        log.info("part=%s event=ending", name)

    def give_up(self, name: str, reason: str) -> None:
        """Mark a part as failed for good, and say so."""
        life = self._lives[name]
        life.state, life.reason = "failed", reason
        log.error("part=%s event=failed reason=%r", name, reason)
        self.trouble(f"✗ {name}: {reason}")

    def run(self, command: tuple[str, ...], environment: Mapping[str, str], errors: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start a command that ends by itself, with a pipe from its output; it is stopped with the parts."""
        process = self._popen(command, environment, subprocess.PIPE, errors)
        with contextlib.suppress(psutil.Error):
            self._errands.append((psutil.Process(process.pid), process))
        self._tell()
        return process

    def reports(self) -> list[Report]:
        """All parts in the order of their start."""
        return [
            Report(
                *(part.name, life.state, part.address, part.log, life.seconds, life.reason),
                pid=life.process.pid if life.process else None,
                progress=life.pulse.progress if life.state in ("starting", "silent") else "",
            )
            for life, part in ((life, life.part) for life in self._lives.values())
        ]

    def settled(self) -> bool:
        """Whether each part answers, has failed, or has been silent past its deadline."""
        return all(life.state in ("ready", "failed", "silent", "stopped") for life in self._lives.values())

    def failed(self) -> bool:
        """Whether a part has failed for good."""
        return any(life.state == "failed" for life in self._lives.values())

    def hopeless(self) -> bool:
        """Whether nothing is left to supervise."""
        return all(life.state == "failed" for life in self._lives.values())

    def tick(self) -> None:
        """Notice deaths, silence and answers, start again what has rested."""
        now = time.monotonic()
        for life in self._lives.values():
            code = life.process.poll() if life.process is not None else None
            if life.state == "stopping":
                self._ending(life, now)
            elif code is not None:
                self._died(life, code, now)
            elif life.state in ("starting", "silent") and life.pulse.answered.is_set():
                self._ready(life, now)
            elif life.state == "ready" and self._hangs(life, now):
                self._kill(life)
            elif life.state == "starting" and life.pulse.progress and now - max(life.started, life.pulse.told) >= TELL_S:
                life.pulse.told = now
                self.news(f"… {life.part.name}: {life.pulse.progress}")
            elif life.state == "starting" and now - life.started > life.part.deadline_s:
                excerpt = reason_in(life.part.log, life.log_start)
                life.state, life.reason = "silent", f"no answer in {life.part.deadline_s:g} s" + (f": {excerpt}" if excerpt else "")
                log.warning("part=%s event=silent seconds=%g", life.part.name, life.part.deadline_s)
                self.trouble(f"✗ {life.part.name}: {life.reason}; it is still waited for; log: {life.part.log}")
            elif life.state == "resting" and now >= life.again_at:
                self._clear(life)
                self._spawn(life)
            elif life.state == "failed" and life.known:
                self._clear(life)
        if now - self._recorded >= RECORD_S:
            self._record()

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop everything in the reverse order of its start, within ten seconds; at once when `hurry()` becomes true."""
        self._over.set()
        self._record()
        began = time.monotonic()
        running = [life.process for life in reversed(self._lives.values()) if life.process is not None]
        running = [*(process for _, process in self._errands), *running]
        for process in running:  # each gets a moment before those it needs are told
            with contextlib.suppress(OSError):
                process.terminate()
            turn = time.monotonic() + ORDERLY_S / (len(running) + 1)
            while process.poll() is None and time.monotonic() < turn and not hurry():
                time.sleep(0.02)
        while any(process.poll() is None for process in running) and time.monotonic() - began < ORDERLY_S and not hurry():
            time.sleep(0.05)
        leaders = [leader for leader, _ in self._errands] + [life.leader for life in self._lives.values() if life.leader is not None]
        known = {process for life in self._lives.values() for process in life.known}
        trees.end(leaders, known, grace_s=0.0 if hurry() else GRACE_S, hurry=hurry)
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            if process.stdout is not None:
                process.stdout.close()
        for life in self._lives.values():
            life.process, life.leader, life.known = None, None, set()
            life.state = life.state if life.state == "failed" else "stopped"
        self._dismiss()
        log.info("event=stopped seconds=%.1f", time.monotonic() - began)

    def _spawn(self, life: _Life) -> None:
        part = life.part
        life.pulse, life.hung = _Pulse(), False
        life.started = time.monotonic()
        life.log_start = part.log.stat().st_size if part.log.exists() else 0
        try:
            with part.log.open("ab") as output:
                process = self._popen(part.command, part.environment, output, subprocess.STDOUT)
        except OSError as exc:
            self.give_up(part.name, f"cannot run {part.command[0]}: {exc.strerror or exc}")
            return
        life.process, life.state = process, "starting"
        with contextlib.suppress(psutil.Error):  # dead already: the next tick sees it
            life.leader = psutil.Process(process.pid)
            life.known.add(life.leader)
        self._tell()
        threading.Thread(target=self._ask, args=(part, process, life.pulse), name=f"ask {part.name}", daemon=True).start()
        log.info("part=%s event=started pid=%d", part.name, process.pid)

    def _popen(
        self, command: tuple[str, ...], environment: Mapping[str, str], output: IO[bytes] | int, errors: IO[bytes] | int | None
    ) -> subprocess.Popen[bytes]:
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(f"there is no program {command[0]}")
        leash = (sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())) if sys.platform == "linux" else ()
        return subprocess.Popen(
            [*leash, *command],
            cwd=self.root,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # the terminal's Ctrl-C reaches the supervisor alone
        )

    def _ask(self, part: Part, process: subprocess.Popen[bytes], pulse: _Pulse) -> None:
        """In a thread of its own: ask until it answers, and then whether it still does, until there is nobody to ask."""
        while process.returncode is None and not part.answers():
            pulse.progress = part.progress()
            if self._over.wait(0.2):
                return
        pulse.answered.set()
        alive = part.alive or part.answers
        while process.returncode is None and not self._over.wait(LOOK_S):
            if alive():
                pulse.missed = 0
            else:
                pulse.silent_since = pulse.silent_since if pulse.missed else time.monotonic()
                pulse.missed += 1

    def _hangs(self, life: _Life, now: float) -> bool:
        pulse = life.pulse
        return pulse.missed >= self.patience.looks and now - pulse.silent_since >= self.patience.hang_s

    def _kill(self, life: _Life) -> None:
        """A process that does not answer gets no chance to leave in order; its death is noticed as any other."""
        if life.process is not None and not life.hung:
            life.hung = True
            log.warning("part=%s event=hangs missed=%d", life.part.name, life.pulse.missed)
            life.process.kill()

    def _ending(self, life: _Life, now: float) -> None:
        if life.process is not None and life.process.poll() is None and now < life.again_at:
            return
        trees.end([life.leader] if life.leader is not None else [], life.known, grace_s=0.0, hurry=lambda: True)
        life.process, life.leader, life.known, life.state, life.deaths = None, None, set(), "stopped", 0
        log.info("part=%s event=ended", life.part.name)
        self.news(f"✓ {life.part.name}: stopped")

    def _ready(self, life: _Life, now: float) -> None:
        again = life.seconds is not None
        since = life.started if again else life.first_started
        life.seconds = life.seconds if again else now - since
        life.state, life.reason = "ready", ""
        log.info("part=%s event=ready seconds=%.1f", life.part.name, now - since)
        self.news(f"✓ {life.part.name}: ready {'again ' if again else ''}in {now - since:.1f} s  {life.part.address}".rstrip())

    def _died(self, life: _Life, code: int, now: float) -> None:
        part, quick = life.part, now - life.started < self.patience.healthy_s
        life.process = None
        life.deaths = life.deaths + 1 if quick else 1
        excerpt = reason_in(part.log, life.log_start)
        how = f"hung, no answer in {self.patience.hang_s:g} s, and was killed" if life.hung else _how_it_ended(code)
        life.reason = how + (f": {excerpt}" if excerpt and not life.hung else "")
        trees.signal_all(self._left(life), signal.SIGTERM)
        if life.deaths >= self.patience.deaths:
            self.give_up(part.name, f"{life.reason}; died {life.deaths} times in a row, not started again; log: {part.log}")
            return
        pause_s = self.patience.pause_s(life.deaths)
        life.state, life.again_at = "resting", now + pause_s
        log.warning("part=%s event=died code=%d lived=%.1f deaths=%d", part.name, code, now - life.started, life.deaths)
        self.trouble(f"✗ {part.name}: {life.reason}; log: {part.log}; starts again in {pause_s:g} s")

    def _left(self, life: _Life) -> set[psutil.Process]:
        """What still lives of a part: the known ones, and what is below its leader or in its session now."""
        now = trees.tree(life.leader) if life.leader is not None else set()
        return now | {process for process in life.known if trees.alive(process)}

    def _clear(self, life: _Life) -> None:
        """Kill what a dead part left behind; it had SIGTERM when its leader died."""
        trees.signal_all(self._left(life), signal.SIGKILL)
        life.known, life.leader = set(), None

    def _record(self) -> None:
        self._recorded = time.monotonic()
        for life in self._lives.values():
            life.known = self._left(life)
        self._tell()

    def _tell(self) -> None:
        """Give the guard the processes that it does not know yet; a guard that is gone is replaced."""
        known = {process for life in self._lives.values() for process in life.known} | {leader for leader, _ in self._errands}
        if self._guard is None or self._guard.poll() is not None:
            self._dismiss()
            self._guard = subprocess.Popen(
                [sys.executable, "-m", "server.trees"],
                cwd=self.root,
                env={**os.environ, "PYTHONPATH": str(_CODE)},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
            self._told = set()
        assert self._guard.stdin is not None  # noqa: S101 - for mypy: stdin=PIPE
        with contextlib.suppress(psutil.Error, BrokenPipeError):  # the process, or the guard, is gone: the next round sees it
            for process in known - self._told:
                self._guard.stdin.write(trees.line(process))
                self._guard.stdin.flush()
                self._told.add(process)

    def _dismiss(self) -> None:
        if self._guard is not None:
            with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
                self._guard.communicate("done\n", timeout=2.0)
            self._guard = None


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}" + (" (perhaps the system ran out of memory)" if name == "SIGKILL" else "")
