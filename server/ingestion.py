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
from pydantic import ValidationError

from configs.settings import Readers, Splitting
from server.embedding import Embedder
from server.errors import Cancelled, Corrupt, Exceeded, Invalid, Locked, PaperError, Unreadable
from server.knowledge_base import KnowledgeBase
from server.readers.process import ReaderProcess
from server.splitting import split
from server.stores.rows import FileRow, Reading
from server.types import Chunk, Document

log = logging.getLogger(__name__)
POLL_S = 0.5  # so often a run looks whether it was cancelled while a file is read
AS_DELIVERED = Readers()
UNFINISHED = ("queued", "reading", "embedding")
VERSION = 4  # raise it when readers or the splitter make other rows of the same file: libraries are then brought up to date


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands; `left_s` is None until it can be told. `failed` holds file -> reason.

    `page` of `of_pages` is what OCR reads in the current file; 0 when nothing slow is read.
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

    def tell(self, current: str = "", message: str = "", page: tuple[int, int] = (0, 0)) -> Progress:
        """Also where a run notices that it was cancelled. Raises Cancelled."""
        seconds = time.monotonic() - self._started
        left = seconds / self.bytes_done * (self.bytes_total - self.bytes_done) if self.bytes_done and seconds > 1 else None
        progress = Progress(
            *(self.total, self.done, self.read, self.unchanged, self.removed, self.pages, self.chunks),
            *(current, message, seconds, left, dict(self.failed), *page),
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
    readers: Readers = AS_DELIVERED,
    chosen: Splitting | None = None,
) -> Progress:
    """Bring the library up to date with content/, or only `files` of it; unchanged files cost a hash unless `force`.

    `splitting` is how files are split that nobody has chosen another way for. `chosen` is that way for the files of this run, and is
    remembered with each of them, unless it is what `splitting` says; None leaves them what they have.
    Files that cannot be read are in `failed` with their reasons, those of earlier runs too while they are unchanged. Raises Cancelled
    after `cancel` was set, or `leaving` (the program stops: what is queued stays queued, and the next start goes on with it); Invalid
    when the library was built with another embedding model.
    """
    check_embedding(kb, embedder)
    run = _Run(tell, cancel or threading.Event(), leaving or threading.Event())
    with _only_one(kb, run):
        ways = _Ways(splitting, chosen)
        todo, gone = _compare(kb, embedder, ways, readers, files, force, run)
        if gone:
            kb.catalog.remove(gone)
            run.removed = len(gone)
        kb.catalog.queue([item.name for item in todo], ways.to_remember)
        try:
            if todo:
                run.tell(message="loading the embedding model")
                embedder.count_tokens("")  # one that loads late: when it cannot, the run ends here and blames no file
            _work(kb, embedder, readers, todo, run)
        except Cancelled:
            if not run.leaving.is_set():
                own = {item.name for item in todo}  # another run may have queued others
                begun = [row.name for row in kb.catalog.files() if row.state in UNFINISHED and row.name in own]
                kb.catalog.mark(begun, "failed", "stopped by the user")
            raise
        finally:
            kb.save_index()
        return run.tell()


def foresee(kb: KnowledgeBase, embedder: Embedder, splitting: Splitting, *, readers: Readers = AS_DELIVERED) -> tuple[list[str], list[str]]:
    """What `ingest` would do now, without doing it: (the files that it would read, the rows that it would remove)."""
    check_embedding(kb, embedder)
    run = _Run(lambda progress: None, threading.Event(), threading.Event())
    todo, gone = _compare(kb, embedder, _Ways(splitting, None), readers, None, False, run)
    return [item.name for item in todo], gone


def recipe(embedder: Embedder, splitting: Splitting) -> str:
    """What made the rows of a file; rows made by another recipe are made again."""
    sizes = "/".join(str(size) for size in splitting.sizes().values())
    return f"v{VERSION} {embedder.name} {splitting.splitter} {sizes}" + " titles" * splitting.zh_title_enhance


