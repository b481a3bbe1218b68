"""The folder of all libraries: names -> open libraries; made, deleted and made anew by one process at a time."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import unicodedata
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from configs.settings import Stores
from server import registry
from server.errors import Conflict, Corrupt, Forbidden, Invalid, NotFound, PaperError, Unavailable
from server.knowledge_base import NO_SERVERS, Facts, KnowledgeBase, read_facts, write_facts
from server.stores import VECTOR_STORES, Home
from server.stores.catalog import Catalog

log = logging.getLogger(__name__)
LONGEST_NAME = 100  # characters; 255 bytes is the file system's limit
PATIENCE_S = 30.0  # for another process that makes or deletes a library
NEXT_DATABASE, NEXT_FACTS = ".library.db.next", ".kb.json.next"  # of a library that is being made


class Shelf:
    """Opens each library once. Thread-safe."""

    def __init__(self, root: Path, stores: Stores = NO_SERVERS) -> None:
        self.root = root
        self._stores = stores
        self._open: dict[str, KnowledgeBase] = {}
        self._lock = threading.RLock()
        self._among_processes = FileLock(root / ".libraries.lock", thread_local=False)  # reentrant, for reset calls create

    def names(self) -> list[str]:
        """Libraries that are whole, by name."""
        if not self.root.is_dir():
            return []
        return sorted(folder.name for folder in self.root.iterdir() if not folder.name.startswith(".") and self._is_whole(folder))

    def __contains__(self, name: str) -> bool:
        return self._valid(name) and self._is_whole(self.root / name)

    def __iter__(self) -> Iterator[KnowledgeBase]:
        for name in self.names():
            try:
                yield self.open(name)
            except PaperError as exc:  # deleted meanwhile, or damaged: the others are well
                log.warning("skipped kb=%s reason=%s", name, exc)

    def open(self, name: str) -> KnowledgeBase:
        """The library of that exact name. Raises NotFound, and Corrupt when its files are damaged."""
        known = self._open.get(name)
        if known is not None and (known.folder / "kb.json").is_file() and known.is_current():
            return known  # no question waits while another library is opened, made or deleted
        with self._lock:
            if name not in self:
                self._forget(name)
                raise NotFound(f"未找到知识库 {name}")
            if name in self._open and not self._open[name].is_current():
                self._forget(name)  # another process has made it anew
            if name not in self._open:
                folder = self.root / name
                self._open[name] = KnowledgeBase(folder, read_facts(folder), self._stores)
            return self._open[name]

    def create(
        self, name: str, *, embedding: str, dimension: int, store: str = "faiss", info: str = "", passages: str = ""
    ) -> KnowledgeBase:
        """A new empty library; papers that already lie in its content/ wait there for ingestion. Raises Conflict, Invalid, Forbidden."""
        self.check_name(name)
        self._check_store(name, store, dimension)
        with self._changing():
            if name in self:
                raise Conflict(f"已存在同名知识库 {name}")
            return self._make(name, Facts(embedding, dimension, store, info, passages=passages), keep_choices=True)

    def adopt(self, name: str, folder: Path) -> KnowledgeBase:
        """Move a whole library in from a folder of the same disk; papers that already lie in the library's content/ stay.

        Raises Forbidden, and Conflict when there is one of that name, or papers lie in both contents.
        """
        self.check_name(name)
        with self._changing():
            if name in self:
                raise Conflict(f"已存在同名知识库 {name}")
            home = self.root / name
            own, brought = home / "content", folder / "content"
            if home.exists():
                if own.is_dir() and any(own.iterdir()) and any(brought.iterdir()):
                    raise Conflict(f"{own} holds papers already; move them away, or choose another name with --kb-name")
                if not (own.is_dir() and any(own.iterdir())):
                    shutil.rmtree(own, ignore_errors=True)
                    os.replace(brought, own)
                os.replace(folder / "library.db", home / NEXT_DATABASE)
                os.replace(folder / "kb.json", home / NEXT_FACTS)
                self._put_next_in_place(home)
            else:
                os.replace(folder, home)
            return self.open(name)

    def delete(self, name: str) -> None:
        """The library and its papers are gone. Raises NotFound."""
        with self._changing():
            if name not in self:
                raise NotFound(f"未找到知识库 {name}")
            self._forget_index(name)
            self._forget(name)
            grave = self.root / f".deleted-{uuid.uuid4().hex}"
            os.replace(self.root / name, grave)
        shutil.rmtree(grave, onerror=lambda _, path, error: log.warning("%s stays until the next start: %s", path, error[1]))

    def describe(self, name: str, info: str) -> None:
        """What a library says about itself. Raises NotFound."""
        with self._changing():
            kb = self.open(name)
            facts = replace(kb.facts, info=info)
            write_facts(kb.folder, facts)
            kb.facts = facts

    def reset(
        self, name: str, *, embedding: str, dimension: int, passages: str = "", keep_choices: bool = True, store: str = ""
    ) -> KnowledgeBase:
        """The same library with no rows, for another embedding model or after damage; content/ stays. Raises NotFound and Unavailable.

        `store` is another kind of vector store (Invalid when there is none, or the settings do not allow it); "": the one that it has.
        Until all of the new one is written, and after a kill at any moment, there is the old library or the new one.
        With `keep_choices`, files that somebody has chosen a splitting for are queued with it.
        """
        with self._changing():
            if not (self._valid(name) and (self.root / name / "content").is_dir()):
                raise NotFound(f"未找到知识库 {name}")
            old = self._facts_or_none(name)
            own, info = (old.store, old.info) if old else ("faiss", "")
            store = store or own
            self._check_store(name, store, dimension)
            facts = Facts(embedding, dimension, store, info, passages=passages)
            return self._make(name, facts, keep_choices=keep_choices)

    def close(self) -> None:
        """Close every open library."""
        with self._lock:
            for name in list(self._open):
                self._forget(name)

    def _check_store(self, name: str, store: str, dimension: int) -> None:
        kind = registry.load(VECTOR_STORES, store, "vector store")
        kind(dimension, Home(lambda: name, self._stores)).close()  # refuses what the settings do not allow

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One thread of one process at a time. Raises Unavailable, also when the disk is full or does not let us write."""
        with self._lock:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                with self._among_processes.acquire(timeout=PATIENCE_S):
                    yield
            except Timeout as exc:
                raise Unavailable("another process is changing the libraries; try again") from exc
            except OSError as exc:
                raise Unavailable(f"the folder {self.root} cannot be changed: {exc.strerror or exc} ({exc.filename})") from exc

    def _make(self, name: str, facts: Facts, *, keep_choices: bool) -> KnowledgeBase:
        """An empty library in the place of what is there; what was chosen for files lies in the old one or the new one.

        Both files are written beside the old ones first. That kb.json is gone says that they are to take their places.
        """
        folder = self.root / name
        (folder / "content").mkdir(parents=True, exist_ok=True)
        self._remove_next(folder)
        try:
            fresh = Catalog(folder / NEXT_DATABASE)
            try:
                for file, splitting in (_choices(folder / "library.db") if keep_choices else {}).items():
                    fresh.queue([file], splitting)
            finally:
                fresh.close()
            write_facts(folder, facts, NEXT_FACTS)
        except PaperError:
            self._remove_next(folder)
            raise
        if (folder / "kb.json").exists():
            self._forget_index(name)
        self._forget(name)
        (folder / "kb.json").unlink(missing_ok=True)
        self._put_next_in_place(folder)
        return self.open(name)

    @staticmethod
    def _remove_next(folder: Path) -> None:
        """What was written for a library that did not come to be; its facts first, for they make it one."""
        for left in [folder / NEXT_FACTS, *folder.glob(f"{NEXT_DATABASE}*")]:
            left.unlink(missing_ok=True)

    def _is_whole(self, folder: Path) -> bool:
        """Whether it is a library; one that was being made when its maker was killed is finished first."""
        if (folder / "kb.json").is_file():
            return True
        if (folder / NEXT_FACTS).is_file():
            try:
                with self._changing():  # its maker may be at work
                    if (folder / NEXT_FACTS).is_file() and not (folder / "kb.json").is_file():
                        self._put_next_in_place(folder)
            except Unavailable as exc:
                log.warning("kb=%s cannot be finished: %s", folder.name, exc)
        return (folder / "kb.json").is_file()

    def _put_next_in_place(self, folder: Path) -> None:
        """The files of the new library take the places of the old ones; doing it again goes on from where it was left."""
        if (folder / NEXT_DATABASE).is_file():
            self._clear(folder)
            os.replace(folder / NEXT_DATABASE, folder / "library.db")
        os.replace(folder / NEXT_FACTS, folder / "kb.json")

    @staticmethod
    def _clear(folder: Path) -> None:
        """What must not lie beside a new library.db: the log of the old one, which SQLite would apply to it, and the old index."""
        for stale in ("library.db-wal", "library.db-shm"):
            (folder / stale).unlink(missing_ok=True)
        shutil.rmtree(folder / "vectors", ignore_errors=True)

    def _forget(self, name: str) -> None:
        kb = self._open.pop(name, None)
        if kb is not None:
            kb.close()

    def _forget_index(self, name: str) -> None:
        try:
            self.open(name).forget_index()
        except PaperError as exc:  # a damaged library, or a server that is away, must not be in the way
            log.warning("kb=%s: what its vector store keeps elsewhere stays there: %s", name, exc)

    def _facts_or_none(self, name: str) -> Facts | None:
        try:
            return read_facts(self.root / name)
        except (Corrupt, NotFound):
            return None

    def check_name(self, name: str) -> None:
        """Raises Invalid or Forbidden when no library can have that name."""
        if not name.strip():
            raise Invalid("知识库名称不能为空，请重新填写知识库名称")
        if not self._valid(name):
            raise Forbidden(
                f'{name!r} cannot name a library: at most {LONGEST_NAME} characters, none of / \\ @ : * ? " < > |, no dot in front'
            )

    @staticmethod
    def _valid(name: str) -> bool:
        if any(c in '/\\@:*?"<>|' or unicodedata.category(c)[0] == "C" for c in name):
            return False
        return bool(name) and len(name) <= LONGEST_NAME and not name.startswith(".") and name == name.strip() and len(name.encode()) <= 200


def _choices(database: Path) -> dict[str, str]:
    """How files of a library.db are to be split, as far as it can still be read."""
    if not database.is_file():
        return {}
    try:
        old = Catalog(database)
        try:
            return old.choices()
        finally:
            old.close()
    except PaperError as exc:
        log.warning("lost how files were to be split: %s", exc)
        return {}
