"""The sample library at the first start; in: a client of the API; out: `samples` with all its papers ready, or the reason why not.

The work is a job of the API; this file starts it and shows how far it is. When the API is restarted meanwhile, the job is looked for again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel
from tqdm import tqdm

from server.fetching import bar_interval_s

NAME = "samples"
POLL_S = 0.5
SILENT_S = 5.0  # how long it waits without a word
AWAY_S = 120.0  # how long the API may be away before this gives up
STARTS = 3  # of the job
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} files{postfix}"

T = TypeVar("T")


class Library(BaseModel):
    """A row of GET /api/v1/libraries."""

    name: str
    files: int = 0
    ready: int = 0
    job: str | None = None


class Job(BaseModel):
    """GET /api/v1/jobs/{id}."""

    id: str
    state: str
    total: int = 0
    done: int = 0
    current: str | None = None
    chunks: int = 0
    seconds: float = 0.0
    left_s: float | None = None
    failed: dict[str, str] = {}
    message: str | None = None


class _Away(Exception):
    """The API does not answer, or cannot work yet; the message says why."""


class _Refused(Exception):
    """The API answered with a reason that waiting does not mend."""


def fill(http: httpx2.Client, say: Callable[[str], None], over: threading.Event, quiet: bool = False) -> None:
    """Make the sample library if it is missing or not ready. Returns when that is done, has failed, or `over` is set."""
    try:
        for attempt in range(STARTS):
            job_id = _patiently(lambda: _find_or_start(http), say, over)
            if not job_id:
                return
            if attempt:
                say("sample library: the API was restarted; going on where it stopped")
            job = _watch(http, job_id, say, over, quiet)
            if job is not None or over.is_set():
                return
        say(f"✗ sample library: its job was lost {STARTS} times; go on with: python init_database.py --increment --kb-name {NAME}")
    except (_Away, _Refused) as exc:
        say(f"✗ sample library: {exc}")


def _find_or_start(http: httpx2.Client) -> str:
    """The id of the job to watch: the running one, else a new one; "" when all papers are ready, or the user deleted the library."""
    library = next((row for row in map(Library.model_validate, _ask(http, "GET", "/api/v1/libraries")) if row.name == NAME), None)
    if library is not None and library.job:
        return library.job
    if library is not None and library.ready >= library.files:
        return ""
    started = _ask(http, "POST", f"/api/v1/libraries/{NAME}/jobs", {"kind": "increment", "create": True})
    return Job.model_validate(started).id if started is not None else ""


def _watch(http: httpx2.Client, job_id: str, say: Callable[[str], None], over: threading.Event, quiet: bool) -> Job | None:
    """Show the job until it ends, and say how; None when the API does not know it any more."""
    interval_s = bar_interval_s()
    with tqdm(desc="sample library", disable=quiet, mininterval=interval_s, bar_format=BAR) as bar:
        while not over.is_set():
            try:
                job = _patiently(lambda: Job.model_validate(_ask(http, "GET", f"/api/v1/jobs/{job_id}")), say, over)
            except _Refused:
                return None
            if job is None:
                return None
            bar.total = job.total or None
            bar.set_postfix_str(_postfix(job), refresh=False)
            bar.update(job.done - bar.n)
            if interval_s < 1:
                bar.refresh()  # `left` changes between two files
            if job.state != "running":
                break
            over.wait(POLL_S)
        else:
            return None
    _say_end(job, say)
    return job


def _patiently(call: Callable[[], T], say: Callable[[str], None], over: threading.Event) -> T | None:
    """`call()`, again while the API is away, for AWAY_S at most; None when `over` is set. Raises the last _Away."""
    began, said = time.monotonic(), False
    while not over.is_set():
        try:
            return call()
        except _Away as exc:
            away_s = time.monotonic() - began
            if away_s > AWAY_S:
                raise
            if away_s > SILENT_S and not said:
                said = True
                say(f"sample library: waiting, {exc}")
        over.wait(POLL_S)
    return None


def _ask(http: httpx2.Client, method: str, path: str, body: dict[str, object] | None = None) -> Any:
    """The JSON of the answer; None for 204."""
    try:
        answer = http.request(method, path, json=body)
    except httpx2.HTTPError as exc:
        raise _Away(f"the API does not answer ({exc or type(exc).__name__})") from exc
    if answer.status_code in (409, 502, 503, 504):
        raise _Away(_detail(answer))
    if answer.status_code >= 400:
        raise _Refused(_detail(answer))
    if answer.status_code == 204:
        return None
    try:
        return answer.json()
    except ValueError as exc:
        raise _Refused(f"{path} did not answer with JSON") from exc


def _detail(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the API answered {answer.status_code} to {answer.request.url.path}"


def _postfix(job: Job) -> str:
    if job.message and not job.current:
        return job.message
    left = f", {job.left_s:.0f} s left" if job.left_s is not None else ""
    return f"{job.chunks} chunks{left}" + (f", {job.current}" if job.current else "")


def _say_end(job: Job, say: Callable[[str], None]) -> None:
    good = job.done - len(job.failed)
    text = f"sample library: {good} of {job.total} papers ready, {job.chunks} chunks, {job.seconds:.0f} s"
    ending = {"done": "", "cancelled": "; it was cancelled"}.get(job.state, f"; it failed: {job.message or 'no reason given'}")
    say(("✓ " if job.state == "done" else "✗ ") + text + ending)
    for file, reason in job.failed.items():
        say(f"✗ sample library: {file}: {reason}")
