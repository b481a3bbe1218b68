"""A library -> the right to change its rows, for one run at a time, also among processes."""

from __future__ import annotations

from collections.abc import Callable

from filelock import FileLock, Timeout

from server.knowledge_base import KnowledgeBase

PATIENCE_S = 0.25  # between two looks whether the other run has ended


class OnlyRun:
    """A context that begins when no other run is at work; released by the system when its process is killed."""

    def __init__(self, kb: KnowledgeBase, waiting: Callable[[], object]) -> None:
        """`waiting` is called each time that the other run has not ended, and may raise."""
        self._lock = _lock(kb)
        self._waiting = waiting

    def __enter__(self) -> None:
        while True:
            try:
                self._lock.acquire(timeout=PATIENCE_S)
                return
            except Timeout:
                self._waiting()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def at_work(kb: KnowledgeBase) -> bool:
    """Whether a run of some process is changing the library now."""
    try:
        with _lock(kb).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _lock(kb: KnowledgeBase) -> FileLock:
    return FileLock(kb.folder / ".ingest.lock")
