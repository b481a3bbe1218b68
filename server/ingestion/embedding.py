"""Workers that take batches from the pool and embed them, side by side as the model likes it; out: reports of files that are complete."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from server.embedding import Embedder
from server.errors import Cancelled, RateLimited, Unavailable
from server.ingestion.hand import Broken, Embedded, Failed, InHand, Report
from server.ingestion.pool import Window, WindowPool
from server.ingestion.priority import step_back

log = logging.getLogger(__name__)


class EmbeddingWorkers:
    """Threads that embed until the pool is closed."""

    def __init__(self, embedder: Embedder, pool: WindowPool, report: Callable[[Report], None], stop: threading.Event) -> None:
        self._embedder, self._pool, self._report, self._stop = embedder, pool, report, stop
        count = embedder.batching.side_by_side
        self._threads = [threading.Thread(target=self._work, name=f"embed-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until they have left; a batch that is under way is embedded to its end."""
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        step_back()
        try:
            while batch := self._pool.take(self._embedder.batching):
                self._embed(batch)
        except Cancelled:
            return
        except BaseException as exc:  # noqa: BLE001 - the run ends by it, in its own thread
            self._report(Broken(exc))

    def _embed(self, batch: Sequence[Window]) -> None:
        """A batch of several files that fails is tried again file by file, so that only the file suffers whose fault it is."""
        error = self._tried(batch)
        if error is None:
            return
        files = list(dict.fromkeys(window.file for window in batch))
        if len(files) == 1 or isinstance(error, (Unavailable, RateLimited)):  # the latter would fail for each of them
            for file in files:
                self._fail(file, error)
            return
        log.info("embedding files=%d together failed (%s: %s); one by one", len(files), type(error).__name__, error)
        for file in files:
            self._embed([window for window in batch if window.file is file])

    def _tried(self, batch: Sequence[Window]) -> Exception | None:
        """None when the vectors of the batch are where they belong."""
        try:
            self._fill(batch)
        except Cancelled:
            raise
        except Exception as exc:  # noqa: BLE001 - it becomes the reason of a file
            return exc
        return None

    def _fill(self, batch: Sequence[Window]) -> None:
        started = time.monotonic()
        vectors = self._embedder.embed_documents([window.file.texts[window.at] for window in batch], self._go_on)
        for window, vector in zip(batch, vectors, strict=True):
            window.file.vectors[window.at] = vector
        self._report(Embedded(len(batch), time.monotonic() - started, self._pool.arrived(batch)))

    def _fail(self, file: InHand, exc: Exception) -> None:
        if self._pool.drop(file):
            self._report(Failed(file.todo, exc, in_hand=file))

    def _go_on(self, _finished: int) -> None:
        """Called by the embedder between two batches or requests, and while it rests."""
        if self._stop.is_set():
            raise Cancelled("the run has ended")
