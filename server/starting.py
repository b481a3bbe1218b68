"""One run of startup.py; in: a `Plan`; out: an exit code. Starts the parts, brings what they miss, says what happens, stops them all."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType

import httpx2

from configs.settings import ROOT, local_url
from server import fetching, launch, ports, samples, weights
from server.banner import banner, read_status
from server.control import ControlPort, Wish
from server.fleet import Fleet
from server.launch import Place, Plan
from server.parts import Patience
from server.processes import Supervisor

TICK_S = 0.2
CONTROLLER_WAIT_S = 60.0  # for a controller that somebody else runs
LOADING_WAIT_S = 60.0  # of the banner, for the embedding model
FAILED_WAIT_S = 15.0  # of the banner, when that says it has failed

Say = Callable[[str], None]
Table = Callable[[Plan, httpx2.Client, Mapping[str, str]], list[Place]]
Maker = Callable[[Plan, httpx2.Client, str, int], Place]


class Session:
    """Everything between the checked command line and the exit code. `say` prints a line; threads give the main one work by `_todo`."""

    def __init__(
        self, plan: Plan, say: Say, patience: Patience | None = None, places: Table = launch.places, worker: Maker = launch.worker
    ) -> None:
        self.plan = plan
        self.say = say
        self._places = places
        self.supervisor = Supervisor(ROOT, news=(lambda line: None) if plan.quiet else say, trouble=say, patience=patience)
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._signals: list[int] = []
        self._over = threading.Event()
        self._no_controller: str | None = None  # "": it is there; else why not; None: not known yet
        self._samples_begun = False
        self._banner_begun = False
        settings = plan.settings
        keys = settings.server.api_keys
        headers = {"Authorization": f"Bearer {keys[0].get_secret_value()}"} if keys else {}
        self._http = httpx2.Client(trust_env=False, timeout=2.0)  # no proxy between the parts
        api = local_url(settings.server.host, settings.server.api_port)
        self._api = httpx2.Client(base_url=api, headers=headers, trust_env=False, timeout=10.0)
        run = partial(self.supervisor.run, environment={})
        self._fetches = fetching.Fetches(settings.paths.models, run, self._todo.put, say)
        self._fleet = Fleet(plan, self.supervisor, self._fetches, lambda: self._no_controller, partial(worker, plan, self._http))
        self._control = ControlPort(wishes(self._fleet, self._todo.put)) if "api" in plan.kinds else None

    def run(self) -> int:
        """Until a signal, or until nothing is left to run. 0 after a stop that was asked for, 1 if a part failed for good."""
        with self._http, self._api:
            table = self._places(self.plan, self._http, self._control.environment if self._control else {})
            taken = ports.complaints([ports.Wanted(place.part.name, place.host, place.port, place.setting) for place in table])
            for sentence in taken:
                self.say(f"✗ {sentence}")
            if taken:
                return 1
            self._log_to(self.plan.settings.paths.logs)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                    signal.signal(number, self._on_signal)
            try:
                self._start(table)
                self._watch()
            finally:
                self._stop()
            return 1 if self.supervisor.failed() else 0

    def _start(self, table: list[Place]) -> None:
        """All but the workers at once; those wait for their weights and their controller."""
        for source in weights.missing(launch.sources(self.plan), self.plan.settings.paths.models):
            self._fetches.begin(source, self.plan.quiet)
        for place in [place for place in table if place.kind == "controller"]:
            self.supervisor.start(place.part)
        self._fleet.expect(self.plan.models)  # listed, and stopped, in the order in which parts need each other
        for place in [place for place in table if place.kind != "controller"]:
            self.supervisor.start(place.part)
        if self.plan.models and "controller" not in self.plan.kinds:
            self._thread(self._await_controller)

    def _await_controller(self) -> None:
        """In a thread: a controller that somebody else runs."""
        deadline = time.monotonic() + CONTROLLER_WAIT_S
        while not self._over.wait(0.3) and self._no_controller is None:
            if launch.answers_controller(self._http, self.plan.controller):
                self._no_controller = ""
            elif time.monotonic() > deadline:
                self._no_controller = f"no controller answers at {self.plan.controller}; start one there: python startup.py -o"

    def _watch(self) -> None:
        while not self._signals:
            self.supervisor.tick()
            for _ in range(self._todo.qsize()):
                self._todo.get()()
            self._advance()
            if self.supervisor.hopeless():
                self.say("✗ no part is left to run")
                return
            time.sleep(TICK_S)

    def _advance(self) -> None:
        """Whatever the state of the parts allows now and did not before."""
        states = {report.name: report.state for report in self.supervisor.reports()}
        if states.get("controller") in ("ready", "failed"):
            self._no_controller = "" if states["controller"] == "ready" else "its controller has failed"
        self._fleet.advance()
        embedding = self.plan.settings.embedding.model
        if states.get("API") == "ready" and not self._samples_begun and (absent := self._fetches.reason(embedding)) is not None:
            self._samples_begun = True
            if not absent:
                self._thread(lambda: samples.fill(self._api, self._say_while_up, self._over, self.plan.quiet))
        if not self._banner_begun and self.supervisor.settled() and not self._fetches.going:
            self._banner_begun = True
            patience_s = 0.0 if self._fetches.reason(embedding) else LOADING_WAIT_S
            self._thread(lambda: self._show_banner(states.get("API") == "ready", patience_s))

    def _show_banner(self, ask: bool, patience_s: float) -> None:
        """In a thread: the embedding model may take a while to say what it became; a failure may be of the time before its weights came."""
        began, status = time.monotonic(), read_status(self._api) if ask else None
        while ask and not self._over.wait(0.5):
            state = status.embedding.state if status else "loading"
            if state == "ready" or time.monotonic() - began > (min(patience_s, FAILED_WAIT_S) if state == "failed" else patience_s):
                break
            status = read_status(self._api)
        self._todo.put(lambda: self.say(banner(self.plan, self.supervisor.reports(), status)))

    def _say_while_up(self, line: str) -> None:
        if not self._over.is_set():
            self.say(line)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _stop(self) -> None:
        began = time.monotonic()
        self._over.set()
        self._fleet.close()
        if self._control:
            self._control.close()
        if not self.plan.quiet:
            self.say("stopping 正在停止 … (Ctrl-C again kills at once)")
        self.supervisor.stop(hurry=lambda: signal.SIGINT in self._signals[1:])
        self.say(f"all stopped 全部停止 in {time.monotonic() - began:.1f} s")

    def _thread(self, target: Callable[[], None]) -> None:
        threading.Thread(target=target, daemon=True).start()

    def _log_to(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(logs / "startup.log", mode="w", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger = logging.getLogger("server")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def wishes(fleet: Fleet, todo: Callable[[Callable[[], None]], None]) -> dict[str, Wish]:
    """What the control port can do, done by the thread that `todo` gives work."""
    return {
        "states": lambda body, done: todo(lambda: done.set_result([asdict(state) for state in fleet.states()])),
        "start": lambda body, done: todo(lambda: fleet.start(str(body.get("name")), done)),
        "stop": lambda body, done: todo(lambda: fleet.stop(str(body.get("name")), done)),
        "change": lambda body, done: todo(lambda: fleet.change(str(body.get("old")), str(body.get("new")), done)),
    }
