"""Files in hand at once: batches across files with the vectors of each file alone, files that change, cancelling, priority, failures."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from configs.settings import Embedding as EmbeddingSettings
from configs.settings import Splitting
from server import embedding
from server.embedding import Batching, Embedder
from server.errors import Cancelled, RateLimited
from server.ingestion import Progress, ingest
from server.ingestion.priority import NICENESS
from server.ingestion.reading import readers_at_once
from server.knowledge_base import KnowledgeBase
from server.readers.process import ReaderProcess
from server.shelf import Shelf
from server.stores.database import unpacked
from tests.hash_embedder import HashEmbedder

SPLITTING = Splitting()
WORDS = ("crash", "safe", "ingestion", "commits", "one", "transaction", "for", "each", "file", "and", "a", "kill", "leaves", "the", "old")


def write_many(folder: Path, count: int) -> None:
    """Small files of 20 to 200 words, all different."""
    for n in range(count):
        text = " ".join(WORDS[(n * 7 + i * i) % len(WORDS)] + str(i % 5) for i in range(20 + 180 * n // count))
        (folder / f"{n:02}.md").write_text(text, encoding="utf-8")


def vectors_of(kb: KnowledgeBase) -> dict[str, np.ndarray]:
    """file -> the vectors of its windows, in the order of its text."""
    query = (
        "SELECT w.vector FROM windows w JOIN chunks c ON c.id = w.chunk_id JOIN files f ON f.id = c.file_id WHERE f.name = ? "
        "ORDER BY c.ord, w.start"
    )
    with kb.catalog._connection() as db:
        return {row.name: unpacked([blob for (blob,) in db.execute(query, (row.name,))]) for row in kb.catalog.files()}


def test_forty_small_files_share_batches_and_get_the_vectors_that_each_gets_alone(shelf: Shelf, embedder: Embedder):
    together = shelf.create("together", embedding=embedder.name, dimension=embedder.dimension)
    alone = shelf.create("alone", embedding=embedder.name, dimension=embedder.dimension)
    write_many(together.content, 40)
    write_many(alone.content, 40)
    passes: list[tuple[int, int]] = []
    handle = embedder._model[0].register_forward_hook(  # type: ignore[attr-defined]
        lambda module, features, out: passes.append(tuple(features[0]["input_ids"].shape))
    )
    end = ingest(together, embedder, SPLITTING)
    handle.remove()
    assert (end.read, end.failed) == (40, {})
    windows = sum(texts for texts, _ in passes)
    assert windows == together.catalog.counts()[2] > 80
    assert len(passes) < 30  # 40 and more, file by file
    for name in [row.name for row in together.catalog.files()][::8]:
        ingest(alone, embedder, SPLITTING, files=[name])
    single, many = vectors_of(alone), vectors_of(together)
    assert len(single) == 5
    for name, vectors in single.items():
        assert (vectors * many[name]).sum(axis=1).min() >= 0.9999, name


class Gated(HashEmbedder):
    """Embeds nothing before it is let; remembers its calls and the priority of the threads that call."""

    batching = Batching(tokens=1024, texts=64, side_by_side=2)

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.called = threading.Event()
        self.calls: list[int] = []
        self.niceness: set[int] = set()

    def embed_documents(self, texts, done=lambda finished: None):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        self.calls.append(len(texts))
        if sys.platform == "linux":
            self.niceness.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        self.called.set()
        while not self.go.wait(0.01):
            done(0)
        return super().embed_documents(texts, done)


def test_what_is_in_hand_stays_bounded_while_embedding_stands_still(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("server.ingestion.pipeline.ROOM", 12)
    write_many(kb.content, 60)  # more than 120 windows
    gated, told, most = Gated(), [], []

    def tell(progress: Progress) -> None:
        told.append((progress.current, progress.message, progress.done))
        in_hand = [row.state for row in kb.catalog.files()].count("embedding")
        if in_hand >= 4 and told[-2:] == [told[-1]] * 2:  # nothing has happened for half a second: everybody waits
            most.append(in_hand)
            gated.go.set()

    assert ingest(kb, gated, SPLITTING, tell=tell).read == 60
    assert most[0] <= 12 + readers_at_once(os.cpu_count() or 1)  # of a window at least, and one file that waits with each reader


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_readers_and_embedding_stand_behind_and_the_caller_does_not(kb: KnowledgeBase):
    write_many(kb.content, 3)
    gated, children = Gated(), set()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    before = set(psutil.Process().children())

    def tell(progress: Progress) -> None:
        new = set(psutil.Process().children()) - before
        children.update(child.nice() for child in new if child.status() != psutil.STATUS_ZOMBIE)
        if gated.called.is_set():
            gated.go.set()

    ingest(kb, gated, SPLITTING, tell=tell)
    assert gated.niceness == children == {max(own, NICENESS)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_cancelling_takes_about_a_second_while_files_are_embedded_and_read(kb: KnowledgeBase):
    write_many(kb.content, 30)
    gated, cancel = Gated(), threading.Event()
    since: list[float] = []

    def tell(progress: Progress) -> None:
        if gated.called.is_set() and not since:
            since.append(time.monotonic())
            cancel.set()

    with pytest.raises(Cancelled):
        ingest(kb, gated, SPLITTING, tell=tell, cancel=cancel)
    assert time.monotonic() - since[0] < 3  # a busy machine; by itself well under one
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read-", "embed-"))]
    assert {row.state for row in kb.catalog.files()} == {"failed"}


class Changing(ReaderProcess):
    """While it reads a file, somebody writes it anew."""

    writes = 1
    content = "The new words stand here."

    def read(self, path, *, passwords=(), tell=lambda page, pages: None):  # type: ignore[no-untyped-def]  # as ReaderProcess's
        document = super().read(path, passwords=passwords, tell=tell)
        if Changing.writes:
            Changing.writes -= 1
            path.write_text(f"{self.content} {Changing.writes}", encoding="utf-8")
        return document


def test_a_file_that_changes_while_it_is_read_is_stored_as_it_is_then(
    kb: KnowledgeBase, hashing: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    (kb.content / "a.txt").write_text("The old words stand here.", encoding="utf-8")
    monkeypatch.setattr("server.ingestion.reading.ReaderProcess", Changing)
    monkeypatch.setattr(Changing, "writes", 1)
    assert ingest(kb, hashing, SPLITTING).failed == {}
    assert [p.text for p in kb.catalog.listing("papers", "a.txt")] == ["The new words stand here. 0"]
    assert ingest(kb, hashing, SPLITTING).unchanged == 1  # so the hash is that of the new content


def test_a_file_that_keeps_changing_keeps_its_rows_and_is_tried_again(
    kb: KnowledgeBase, hashing: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    (kb.content / "a.txt").write_text("The old words stand here.", encoding="utf-8")
    ingest(kb, hashing, SPLITTING)
    (kb.content / "a.txt").write_text("Other words.", encoding="utf-8")
    monkeypatch.setattr("server.ingestion.reading.ReaderProcess", Changing)
    monkeypatch.setattr(Changing, "writes", 2)
    assert ingest(kb, hashing, SPLITTING).failed == {"a.txt": "it is being changed while it is read; ingest again when it is complete"}
    assert [p.text for p in kb.catalog.listing("papers", "a.txt")] == ["The old words stand here."]
    assert ingest(kb, hashing, SPLITTING).read == 1


class Vanishing(ReaderProcess):
    """The file is deleted while it is read, and its reader calls it damaged."""

    def read(self, path, *, passwords=(), tell=lambda page, pages: None):  # type: ignore[no-untyped-def]  # as ReaderProcess's
        path.unlink()
        return super().read(path, passwords=passwords, tell=tell)


def test_a_file_that_vanishes_while_it_is_read_is_not_called_damaged(
    kb: KnowledgeBase, hashing: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    (kb.content / "a.txt").write_text("words", encoding="utf-8")
    monkeypatch.setattr("server.ingestion.reading.ReaderProcess", Vanishing)
    assert ingest(kb, hashing, SPLITTING).failed == {"a.txt": "no file 'a.txt' in the library 'papers'"}
    assert [row.sha256 for row in kb.catalog.files()] == [""]
    assert ingest(kb, hashing, SPLITTING).removed == 1


class Scanning(ReaderProcess):
    """One file is a scan that takes until the others are done."""

    others = threading.Event()

    def read(self, path, *, passwords=(), tell=lambda page, pages: None):  # type: ignore[no-untyped-def]  # as ReaderProcess's
        if path.name == "00.md":
            tell(1, 2)
            assert Scanning.others.wait(60)
            tell(2, 2)
        return super().read(path, passwords=passwords, tell=tell)


def test_a_scan_holds_up_nobody_and_its_pages_are_told(kb: KnowledgeBase, hashing: HashEmbedder, monkeypatch: pytest.MonkeyPatch):
    write_many(kb.content, 12)
    monkeypatch.setattr("server.ingestion.reading.ReaderProcess", Scanning)
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        if progress.done == 11:
            Scanning.others.set()

    assert ingest(kb, hashing, SPLITTING, tell=tell).read == 12
    pages = [(p.current, p.page, p.of_pages) for p in told if p.of_pages]
    assert set(pages) == {("00.md", 1, 2), ("00.md", 2, 2)}
    assert told[-1].page == 0


class Grumbling(HashEmbedder):
    """Takes no batch with apples in it, and rests for ever when it meets a pear."""

    def embed_documents(self, texts, done=lambda finished: None):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        if any("pear" in text for text in texts):
            raise RateLimited("come back tomorrow", 3600)
        if any("apple" in text for text in texts):
            raise MemoryError("apples")
        return super().embed_documents(texts, done)


def test_only_the_file_suffers_whose_fault_it_is(kb: KnowledgeBase):
    for n in range(12):
        (kb.content / f"{n}.txt").write_text("apple" if n == 5 else f"word{n}", encoding="utf-8")
    end = ingest(kb, Grumbling(), SPLITTING)
    assert end.failed == {"5.txt": "internal error (MemoryError: apples); the log has the details"}
    assert (end.read, kb.catalog.counts()[0]) == (11, 11)
    (kb.content / "5.txt").write_text("pear", encoding="utf-8")
    assert ingest(kb, Grumbling(), SPLITTING).failed == {"5.txt": "come back tomorrow"}


class Dying(HashEmbedder):
    """A worker ends by what is no file's fault."""

    @property
    def batching(self) -> Batching:  # type: ignore[override]  # a property here
        if threading.current_thread().name.startswith("embed-"):
            raise SystemError("the worker is gone")
        return HashEmbedder.batching


