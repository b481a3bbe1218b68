"""Jobs for some files each -> few runs of ingestion: what waits for the same library is read in one run.

4,000 uploads are 4,000 jobs. A run lists the folder, starts a reader and waits for the run before it; six jobs that wait share one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from configs.settings import Splitting
from server.errors import Cancelled, PaperError
from server.ingestion import Progress
from server.jobs import Job

LOOK_S = 0.25  # so often a job that waits looks whether it was cancelled
Tell = Callable[[Progress], None]
Forget = Callable[[Sequence[str]], None]
Run = Callable[[Sequence[str], Splitting | None, Tell, threading.Event], Progress]  # files, `chosen` of `ingest`, tell, cancel


@dataclass(eq=False)
class _Wanted:
    """What one job wants, and how that ended."""

    job: Job
    files: Sequence[str]
    chosen: Splitting | None
    run: Run
    ended: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    error: Exception | None = None

    def end(self, progress: Progress | None, error: Exception | None = None) -> None:
        self.progress, self.error = progress, error
        self.ended.set()


class Gathering:
    """The jobs of one library that wait. Thread-safe."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # held by the job whose thread does the run
        self._guard = threading.Lock()  # of the list
        self._waiting: list[_Wanted] = []

    def ingest(self, job: Job, files: Sequence[str], chosen: Splitting | None, run: Run, forget: Forget) -> Progress:
        """What `run` gives for the files, alone or together with those of other jobs.

        Raises what `run` raises, and Cancelled when the job was cancelled; `forget` is told its files when that was before the run.
        """
        wanted = _Wanted(job, files, chosen, run)
        with self._guard:
            self._waiting.append(wanted)
        while not wanted.ended.is_set():
            if self._turn.acquire(timeout=LOOK_S):
                try:
                    if not wanted.ended.is_set():
                        self._lead(wanted)
                finally:
                    self._turn.release()
            elif job.cancelled.is_set() and self._withdrawn(wanted):
                forget(files)
                raise Cancelled("stopped by the user; ingest again to go on")
            elif not wanted.ended.is_set():
                job.say("waiting for another ingestion of this library")
        if wanted.error is not None:
            raise wanted.error
        assert wanted.progress is not None  # noqa: S101 - an end has one of the two
        return wanted.progress

    def _withdrawn(self, wanted: _Wanted) -> bool:
        """Take it off the list; False when a run has begun with it."""
        with self._guard:
            if wanted not in self._waiting:
                return False
            self._waiting.remove(wanted)
            return True

    def _lead(self, own: _Wanted) -> None:
        """Run with all that waits for the same way of splitting, until the own job has ended."""
        while not own.ended.is_set():
            with self._guard:
                some = [wanted for wanted in self._waiting if wanted.chosen == own.chosen]
                self._waiting = [wanted for wanted in self._waiting if wanted not in some]
            try:
                rest = _together(own, some)
            except BaseException as exc:
                for wanted in some:
                    if not wanted.ended.is_set():
                        wanted.end(None, exc if isinstance(exc, Exception) else Cancelled("stopped"))
                raise
            with self._guard:
                self._waiting = [*rest, *self._waiting]


def _together(own: _Wanted, some: Sequence[_Wanted]) -> list[_Wanted]:
    """One run for all of them; those that must be run again, because another one of them was cancelled."""
    cancel = threading.Event()

    def tell(progress: Progress) -> None:
        for wanted in some:
            wanted.job.tell(progress)
            if wanted.job.cancelled.is_set():
                cancel.set()  # the run stops at once; who was not cancelled is run again

    files = list(dict.fromkeys(file for wanted in some for file in wanted.files))
    try:
        progress = own.run(files, own.chosen, tell, cancel)
    except Cancelled as exc:
        gone = [wanted for wanted in some if wanted.job.cancelled.is_set()] or some  # none of them: the program stops
        for wanted in gone:
            wanted.end(None, exc)
        return [wanted for wanted in some if wanted not in gone]
    except PaperError as exc:
        for wanted in some:
            wanted.end(None, exc)
        return []
    for wanted in some:
        wanted.end(progress if len(some) == 1 else _own(progress, wanted.files))
    return []


def _own(progress: Progress, files: Sequence[str]) -> Progress:
    """The end of a run as one of its jobs sees it: its own files and failures; pages and chunks are those of the run."""
    failed = {file: reason for file, reason in progress.failed.items() if file in files}
    return replace(progress, total=len(files), done=len(files), read=len(files) - len(failed), unchanged=0, failed=failed)
