"""Jobs: every end is told with its reason; watchers wait for the next change; cancelling waits until they stopped."""

from __future__ import annotations

import logging
import threading

import pytest

from server.errors import Cancelled, NotFound, Unavailable
from server.ingestion import Progress
from server.jobs import REMEMBERED, Job, JobBoard, JobView


def ended(job: Job) -> JobView:
    """The job after its end."""
    version, view = job.wait(-1, 0)
    while view.state == "running":
        version, view = job.wait(version, 10)
    return view


def test_a_job_ends_with_the_progress_that_its_work_returned():
    view = ended(JobBoard().start("kb", "increment", lambda job: Progress(total=3, done=3)))
    assert (view.state, view.kb, view.kind, view.progress.done, view.message) == ("done", "kb", "increment", 3, "")


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (Cancelled("stopped by the user"), "cancelled", "stopped by the user"),
        (Unavailable("no weights"), "failed", "no weights"),
        (ZeroDivisionError("oh"), "failed", "internal error (ZeroDivisionError: oh); the log has the details"),
    ],
)
def test_every_end_is_told_with_its_reason(error: Exception, state: str, message: str, caplog: pytest.LogCaptureFixture):
    def work(job: Job) -> Progress:
        job.tell(Progress(total=5, done=2))
        raise error

    with caplog.at_level(logging.INFO):
        view = ended(JobBoard().start("kb", "increment", work))
    assert (view.state, view.message, view.progress.done) == (state, message, 2)
    assert ("Traceback" in caplog.text) == isinstance(error, ZeroDivisionError)


def test_a_watcher_sees_each_change_once_and_returns_at_its_patience():
    told, go_on = threading.Event(), threading.Event()

    def work(job: Job) -> Progress:
        job.say("waiting for the embedding model")
        told.set()
        assert go_on.wait(10)
        return Progress()

    job = JobBoard().start("kb", "increment", work)
    assert told.wait(10)
    version, view = job.wait(-1, 0)
    assert (view.state, view.message) == ("running", "waiting for the embedding model")
    assert job.wait(version, 0.01) == (version, view)  # nothing new
    go_on.set()
    later, view = job.wait(version, 10)
    assert (later, view.state) == (version + 1, "done")


def test_the_board_knows_what_runs_for_a_library_and_cancels_it():
    board = JobBoard()
    started = threading.Event()

    def work(job: Job) -> Progress:
        started.set()
        assert job.cancelled.wait(10)
        raise Cancelled("stopped")

    job = board.start("mine", "increment", work)
    assert started.wait(10)
    assert board.running("mine") is job
    assert board.running("other") is None
    assert board.get(job.id) is job
    board.cancel_all("other")
    assert job.view().state == "running"
    board.cancel_all("mine")
    assert job.view().state == "cancelled"
    assert board.running("mine") is None


def test_an_unknown_job_is_not_found():
    with pytest.raises(NotFound, match="no job 'x'; jobs of an earlier run of the server are not kept"):
        JobBoard().get("x")


def test_only_the_newest_ended_jobs_are_remembered_and_running_ones_always():
    board = JobBoard()
    go_on = threading.Event()

    def long(job: Job) -> Progress:
        assert go_on.wait(30)
        return Progress()

    running = board.start("kb", "rebuild", long)
    jobs = [board.start("kb", "increment", lambda job: Progress()) for _ in range(REMEMBERED + 20)]
    for job in jobs:
        ended(job)
    last = board.start("kb", "increment", lambda job: Progress())
    ended(last)
    with pytest.raises(NotFound):
        board.get(jobs[0].id)
    assert board.get(jobs[-1].id) is jobs[-1]
    assert board.get(running.id) is running
    go_on.set()
    assert ended(running).state == "done"
