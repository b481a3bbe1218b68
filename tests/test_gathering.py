"""Jobs that wait for the same library share a run; each has its own end, and one that is cancelled takes no other along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from configs.settings import Splitting
from server.errors import Cancelled, Unavailable
from server.gathering import Gathering
from server.ingestion import Progress
from server.jobs import Job, JobBoard


class Library:
    """Stands where ingestion would: every run waits until it may go on, and notes what it was given."""

    def __init__(self) -> None:
        self.board, self.gathering = JobBoard(), Gathering()
        self.runs: list[list[str]] = []
        self.forgotten: list[str] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.error: Exception | None = None
        self.failed: dict[str, str] = {}

    def run(self, files: Sequence[str], chosen: Splitting | None, tell: Callable[[Progress], None], cancel: threading.Event) -> Progress:
        self.runs.append(list(files))
        self.begun.release()
        assert self.go_on.acquire(timeout=30)
        tell(Progress(total=len(files), current=files[0]))
        if cancel.is_set():
            raise Cancelled("stopped by the user")
        if self.error:
            raise self.error
        failed = {file: reason for file, reason in self.failed.items() if file in files}
        return Progress(total=len(files), done=len(files), read=len(files), failed=failed)

    def job(self, *files: str, chosen: Splitting | None = None) -> Job:
        return self.board.start("kb", "upload", lambda job: self.gathering.ingest(job, files, chosen, self.run, self.forgotten.extend))

    def waiting(self, *files: str, chosen: Splitting | None = None) -> Job:
        """A job that waits while another one runs."""
        job = self.job(*files, chosen=chosen)
        version, view = job.wait(-1, 0)
        while view.message != "waiting for another ingestion of this library":
            version, view = job.wait(version, 30)
        return job


@pytest.fixture
def library() -> Library:
    """With one job at work on `first`."""
    made = Library()
    made.job("first")
    assert made.begun.acquire(timeout=30)
    return made


def test_all_that_waited_is_read_in_one_run_and_each_job_sees_its_own_files(library: Library):
    library.failed = {"b": "damaged", "first": "damaged"}
    jobs = [library.waiting("a", "b"), library.waiting("c"), library.waiting("a")]
    library.go_on.release(2)
    ends = [job.result() for job in jobs]
    assert [sorted(run) for run in library.runs] == [["first"], ["a", "b", "c"]]
    assert [(end.total, end.done, end.failed) for end in ends] == [(2, 2, {"b": "damaged"}), (1, 1, {}), (1, 1, {})]


def test_another_way_of_splitting_is_another_run(library: Library):
    small = Splitting(chunk_tokens=64)
    jobs = [library.waiting("a"), library.waiting("b", chosen=small), library.waiting("c")]
    library.go_on.release(3)
    assert [job.result().total for job in jobs] == [1, 1, 1]
    assert sorted(sorted(run) for run in library.runs) == [["a", "c"], ["b"], ["first"]]


def test_an_error_of_the_run_is_the_end_of_all_its_jobs(library: Library):
    library.go_on.release()
    library.error = Unavailable("no room")
    jobs = [library.job("a"), library.job("b")]
    library.go_on.release(2)
    for job in jobs:
        with pytest.raises(Unavailable, match="no room"):
            job.result()
    library.error = None
    library.go_on.release()
    assert library.job("c").result().done == 1


def test_a_bug_of_the_run_is_the_end_of_all_its_jobs_and_the_next_one_goes_on(library: Library):
    jobs = [library.waiting("a"), library.waiting("b")]
    library.go_on.release()
    assert library.begun.acquire(timeout=30)
    library.error = ZeroDivisionError("oh")
    library.go_on.release()
    for job in jobs:
        with pytest.raises(Exception, match="ZeroDivisionError: oh"):
            job.result()
    library.error = None
    library.go_on.release()
    assert library.job("c").result().done == 1


def test_cancelling_one_job_of_a_run_lets_the_others_go_on(library: Library):
    one, two = library.waiting("a"), library.waiting("b")
    library.go_on.release()
    assert library.begun.acquire(timeout=30)  # both are at work now
    one.cancelled.set()
    library.go_on.release(2)
    with pytest.raises(Cancelled):
        one.result()
    assert two.result().done == 1
    assert [sorted(run) for run in library.runs] == [["first"], ["a", "b"], ["b"]]
    assert library.forgotten == []


def test_cancelling_a_job_that_waits_forgets_its_files_and_reads_nothing(library: Library):
    one, two = library.waiting("a"), library.waiting("b")
    one.cancelled.set()
    with pytest.raises(Cancelled):
        one.result()
    assert library.forgotten == ["a"]
    library.go_on.release(2)
    assert two.result().done == 1
    assert library.runs == [["first"], ["b"]]


def test_a_program_that_stops_ends_every_job(library: Library):
    jobs = [library.waiting("a"), library.waiting("b")]
    library.go_on.release()
    assert library.begun.acquire(timeout=30)
    library.error = Cancelled("the program stops; it goes on at the next start")
    library.go_on.release()
    for job in jobs:
        with pytest.raises(Cancelled, match="goes on at the next start"):
            job.result()
