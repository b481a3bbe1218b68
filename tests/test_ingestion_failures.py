"""What goes wrong in ingestion, and what then stays: failures not the file's own, impossible names, papers that are away, limits."""

from __future__ import annotations

import pytest

from configs.settings import Readers, Splitting
from server.errors import Exceeded, Unavailable
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.readers.process import ReaderProcess
from tests.conftest import write_papers
from tests.hash_embedder import HashEmbedder

SPLITTING = Splitting()


class Failing(HashEmbedder):
    """Fails as a graphics card does that is full, once."""

    failures = 1

    def embed_documents(self, texts, done=lambda finished: None):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        if self.failures:
            self.failures -= 1
            raise RuntimeError("CUDA out of memory")
        return super().embed_documents(texts, done)


def test_a_failure_that_is_not_the_files_own_keeps_its_chunks_and_is_tried_again(kb: KnowledgeBase, hashing: HashEmbedder):
    kb.content.mkdir(exist_ok=True)
    (kb.content / "a.txt").write_text("Apples grow on trees in the garden behind the house.", encoding="utf-8")
    ingest(kb, hashing, SPLITTING)
    before = kb.catalog.counts()
    failing = Failing()
    end = ingest(kb, failing, SPLITTING, force=True)
    assert "CUDA out of memory" in end.failed["a.txt"]
    assert kb.catalog.counts()[1:] == before[1:]
    assert [p.text for p in kb.catalog.listing(kb.name, "a.txt")] == ["Apples grow on trees in the garden behind the house."]
    assert ingest(kb, failing, SPLITTING).failed == {}
    assert kb.catalog.counts() == before


def test_one_file_with_an_impossible_name_does_not_stop_the_others(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    (kb.content / ("长" * 70 + ".txt")).write_text("x", encoding="utf-8")
    end = ingest(kb, hashing, SPLITTING)
    assert (end.total, end.done, end.read) == (5, 5, 4)
    assert list(end.failed) == ["长" * 70 + ".txt"]
    assert ingest(kb, hashing, SPLITTING).unchanged == 4


def test_a_library_whose_papers_are_away_keeps_its_rows(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    ingest(kb, hashing, SPLITTING)
    before = kb.catalog.counts()
    kb.content.rename(kb.folder / "unmounted")
    with pytest.raises(Unavailable, match="cannot be listed"):
        ingest(kb, hashing, SPLITTING)
    assert kb.catalog.counts() == before


class Slow(ReaderProcess):
    """Gives up on a.txt within half a second; `allowed` says when not."""

    allowed_s = 1.0

    def read(self, path, *, passwords=(), tell=lambda page, pages: None):  # type: ignore[no-untyped-def]  # as ReaderProcess's
        if path.name == "a.txt" and self._timeout_s <= self.allowed_s:
            raise Exceeded(f"reading took longer than {self._timeout_s:g} s and was stopped")
        return super().read(path, passwords=passwords, tell=tell)


def test_a_file_that_was_too_slow_keeps_its_chunks_while_it_is_the_same(
    kb: KnowledgeBase, hashing: HashEmbedder, monkeypatch: pytest.MonkeyPatch
):
    (kb.content / "a.txt").write_text("Apples grow on trees in the garden behind the house.", encoding="utf-8")
    ingest(kb, hashing, SPLITTING)
    monkeypatch.setattr("server.ingestion.reading.ReaderProcess", Slow)
    assert "longer than 1 s" in ingest(kb, hashing, SPLITTING, force=True, readers=Readers(timeout_s=1)).failed["a.txt"]
    assert kb.catalog.counts() == (0, 1, 1)  # not ready, but still found
    assert ingest(kb, hashing, SPLITTING, readers=Readers(timeout_s=1)).unchanged == 1
    assert (end := ingest(kb, hashing, SPLITTING, readers=Readers(timeout_s=30))).read == 1
    assert end.failed == {}
    (kb.content / "a.txt").write_text("Pears do not.", encoding="utf-8")
    ingest(kb, hashing, SPLITTING, readers=Readers(timeout_s=1))
    assert kb.catalog.counts() == (0, 0, 0)
