"""A pool of readers: files -> documents -> chunks, each with a child process of its own; out: reports, and files for the window pool.

One of them reads ahead as far as the pool has room. The others help when it does not keep up, because it is busy with a scan for
minutes, or embedding is fast: a child costs a second of CPU and 150 MB.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from configs.settings import Readers
from server.embedding import Embedder
from server.errors import Cancelled, Conflict, PaperError, Unreadable
from server.ingestion.comparing import Todo, fingerprint
from server.ingestion.hand import Begun, Broken, Failed, InHand, OcrPage, Read, Report, no_vectors, window_texts
from server.ingestion.pool import WindowPool
from server.ingestion.priority import step_back
from server.knowledge_base import KnowledgeBase
from server.readers.process import ReaderProcess
from server.splitting import split
from server.stores.rows import Reading
from server.types import Document

MOST_READERS = 8  # 150 to 700 MB each
HELP_AFTER_S = 3.0  # of too little to embed; the first reader needs 1.5 to start, and each further one costs a second of CPU
ATTEMPTS = 2  # a copy that was just beginning is complete the second time, or the next run's
COUNTED_AT_ONCE = 16  # windows; counting them takes 2 ms, in which questions wait for the tokenizer


def readers_at_once(cores: int) -> int:
    """One more than cores: reading and embedding wait for each other at times, and two scans must not keep a paper waiting."""
    return min(cores + 1, MOST_READERS)


def in_good_order(todo: Sequence[Todo]) -> list[Todo]:
    """The smallest file first, so that there is something to embed; then from the largest down, so that no long one is left for the end."""
    by_size = sorted(todo, key=lambda item: item.bytes)
    return by_size[:1] + by_size[:0:-1]


class ReadingWorkers:
    """Threads that read, until all files are read or the run ends."""

    def __init__(
        self,
        kb: KnowledgeBase,
        embedder: Embedder,
        readers: Readers,
        todo: Sequence[Todo],
        pool: WindowPool,
        report: Callable[[Report], None],
        stop: threading.Event,
    ) -> None:
        self._kb, self._embedder, self._pool, self._report, self._stop = kb, embedder, pool, report, stop
        self._todo = deque(in_good_order(todo))
        self._passwords = [password.get_secret_value() for password in readers.passwords]
        count = min(readers_at_once(os.cpu_count() or 1), len(todo))
        self._processes = [ReaderProcess(timeout_s=readers.timeout_s, memory_mib=readers.memory_mib) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._work, args=(process, n), name=f"read-{n}", daemon=True)
            for n, process in enumerate(self._processes)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """End the children, whatever they are doing, and wait until the threads have left."""
        for process in self._processes:
            process.close()
        for thread in self._threads:
            thread.join()

    def _work(self, process: ReaderProcess, place: int) -> None:
        step_back()
        patience_s = place * HELP_AFTER_S
        try:
            with process:
                while self._todo and not self._stop.is_set():
                    if place:
                        self._pool.wait_until_low(patience_s)
                        self._go_on()
                        patience_s = 0.0
                    try:
                        item = self._todo.popleft()
                    except IndexError:  # another one took the last
                        return
                    self._file(process, item)
        except Cancelled:
            return
        except BaseException as exc:  # noqa: BLE001 - the run ends by it, in its own thread
            self._report(Broken(exc))

    def _file(self, process: ReaderProcess, item: Todo) -> None:
        reading = _FileReading(item, self._report)
        try:
            self._kb.catalog.mark([item.name], "reading")
            self._report(Begun(item))
            file = self._in_hand(self._read(process, reading), reading)
            self._kb.catalog.mark([item.name], "embedding")
            self._report(Read(item, len(file.texts), reading.seconds()))
            self._pool.put(file)
        except Cancelled:
            raise
        except Exception as exc:  # noqa: BLE001 - one poisonous file must not end the run; this becomes its reason
            self._report(Failed(reading.item, exc, reading.seconds()))

    def _read(self, process: ReaderProcess, reading: _FileReading) -> Document:
        """The document; `reading.item` then has the hash of exactly what was read.

        The file may have changed since it was compared, or change meanwhile. Raises Conflict when it does so again and again, NotFound
        when it is gone, and what the reader raises.
        """
        for _ in range(ATTEMPTS):
            answer: Document | PaperError
            try:
                answer = process.read(self._kb.existing(reading.item.name), passwords=self._passwords, tell=reading.page)
            except Cancelled:
                raise
            except PaperError as exc:
                answer = exc
            sha, size = fingerprint(self._kb, reading.item.name)
            if sha == reading.item.sha256:
                if isinstance(answer, PaperError):
                    raise answer
                return answer
            reading.item = replace(reading.item, sha256=sha, bytes=size)
        raise Conflict("it is being changed while it is read; ingest again when it is complete")

    def _in_hand(self, document: Document, reading: _FileReading) -> InHand:
        item = reading.item
        chunks = split(document, item.splitting, self._count_tokens)
        if not chunks:
            raise Unreadable("no text was found in it")
        texts = window_texts(chunks)
        tokens: list[int] = []
        for start in range(0, len(texts), COUNTED_AT_ONCE):
            self._go_on()
            tokens += self._embedder.lengths(texts[start : start + COUNTED_AT_ONCE])
        vectors = no_vectors(len(texts), self._embedder.dimension)
        return InHand(item, _facts(item, document), chunks, texts, tokens, vectors, reading.begun_s)

    def _count_tokens(self, text: str) -> int:
        self._go_on()  # splitting a book takes seconds
        return self._embedder.count_tokens(text)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Cancelled("the run has ended")


class _FileReading:
    """The file that a reader reads, and how long that takes, page by page where OCR does it."""

    def __init__(self, item: Todo, report: Callable[[Report], None]) -> None:
        self.item, self._report = item, report
        self.begun_s = self._last = time.monotonic()
        self._told = 0

    def page(self, page: int, pages: int) -> None:
        self._told += 1
        self._report(OcrPage(self.item, page, pages, self._told, self.seconds()))

    def seconds(self) -> float:
        """Since it was begun, or since it was asked last."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return seconds


def _facts(item: Todo, document: Document) -> Reading:
    return Reading(
        title=document.title or item.name,
        language=document.language,
        pages=document.pages,
        bytes=item.bytes,
        sha256=item.sha256,
        recipe=item.recipe,
        warnings=document.warnings,
        identity=document.identity,
        hidden=document.hidden,
        ocr_pages=document.ocr_pages,
    )