def check_embedding(kb: KnowledgeBase, embedder: Embedder) -> None:
    """Raises Invalid when the library was built with another model, or its passages were put to it in another way.

    Vectors of two models cannot be compared, nor those of one model with two passage prefixes or poolings.
    """
    if (kb.facts.embedding, kb.facts.dimension) != (embedder.name, embedder.dimension):
        raise Invalid(
            f"the library {kb.name!r} was built with {kb.facts.embedding} ({kb.facts.dimension} dimensions), not {embedder.name} "
            f"({embedder.dimension}); set embedding.model to {kb.facts.embedding}, or rebuild it: "
            f"python init_database.py --recreate-vs --kb-name {kb.name}"
        )
    if (kb.facts.passages or embedder.usage.delivered_form) != embedder.usage.form:
        raise Invalid(
            f"the library {kb.name!r} was built with {kb.facts.passages or embedder.usage.delivered_form} (pooling, passage prefix) of "
            f"{embedder.name}, which now runs with {embedder.usage.form}; set embedding.passage_prefix back, or rebuild it: "
            f"python init_database.py --recreate-vs --kb-name {kb.name}"
        )


def unfinished(kb: KnowledgeBase) -> bool:
    """Whether a run was killed before it had done all that it had queued."""
    return any(row.state in UNFINISHED for row in kb.catalog.files())


def at_work(kb: KnowledgeBase) -> bool:
    """Whether a run of some process is changing the library now."""
    lock = FileLock(kb.folder / ".ingest.lock")
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


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


@dataclass(frozen=True, slots=True)
class _Ways:
    """How the files of a run are split: as chosen for this run, else as the file's row says, else by default."""

    default: Splitting
    chosen: Splitting | None

    def of(self, row: FileRow | None) -> Splitting:
        """The way of one file. Raises Corrupt when its row holds none."""
        if self.chosen or not (row and row.splitting):
            return self.chosen or self.default
        try:
            return Splitting.model_validate_json(row.splitting)
        except ValidationError as exc:
            raise Corrupt(
                f"library.db does not say how {row.name} is to be split: {exc.errors()[0]['msg']}; upload the file again"
            ) from exc

    @property
    def to_remember(self) -> str | None:
        """What the rows of the files are to say from now on; None: what they say."""
        if self.chosen is None:
            return None
        return "" if self.chosen == self.default else self.chosen.model_dump_json()


@dataclass(frozen=True, slots=True)
class _Todo:
    """A file that must be read."""

    name: str
    sha256: str
    bytes: int
    splitting: Splitting
    recipe: str


def _limits(readers: Readers) -> str:
    """Stands in the recipe of a file that needed more than this: it is read again when more is allowed."""
    return f" in {readers.timeout_s:g} s, {readers.memory_mib} MiB"


def _compare(
    kb: KnowledgeBase, embedder: Embedder, ways: _Ways, readers: Readers, files: Sequence[str] | None, force: bool, run: _Run
) -> tuple[list[_Todo], list[str]]:
    """What must be read, and the rows whose files are gone; nothing is changed but the counts of the run."""
    present = kb.names()
    rows = {row.name: row for row in kb.catalog.files()}
    if files is None:
        run.failed |= kb.unusable()
    wanted = present if files is None else sorted(set(files) & set(present))
    run.failed |= {name: "the file is not there" for name in files or () if name not in present}
    run.total = len(wanted) + len(run.failed)
    run.done = len(run.failed)
    gone = sorted(rows.keys() - set(present)) if files is None else []
    todo: list[_Todo] = []
    remember = ways.to_remember
    limits = _limits(readers)
    for name in wanted:
        run.tell(name, "comparing")
        try:
            sha, size = _hash(kb, name)
        except (OSError, PaperError) as exc:  # no rights to it, or gone since the folder was listed
            run.failed[name] = str(exc) if isinstance(exc, PaperError) else f"cannot be opened: {exc.strerror or exc}"
            run.done += 1
            continue
        row = rows.get(name)
        splitting = ways.of(row)
        made_by = recipe(embedder, splitting)
        known = row and not force and row.state in ("ready", "failed") and remember in (None, row.splitting)
        if row and known and row.sha256 == sha and row.recipe in (made_by, made_by + limits):
            run.done += 1
            run.unchanged += 1
            if row.state == "failed":
                run.failed[name] = row.reason
            continue
        run.bytes_total += size
        todo.append(_Todo(name, sha, size, splitting, made_by))
    return todo, gone


