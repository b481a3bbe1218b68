"""Windows of many files -> batches of about equal length, as the model likes them; in: files that were read; out: batches across files.

What is in hand is bounded by its windows, so that memory stays flat however many files there are; who brings more has to wait.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from server.embedding import Batching
from server.errors import Cancelled
from server.ingestion.hand import InHand

ROOM = 2048  # windows in hand; 50 MB with the places of their words, and a dozen batches of a GPU
LOW = 64  # windows; about two seconds of work for a core


@dataclass(frozen=True, slots=True)
class Window:
    """The window `at` of a file; `tokens` as the model gets it."""

    tokens: int
    file: InHand
    at: int


class WindowPool:
    """Files that wait to be embedded or written. Thread-safe: readers put, workers take, and whoever has written a file releases it.

    A file of more than half the room is let in beside the others, but only one such at a time: else it would keep small ones waiting.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: list[Window] = []  # by tokens
        self._files: list[InHand] = []  # in hand, in the order in which they came
        self._smallest_next = False
        self._changed = threading.Condition()
        self._closed = False

    def put(self, file: InHand) -> None:
        """Wait for room and give the file's windows to those who `take`. Raises Cancelled when the pool is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(file))
            if self._closed:
                raise Cancelled("the run has ended")
            self._files.append(file)
            self._waiting += [Window(tokens, file, at) for at, tokens in enumerate(file.tokens)]
            self._waiting.sort(key=lambda window: window.tokens)
            self._changed.notify_all()

    def wait_until_low(self, for_s: float = 0.0) -> None:
        """Wait until fewer than LOW windows wait to be embedded and did so for `for_s`, or the pool is closed: until more must be read."""
        with self._changed:
            while not self._closed:
                self._changed.wait_for(lambda: self._closed or len(self._waiting) < LOW)
                if not self._changed.wait_for(lambda: self._closed or len(self._waiting) >= LOW, timeout=for_s):
                    return

    def take(self, batching: Batching) -> list[Window]:
        """Wait for windows; a batch of one file's longest window and others next to it in length. Empty when the pool is closed.

        By turns the file is the one that came first and the one with the fewest windows left: neither a large file nor a small one
        waits for ever.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return []
            begun = [file for file in self._files if file.untaken]
            owner = min(begun, key=lambda file: file.untaken) if self._smallest_next else begun[0]
            self._smallest_next = not self._smallest_next
            first = next(at for at in reversed(range(len(self._waiting))) if self._waiting[at].file is owner)
            end = first + 1
            while first > 0 and self._fits(first - 1, end, batching):
                first -= 1
            while end < len(self._waiting) and self._fits(first, end + 1, batching):
                end += 1
            batch = self._waiting[first:end]
            del self._waiting[first:end]
            for window in batch:
                window.file.untaken -= 1
            self._changed.notify_all()
            return batch

    def arrived(self, batch: Sequence[Window]) -> list[InHand]:
        """The vectors of a batch are in their files; which of those are complete now."""
        with self._changed:
            for window in batch:
                window.file.missing -= 1
            return [file for file in dict.fromkeys(window.file for window in batch) if file in self._files and not file.missing]

    def drop(self, file: InHand) -> bool:
        """A file that cannot be embedded: nobody takes its windows any more. False when it was dropped before."""
        with self._changed:
            if file not in self._files:
                return False
            self._waiting = [window for window in self._waiting if window.file is not file]
            file.untaken = 0
            self._files.remove(file)
            self._changed.notify_all()
            return True

    def release(self, file: InHand) -> None:
        """A file is written: there is room for the next."""
        with self._changed:
            self._files.remove(file)
            self._changed.notify_all()

    def close(self) -> None:
        """Whoever waits, or comes later, leaves."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, file: InHand) -> bool:
        large = self._room // 2
        if len(file.tokens) > large:
            return all(len(other.tokens) <= large for other in self._files)
        return sum(count for other in self._files if (count := len(other.tokens)) <= large) + len(file.tokens) <= self._room

    def _fits(self, first: int, end: int, batching: Batching) -> bool:
        count = end - first
        return count <= batching.texts and self._waiting[end - 1].tokens * count <= batching.tokens
