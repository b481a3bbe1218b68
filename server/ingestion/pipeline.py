"""Files to be read -> rows: readers, embedding workers and the pool between them run side by side; this thread writes and tells."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from types import TracebackType

from configs.settings import Readers
from server.embedding import Embedder
from server.ingestion.comparing import Todo
from server.ingestion.embedding import EmbeddingWorkers
from server.ingestion.hand import Begun, Broken, Embedded, Failed, InHand, OcrPage, Read, Report
from server.ingestion.pool import ROOM, WindowPool
from server.ingestion.progress import Run
from server.ingestion.reading import ReadingWorkers
from server.ingestion.writing import refuse, write
from server.knowledge_base import KnowledgeBase

POLL_S = 0.5  # so often a run looks whether it was cancelled while nothing happens


class Pipeline:
    """A context in which workers run; when it ends, however it does, all of them have left."""

    def __init__(self, kb: KnowledgeBase, embedder: Embedder, readers: Readers, todo: Sequence[Todo], run: Run) -> None:
        self._kb, self._readers, self._run = kb, readers, run
        self._open = len(todo)
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._pool = WindowPool(ROOM)
        self._current, self._message, self._page = "", "", (0, 0)
        run.begin(sum(item.bytes for item in todo))
        self._embedding = EmbeddingWorkers(embedder, self._pool, self._reports.put, self._stop)
        self._reading = ReadingWorkers(kb, embedder, readers, todo, self._pool, self._reports.put, self._stop)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._pool.close()
        self._reading.join()
        self._embedding.join()

    def work(self) -> None:
        """Write each file as soon as its vectors are there, until all are written or failed. Raises Cancelled and errors of library.db."""
        while self._open:
            try:
                report = self._reports.get(timeout=POLL_S)
            except queue.Empty:
                self._tell()
                continue
            self._take_in(report)

    def _take_in(self, report: Report) -> None:
        remaining, now_s = self._run.remaining, self._run.now_s
        match report:
            case Begun(todo):
                self._current, self._page = todo.name, (0, 0)
                self._tell("reading")
            case OcrPage(todo, page, pages, told, seconds):
                remaining.ocr_page(todo.name, todo.bytes, page, pages, told, seconds, now_s)
                self._current, self._page = todo.name, (page, pages)
                self._tell("reading")
            case Read(todo, windows, seconds):
                remaining.was_read(todo.name, todo.bytes, windows, seconds, now_s)
                self._has_left_reader(todo)
            case Embedded(windows, seconds, complete):
                remaining.embedded(windows, seconds, now_s)
                self._tell("embedding")
                for file in complete:
                    self._write(file)
            case Failed(todo, error, seconds, in_hand):
                if in_hand is None:
                    remaining.was_read(todo.name, todo.bytes, 0, seconds, now_s)
                    self._has_left_reader(todo)
                else:
                    remaining.dropped(in_hand.missing)
                self._fail(todo, error)
            case Broken(error):
                raise error

    def _write(self, file: InHand) -> None:
        self._tell("embedding")
        try:
            write(self._kb, file)
        except Exception as exc:  # noqa: BLE001 - it becomes the file's reason; when library.db is gone, saying so ends the run
            self._fail(file.todo, exc)
            return
        finally:
            self._pool.release(file)
        self._run.read += 1
        self._run.pages += file.reading.pages
        self._run.chunks += len(file.chunks)
        self._is_done()

    def _fail(self, todo: Todo, error: Exception) -> None:
        self._run.failed[todo.name] = refuse(self._kb, todo, self._readers, error)
        self._is_done()

    def _is_done(self) -> None:
        self._open -= 1
        self._run.done += 1
        self._tell("")

    def _has_left_reader(self, todo: Todo) -> None:
        if todo.name == self._current:
            self._page = (0, 0)

    def _tell(self, message: str | None = None) -> None:
        """The message is what was done last, until something else is."""
        if message is not None:
            self._message = message
        self._run.tell(self._current, self._message, self._page)
