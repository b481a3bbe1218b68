"""Local models while the program runs; in: names to start, stop or change; out: workers under the supervisor, and an answer to who asked.

A wish is a generator that goes on by a step at each tick, so that all of it stays in the supervisor's thread.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
from collections.abc import Callable, Collection, Generator
from concurrent.futures import Future
from dataclasses import dataclass

import psutil

from configs.settings import Settings
from server import ports
from server.errors import Cancelled, Conflict, Invalid, ModelNotFound, PaperError, Unavailable
from server.fetching import Fetches
from server.launch import Place, Plan
from server.parts import Report, State
from server.processes import Supervisor

log = logging.getLogger(__name__)

Steps = Generator[None, None, None]


@dataclass(frozen=True, slots=True)
class LocalState:
    """A local model as the control port shows it; `memory_mib` is what its processes hold, 0 while none runs."""

    name: str
    state: State
    reason: str = ""
    address: str = ""
    log: str = ""
    seconds_to_load: float | None = None
    memory_mib: int = 0
    source: str = ""
    engine: str = ""
    progress: str = ""


@dataclass(frozen=True, slots=True)
class _Wish:
    what: str
    models: frozenset[str]
    steps: Steps
    done: Future[None]


class Fleet:
    """The workers of one run of startup.py. `controller()` is "" when it is there, else why not, None while that is not known yet."""

    def __init__(
        self,
        plan: Plan,
        supervisor: Supervisor,
        fetches: Fetches,
        controller: Callable[[], str | None],
        worker: Callable[[str, int], Place],
    ) -> None:
        """`worker(name, port)` makes the part of a model."""
        self._settings: Settings = plan.settings
        self._supervisor = supervisor
        self._fetches = fetches
        self._controller = controller
        self._worker = worker
        self._places: dict[str, Place] = {}  # model -> where it runs, ran last, or is to run
        self._starting: dict[str, Steps] = {}  # models of the command line
        self._wish: _Wish | None = None

    def expect(self, models: tuple[str, ...]) -> None:
        """The models of the command line: each starts when its weights and the controller are there."""
        for name in models:
            place = self._placed(name)
            fetching = self._fetches.reason(place.source) is None
            self._supervisor.expect(place.part, f"waits for its weights, {place.source}" if fetching else "")
            self._starting[name] = self._first_start(place)

    def advance(self) -> None:
        """One step of everything that is under way."""
        self._starting = {name: steps for name, steps in self._starting.items() if _goes_on(steps)}
        wish = self._wish
        if wish is None:
            return
        try:
            next(wish.steps)
            return
        except StopIteration:
            wish.done.set_result(None)
        except PaperError as exc:
            log.warning("wish=%r error=%s", wish.what, exc)
            wish.done.set_exception(exc)
        self._wish = None

    def close(self) -> None:
        """Whoever still waits learns that the program stops."""
        self._cancel("PaperProof is stopping")

    def start(self, name: str, done: Future[None]) -> None:
        """Start a model; `done` when it can be asked. It fails with ModelNotFound, Conflict, or Unavailable saying why it does not load."""
        self._ask(f"start {name}", {name}, done, lambda: self._begin(self._known(name)))

    def stop(self, name: str, done: Future[None]) -> None:
        """Stop a model; one that is being started or changed to is given up. Fails with Invalid when it does not run."""
        if self._wish is not None and name in self._wish.models:
            self._cancel(f"{name} was stopped")
        self._ask(f"stop {name}", {name}, done, lambda: self._end(self._running(name)))

    def change(self, old: str, new: str, done: Future[None]) -> None:
        """Stop `old`, then start `new`, whose weights are fetched before. When `new` does not load, `old` is started again."""
        self._ask(f"change {old} to {new}", {old, new}, done, lambda: self._replace(self._running(old), self._known(new)))

    def states(self) -> list[LocalState]:
        """Every model of llm.local, sorted by name."""
        return [self._state(name) for name in sorted(self._settings.llm.local)]

    def _state(self, name: str) -> LocalState:
        model, report = self._settings.llm.local[name], self._report(name)
        if report is None:
            return LocalState(name, "stopped", source=model.source, engine=model.engine)
        memory_mib = _memory_mib(report.pid)
        return LocalState(
            *(name, report.state, report.reason, report.address, str(report.log), report.seconds, memory_mib, model.source, model.engine),
            progress=report.progress,
        )

    def _report(self, name: str) -> Report | None:
        place = self._places.get(name)
        return next((report for report in self._supervisor.reports() if place and report.name == place.part.name), None)

    def _known(self, name: str) -> str:
        local = self._settings.llm.local
        if any(name in endpoint.models for endpoint in self._settings.llm.endpoints.values()) and name not in local:
            raise Invalid(f"{name} is served by an online endpoint and needs no worker")
        if name not in local:
            near = difflib.get_close_matches(name, local, n=1, cutoff=0.5)
            raise ModelNotFound(f"no local model {name!r}; {f'did you mean {near[0]}? ' if near else ''}known: {', '.join(sorted(local))}")
        return name

    def _running(self, name: str) -> str:
        running = [state.name for state in self.states() if state.state not in ("stopped", "failed")]
        if self._known(name) not in running:
            raise Invalid(f"{name} does not run; running: {', '.join(running) or 'none'}")
        return name

    def _ask(self, what: str, models: Collection[str], done: Future[None], steps: Callable[[], Steps]) -> None:
        try:
            if self._wish is not None:
                raise Conflict(f"still busy: {self._wish.what}; try again when that has ended")
            self._wish = _Wish(what, frozenset(models), steps(), done)
        except PaperError as exc:
            done.set_exception(exc)

    def _cancel(self, why: str) -> None:
        if self._wish is not None:
            self._wish.steps.close()
            self._wish.done.set_exception(Cancelled(why))
            self._wish = None

    def _placed(self, name: str) -> Place:
        """Its place, on the lowest free port from server.worker_port that no other part has."""
        server = self._settings.server
        but = {server.gateway_port, server.controller_port, server.api_port, server.ui_port}
        but |= {place.port for other, place in self._places.items() if other != name}
        self._places[name] = self._worker(name, ports.free_from(server.worker_port, but))
        return self._places[name]

    def _first_start(self, place: Place) -> Steps:
        while (no := self._controller()) != "" or self._fetches.reason(place.source) is None:
            if no:
                self._supervisor.give_up(place.part.name, no)
                return
            yield
        if reason := self._fetches.reason(place.source):
            self._supervisor.give_up(place.part.name, f"no weights: {reason}")
            return
        self._supervisor.start(place.part)

    def _begin(self, name: str) -> Steps:
        report = self._report(name)
        if report is None or report.state not in ("waiting", "starting", "ready"):
            yield from self._fetch(name)
            while (no := self._controller()) is None:
                yield
            if no:
                raise Unavailable(no)
            if report is not None and report.state not in ("failed", "stopped"):
                yield from self._end(name)  # a fresh try, not the rest of an old one
            self._supervisor.start(self._placed(name).part)
        while (report := self._report(name)) is not None and report.state != "ready":
            if report.state not in ("waiting", "starting"):
                reason = report.reason
                yield from self._end(name)
                raise Unavailable(f"{name} does not load: {reason}; log: {report.log}")
            yield

    def _fetch(self, name: str) -> Steps:
        source = self._settings.llm.local[name].source
        self._fetches.begin(source)
        while (reason := self._fetches.reason(source)) is None:
            yield
        if reason:
            raise Unavailable(f"{name} has no weights: {reason}")

    def _end(self, name: str) -> Steps:
        part = self._places[name].part
        self._starting.pop(name, None)
        self._supervisor.end(part.name)
        while (report := self._report(name)) is not None and report.state != "stopped":
            yield

    def _replace(self, old: str, new: str) -> Steps:
        if old == new:
            return
        yield from self._fetch(new)
        yield from self._end(old)
        try:
            yield from self._begin(new)
        except PaperError as exc:
            yield from self._begin(old)
            raise type(exc)(f"{exc}. {old} runs again") from exc


def _goes_on(steps: Steps) -> bool:
    try:
        next(steps)
    except StopIteration:
        return False
    return True


def _memory_mib(pid: int | None) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        if pid is not None:
            process = psutil.Process(pid)
            total = sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])
    return total >> 20
