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
        return sorted(folder.name for folder in self.root.iterdir() if (folder / "kb.json").is_file() and not folder.name.startswith("."))

    def __contains__(self, name: str) -> bool:
        return self._valid(name) and (self.root / name / "kb.json").is_file()

    def __iter__(self) -> Iterator[KnowledgeBase]:
        for name in self.names():
            try:
                yield self.open(name)
            except PaperError as exc:  # deleted meanwhile, or damaged: the others are well
                log.warning("skipped kb=%s reason=%s", name, exc)

    def open(self, name: str) -> KnowledgeBase:
        """The library of that exact name. Raises NotFound, and Corrupt when its files are damaged."""
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

    def create(self, name: str, *, embedding: str, dimension: int, store: str = "faiss", info: str = "") -> KnowledgeBase:
        """A new empty library; papers that already lie in its content/ wait there for ingestion. Raises Conflict, Invalid, Forbidden."""
        if not name.strip():
            raise Invalid("知识库名称不能为空，请重新填写知识库名称")
        if not self._valid(name):
            raise Forbidden(
                f'{name!r} cannot name a library: at most {LONGEST_NAME} characters, none of / \\ @ : * ? " < > |, no dot in front'
            )
        kind = registry.load(VECTOR_STORES, store, "vector store")
        kind(dimension, Home(lambda: name, self._stores)).close()  # refuses what the settings do not allow
        with self._changing():
            if name in self:
                raise Conflict(f"已存在同名知识库 {name}")
            folder = self.root / name
            (folder / "content").mkdir(parents=True, exist_ok=True)
            for stale in ("library.db", "library.db-wal", "library.db-shm"):
                (folder / stale).unlink(missing_ok=True)
            shutil.rmtree(folder / "vectors", ignore_errors=True)
            Catalog(folder / "library.db").close()
            write_facts(folder, Facts(embedding, dimension, store, info))
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
        shutil.rmtree(grave)

    def reset(self, name: str, *, embedding: str, dimension: int) -> KnowledgeBase:
        """The same library with empty rows, for another embedding model or after damage; content/ stays. Raises NotFound."""
        with self._changing():
            if not (self._valid(name) and (self.root / name / "content").is_dir()):
                raise NotFound(f"未找到知识库 {name}")
            old = self._facts_or_none(name)
            self._forget_index(name)
            self._forget(name)
            (self.root / name / "kb.json").unlink(missing_ok=True)
            return self.create(
                name, embedding=embedding, dimension=dimension, store=old.store if old else "faiss", info=old.info if old else ""
            )

    def close(self) -> None:
        """Close every open library."""
        with self._lock:
            for name in list(self._open):
                self._forget(name)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One thread of one process at a time. Raises Unavailable."""
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock:
            try:
                with self._among_processes.acquire(timeout=PATIENCE_S):
                    yield
            except Timeout as exc:
                raise Unavailable("another process is changing the libraries; try again") from exc

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

    @staticmethod
    def _valid(name: str) -> bool:
        if any(c in '/\\@:*?"<>|' or unicodedata.category(c)[0] == "C" for c in name):
            return False
        return bool(name) and len(name) <= LONGEST_NAME and not name.startswith(".") and name == name.strip() and len(name.encode()) <= 200
