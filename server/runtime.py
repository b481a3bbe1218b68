"""`build(settings)` makes every object that lives as long as the server: the shelf, the embedding models, the jobs."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from configs.settings import ROOT, Settings, Splitting
from server import editing, embedding, weights
from server.answering import Asked, answer
from server.control import Control
from server.editing import Written
from server.embedding import Embedder
from server.errors import BackendFailed, Conflict, Invalid, NotFound, PaperError, StillLoading, Unavailable
from server.gathering import Gathering, Tell
from server.ingestion import Progress, ingest, unfinished
from server.jobs import Job, JobBoard
from server.knowledge_base import KnowledgeBase
from server.llm.keys.of_settings import Keys
from server.readers.process import ReaderProcess
from server.retrieval import reranking, retrieve
from server.retrieval.reranking import Reranker
from server.shelf import Shelf
from server.stores.conversations import Conversations
from server.stores.where import EVERYWHERE, Where
from server.temporary import Temporary
from server.types import Answer, Passage, Token

log = logging.getLogger(__name__)
SAMPLES = "samples"
WEIGHTS_PATIENCE_S = 1800.0  # a job waits so long for weights that startup.py is still fetching
HALF_WRITTEN_S = 3600.0  # a temporary file that old belongs to nobody
PAGE_IMAGE_S = 20.0  # a page that takes longer to draw is given up, since others wait for theirs
QUESTION_PATIENCE_S = 60.0  # a question waits so long for the model to load


@dataclass(frozen=True, slots=True)
class EmbeddingState:
    """What the API and the UI say about the embedding model."""

    name: str
    source: str
    state: Literal["loading", "ready", "failed"]
    device: str = ""
    dtype: str = ""
    dimension: int = 0
    error: str = ""
    max_tokens: int = 0
    pooling: str = ""
    query_prefix: str = ""
    passage_prefix: str = ""
    usage_from: str = ""


class Embedders:
    """Embedding models by name, each loaded once, when first needed. Thread-safe."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys
        self._loaded: dict[str, Embedder] = {}
        self._loading = threading.Lock()
        self._error = ""

    @property
    def default(self) -> str:
        """The name of the model of the settings."""
        return embedding.name_of(self._settings)

    def get(self, name: str | None = None, *, wait_s: float = QUESTION_PATIENCE_S, cancel: threading.Event | None = None) -> Embedder:
        """The model of that name; waits `wait_s` for weights that are still on their way. Raises Unavailable."""
        wanted = name or self.default
        deadline = time.monotonic() + wait_s
        while True:
            if wanted in self._loaded:
                return self._loaded[wanted]
            try:
                return self._load(wanted, max(0.0, deadline - time.monotonic()))
            except PaperError as exc:
                if wanted == self.default and not isinstance(exc, StillLoading):
                    self._error = str(exc)
                if (
                    not isinstance(exc, Unavailable)
                    or isinstance(exc, BackendFailed)
                    or time.monotonic() + 0.5 > deadline
                    or (cancel and cancel.wait(0.5))
                ):
                    raise
                if cancel is None:
                    threading.Event().wait(0.5)

    def state(self) -> EmbeddingState:
        """The state of the default model, without waiting."""
        source = self._settings.embedding.model
        loaded = self._loaded.get(self.default)
        if loaded is None:
            return EmbeddingState(self.default, source, "failed" if self._error else "loading", error=self._error)
        return EmbeddingState(self.default, source, "ready", loaded.device, loaded.dtype, loaded.dimension, **_usage(loaded))

    def warm_up(self) -> None:
        """Load the default model in the background, so that the first question need not wait."""

        def load() -> None:
            try:
                self.get(wait_s=WEIGHTS_PATIENCE_S)
            except PaperError as exc:
                log.error("embedding model %s is not available: %s", self.default, exc)

        threading.Thread(target=load, name="warm-up", daemon=True).start()

    def _load(self, name: str, patience_s: float) -> Embedder:
        if not self._loading.acquire(timeout=max(patience_s, 0.01)):
            raise StillLoading(f"the embedding model {name} is still loading; try again in a moment")
        try:
            if name not in self._loaded:
                self._loaded[name] = embedding.load_model(self._settings, "" if name == self.default else name, self._keys)
                if name == self.default:
                    self._error = ""
            return self._loaded[name]
        finally:
            self._loading.release()


def _usage(embedder: Embedder) -> dict[str, Any]:
    usage = embedder.usage
    return {
        "max_tokens": embedder.max_tokens,
        "pooling": usage.pooling,
        "query_prefix": usage.query,
        "passage_prefix": usage.passage,
        "usage_from": usage.source,
    }


