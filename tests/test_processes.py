"""The supervisor against real processes: it starts, asks, restarts, gives up, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from server import trees
from server.log_excerpt import reason_in
from server.parts import Part, Patience
from server.processes import Supervisor

ROOT = Path(__file__).resolve().parents[1]

SERVES = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
# A part with a child and a grandchild that leaves for a session of its own; none of them listens to SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
depth = int(sys.argv[1])
if depth:
    subprocess.Popen([sys.executable, __file__, str(depth - 1)], start_new_session=depth == 1)
open(f"{__file__}.pid{depth}", "w").write(str(__import__("os").getpid()))
while True: time.sleep(0.1)
"""
WAITS = "import time\nwhile True: time.sleep(0.1)\n"
RAISES = "print('INFO starting')\nraise RuntimeError('the port is on fire')\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serves(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    return False


def until(condition: Callable[[], object], what: str, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.02)


class Stage:
    """A supervisor, what it said, and scripts to run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        patience = Patience(first_s=0.05, longest_s=0.2, healthy_s=30.0, deaths=5)
        self.supervisor = Supervisor(folder, news=self.lines.append, trouble=self.lines.append, patience=patience)

    def part(self, name: str, script: str, *arguments: str, answers: Callable[[], bool] = lambda: True, deadline_s: float = 20.0) -> Part:
        path = self.folder / f"{name}.py"
        path.write_text(script)
        return Part(name, (sys.executable, str(path), *arguments), answers, self.folder / f"{name}.log", deadline_s=deadline_s)

    def state(self, name: str) -> str:
        return next(report.state for report in self.supervisor.reports() if report.name == name)

    def tick_until(self, condition: Callable[[], object], what: str) -> None:
        def step() -> object:
            self.supervisor.tick()
            return condition()

        until(step, f"{what}; said: {self.lines}")

    def pids(self, name: str, count: int) -> list[psutil.Process]:
        files = [self.folder / f"{name}.py.pid{depth}" for depth in range(count)]
        until(lambda: all(file.exists() and file.read_text() for file in files), f"{files} are written")
        return [psutil.Process(int(file.read_text())) for file in files]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.supervisor.stop(hurry=lambda: True)


def test_a_part_is_ready_when_it_answers_and_not_before(stage: Stage) -> None:
    port = free_port()
    stage.supervisor.start(stage.part("web", SERVES, str(port), answers=lambda: serves(port)))
    assert stage.state("web") == "starting"
    stage.tick_until(lambda: stage.state("web") == "ready", "web is ready")
    assert serves(port)
    assert stage.lines[0].startswith("✓ web: ready in ")
    assert stage.supervisor.settled()


def test_a_part_that_is_killed_runs_again_and_says_so(stage: Stage) -> None:
    port = free_port()
    stage.supervisor.start(stage.part("web", SERVES, str(port), answers=lambda: serves(port)))
    stage.tick_until(lambda: stage.state("web") == "ready", "web is ready")
    listening = next(c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN)
    assert listening is not None
    os.kill(listening, signal.SIGKILL)
    stage.tick_until(lambda: stage.state("web") == "resting", "its death is noticed")
    assert "web: killed by SIGKILL" in stage.lines[1]
    assert "starts again in 0.05 s" in stage.lines[1]
    stage.tick_until(lambda: stage.state("web") == "ready", "web is ready again")
    assert serves(port)
    assert stage.lines[2].startswith("✓ web: ready again in ")


def test_a_part_that_dies_five_times_is_given_up_with_its_reason_while_others_go_on(stage: Stage) -> None:
    port = free_port()
    stage.supervisor.start(stage.part("bad", RAISES, answers=lambda: False))
    stage.supervisor.start(stage.part("web", SERVES, str(port), answers=lambda: serves(port)))
    stage.tick_until(lambda: stage.state("bad") == "failed", "bad is given up")
    stage.tick_until(lambda: stage.state("web") == "ready", "web is ready")
    troubles = [line for line in stage.lines if line.startswith("✗ bad")]
    assert len(troubles) == 5
    assert [line.rpartition("starts again in ")[2] for line in troubles[:4]] == ["0.05 s", "0.1 s", "0.2 s", "0.2 s"]
    assert "exited with code 1: RuntimeError: the port is on fire; died 5 times in a row" in troubles[4]
    assert str(stage.folder / "bad.log") in troubles[4]
    assert stage.supervisor.failed()
    assert not stage.supervisor.hopeless()
    assert (stage.folder / "bad.log").read_text().count("on fire')") == 5  # appended on restarts


def test_a_part_that_answers_nothing_is_named_after_its_deadline_and_welcomed_later(stage: Stage) -> None:
    answering = threading.Event()
    stage.supervisor.start(stage.part("slow", "print('reading 13 GB', flush=True)\n" + WAITS, answers=answering.is_set, deadline_s=0.6))
    stage.tick_until(lambda: stage.state("slow") == "silent", "the deadline is noticed")
    assert "no answer in 0.6 s" in stage.lines[0]
    assert stage.supervisor.settled()
    answering.set()
    stage.tick_until(lambda: stage.state("slow") == "ready", "slow is ready in the end")


def test_a_part_that_loads_says_how_far_it_is_until_it_is_ready(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.processes.TELL_S", 0.1)
    loaded, shards = threading.Event(), iter(range(1000))
    part = replace(stage.part("model", WAITS, answers=loaded.is_set), progress=lambda: f"loading {next(shards)} of 1000 shards")
    stage.supervisor.start(part)
    stage.tick_until(lambda: len([line for line in stage.lines if line.startswith("… model: loading ")]) >= 2, "two lines are said")
    (report,) = stage.supervisor.reports()
    assert (report.state, report.progress.endswith(" of 1000 shards")) == ("starting", True)
    loaded.set()
    stage.tick_until(lambda: stage.state("model") == "ready", "it is ready")
    assert stage.supervisor.reports()[0].progress == ""


def test_a_missing_program_is_a_sentence(stage: Stage) -> None:
    stage.supervisor.start(Part("odd", ("/no/such/python",), lambda: True, stage.folder / "odd.log"))
    assert stage.state("odd") == "failed"
    assert stage.lines == ["✗ odd: cannot run /no/such/python: there is no program /no/such/python"]


def test_a_log_begins_anew_with_the_supervisor(stage: Stage) -> None:
    (stage.folder / "old.log").write_text("yesterday")
    stage.supervisor.start(stage.part("old", "print('today', flush=True)\n" + WAITS))
    until(lambda: "today" in (stage.folder / "old.log").read_text(), "the part wrote")
    assert (stage.folder / "old.log").read_text() == "today\n"


def test_stop_ends_grandchildren_that_ignore_sigterm_within_ten_seconds(stage: Stage) -> None:
    stage.supervisor.start(stage.part("stubborn", STUBBORN, "2"))
    family = stage.pids("stubborn", 3)
    began = time.monotonic()
    stage.supervisor.stop()
    assert time.monotonic() - began < 10.0
    assert [process for process in family if trees.alive(process)] == []
    assert stage.state("stubborn") == "stopped"


def test_a_second_ctrl_c_kills_at_once(stage: Stage) -> None:
    stage.supervisor.start(stage.part("stubborn", STUBBORN, "2"))
    family = stage.pids("stubborn", 3)
    began = time.monotonic()
    stage.supervisor.stop(hurry=lambda: time.monotonic() - began > 0.3)
    assert time.monotonic() - began < 3.0
    assert [process for process in family if trees.alive(process)] == []


def test_stop_tells_the_last_started_first_and_waits_for_it(stage: Stage) -> None:
    script = """
