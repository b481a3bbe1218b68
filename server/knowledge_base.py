"""A library is a folder: content/ (papers), library.db (truth), vectors/ (derived), kb.json (settings that must not drift).

Every file name that comes from outside is checked here, after resolving it, against the folder it must lie in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from configs.settings import Stores
from server import registry
from server.errors import Conflict, Corrupt, Forbidden, Invalid, NotFound, Unavailable
from server.stores import VECTOR_STORES, Home, Ids, Vectors, VectorStore
from server.stores.catalog import Catalog

log = logging.getLogger(__name__)
SMALL_INDEX = 20_000  # windows; written in well under a second
MOST_UNSAVED = 30_000  # windows that a start reads from library.db; 0.3 s
FEW = 2_000  # windows; scored by their rows in 10 ms
NO_SERVERS = Stores()
LONGEST_PART_BYTES = 200  # of a file's name; file systems allow 255, and we add a suffix


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


class KnowledgeBase:
    """One open library. Thread-safe."""

    def __init__(self, folder: Path, facts: Facts, stores: Stores = NO_SERVERS) -> None:
        self.name = folder.name
        self.folder = folder
        self.facts = facts
        self.catalog = Catalog(folder / "library.db")
        self._stores = stores
        self._identity = _identity(self.catalog.path)
        self._store = self._empty_store()
        self._store.load(self.vectors_folder)
        self._following = threading.RLock()
        self._unsaved = 0  # windows added or removed since the index was written
        self._compared = False  # the number of vectors with that of rows, once

    @property
    def content(self) -> Path:
        """The folder of the papers."""
        return self.folder / "content"

    @property
    def vectors_folder(self) -> Path:
        """The folder of the derived index."""
        return self.folder / "vectors"

    def is_current(self) -> bool:
        """Whether library.db is still the file that was opened, and not another one under the same name."""
        return self._identity == _identity(self.catalog.path)

    def path_of(self, file: str) -> Path:
        """Where a file of this library lies or will lie. Raises Forbidden when the name leads out of content/."""
        if not file or "\0" in file or "\\" in file or any(part in ("", ".", "..") or part.startswith(".") for part in file.split("/")):
            raise Forbidden(f"{file!r} is not a file name inside a library: no hidden, absolute or parent paths")
        if any(len(part.encode(errors="replace")) > LONGEST_PART_BYTES for part in file.split("/")):
            raise Forbidden(f"the name {file[:40]!r}… is longer than {LONGEST_PART_BYTES} bytes")
        path = self.content / file
        if not path.resolve().is_relative_to(self.content.resolve()):
            raise Forbidden(f"{file!r} leads out of the library")
        return path

    def existing(self, file: str) -> Path:
        """`path_of` a file that is there. Raises NotFound."""
        path = self.path_of(file)
        if not path.is_file():
            raise NotFound(f"no file {file!r} in the library {self.name!r}")
        return path

    def names(self) -> list[str]:
        """The files under content/, by name, sub-folders with slashes; hidden ones and links that lead out are not counted.

        Raises Unavailable when a folder cannot be listed: its files must not be taken for deleted.
        """
        return sorted(name for name in self._listed() if not self._fault(name))

    def unusable(self) -> dict[str, str]:
        """Files under content/ whose names no request can hold, or that are no regular files: name as it can be shown -> reason."""
        return {name.encode(errors="backslashreplace").decode(): fault for name in sorted(self._listed()) if (fault := self._fault(name))}

    def differences(self) -> tuple[list[str], list[str]]:
        """(Files under content/ that have no row, rows whose file is not there), by name. Raises Unavailable as `names` does."""
        present, known = set(self.names()), {row.name for row in self.catalog.files()}
        return sorted(present - known), sorted(known - present)

    def store_file(
        self, file: str, source: BinaryIO, *, override: bool, limit_bytes: int, prepare: Callable[[Path], None] = lambda path: None
    ) -> Path:
        """Put an uploaded file under content/ in one step, after `prepare` has done to it what it must.

        Raises Conflict when it exists and not `override`, Invalid when too large, and what `prepare` raises; then nothing has changed.
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
            if override:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # fails when the name was taken meanwhile
        except FileExistsError as exc:
            raise Conflict(f"文件 {file} 已存在。") from exc
        except ConnectionError:  # the sender's, not the disk's
            raise
        except OSError as exc:
            raise Invalid(f"{file} cannot be stored: {exc.strerror or exc}") from exc
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return path

    def remove_files(self, files: list[str], *, delete_content: bool) -> None:
        """Rows and vectors of the files go; with `delete_content` the files too. Unknown names raise NotFound before anything goes."""
        known = {row.name for row in self.catalog.files()}
        for file in files:
            if file not in known and not self.path_of(file).is_file():
                raise NotFound(f"no file {file!r} in the library {self.name!r}")
        if delete_content:
            for file in files:
                self.path_of(file).unlink(missing_ok=True)
        self.catalog.remove(files)

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
        """The generation of the index in vectors/; None when there is none, or it cannot be used."""
        saved = self._empty_store()
        return saved.generation if saved.load(self.vectors_folder) else None

    def close(self) -> None:
        """Close library.db and the store."""
        self._store.close()
        self.catalog.close()

    def forget_index(self) -> None:
        """Delete what the store keeps outside the folder, before the folder goes. Raises Unavailable."""
        self._store.forget()

    def _listed(self) -> Iterator[str]:
        def refuse(exc: OSError) -> NoReturn:
            raise Unavailable(
                f"a folder of the library {self.name!r} cannot be listed ({exc.strerror}): {Path(exc.filename).relative_to(self.folder)}; "
                "nothing was changed"
            ) from exc

        root = self.content.resolve()
        for folder, inner, files in os.walk(self.content, onerror=refuse):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for file in files:
                path = Path(folder) / file
                if not file.startswith(".") and (not path.is_symlink() or path.resolve().is_relative_to(root)):
                    yield path.relative_to(self.content).as_posix()

    def _fault(self, name: str) -> str:
        """Why a file that lies there cannot be used; empty when it can."""
        try:
            name.encode()
            return "" if self.path_of(name).is_file() else "this is not a regular file"
        except UnicodeEncodeError:
            return "its name is not UTF-8 (an archive made on another system?); rename it"
        except Forbidden as exc:
            return f"{exc}; rename it"

    def _empty_store(self) -> VectorStore:
        kind = registry.load(VECTOR_STORES, self.facts.store, "vector store")
        store: VectorStore = kind(self.facts.dimension, Home(self._own_name, self._stores))
        return store

    def _own_name(self) -> str:
        own = f"{self.catalog.lineage()} {self.folder.resolve()}"  # a copy of the folder is another library
        return hashlib.sha256(own.encode()).hexdigest()[:24]

    def _followed(self) -> VectorStore:
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
        with self.catalog.changes_since(store.generation) as changes:
            if not changes.since or changes.added > len(store):
                return False
            store.remove(changes.removed)
            for ids, vectors in changes.batches:
                store.remove(ids.tolist())  # so that following twice is following once
                store.add(ids, vectors)
            store.generation = changes.generation
            self._unsaved += len(changes.removed) + changes.added
            return self._compared or len(store) == changes.total() or self.catalog.generation() != changes.generation

    def _fresh(self) -> VectorStore:
        """A store built from the rows."""
        store = self._empty_store()
        with self.catalog.changes_since(0) as changes:
            store.build(changes.added, changes.batches)
            store.generation = changes.generation
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


def write_facts(folder: Path, facts: Facts) -> None:
    """Write kb.json in one step."""
    temporary = folder / f".kb.json.{uuid.uuid4().hex}"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(facts), file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "kb.json")
