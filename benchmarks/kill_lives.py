"""What a process does before it is killed: ingest a library, or serve uploads and deletions of it, telling which phase it is in."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import mmap
import os
import pickle
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from starlette.datastructures import UploadFile

from benchmarks.kill_changes import MARK, Papers
from configs.profiles import PROFILES
from configs.settings import Settings
from server.api.knowledge_base import store_uploads
from server.checking import check
from server.embedding import Embedder
from server.errors import PaperError
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.readers.process import ReaderProcess
from server.runtime import Runtime, build
from server.shelf import Shelf
from server.stores.catalog import Catalog
from server.stores.faiss_store import FaissStore
from server.types import Document

PHASES = ("comparing", "reading", "embedding", "writing", "saving index", "uploading", "deleting")
NAME = "papers"
CACHED_READING_S = 0.03  # how long a reading from the cache takes at most, so that kills can hit it
WORDS_EMBEDDING_S = 0.01  # and a batch of the embedder without a model


class Phases:
    """Which phases a process is in, in memory that outlives it; every entry is also told through a pipe."""

    def __init__(self) -> None:
        self._depths = mmap.mmap(-1, len(PHASES))
        self._lock = threading.Lock()
        self.entries, self._told = os.pipe()

    @contextlib.contextmanager
    def inside(self, phase: str) -> Iterator[None]:
        place = PHASES.index(phase)
        with self._lock:
            self._depths[place] += 1
            os.write(self._told, bytes([place]))
        try:
            yield
        finally:
            with self._lock:
                self._depths[place] -= 1

    def now(self) -> list[str]:
        return [phase for place, phase in enumerate(PHASES) if self._depths[place]]

    def close(self) -> None:
        self._depths.close()
        os.close(self.entries)
        os.close(self._told)


class Silent(Phases):
    """Phases of a process that nobody watches."""

    def __init__(self) -> None:
        self._depths = mmap.mmap(-1, len(PHASES))

    @contextlib.contextmanager
    def inside(self, phase: str) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class World:
    """Where the library lies, and with what it is ingested. `cache` holds readings by content; None reads each file."""

    root: Path
    embedder: Embedder
    cache: Path | None

    def settings(self) -> Settings:
        paths = {name: self.root / name for name in ("models", "logs")} | {"knowledge_base": self.root}
        return Settings.model_validate({**PROFILES["embedded"], "paths": paths})

    def runtime(self) -> Runtime:
        """The objects of a server whose embedding model is loaded."""
        runtime = build(self.settings())
        runtime.embedders._loaded[self.embedder.name] = self.embedder
        return runtime

    @property
    def content(self) -> Path:
        return self.root / NAME / "content"

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.content.iterdir() if not path.name.startswith(".")}


def watch(phases: Phases, cache: Path | None, dice: random.Random) -> None:
    """From now on this process tells its phases, and takes readings from the cache."""

    def wrapped(owner: type, name: str, phase: str) -> None:
        plain = getattr(owner, name)

        def telling(*arguments: Any, **named: Any) -> Any:
            with phases.inside(phase):
                return plain(*arguments, **named)

        setattr(owner, name, telling)

    wrapped(FaissStore, "save", "saving index")
    wrapped(KnowledgeBase, "names", "comparing")
    wrapped(KnowledgeBase, "remove_files", "deleting")
    wrapped(KnowledgeBase, "store_file", "uploading")
    plain_digest = hashlib.file_digest

    def digest(*arguments: Any) -> Any:
        with phases.inside("comparing"):
            return plain_digest(*arguments)

    hashlib.file_digest = digest  # type: ignore[assignment]
    plain_write = Catalog._write

    @contextlib.contextmanager
    def write(catalog: Catalog) -> Iterator[Any]:
        with phases.inside("writing"), plain_write(catalog) as db:
            yield db

    Catalog._write = write  # type: ignore[method-assign]
    plain_read = ReaderProcess.read

    def read(process: ReaderProcess, path: Path, **named: Any) -> Document:
        with phases.inside("reading"):
            return plain_read(process, path, **named) if cache is None else _cached(cache, dice, process, path, named)

    def _cached(cache: Path, dice: random.Random, process: ReaderProcess, path: Path, named: dict[str, Any]) -> Document:
        place = cache / hashlib.sha256(path.read_bytes().partition(MARK)[0] + path.suffix.encode()).hexdigest()
        if place.exists():
            time.sleep(dice.uniform(0, CACHED_READING_S))
            return pickle.loads(place.read_bytes())  # type: ignore[no-any-return]  # noqa: S301 - our own file
        document = plain_read(process, path, **named)
        place.with_suffix(f".{os.getpid()}").write_bytes(pickle.dumps(document))
        place.with_suffix(f".{os.getpid()}").replace(place)
        return document

    ReaderProcess.read = read  # type: ignore[method-assign]


class Telling:
    """An embedder that tells when it is at work."""

    def __init__(self, embedder: Embedder, phases: Phases) -> None:
        self._embedder, self._phases = embedder, phases

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_documents(self, texts: Any, *arguments: Any, **named: Any) -> Any:
        with self._phases.inside("embedding"):
            if self._embedder.name == "hash":
                time.sleep(random.uniform(0, WORDS_EMBEDDING_S))
            return self._embedder.embed_documents(texts, *arguments, **named)


def increment(world: World) -> None:
    """`init_database.py --increment`."""
    shelf = Shelf(world.root)
    ingest(shelf.open(NAME), world.embedder, world.settings().splitting)
    shelf.close()


def serve(world: World, papers: Papers, seconds: float, tell: Callable[[dict[str, Any]], None], editors: int = 2) -> None:
    """A server that goes on with what is queued, and takes uploads and deletions; ends when all its jobs have."""
    runtime = world.runtime()
    runtime.resume()
    ends = time.monotonic() + seconds

    def edit(share: str) -> None:
        try:
            _edit(runtime, papers, share, ends, tell)
        except Exception as exc:  # noqa: BLE001 - a fault, which the parent counts
            tell({"error": f"{share}: {exc!r}"})

    threads = [threading.Thread(target=edit, args=(f"u{i}-",)) for i in range(editors)] if seconds else []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while runtime.jobs.running(NAME):
        time.sleep(0.02)
    runtime.close()


def _edit(runtime: Runtime, papers: Papers, share: str, ends: float, tell: Callable[[dict[str, Any]], None]) -> None:
    """Uploads and deletions as the routes make them. Each is told before it begins and again when it was acknowledged."""
    kb = runtime.shelf.open(NAME)
    while time.monotonic() < ends:
        there = {name: kb.path_of(name).read_bytes() for name in kb.names() if name.startswith(share)}
        change = papers.change(there, share=share)
        sha = None if change.content is None else hashlib.sha256(change.content).hexdigest()
        told = {"name": change.name, "sha256": sha, "kind": change.kind}
        tell(told | {"done": False})
        if change.content is None:
            kb.remove_files([change.name], delete_content=True)
        else:
            file = UploadFile(io.BytesIO(change.content), filename=change.name)
            stored, refused = store_uploads(runtime, kb, [file], override=True, queue_as="")
            assert not refused, refused
            runtime.start_ingest(NAME, files=stored, chosen=runtime.settings.splitting)
        tell(told | {"done": True})
        time.sleep(0.03)


def seeded(world: World, files: Mapping[str, bytes]) -> None:
    """A new library whose content holds `files`, nothing ingested."""
    shelf = Shelf(world.root)
    usage = world.embedder.usage
    shelf.create(NAME, embedding=world.embedder.name, dimension=world.embedder.dimension, passages=usage.form)
    for name, content in files.items():
        (world.content / name).write_bytes(content)
    shelf.close()


def findings(world: World, *, half_done: bool = False) -> list[str]:
    """What the check says to a fresh look; files that cannot be read are no finding, nor is what the next start does, if `half_done`."""
    no_finding = ("failed", "unfinished", "no row", "no file", "changed", "saved index") if half_done else ("failed",)
    shelf = Shelf(world.root)
    try:
        return [f"{found.kind}: {found.what} {found.files}" for found in check(shelf.open(NAME)) if found.kind not in no_finding]
    except PaperError as exc:
        return [f"does not open: {exc}"]
    finally:
        shelf.close()


def compared(world: World, other: World) -> list[str]:
    """How the rows and vectors of two libraries differ, ids and times aside."""
    differences = []
    left, right = ({row["name"]: row for row in _rows(each)} for each in (world, other))
    for name in sorted(left.keys() | right.keys()):
        one, two = left.get(name), right.get(name)
        if one is None or two is None:
            differences.append(f"{name} is in {'the undisturbed library' if one is None else 'the killed library'} alone")
        elif one["row"] != two["row"] or one["chunks"] != two["chunks"]:
            differences.append(f"{name} differs: {one['row']} {two['row']}, {len(one['chunks'])} and {len(two['chunks'])} chunks")
        elif one["vectors"].shape != two["vectors"].shape:
            differences.append(f"{name} has {one['vectors'].shape} and {two['vectors'].shape} vectors")
        elif len(one["vectors"]) and (worst := float((one["vectors"] * two["vectors"]).sum(axis=1).min())) < 0.9999:
            differences.append(f"{name} has a vector at a cosine of {worst}")
    return differences


def _rows(world: World) -> Iterator[dict[str, Any]]:
    shelf = Shelf(world.root)
    kb = shelf.open(NAME)
    for row in kb.catalog.files():
        passages = kb.catalog.listing(NAME, row.name)
        with kb.catalog._connection() as db:
            query = (
                "SELECT w.start, w.stop, w.vector FROM windows w JOIN chunks c ON c.id = w.chunk_id JOIN files f ON f.id = c.file_id "
                "WHERE f.name = ? ORDER BY c.ord, w.start"
            )
            windows = db.execute(query, (row.name,)).fetchall()
        vectors = np.array([np.frombuffer(blob, np.float16) for _, _, blob in windows], np.float32).reshape(
            len(windows), kb.facts.dimension
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        state = (row.state, row.reason, row.title, row.language, row.pages, row.bytes, row.sha256, row.recipe, row.identity, row.hidden)
        chunks = [(p.text, p.section, p.page, p.page_end, p.kind, p.language, p.spans, p.section_number, p.repeated) for p in passages]
        bounds = [(start, stop) for start, stop, _ in windows]
        yield {"name": row.name, "row": state, "chunks": [*chunks, bounds], "vectors": vectors}
    shelf.close()


def in_child(work: Callable[[], Any]) -> Any:
    """The result of `work` in a forked process, as JSON; it starts without a trace of earlier ones. Raises when it failed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            answer = {"result": work()}
        except BaseException as exc:  # noqa: BLE001 - told to the parent, which raises it
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        with os.fdopen(write, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        answer = json.load(file)
    os.waitpid(child, 0)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["result"]
