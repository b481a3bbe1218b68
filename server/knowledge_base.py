"""A library is a folder: content/ (papers), library.db (truth), vectors/ (derived), kb.json (settings that must not drift).

`Shelf` is the folder of all libraries; `KnowledgeBase` is one that is open. Every file name that comes from outside is checked here,
after resolving it, against the folder it must lie in.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from server import registry
from server.errors import Conflict, Corrupt, Forbidden, Invalid, NotFound, PaperError
from server.stores import VECTOR_STORES, Ids, Vectors, VectorStore
from server.stores.catalog import Catalog

log = logging.getLogger(__name__)
SMALL_INDEX = 20_000  # windows; written in well under a second
LONGEST_PART_BYTES = 200  # of a file's name; file systems allow 255, and we add a suffix
LONGEST_NAME = 100  # characters; 255 bytes is the file system's limit


@dataclass(frozen=True, slots=True)
class Facts:
    """kb.json: what a library was built with. Its presence means that the library is whole."""

    embedding: str
    dimension: int
    store: str = "faiss"
    info: str = ""
    schema: int = 1


class KnowledgeBase:
    """One open library. Thread-safe."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.name = folder.name
        self.folder = folder
        self.facts = facts
        self.catalog = Catalog(folder / "library.db")
        self._identity = _identity(self.catalog.path)
        self._store = self._empty_store()
        self._store.load(self.vectors_folder)
        self._following = threading.Lock()
        self._unsaved = 0  # windows added or removed since the index was written

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
        """The files under content/, by name, sub-folders with slashes; hidden ones and links that lead out are not counted."""
        root = self.content.resolve()
        found = []
        for folder, inner, files in os.walk(self.content):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for file in files:
                path = Path(folder) / file
                if not file.startswith(".") and (not path.is_symlink() or path.resolve().is_relative_to(root)):
                    found.append(path.relative_to(self.content).as_posix())
        return sorted(found)

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
        return self._followed().search(vector, k, only)

    def save_index(self) -> None:
        """Write the index beside library.db, so that the next start need not build it; a large one only when a twentieth of it is new."""
        store = self._followed()
        with self._following:
            if self._unsaved and (len(store) < SMALL_INDEX or self._unsaved > len(store) / 20):
                store.save(self.vectors_folder)
                self._unsaved = 0

    def close(self) -> None:
        """Close library.db."""
        self.catalog.close()

    def _empty_store(self) -> VectorStore:
        store: VectorStore = registry.load(VECTOR_STORES, self.facts.store, "vector store")(self.facts.dimension)
        return store

    def _followed(self) -> VectorStore:
        with self._following:
            if self._store.generation > self.catalog.generation():
                self._store = self._empty_store()  # the index of another library.db
            if self._store.generation != self.catalog.generation():
                generation, removed, ids, vectors = self.catalog.changes_since(self._store.generation)
                self._store.remove(removed)
                self._store.remove([int(i) for i in ids])  # so that following twice is following once
                self._store.add(ids, vectors.reshape(len(ids), self.facts.dimension))
                self._unsaved += len(removed) + len(ids)
                self._store.generation = generation
            return self._store


class Shelf:
    """The folder of all libraries. Thread-safe; opens each library once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, KnowledgeBase] = {}
        self._lock = threading.RLock()

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
                self._open[name] = KnowledgeBase(folder, _read_facts(folder))
            return self._open[name]

    def create(self, name: str, *, embedding: str, dimension: int, store: str = "faiss", info: str = "") -> KnowledgeBase:
        """A new empty library; papers that already lie in its content/ wait there for ingestion. Raises Conflict, Invalid, Forbidden."""
        if not name.strip():
            raise Invalid("知识库名称不能为空，请重新填写知识库名称")
        if not self._valid(name):
            raise Forbidden("Don't attack me")
        if store not in VECTOR_STORES:
            raise Invalid(f"unknown vector store {store!r}; known: {', '.join(sorted(VECTOR_STORES))}")
        with self._lock:
            if name in self:
                raise Conflict(f"已存在同名知识库 {name}")
            folder = self.root / name
            (folder / "content").mkdir(parents=True, exist_ok=True)
            for stale in ("library.db", "library.db-wal", "library.db-shm"):
                (folder / stale).unlink(missing_ok=True)
            shutil.rmtree(folder / "vectors", ignore_errors=True)
            Catalog(folder / "library.db").close()
            _write_facts(folder, Facts(embedding, dimension, store, info))
            return self.open(name)

    def delete(self, name: str) -> None:
        """The library and its papers are gone. Raises NotFound."""
        with self._lock:
            if name not in self:
                raise NotFound(f"未找到知识库 {name}")
            self._forget(name)
            grave = self.root / f".deleted-{uuid.uuid4().hex}"
            os.replace(self.root / name, grave)
        shutil.rmtree(grave)

    def reset(self, name: str, *, embedding: str, dimension: int) -> KnowledgeBase:
        """The same library with empty rows, for another embedding model or after damage; content/ stays. Raises NotFound."""
        with self._lock:
            if not (self._valid(name) and (self.root / name / "content").is_dir()):
                raise NotFound(f"未找到知识库 {name}")
            old = self._facts_or_none(name)
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

    def _forget(self, name: str) -> None:
        kb = self._open.pop(name, None)
        if kb is not None:
            kb.close()

    def _facts_or_none(self, name: str) -> Facts | None:
        try:
            return _read_facts(self.root / name)
        except (Corrupt, NotFound):
            return None

    @staticmethod
    def _valid(name: str) -> bool:
        if any(c in '/\\@:*?"<>|' or unicodedata.category(c)[0] == "C" for c in name):
            return False
        return bool(name) and len(name) <= LONGEST_NAME and not name.startswith(".") and name == name.strip() and len(name.encode()) <= 200


def _read_facts(folder: Path) -> Facts:
    try:
        facts = Facts(**json.loads((folder / "kb.json").read_text(encoding="utf-8")))
        if not (
            isinstance(facts.dimension, int) and facts.dimension > 0 and isinstance(facts.embedding, str) and facts.store in VECTOR_STORES
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


def _write_facts(folder: Path, facts: Facts) -> None:
    temporary = folder / ".kb.json.new"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(facts), file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "kb.json")
