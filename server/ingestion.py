"""Files under content/ -> rows of library.db; in: a library, an embedder; out: a Report, and progress on the way.

A file goes queued -> reading -> embedding -> ready | failed(reason). All that changes is marked `queued` first; each file then is one
transaction. So a kill at any point leaves its old version or its new one, and the next run does what is still queued.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from filelock import FileLock, Timeout

from configs.settings import Splitting
from server.embedding import Embedder
from server.errors import Cancelled, Invalid, PaperError, Unreadable
from server.knowledge_base import KnowledgeBase
from server.readers.process import ReaderProcess
from server.splitting import split
from server.stores.catalog import Reading
from server.types import Chunk, Document

log = logging.getLogger(__name__)
POLL_S = 0.5  # so often a run looks whether it was cancelled while a file is read
UNFINISHED = ("queued", "reading", "embedding")
VERSION = 2  # raise it when readers or the splitter make other rows of the same file: libraries are then brought up to date


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands; `left_s` is None until it can be told. `failed` holds file -> reason."""

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


class _Run:
    """The counts of one run, told to the listener whenever they change."""

    def __init__(self, tell: Callable[[Progress], None], cancel: threading.Event, leaving: threading.Event) -> None:
        self._tell = tell
        self._cancel = cancel
        self.leaving = leaving
        self._started = time.monotonic()
        self.total = self.done = self.read = self.unchanged = self.removed = self.pages = self.chunks = 0
        self.bytes_total = self.bytes_done = 0
        self.failed: dict[str, str] = {}

    def tell(self, current: str = "", message: str = "") -> Progress:
        """Also where a run notices that it was cancelled. Raises Cancelled."""
        seconds = time.monotonic() - self._started
        left = seconds / self.bytes_done * (self.bytes_total - self.bytes_done) if self.bytes_done and seconds > 1 else None
        progress = Progress(
            *(self.total, self.done, self.read, self.unchanged, self.removed, self.pages, self.chunks),
            *(current, message, seconds, left, dict(self.failed)),
        )
        self._tell(progress)
        if self._cancel.is_set():
            raise Cancelled("stopped by the user; ingest again to go on")
        if self.leaving.is_set():
            raise Cancelled("the program stops; it goes on at the next start")
        return progress


def ingest(
    kb: KnowledgeBase,
    embedder: Embedder,
    splitting: Splitting,
    *,
    files: Sequence[str] | None = None,
    force: bool = False,
    tell: Callable[[Progress], None] = lambda progress: None,
    cancel: threading.Event | None = None,
    leaving: threading.Event | None = None,
) -> Progress:
    """Bring the library up to date with content/, or only `files` of it; unchanged files cost a hash unless `force`.

    Files that cannot be read are in `failed` with their reasons, those of earlier runs too while they are unchanged. Raises Cancelled
    after `cancel` was set, or `leaving` (the program stops: what is queued stays queued, and the next start goes on with it); Invalid
    when the library was built with another embedding model.
    """
    check_embedding(kb, embedder)
    run = _Run(tell, cancel or threading.Event(), leaving or threading.Event())
    with _only_one(kb, run):
        todo = _plan(kb, recipe(embedder, splitting), files, force, run)
        try:
            _work(kb, embedder, splitting, todo, run)
        except Cancelled:
            if not run.leaving.is_set():
                begun = [row.name for row in kb.catalog.files() if row.state in UNFINISHED]
                kb.catalog.mark(begun, "failed", "stopped by the user")
            raise
        finally:
            kb.save_index()
        return run.tell()


def recipe(embedder: Embedder, splitting: Splitting) -> str:
    """What made the rows of a file; rows made by another recipe are made again."""
    return f"v{VERSION} {embedder.name} {splitting.chunk_tokens}"


def check_embedding(kb: KnowledgeBase, embedder: Embedder) -> None:
    """Raises Invalid when the library was built with another model: vectors of two models cannot be compared."""
    if (kb.facts.embedding, kb.facts.dimension) != (embedder.name, embedder.dimension):
        raise Invalid(
            f"the library {kb.name!r} was built with {kb.facts.embedding} ({kb.facts.dimension} dimensions), not {embedder.name} "
            f"({embedder.dimension}); set embedding.model to {kb.facts.embedding}, or rebuild it: "
            f"python init_database.py --recreate-vs --kb-name {kb.name}"
        )


def unfinished(kb: KnowledgeBase) -> bool:
    """Whether a run was killed before it had done all that it had queued."""
    return any(row.state in UNFINISHED for row in kb.catalog.files())