def _work(kb: KnowledgeBase, embedder: Embedder, readers: Readers, todo: Sequence[_Todo], run: _Run) -> None:
    passwords = [password.get_secret_value() for password in readers.passwords]
    process = ReaderProcess(timeout_s=readers.timeout_s, memory_mib=readers.memory_mib)
    with (
        process as reader,
        contextlib.closing(_read_ahead(kb, partial(reader.read, passwords=passwords), reader.close, todo, run)) as documents,
    ):
        for item, document in documents:
            name, started = item.name, time.monotonic()
            try:
                if isinstance(document, PaperError):
                    raise document
                chunks = split(document, item.splitting, embedder.count_tokens)
                if not chunks:
                    raise Unreadable("no text was found in it")
                kb.catalog.mark([name], "embedding")
                vectors = embedder.embed_documents(_window_texts(chunks), partial(_embedding, run, name))
                kb.catalog.replace(name, _reading(item, document), chunks, vectors)
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
                if isinstance(exc, Exceeded):  # not read again until it changes, or more is allowed
                    kb.catalog.fail(name, str(exc), item.sha256, item.recipe + _limits(readers), keep_same=True)
                elif isinstance(exc, Unreadable) and not isinstance(exc, Locked):  # its own fault: not read again until it changes
                    kb.catalog.fail(name, str(exc), item.sha256, item.recipe)
                else:  # its old chunks stay, and the next run tries again
                    kb.catalog.mark([name], "failed", str(exc))
                run.failed[name] = str(exc)
                log.warning("failed kb=%s file=%s reason=%s", kb.name, name, exc)
            except Exception as exc:  # one poisonous file must not end the run; its reason reaches the user, its traceback the log
                log.exception("failed kb=%s file=%s", kb.name, name)
                run.failed[name] = f"internal error ({type(exc).__name__}: {exc}); the log has the details"
                kb.catalog.mark([name], "failed", run.failed[name])
            run.done += 1
            run.bytes_done += item.bytes
            run.tell(name)


class _FileReading:
    """Reads one file in another thread; `page` is where it stands when it reads slowly."""

    def __init__(self, kb: KnowledgeBase, read: Callable[..., Document], name: str) -> None:
        self._kb, self._read, self._name = kb, read, name
        self.page = (0, 0)

    def __call__(self) -> Document | PaperError:
        """The document, or the reason why there is none."""
        self._kb.catalog.mark([self._name], "reading")
        try:
            return self._read(self._kb.existing(self._name), tell=self._tell)
        except PaperError as exc:
            return exc

    def _tell(self, page: int, pages: int) -> None:
        self.page = (page, pages)


def _read_ahead(
    kb: KnowledgeBase, read: Callable[..., Document], stop: Callable[[], None], todo: Sequence[_Todo], run: _Run
) -> Generator[tuple[_Todo, Document | PaperError]]:
    """Each file with its document or the reason why there is none; the next file is read while the last one is embedded."""
    with ThreadPoolExecutor(1, thread_name_prefix="read") as ahead:
        readings = [_FileReading(kb, read, item.name) for item in todo]
        coming = ahead.submit(readings[0]) if todo else None
        try:
            for place, item in enumerate(todo):
                assert coming is not None  # noqa: S101 - there is one submitted for each item
                while not coming.done():
                    run.tell(item.name, "reading", readings[place].page)
                    wait([coming], timeout=POLL_S)
                document = coming.result()
                coming = ahead.submit(readings[place + 1]) if place + 1 < len(todo) else None
                yield item, document
        except BaseException:
            stop()  # else the pool waits for a slow file
            raise


def _embedding(run: _Run, name: str, _finished: int) -> None:
    run.tell(name, "embedding")


def _window_texts(chunks: Sequence[Chunk]) -> list[str]:
    return [" ".join((chunk.prefix + chunk.text[start:end]).split()) for chunk in chunks for start, end in chunk.windows]


def _reading(item: _Todo, document: Document) -> Reading:
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


def _hash(kb: KnowledgeBase, name: str) -> tuple[str, int]:
    path = kb.existing(name)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