def test_a_worker_that_dies_ends_the_run_with_its_error_instead_of_hanging_it(kb: KnowledgeBase):
    write_many(kb.content, 3)
    with pytest.raises(SystemError, match="the worker is gone"):
        ingest(kb, Dying(), SPLITTING)
    assert ingest(kb, HashEmbedder(), SPLITTING).failed == {}


def test_threads_of_the_settings_are_passes_side_by_side(tiny_model: Path):
    import torch

    def load(threads: int) -> Embedder:
        chosen = EmbeddingSettings(model=str(tiny_model), dtype="float32", device="cpu", threads=threads, batch_tokens=64)
        return embedding.load(chosen, tiny_model)

    before = torch.get_num_threads()
    assert [(load(n).batching.side_by_side, torch.get_num_threads()) for n in (1, 20, 3)] == [(1, 1), (8, 2), (3, 1)]
    made = load(3)
    texts = [f"{word} {n}" for n in range(20) for word in ("apple pie", "检索", "a b c d")]
    one_by_one = np.stack([made.embed_documents([text])[0] for text in texts])
    finished: list[int] = []
    assert np.allclose(made.embed_documents(texts, finished.append), one_by_one, atol=1e-5)
    assert sum(finished) == 60

    def stop(_: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        made.embed_documents(texts, stop)
    torch.set_num_threads(before)
