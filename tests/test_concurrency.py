"""A real server under uploads, deletions and searches at once: no error, no hit from a deleted file, nothing lost; the short benchmark."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.concurrency import errors_of, share, stale
from benchmarks.concurrency_clients import Seen
from configs.settings import ROOT

SHORT = ["--files", "60", "--base", "20", "--writers", "4", "--readers", "6", "--calm-s", "2", "--beside-s", "8", "--embedder", "tiny"]
FAULTS = (
    "errors",
    "hits from deleted files",
    "uploaded files that their own word does not find",
    "files lacking or too much at the end",
    "findings of the check",
    "errors in the server's log",
)


def test_uploads_deletions_and_searches_at_once_lose_nothing_and_find_nothing_that_is_gone():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAPERPROOF_")}
    command = [sys.executable, "-m", "benchmarks.concurrency", *SHORT]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "| uploaded and ingested, deleted | 60, " in run.stdout
    assert all(f"| {fault} | 0 |" in run.stdout for fault in FAULTS)


def test_a_hit_counts_as_stale_only_after_the_deletion_was_acknowledged():
    names = ("file00003.md", "file00004.txt")
    seen = Seen(searches=[(1.0, 0.5, "one", names), (2.5, 0.5, "one", names[:1]), (2.5, 0.5, "one", names[1:])])
    assert stale(seen, {3: 2.0}) == ["file00003.md 0.500 s later"]


def test_percentiles_and_errors_of_a_log():
    assert (share([1.0, 2.0, 3.0, 4.0], 0.5), share([1.0, 2.0], 0.99)) == (3.0, 2.0)
    log = "2026-01-01 INFO fine\n2026-01-01 ERROR request failed\nTraceback\n  ValueError: oh\n2026-01-01 INFO fine\n"
    assert errors_of(log) == ["2026-01-01 ERROR request failed … 2026-01-01 ERROR request failed | Traceback |   ValueError: oh"]
