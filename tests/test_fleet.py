"""Starting, stopping and changing models while the program runs: real processes under a real supervisor, asked over the control port."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from configs.settings import ROOT, Settings
from server.control import SECRET, URL, Control, ControlPort
from server.errors import Cancelled, Conflict, Invalid, ModelNotFound, PaperError, Unauthorized, Unavailable
from server.fetching import Fetches
from server.fleet import Fleet
from server.launch import Place, Plan
from server.parts import Part, Patience
from server.processes import Supervisor
from server.starting import wishes
from tests.stack import free_port, until

WORKER = """
import http.server, os, sys
if sys.argv[1] == "broken":
    sys.exit("MemoryError: broken needs 13.1 GiB, and 2.0 GiB are free")
while sys.argv[1] == "slow" and not os.path.exists(sys.argv[3]):
    import time; time.sleep(0.05)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


class Run:
    """A supervisor with a fleet, ticked by a thread as startup.py's main thread does it, and a control port."""

    def __init__(self, folder: Path, first: str = "a", **patience: Any) -> None:
        self.lines: list[str] = []
        self._first = first
        self.folder = folder
        (folder / "worker.py").write_text(WORKER)
        for name in ("a", "b", "slow", "broken"):
            (folder / f"{name}.gguf").touch()
        local = {name: {"source": str(folder / f"{name}.gguf"), "engine": "llama_cpp"} for name in ("a", "b", "slow", "broken", "absent")}
        settings = Settings.model_validate(
            {"llm": {"default": "a", "local": local}, "server": {"worker_port": free_port()}, "paths": {"models": folder, "logs": folder}}
        )
        self.first_port = settings.server.worker_port
        say = self.lines.append
        self.supervisor = Supervisor(ROOT, news=say, trouble=say, patience=Patience(first_s=0.05, longest_s=0.1, **patience))
        plan = Plan(settings, frozenset({"worker"}), ("a",), "http://127.0.0.1:1")
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        fetches = Fetches(folder, partial(self.supervisor.run, environment={}), self._todo.put, say)
        self.fleet = Fleet(plan, self.supervisor, fetches, lambda: "", self.place)
        self.port = ControlPort(wishes(self.fleet, self._todo.put))
        self.control = Control(self.port.environment)
        self._over = threading.Event()
        self._started = threading.Event()
        self._ticking = threading.Thread(target=self._tick)
        self._ticking.start()
        self._started.wait()

    def place(self, name: str, port: int) -> Place:
        command = (sys.executable, str(self.folder / "worker.py"), name, str(port), str(self.folder / "go"))
        answers = partial(self.serves, name, port)
        part = Part(f"worker {name}", command, answers, self.folder / f"worker-{name}.log", f"http://127.0.0.1:{port}")
        return Place("worker", part, "127.0.0.1", port, "server.worker_port", str(self.folder / f"{name}.gguf"))

    @staticmethod
    def serves(name: str, port: int) -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{port}", timeout=1.0).text == name
        except httpx2.HTTPError:
            return False

    def states(self) -> dict[str, str]:
        return {state["name"]: state["state"] for state in self.control.states()}

    def state(self, name: str) -> dict[str, Any]:
        return next(state for state in self.control.states() if state["name"] == name)

    @staticmethod
    def pid(name: str) -> int:
        return next(process.pid for process in psutil.Process().children(recursive=True) if process.cmdline()[-3:-2] == [name])

    def _tick(self) -> None:
        self.fleet.expect((self._first,))
        self._started.set()
        while not self._over.wait(0.02):
            self.supervisor.tick()
            while not self._todo.empty():
                self._todo.get()()
            self.fleet.advance()
        self.fleet.close()
        self.supervisor.stop(hurry=lambda: True)

    def end(self) -> None:
        self._over.set()
        self._ticking.join()
        self.port.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    until(lambda: run.states()["a"] == "ready", "a is ready")
    yield run
    run.end()


def test_a_model_is_started_on_a_port_of_its_own_and_stopped_with_nothing_left(run: Run) -> None:
    run.control.start("b")
    a, b = run.state("a"), run.state("b")
    assert (a["state"], b["state"]) == ("ready", "ready")
    assert a["address"] != b["address"]
    assert httpx2.get(b["address"]).text == "b"
    assert b["memory_mib"] >= 5
    assert b["seconds_to_load"] > 0
    pids = {process.pid for process in psutil.Process().children(recursive=True) if "b" in process.cmdline()[-3:]}
    run.control.stop("b")
    assert run.states()["b"] == "stopped"
    assert run.state("b")["memory_mib"] == 0
    assert pids
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(b["address"])
    run.control.start("b")
    assert httpx2.get(run.state("b")["address"]).text == "b"


def test_a_port_that_somebody_else_has_is_passed_over(run: Run) -> None:
    with socket.socket() as stranger:
        for port in range(run.first_port + 1, run.first_port + 50):  # the lowest one that is free now
            with contextlib.suppress(OSError):
                stranger.bind(("127.0.0.1", port))
                break
        stranger.listen()
        run.control.start("b")
        assert run.state("b")["address"] not in (f"http://127.0.0.1:{port}", run.state("a")["address"])
        assert httpx2.get(run.state("b")["address"]).text == "b"


def test_a_change_stops_one_and_starts_the_other(run: Run) -> None:
    run.control.change("a", "b")
    assert run.states() == {"a": "stopped", "absent": "stopped", "b": "ready", "broken": "stopped", "slow": "stopped"}
    run.control.change("b", "b")
    assert run.states()["b"] == "ready"