import signal, sys, time
def leave(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("listening", flush=True)
while True: time.sleep(0.05)
"""
    ends = stage.folder / "ends"
    for name in ("controller", "worker", "ui"):
        stage.supervisor.start(stage.part(name, script, str(ends), name))
        until(lambda name=name: "listening" in (stage.folder / f"{name}.log").read_text(), f"{name} listens")
    stage.supervisor.stop()
    assert ends.read_text().split() == ["ui", "worker", "controller"]


def test_the_children_of_a_dead_part_are_gone_before_it_starts_again(stage: Stage) -> None:
    script = STUBBORN.replace(
        "while True: time.sleep(0.1)", "while depth < 2: time.sleep(0.1)\nwhile not __import__('os').path.exists(__file__ + '.pid0'): pass"
    )
    stage.supervisor.start(stage.part("parent", script, "2"))
    first = stage.pids("parent", 3)
    (stage.folder / "parent.py").write_text(WAITS)  # what is started again is peaceful
    stage.tick_until(lambda: any("starts again" in line for line in stage.lines), "the death is noticed")
    stage.tick_until(lambda: stage.state("parent") == "ready", "it runs again")
    assert not trees.alive(first[2])
    until(lambda: not any(trees.alive(process) for process in first), "its child, and the grandchild with a session of its own, are gone")


@pytest.mark.parametrize("also_guard", [False, True])
def test_a_supervisor_that_is_killed_leaves_no_child(tmp_path: Path, also_guard: bool) -> None:
    """The guard ends the stubborn ones; without it the kernel's SIGTERM still ends those that listen."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    (tmp_path / "waits.py").write_text(WAITS)
    main = f"""
import sys, time
from pathlib import Path
from server.parts import Part
from server.processes import Supervisor
here = Path({str(tmp_path)!r})
supervisor = Supervisor(here, print, print)
for name, arguments in (("waits", ()), {"" if also_guard else '("stubborn", ("2",)),'}):
    supervisor.start(Part(name, (sys.executable, str(here / f"{{name}}.py"), *arguments), lambda: True, here / f"{{name}}.log"))
while True:
    supervisor.tick()
    time.sleep(0.1)
"""
    supervisor = subprocess.Popen([sys.executable, "-c", main], cwd=ROOT)
    leader = psutil.Process(supervisor.pid)
    family: set[psutil.Process] = set()
    try:

        def all_there() -> bool:
            family.update(leader.children(recursive=True))
            commands = [" ".join(process.cmdline()) for process in family if trees.alive(process)]
            counts = {name: sum(name in c for c in commands) for name in ("waits.py", "stubborn.py", "server.trees")}
            return counts["waits.py"] == counts["server.trees"] == 1 and (also_guard or counts["stubborn.py"] >= 3)

        until(all_there, "all children run")
        guards = [process for process in family if process.is_running() and "server.trees" in process.cmdline()]
        assert len(guards) == 1
        if also_guard:
            leader.suspend()  # or it might start another one
            guards[0].kill()
        supervisor.kill()
        until(lambda: not any(trees.alive(process) for process in family), f"all of {family} are gone", limit_s=12.0)
    finally:
        supervisor.kill()
        supervisor.wait()
        trees.signal_all(family, signal.SIGKILL)


def test_pauses_double_and_are_bounded() -> None:
    patience = Patience()
    assert [patience.pause_s(deaths) for deaths in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("INFO:     Started\nTraceback (most recent call last):\n  File x\nValueError: no such model\n", "ValueError: no such model"),
        (
            "ERROR:    [Errno 98] error while attempting to bind on address\nINFO:     Waiting for application shutdown.\n",
            "ERROR:    [Errno 98] error while attempting to bind on address",
        ),
        ("\x1b[31mserver.errors.Unavailable: no weights\x1b[0m\n", "server.errors.Unavailable: no weights"),
        ("the licence was not accepted\n\n", "the licence was not accepted"),
        ("INFO:     all is well\n2026-11-21 08:18:01,181 INFO uvicorn.error Application startup complete.\n", ""),
        (
            "2026-11-21 08:18:01 | INFO | stdout | 127.0.0.1 POST\n2026-11-21 08:18:01 | ERROR | stderr | out of slots\n",
            "2026-11-21 08:18:01 | ERROR | stderr | out of slots",
        ),
        ("", ""),
    ],
)
def test_the_reason_is_the_line_that_matters(tmp_path: Path, log: str, reason: str) -> None:
    (tmp_path / "part.log").write_text(log)
    assert reason_in(tmp_path / "part.log") == reason


def test_the_reason_is_looked_for_in_the_present_run_only(tmp_path: Path) -> None:
    (tmp_path / "part.log").write_text("KeyError: 'old'\nnew words\n")
    assert reason_in(tmp_path / "part.log", len("KeyError: 'old'\n")) == "new words"
