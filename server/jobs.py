"""Long work in the background: in: a function that reports Progress; out: a Job that can be watched, waited for and cancelled.

Jobs live in memory: what must survive a kill is in library.db, and unfinished ingestion starts again by itself (see runtime.py).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from server.errors import Cancelled, NotFound, PaperError
from server.ingestion import Progress

log = logging.getLogger(__name__)
JobState = Literal["running", "done", "failed", "cancelled"]
REMEMBERED = 200  # ended jobs


@dataclass(frozen=True, slots=True)
class JobView:
    """A job at one moment."""

    id: str
    kb: str
    kind: str
    state: JobState
    progress: Progress
    message: str


class Job:
    """One piece of background work. `version` grows with every change, so that watchers can wait for the next."""

    def __init__(self, kb: str, kind: str) -> None:
        self.id = uuid.uuid4().hex
        self.kb = kb
        self.kind = kind
        self.cancelled = threading.Event()
        self._state: JobState = "running"
        self._progress = Progress()
        self._message = ""
        self._changed = threading.Condition()
        self._version = 0
        self._error: PaperError | None = None

    def tell(self, progress: Progress) -> None:
        """Take over new progress."""
        self._update("running", progress, progress.message)

    def say(self, message: str) -> None:
        """A message without other progress, such as what is being waited for."""
        self._update("running", self._progress, message)

    def view(self) -> JobView:
        """The job as it is now."""
        with self._changed:
            return JobView(self.id, self.kb, self.kind, self._state, self._progress, self._message)

    def wait(self, version: int, timeout_s: float) -> tuple[int, JobView]:
        """The job when its version is no longer `version`, or after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout_s)
            return self._version, self.view()

    def result(self) -> Progress:
        """Wait for the end. Raises the error that ended the job, Cancelled when it was stopped."""
        version, view = self.wait(-1, 0)
        while view.state == "running":
            version, view = self.wait(version, 5)
        if view.state != "done":
            raise self._error or (Cancelled if view.state == "cancelled" else PaperError)(view.message)
        return view.progress

    def run(self, work: Callable[[Job], Progress]) -> None:
        """Do the work in this thread; every end is told, with its reason."""
        started = time.monotonic()
        try:
            progress = work(self)
            self._update("done", progress, "")
        except Cancelled as exc:
            self._update("cancelled", self._progress, str(exc))
        except PaperError as exc:
            self._error = exc
            log.warning("job failed id=%s kind=%s kb=%s reason=%s", self.id, self.kind, self.kb, exc)
            self._update("failed", self._progress, str(exc))
        except Exception as exc:  # a job ends here: the reason reaches whoever watches, the traceback the log
            log.exception("job failed id=%s kind=%s kb=%s", self.id, self.kind, self.kb)
            self._update("failed", self._progress, f"internal error ({type(exc).__name__}: {exc}); the log has the details")
        log.info("job id=%s kind=%s kb=%s state=%s seconds=%.1f", self.id, self.kind, self.kb, self._state, time.monotonic() - started)

    def _update(self, state: JobState, progress: Progress, message: str) -> None:
        with self._changed:
            self._state, self._progress, self._message = state, progress, message
            self._version += 1
            self._changed.notify_all()


class JobBoard:
    """All jobs of this process, the newest REMEMBERED ended ones included."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, kb: str, kind: str, work: Callable[[Job], Progress]) -> Job:
        """Start `work` in a thread of its own."""
        job = Job(kb, kind)
        with self._lock:
            self._jobs[job.id] = job
            for old in [i for i, other in self._jobs.items() if other.view().state != "running"][:-REMEMBERED]:
                del self._jobs[old]
        threading.Thread(target=job.run, args=(work,), name=f"job-{job.id[:8]}", daemon=True).start()
        return job

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise NotFound(f"no job {job_id!r}; jobs of an earlier run of the server are not kept")
        return job

    def running(self, kb: str, kind: str | None = None) -> Job | None:
        """The oldest running job of a library, of that kind if one is given."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.kb == kb and kind in (None, job.kind)]
        return next((job for job in jobs if job.view().state == "running"), None)

    def cancel_all(self, kb: str) -> None:
        """Ask every job of a library to stop, and wait until they have."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.kb == kb]
        for job in jobs:
            job.cancelled.set()
        for job in jobs:
            version, view = job.wait(-1, 0)
            while view.state == "running":
                version, view = job.wait(version, 5)