class _only_one:
    """One run a library at a time, also among processes; released by the system when its process is killed."""

    def __init__(self, kb: KnowledgeBase, run: _Run) -> None:
        self._lock = FileLock(kb.folder / ".ingest.lock")
        self._run = run

    def __enter__(self) -> None:
        while True:
            try:
                self._lock.acquire(timeout=0.25)
                return
            except Timeout:
                self._run.tell(message="waiting for another ingestion of this library")

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def _plan(kb: KnowledgeBase, made_by: str, files: Sequence[str] | None, force: bool, run: _Run) -> list[tuple[str, str, int]]:
    """(name, sha256, bytes) of what must be read; rows of files that are gone are removed."""
    present = kb.names()
    rows = {row.name: row for row in kb.catalog.files()}
    if files is None:
        gone = sorted(rows.keys() - set(present))
        if gone:
            kb.catalog.remove(gone)
            run.removed = len(gone)
    wanted = present if files is None else sorted(set(files) & set(present))
    run.failed |= {name: "the file is not there" for name in files or () if name not in present}
    run.total = len(wanted)
    todo = []
    for name in wanted:
        run.tell(name, "comparing")
        try:
            sha, size = _hash(kb, name)
        except OSError as exc:
            run.failed[name] = f"cannot be opened: {exc.strerror or exc}"
            run.done += 1
            continue
        row = rows.get(name)
        if row and not force and row.state in ("ready", "failed") and (row.sha256, row.recipe) == (sha, made_by):
            run.done += 1
            run.unchanged += 1
            if row.state == "failed":
                run.failed[name] = row.reason
            continue
        run.bytes_total += size
        todo.append((name, sha, size))
    kb.catalog.queue([name for name, _, _ in todo])
    return todo


def _work(kb: KnowledgeBase, embedder: Embedder, splitting: Splitting, todo: Sequence[tuple[str, str, int]], run: _Run) -> None:
    made_by = recipe(embedder, splitting)
    with ReaderProcess() as reader, contextlib.closing(_read_ahead(kb, reader, todo, run)) as documents:
        for (name, sha, size), document in documents:
            started = time.monotonic()
            try:
                if isinstance(document, PaperError):
                    raise document
                chunks = split(document, chunk_tokens=splitting.chunk_tokens, count_tokens=embedder.count_tokens)
                if not chunks:
                    raise Unreadable("no text was found in it")
                kb.catalog.mark([name], "embedding")
                vectors = embedder.embed_documents(_window_texts(chunks), partial(_embedding, run, name))
                reading = Reading(document.title or name, document.language, document.pages, size, sha, made_by, document.warnings)
                kb.catalog.replace(name, reading, chunks, vectors)
                run.read += 1
                run.pages += document.pages
                run.chunks += len(chunks)
                log.info(
                    "ingested kb=%s file=%s pages=%d chunks=%d seconds=%.1f",
                    kb.name,
                    name,
                    document.pages,
                    len(chunks),
                    time.monotonic() - started,
                )
            except Cancelled:
                raise
            except PaperError as exc:
                if isinstance(exc, Unreadable):  # the file's own fault: it is not read again until it changes
                    kb.catalog.fail(name, str(exc), sha, made_by)
                else:  # ours: its old chunks stay, and the next run tries again
                    kb.catalog.mark([name], "failed", str(exc))
                run.failed[name] = str(exc)
                log.warning("failed kb=%s file=%s reason=%s", kb.name, name, exc)
            except Exception as exc:  # one poisonous file must not end the run; its reason reaches the user, its traceback the log
                log.exception("failed kb=%s file=%s", kb.name, name)
                run.failed[name] = f"internal error ({type(exc).__name__}: {exc}); the log has the details"
                kb.catalog.mark([name], "failed", run.failed[name])
            run.done += 1
            run.bytes_done += size
            run.tell(name)


def _read_ahead(
    kb: KnowledgeBase, reader: ReaderProcess, todo: Sequence[tuple[str, str, int]], run: _Run
) -> Generator[tuple[tuple[str, str, int], Document | PaperError]]:
    """Each file with its document or the reason why there is none; the next file is read while the last one is embedded."""

    def read(name: str) -> Document | PaperError:
        kb.catalog.mark([name], "reading")
        try:
            return reader.read(kb.existing(name))
        except PaperError as exc:
            return exc

    with ThreadPoolExecutor(1, thread_name_prefix="read") as ahead:
        coming = ahead.submit(read, todo[0][0]) if todo else None
        try:
            for place, item in enumerate(todo):
                assert coming is not None  # noqa: S101 - there is one submitted for each item
                while not coming.done():
                    run.tell(item[0], "reading")
                    wait([coming], timeout=POLL_S)
                document = coming.result()
                coming = ahead.submit(read, todo[place + 1][0]) if place + 1 < len(todo) else None
                yield item, document
        except BaseException:
            reader.close()  # else the pool waits for a slow file
            raise


def _embedding(run: _Run, name: str, _finished: int) -> None:
    run.tell(name, "embedding")


def _window_texts(chunks: Sequence[Chunk]) -> list[str]:
    return [" ".join(chunk.text[start:end].split()) for chunk in chunks for start, end in chunk.windows]


def _hash(kb: KnowledgeBase, name: str) -> tuple[str, int]:
    path = kb.existing(name)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
