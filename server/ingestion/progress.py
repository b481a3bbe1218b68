"""What happens in a run -> how far it is, told to a listener, who may stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from server.errors import Cancelled
from server.ingestion.remaining import Remaining


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands; `left_s` is None until it can be told. `failed` holds file -> reason.

    Several files are in hand at once; `current` is the one that was begun last, or of which OCR began a page last. `page` of `of_pages`
    is what OCR reads in it; 0 when nothing slow is read.
    """

    total: int = 0
    done: int = 0
    read: int = 0
    unchanged: int = 0
    removed: int = 0
    pages: int = 0
    chunks: int = 0
    current: str = ""
    message: str = ""
    seconds: float = 0.0
    left_s: float | None = None
    failed: dict[str, str] = field(default_factory=dict)
    page: int = 0
    of_pages: int = 0


class Run:
    """The counts of one run, told to the listener whenever they change; by one thread only."""

    def __init__(self, tell: Callable[[Progress], None], cancel: threading.Event, leaving: threading.Event) -> None:
        self._tell = tell
        self._cancel = cancel
        self.leaving = leaving
        self._started = time.monotonic()
        self.total = self.done = self.read = self.unchanged = self.removed = self.pages = self.chunks = 0
        self.failed: dict[str, str] = {}
        self.remaining = Remaining(0)
        self._working_since = self._started

    def begin(self, bytes_to_read: int) -> None:
        """All is compared, the model is loaded: from now on the time that is left can be told."""
        self._working_since = time.monotonic()
        self.remaining = Remaining(bytes_to_read)

    @property
    def now_s(self) -> float:
        """Seconds since `begin`."""
        return time.monotonic() - self._working_since

    def tell(self, current: str = "", message: str = "", page: tuple[int, int] = (0, 0)) -> Progress:
        """Also where a run notices that it was cancelled. Raises Cancelled."""
        progress = Progress(
            *(self.total, self.done, self.read, self.unchanged, self.removed, self.pages, self.chunks),
            *(current, message, time.monotonic() - self._started, self.remaining.left_s(self.now_s), dict(self.failed), *page),
        )
        self._tell(progress)
        if self._cancel.is_set():
            raise Cancelled("stopped by the user; ingest again to go on")
        if self.leaving.is_set():
            raise Cancelled("the program stops; it goes on at the next start")
        return progress