class Runtime:
    """Everything that requests share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shelf = Shelf(settings.paths.knowledge_base, settings.stores)
        self.conversations = Conversations(settings.paths.knowledge_base / "conversations.db")
        self.temporary = Temporary(settings.paths.knowledge_base)
        self.keys = Keys(settings)
        self.control = Control.of_this_process()
        self.embedders = Embedders(settings, self.keys)
        self.jobs = JobBoard()
        self._reranker: Reranker | None = None
        self._reranking = threading.Lock()
        self.pages = ReaderProcess(timeout_s=PAGE_IMAGE_S, memory_mib=settings.readers.memory_mib)
        self._leaving = threading.Event()
        self._gatherings: dict[str, Gathering] = {}

    def embedder_of(self, kb: KnowledgeBase, wait_s: float = QUESTION_PATIENCE_S) -> Embedder:
        """The model that the library was built with."""
        return self.embedders.get(kb.facts.embedding, wait_s=wait_s)

    def reranker(self) -> Reranker | None:
        """The cross-encoder of the settings, loaded when it is first asked for, or None. Raises Unavailable and Invalid."""
        source = self.settings.retrieval.reranker
        with self._reranking:
            if source and self._reranker is None:
                self._reranker = reranking.load(source, self.settings.paths.models, self.settings.embedding.device)
            return self._reranker

    def search(
        self,
        names: Sequence[str],
        question: str,
        *,
        top_k: int | None = None,
        where: Where = EVERYWHERE,
        min_similarity: float | None = None,
    ) -> list[Passage]:
        """`retrieve` in the libraries of these names. Raises NotFound for a name that none has."""
        libraries = [(kb, self.embedder_of(kb)) for kb in (self.shelf.open(name) for name in dict.fromkeys(names))]
        return retrieve(
            libraries,
            question,
            self.settings.retrieval,
            top_k=top_k,
            where=where,
            min_similarity=min_similarity,
            reranker=self.reranker(),
        )

    def answer(self, kbs: Sequence[KnowledgeBase], asked: Asked) -> Iterator[Token | Answer]:
        """`answering.answer` with the libraries' embedders and the reranker of the settings."""
        return answer([(kb, self.embedder_of(kb)) for kb in kbs], self.settings, asked, self.reranker(), self.keys)

    def create_library(self, name: str, *, store: str = "faiss", embedding_model: str | None = None, info: str = "") -> KnowledgeBase:
        """A new library for that embedding model, or for the one of the settings. Raises what Shelf.create raises."""
        if name in self.shelf:
            raise Conflict(f"已存在同名知识库 {name}")
        chosen = embedding_model or self.embedders.default
        language_models = {model.source for model in self.settings.llm.local.values()}
        here = chosen in weights.WEIGHTS and not weights.missing([chosen], self.settings.paths.models)
        here = here or self.settings.endpoint_of(chosen) is not None
        if chosen != self.embedders.default and (chosen in language_models or not here):
            raise Invalid(f"no embedding model {chosen!r} here; this server runs {self.embedders.default}")
        embedder = self.embedders.get(chosen)
        return self.shelf.create(
            name, embedding=embedder.name, dimension=embedder.dimension, store=store, info=info, passages=embedder.usage.form
        )

    def temporary_library(self, name: str) -> KnowledgeBase:
        """The temporary library of that id, or a new one when it has expired or none is named."""
        try:
            return self.temporary.open(name)
        except NotFound:
            return self.temporary.create(self.embedders.get())

    def delete_library(self, name: str) -> None:
        """Its jobs are stopped first. Raises NotFound."""
        if name not in self.shelf:
            raise NotFound(f"未找到知识库 {name}")
        self.jobs.cancel_all(name)
        self.shelf.delete(name)

    def start_ingest(
        self, name: str, *, files: Sequence[str] | None = None, kind: str = "increment", chosen: Splitting | None = None
    ) -> Job:
        """Bring a library up to date in the background; `kind` rebuild reads everything again, `chosen` is as in `ingest`.

        A job for `files` is of the kind upload; those of a library that wait share one run.
        """
        splitting = self.settings.splitting

        def work(job: Job) -> Progress:
            job.say("waiting for the embedding model")
            kb = self.shelf.open(name)
            embedder = self.embedders.get(kb.facts.embedding, wait_s=WEIGHTS_PATIENCE_S, cancel=job.cancelled)
            run = partial(ingest, kb, embedder, splitting, force=kind == "rebuild", leaving=self._leaving, readers=self.settings.readers)
            if files is None:
                return run(tell=job.tell, cancel=job.cancelled, chosen=chosen)

            def together(files: Sequence[str], chosen: Splitting | None, tell: Tell, cancel: threading.Event) -> Progress:
                return run(files=files, chosen=chosen, tell=tell, cancel=cancel)

            def forget(files: Sequence[str]) -> None:
                kb.catalog.mark(files, "failed", "stopped by the user")

            return self._gathering(name).ingest(job, files, chosen, together, forget)

        self.shelf.open(name)  # NotFound reaches the caller, not the job
        return self.jobs.start(name, kind if files is None else "upload", work)

    def start_anew(self, name: str, *, chosen: Splitting | None, embedding_model: str = "", store: str = "") -> Job:
        """Read, split and embed every file of a library again, with another model or vector store if one is named.

        Until then what it has is searched, unless model or store are others: then it is emptied first. Raises NotFound, Invalid.
        """
        kb = self.shelf.open(name)
        embedder = self.embedders.get(embedding_model or kb.facts.embedding)
        same = (embedder.name, embedder.usage.form, store or kb.facts.store) == (kb.facts.embedding, kb.facts.passages, kb.facts.store)
        if not same:
            self.jobs.cancel_all(name)
            self.shelf.reset(name, embedding=embedder.name, dimension=embedder.dimension, passages=embedder.usage.form, store=store)
        return self.start_ingest(name, kind="rebuild", chosen=chosen)

    def edit_chunks(self, name: str, changes: Mapping[int, Written]) -> None:
        """`editing.edit` with the library's model."""
        kb = self.shelf.open(name)
        editing.edit(kb, self.embedder_of(kb), changes)

    def write_file(self, name: str, file: str, chunks: Sequence[Written]) -> None:
        """`editing.write_file` with the library's model."""
        kb = self.shelf.open(name)
        editing.write_file(kb, self.embedder_of(kb), self.settings.splitting, file, chunks)

    def to_remember(self, chosen: Splitting) -> str:
        """What the row of a file says that is to be split in a way its user has chosen: nothing when the settings say the same."""
        return "" if chosen == self.settings.splitting else chosen.model_dump_json()

    def start_samples(self) -> Job | None:
        """Create and ingest the sample library that comes with the program; None when there is nothing to do or the user deleted it."""
        root = self.settings.paths.knowledge_base
        marker = root / ".samples"
        shipped = ROOT / "knowledge_base" / SAMPLES / "content"
        if SAMPLES not in self.shelf and (marker.exists() or not shipped.is_dir()):
            return None

        def work(job: Job) -> Progress:
            job.say("waiting for the embedding model")
            embedder = self.embedders.get(wait_s=WEIGHTS_PATIENCE_S, cancel=job.cancelled)
            if SAMPLES not in self.shelf:
                content = root / SAMPLES / "content"
                if content.resolve() != shipped.resolve():
                    shutil.copytree(shipped, content, dirs_exist_ok=True)
                info = "PaperProof's own papers: retrieval, ingestion, citations, serving (English and Chinese)"
                form = embedder.usage.form
                self.shelf.create(SAMPLES, embedding=embedder.name, dimension=embedder.dimension, info=info, passages=form)
                marker.touch()
            kb = self.shelf.open(SAMPLES)
            own = self.embedders.get(kb.facts.embedding, wait_s=WEIGHTS_PATIENCE_S, cancel=job.cancelled)
            readers = self.settings.readers
            return ingest(kb, own, self.settings.splitting, tell=job.tell, cancel=job.cancelled, leaving=self._leaving, readers=readers)

        return self.jobs.start(SAMPLES, "increment", work)

    def resume(self) -> None:
        """Go on with ingestion that a kill interrupted, in every library."""
        for kb in self.shelf:
            kb.catalog.await_nothing()
            if unfinished(kb) and self.jobs.running(kb.name) is None:
                log.info("resuming kb=%s", kb.name)
                self.start_ingest(kb.name)

    def _gathering(self, name: str) -> Gathering:
        return self._gatherings.setdefault(name, Gathering())

    def close(self) -> None:
        """Stop what runs; unfinished ingestion stays queued and goes on at the next start."""
        self._leaving.set()
        self.pages.close()
        self.shelf.close()
        self.temporary.close()
        self.conversations.close()


def build(settings: Settings) -> Runtime:
    """All objects of one server. Nothing is loaded yet; what a kill left half done is swept away."""
    root = settings.paths.knowledge_base
    root.mkdir(parents=True, exist_ok=True)
    for grave in root.glob(".deleted-*"):
        shutil.rmtree(grave, ignore_errors=True)
    for pattern in ("*/content/**/.*.upload", "*/vectors/.index*", f"*/.kb.json.{'?' * 32}"):
        for half in root.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - half.stat().st_mtime > HALF_WRITTEN_S:
                    half.unlink()
    return Runtime(settings)