@pytest.mark.parametrize(
    ("new", "words"),
    [("broken", "does not load.*MemoryError: broken needs 13.1 GiB, and 2.0 GiB are free"), ("absent", "no weights: no model at")],
)
def test_when_the_new_model_does_not_load_the_old_one_is_back_and_the_reason_is_said(run: Run, new: str, words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        run.control.change("a", new)
    assert run.states()["a"] == "ready"
    assert run.states()[new] == "stopped"


@pytest.mark.parametrize(
    ("wish", "error", "words"),
    [
        (lambda control: control.start("bb"), ModelNotFound, "no local model 'bb'; did you mean b.*known: a, absent, b, broken, slow"),
        (lambda control: control.stop("b"), Invalid, "b does not run; running: a"),
        (lambda control: control.change("b", "a"), Invalid, "b does not run; running: a"),
        (lambda control: control.change("a", "zz"), ModelNotFound, "no local model 'zz'"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    run: Run, wish: Callable[[Control], None], error: type[PaperError], words: str
) -> None:
    with pytest.raises(error, match=words):
        wish(run.control)
    assert run.states()["a"] == "ready"


def test_a_second_wish_while_one_is_under_way_is_a_conflict_and_the_first_goes_on(run: Run) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run.control.start, "slow")
        until(lambda: run.states()["slow"] == "starting", "slow is starting")
        with pytest.raises(Conflict, match="still busy: start slow"):
            run.control.start("b")
        psutil.Process(next(p.pid for p in psutil.Process().children(recursive=True) if "slow" in p.cmdline())).kill()
        with pytest.raises(Unavailable, match="slow does not load: killed by SIGKILL"):  # a first start that dies is not tried again
            slow.result(20)
    (run.folder / "go").touch()
    run.control.start("slow")
    assert run.states()["slow"] == "ready"


def test_a_start_is_given_up_by_a_stop(run: Run) -> None:
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(run.control.start, "slow")
        until(lambda: run.states()["slow"] == "starting", "slow is starting")
        run.control.stop("slow")
        with pytest.raises(Cancelled, match="slow was stopped"):
            started.result(10)
    assert run.states() == {"a": "ready", "absent": "stopped", "b": "stopped", "broken": "stopped", "slow": "stopped"}


def test_what_the_command_line_is_starting_is_waited_for_and_not_begun_anew(tmp_path: Path) -> None:
    run = Run(tmp_path, first="slow")
    try:
        until(lambda: run.states()["slow"] == "starting", "slow is starting")
        pid = run.pid("slow")
        with ThreadPoolExecutor(1) as pool:
            started = pool.submit(run.control.start, "slow")
            (tmp_path / "go").touch()
            started.result(20)
        assert run.pid("slow") == pid
        run.control.stop("slow")
        assert run.states()["slow"] == "stopped"
    finally:
        run.end()


def test_the_secret_is_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "http://127.0.0.1:9")
    monkeypatch.setenv(SECRET, "s")
    assert Control.of_this_process().there
    assert URL not in os.environ
    assert SECRET not in os.environ
    assert not Control.of_this_process().there


def test_a_worker_that_hangs_is_killed_and_runs_again(tmp_path: Path) -> None:
    run = Run(tmp_path, looks=2, hang_s=1.0)
    try:
        until(lambda: run.states()["a"] == "ready", "a is ready")
        process = next(p for p in psutil.Process().children(recursive=True) if "a" in p.cmdline()[-3:-2])
        process.suspend()
        until(lambda: any("hung, no answer in 1 s, and was killed" in line for line in run.lines), "the silence is noticed", 15.0)
        until(lambda: run.states()["a"] == "ready", "a is ready again")
        assert httpx2.get(run.state("a")["address"]).text == "a"
    finally:
        run.end()


def test_a_stop_of_the_program_answers_who_waits(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        until(lambda: run.states()["a"] == "ready", "a is ready")
        slow = pool.submit(run.control.start, "slow")
        until(lambda: run.states()["slow"] == "starting", "slow is starting")
        run.end()
        with pytest.raises(PaperError, match="PaperProof is stopping"):
            slow.result(5)


def test_the_control_port_serves_only_who_has_the_secret() -> None:
    asked: list[Any] = []

    def hear(body: Any, done: Future[Any]) -> None:
        asked.append(body)
        done.set_result({"heard": body})

    port = ControlPort({"start": hear})
    try:
        environment = port.environment
        address = environment[URL]
        assert address.startswith("http://127.0.0.1:")
        with pytest.raises(Unauthorized):
            Control({**environment, SECRET: "guessed"}).start("a")
        assert httpx2.post(f"{address}/start", json={"name": "a"}).status_code == 401
        assert asked == []
        Control(environment).start("a")
        assert asked == [{"name": "a"}]
        key = {"authorization": f"Bearer {environment[SECRET]}"}
        assert httpx2.post(f"{address}/nonsense", json={}, headers=key).status_code == 400
        assert httpx2.post(f"{address}/start", content=b"{" * 70_000, headers=key).status_code == 400
        assert httpx2.post(f"{address}/start", content=b"{", headers=key).status_code == 400
    finally:
        port.close()
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"startup\.py does not answer"):
        Control(environment).start("a")
    assert time.monotonic() - began < 5
    with pytest.raises(Unavailable, match="this API was started without it"):
        Control({}).stop("a")
