"""A library is a folder: content/ (papers), library.db (truth), vectors/ (derived), kb.json (settings that must not drift)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import threading
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from configs.settings import Stores
from server import registry
from server.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable
from server.papers import Papers
from server.stores import VECTOR_STORES, Home, Ids, Vectors, VectorStore
from server.stores.catalog import Catalog

log = logging.getLogger(__name__)
SMALL_INDEX = 1_000  # windows; written in 20 ms, so after every change
MOST_UNSAVED = 30_000  # windows that a start reads from library.db; 0.3 s
FEW = 2_000  # windows; scored by their rows in 10 ms
NO_SERVERS = Stores()
ITS_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EILSEQ, errno.ELOOP}  # faults of a name, not of a disk


@dataclass(frozen=True, slots=True)
class Facts:
    """kb.json: what a library was built with. Its presence means that the library is whole.

    `passages` is how its passages were put to the model (`Usage.form`); empty in libraries older than that, which no setting had changed.
    """

    embedding: str
    dimension: int
    store: str = "faiss"
    info: str = ""
    schema: int = 1
    passages: str = ""


class KnowledgeBase(Papers):
    """One open library. Thread-safe."""

    def __init__(self, folder: Path, facts: Facts, stores: Stores = NO_SERVERS) -> None:
        super().__init__(folder)
        self.facts = facts
        self.catalog = Catalog(folder / "library.db")
        self._stores = stores
        self._identity = _identity(self.catalog.path)
        self._store = self._empty_store()
        self._store.load(self.vectors_folder)
        self._following = threading.RLock()
        self._placing = threading.Lock()  # of a file under its name
        self._unsaved = 0  # windows added or removed since the index was written
        self._compared = False  # the number of vectors with that of rows, once

    @property
    def vectors_folder(self) -> Path:
        """The folder of the derived index."""
        return self.folder / "vectors"

    def is_current(self) -> bool:
        """Whether library.db is still the file that was opened, and not another one under the same name."""
        return self._identity == _identity(self.catalog.path)

    def differences(self) -> tuple[list[str], list[str]]:
        """(Files under content/ that have no row, rows whose file is not there), by name. Raises Unavailable as `names` does."""
        present, known = set(self.names()), {row.name for row in self.catalog.files()}
        return sorted(present - known), sorted(known - present)

    def store_file(
        self,
        file: str,
        source: BinaryIO,
        *,
        override: bool,
        limit_bytes: int,
        prepare: Callable[[Path], None] = lambda path: None,
        queue: bool = False,
        splitting: str | None = None,
    ) -> Path:
        """Put an uploaded file under content/ in one step, after `prepare` has done to it what it must.

        With `queue` it is marked as queued first, to be split by `splitting` as in `Catalog.queue`: when the program is killed before
        it was ingested, the next start does that. Raises Conflict when it exists and not `override`, Invalid when too large or when
        no file can have that name, Unavailable when the disk is full or does not let us write, and what `prepare` raises; then
        nothing has changed.
        """
        path = self.path_of(unicodedata.normalize("NFC", file))
        if path.exists() and not override:
            raise Conflict(f"文件 {file} 已存在。")
        temporary = path.with_name(f".{uuid.uuid4().hex}.upload")
        try:
            if not self.content.is_dir():
                raise NotFound(f"未找到知识库 {self.name}")  # deleted meanwhile
            path.parent.mkdir(parents=True, exist_ok=True)
            written = 0
            with temporary.open("wb") as target:
                while block := source.read(1 << 20):
                    written += len(block)
                    if written > limit_bytes:
                        raise Invalid(f"{file} is larger than {limit_bytes >> 20} MiB (setting server.upload_limit_mib)")
                    target.write(block)
                target.flush()
                os.fsync(target.fileno())
            prepare(temporary)
            with self._placing:
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if path.exists() and not override:
                    raise FileExistsError
                if queue:
                    self._await(path.relative_to(self.content).as_posix(), temporary, splitting)
                if override:
                    os.replace(temporary, path)
                else:
                    os.link(temporary, path)  # fails when another process took the name meanwhile
        except FileExistsError as exc:
            raise Conflict(f"文件 {file} 已存在。") from exc
        except ConnectionError:  # the sender's, not the disk's
            raise
        except OSError as exc:
            kind = Invalid if exc.errno in ITS_NAME else Unavailable
            raise kind(f"{file} cannot be stored: {exc.strerror or exc}") from exc
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return path

    def remove_files(self, files: list[str], *, delete_content: bool) -> None:
        """Rows and vectors of the files go; with `delete_content` the files too. Unknown names raise NotFound before anything goes.

        Raises Unavailable when a file cannot be deleted. A kill leaves a file whole, or the next start finishes.
        """
        known = {row.name for row in self.catalog.rows(files)}
        for file in files:
            if file not in known and not self.path_of(file).is_file():
                raise NotFound(f"no file {file!r} in the library {self.name!r}")
        if delete_content:
            self.catalog.queue([file for file in files if file in known])  # what is queued and not there is removed by the next start
            for file in files:
                try:
                    self.path_of(file).unlink(missing_ok=True)
                except OSError as exc:
                    raise Unavailable(f"{file} cannot be deleted: {exc.strerror or exc}") from exc
        self.catalog.remove(files, awaited=True)

    def search(self, vector: Vectors, k: int, only: Ids | None = None) -> list[tuple[int, float]]:
        """The `k` nearest windows as (window id, cosine), after following all changes, of other processes too."""
        store = self._followed()
        if only is not None and len(only) <= FEW and store.surplus:
            candidates = only.tolist()
        else:
            try:
                found = store.search(vector, k + store.surplus, only)
            except Corrupt as exc:
                store = self._built_anew(store, exc)
                found = store.search(vector, k + store.surplus, only)
            if not store.surplus:
                return found
            candidates = [window for window, _ in found]
        ids, vectors = self.catalog.vectors_of_windows(candidates)
        scores: list[float] = (vectors @ vector).tolist() if ids else []
        return sorted(zip(ids, scores, strict=True), key=lambda pair: -pair[1])[:k]

    def save_index(self) -> None:
        """Write the index beside library.db, so that the next start need not build it; a large one only when much of it is new.

        Raises Unavailable when the disk is full.
        """
        store = self._followed()
        if store.outgrown:
            store = self._fresh()  # searches go on with the old one meanwhile
            self._put_in_place(store)
        unsaved = self._unsaved
        if unsaved and (len(store) < SMALL_INDEX or unsaved > min(len(store) / 20, MOST_UNSAVED)):
            try:
                store.save(self.vectors_folder)  # searches go on meanwhile
            except Corrupt as exc:
                store = self._built_anew(store, exc)
                store.save(self.vectors_folder)
            with self._following:
                self._unsaved = max(0, self._unsaved - unsaved)
            self.catalog.prune(store.generation)

    def indexed(self) -> tuple[int, Ids]:
        """The generation that the index in memory has followed to, and the window ids in it."""
        store = self._followed()
        with self._following:
            return store.generation, store.ids()

    def saved_generation(self) -> int | None:
        """The generation of the index in vectors/; None when there is none, or it is damaged or that of another library.db."""
        saved = self._empty_store()
        return saved.generation if saved.load(self.vectors_folder) and self.catalog.has_had(saved.generation, saved.stamp) else None

    def close(self) -> None:
        """Close library.db and the store."""
        self._store.close()
        self.catalog.close()

    def forget_index(self) -> None:
        """Delete what the store keeps outside the folder, before the folder goes. Raises Unavailable."""
        self._store.forget()

    def _empty_store(self) -> VectorStore:
        kind = registry.load(VECTOR_STORES, self.facts.store, "vector store")
        store: VectorStore = kind(self.facts.dimension, Home(self._own_name, self._stores))
        return store

    def _own_name(self) -> str:
        own = f"{self.catalog.lineage()} {self.folder.resolve()}"  # a copy of the folder is another library
        return hashlib.sha256(own.encode()).hexdigest()[:24]

    def _await(self, name: str, uploaded: Path, splitting: str | None) -> None:
        """Mark a file as queued that is about to hold what was uploaded, unless its rows were made from the same bytes."""
        with uploaded.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not any(row.state == "ready" and row.sha256 == sha256 for row in self.catalog.rows([name])):
            self.catalog.queue([name], splitting, awaited=sha256)

    def _followed(self) -> VectorStore:
        store = self._store
        if self._compared and store.generation == self.catalog.generation():
            return store  # nobody waits for anybody while nothing changes
        with self._following:  # reentrant
            if self._store.generation > self.catalog.generation():
                self._store = self._empty_store()  # the index of another library.db
            if not self._compared or self._store.generation != self.catalog.generation():
                try:
                    followed = self._follow(self._store)
                except Corrupt as exc:
                    log.warning("kb=%s: %s; the index is rebuilt from library.db", self.name, exc)
                    followed = False
                if not followed:
                    self._put_in_place(self._fresh())
            self._compared = True
            return self._store

    def _follow(self, store: VectorStore) -> bool:
        """Add and remove what changed. False when building anew is better, or the index is that of other rows. Raises Corrupt."""
        with self.catalog.changes_since(store.generation, store.stamp) as changes:
            if not changes.since or changes.added > len(store):
                return False
            store.remove(changes.removed)
            for ids, vectors in changes.batches:
                store.remove(ids.tolist())  # so that following twice is following once
                store.add(ids, vectors)
            store.reached(changes.generation, changes.stamp)
            self._unsaved += len(changes.removed) + changes.added
            return self._compared or len(store) == changes.total() or self.catalog.generation() != changes.generation

    def _fresh(self) -> VectorStore:
        """A store built from the rows."""
        store = self._empty_store()
        with self.catalog.changes_since(0) as changes:
            store.build(changes.added, changes.batches)
            store.reached(changes.generation, changes.stamp)
        return store

    def _put_in_place(self, store: VectorStore) -> None:
        with self._following:
            self._store = store
            self._unsaved = max(1, len(store))

    def _built_anew(self, damaged: VectorStore, found: Corrupt) -> VectorStore:
        """The store from rows, after its file was found damaged, perhaps by several searches at once."""
        with self._following:
            if self._store is damaged:
                log.warning("kb=%s: %s; the index is rebuilt from library.db", self.name, found)
                self._put_in_place(self._fresh())
        return self._followed()


def read_facts(folder: Path) -> Facts:
    """What kb.json says. Raises NotFound and Corrupt."""
    try:
        facts = Facts(**json.loads((folder / "kb.json").read_text(encoding="utf-8")))
        if not (
            isinstance(facts.dimension, int)
            and facts.dimension > 0
            and isinstance(facts.embedding, str)
            and facts.store in VECTOR_STORES
            and isinstance(facts.passages, str)
        ):
            raise ValueError("its values are of the wrong kind")
        return facts
    except FileNotFoundError as exc:
        raise NotFound(f"未找到知识库 {folder.name}") from exc
    except (ValueError, TypeError) as exc:
        raise Corrupt(
            f"{folder / 'kb.json'} is damaged ({exc}); `python init_database.py --recreate-vs --kb-name {folder.name}` builds it again"
        ) from exc


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def write_facts(folder: Path, facts: Facts, name: str = "kb.json") -> None:
    """Write kb.json in one step. Raises Unavailable when the disk is full or does not let us write; nothing has changed then."""
    temporary = folder / f".kb.json.{uuid.uuid4().hex}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(facts), file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise Unavailable(f"{folder / 'kb.json'} cannot be written: {exc.strerror or exc}") from exc
