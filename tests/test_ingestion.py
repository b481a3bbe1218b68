"""Ingestion: what is read and what only hashed, bad files, cancel, a kill at any moment, two runs at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from configs.settings import ROOT, Splitting
from server.errors import Cancelled, Invalid
from server.ingestion import Progress, ingest, unfinished
from server.ingestion.reading import readers_at_once
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from tests.conftest import write_papers
from tests.hash_embedder import HashEmbedder

SPLITTING = Splitting()


class Counting(HashEmbedder):
    """Counts what it is asked to embed."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed_documents(self, texts, done=lambda finished: None):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        self.texts += texts
        return super().embed_documents(texts, done)


def snapshot(kb: KnowledgeBase) -> tuple[object, ...]:
    """All that the rows say, without ids and times; and that nothing is left over."""
    rows = [(r.name, r.state, r.reason, r.title, r.language, r.pages, r.chunks, r.bytes, r.sha256, r.recipe) for r in kb.catalog.files()]
    texts = [(r.name, [(p.text, p.section, p.page, p.spans) for p in kb.catalog.listing(kb.name, r.name)]) for r in kb.catalog.files()]
    with kb.catalog.changes_since(0) as changes:
        ids = [i for some, _ in changes.batches for i in some.tolist()]
    assert len(set(ids)) == len(ids) == kb.catalog.counts()[2]
    assert len(kb.search(HashEmbedder().embed_query("the"), 10_000)) == len(ids)
    with kb.catalog._connection() as db:
        orphans = "SELECT count(*) FROM words WHERE rowid NOT IN (SELECT id FROM chunks)"
        assert db.execute(orphans).fetchone()[0] == 0
        assert db.execute("SELECT count(*) FROM words").fetchone()[0] == kb.catalog.counts()[1]
        assert db.execute("SELECT count(*) FROM windows WHERE chunk_id NOT IN (SELECT id FROM chunks)").fetchone()[0] == 0
    return (rows, texts, kb.catalog.counts())


def test_every_paper_becomes_ready_with_its_title_and_pages(kb: KnowledgeBase, hashing: HashEmbedder):
    names = write_papers(kb.content)
    end = ingest(kb, hashing, SPLITTING)
    assert (end.total, end.done, end.unchanged, end.removed, end.failed) == (4, 4, 0, 0, {})
    rows = {row.name: row for row in kb.catalog.files()}
    assert sorted(rows) == sorted(names)
    assert {row.state for row in rows.values()} == {"ready"}
    assert (rows["paper.pdf"].title, rows["paper.pdf"].pages) == ("Crash-safe ingestion", 1)
    assert (rows["notes.md"].title, rows["中文.md"].language) == ("Hybrid retrieval notes", "zh")
    assert end.chunks == kb.catalog.counts()[1] >= 4
    assert not unfinished(kb)


def test_an_unchanged_file_costs_a_hash_and_no_embedding(kb: KnowledgeBase):
    write_papers(kb.content)
    counting = Counting()
    ingest(kb, counting, SPLITTING)
    first, generation = len(counting.texts), kb.catalog.generation()
    assert first >= 4
    for path in kb.content.iterdir():
        os.utime(path, (0, 0))  # times say nothing
    end = ingest(kb, counting, SPLITTING)
    assert (end.done, end.unchanged) == (4, 4)
    assert (len(counting.texts), kb.catalog.generation()) == (first, generation)


def test_a_changed_content_is_read_again_even_with_the_same_size_and_time(kb: KnowledgeBase):
    (kb.content / "a.md").write_text("apple apple apple", encoding="utf-8")
    (kb.content / "b.md").write_text("other words here", encoding="utf-8")
    counting = Counting()
    ingest(kb, counting, SPLITTING)
    stamp = (kb.content / "a.md").stat().st_mtime_ns
    (kb.content / "a.md").write_text("peach peach peach", encoding="utf-8")
    os.utime(kb.content / "a.md", ns=(stamp, stamp))
    counting.texts.clear()
    end = ingest(kb, counting, SPLITTING)
    assert (end.unchanged, counting.texts) == (1, ["peach peach peach"])
    assert [p.text for p in kb.catalog.listing("papers", "a.md")] == ["peach peach peach"]


def test_force_and_another_recipe_read_everything_again(kb: KnowledgeBase, hashing: HashEmbedder):
    (kb.content / "a.md").write_text("apple", encoding="utf-8")
    ingest(kb, hashing, SPLITTING)
    assert ingest(kb, hashing, SPLITTING, force=True).unchanged == 0
    assert ingest(kb, hashing, Splitting(chunk_tokens=64)).unchanged == 0
    assert ingest(kb, hashing, Splitting(chunk_tokens=64)).unchanged == 1


def test_a_deleted_file_goes_unless_only_others_were_asked_for(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    ingest(kb, hashing, SPLITTING)
    (kb.content / "notes.md").unlink()
    assert ingest(kb, hashing, SPLITTING, files=["table.csv"]).removed == 0
    assert ingest(kb, hashing, SPLITTING).removed == 1
    assert [row.name for row in kb.catalog.files()] == ["paper.pdf", "table.csv", "中文.md"]


def test_a_bad_file_has_its_reason_and_the_rest_goes_on(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    (kb.content / "a-torn.pdf").write_bytes((kb.content / "paper.pdf").read_bytes()[:300])
    (kb.content / "b-empty.md").touch()
    (kb.content / "c.xyz").write_text("what is this", encoding="utf-8")
    (kb.content / "d-blank.md").write_text("  \n\n ", encoding="utf-8")
    end = ingest(kb, hashing, SPLITTING)
    assert sorted(end.failed) == ["a-torn.pdf", "b-empty.md", "c.xyz", "d-blank.md"]
    assert "0 bytes" in end.failed["b-empty.md"]
    assert end.failed["c.xyz"].startswith("no reader for .xyz; known: .bmp, .csv")
    assert all(end.failed.values())
    states = {row.name: (row.state, row.reason) for row in kb.catalog.files()}
    assert states["c.xyz"] == ("failed", end.failed["c.xyz"])
    assert sum(state == "ready" for state, _ in states.values()) == 4
    again = ingest(kb, hashing, SPLITTING)
    assert (again.unchanged, again.failed) == (8, end.failed)  # said again, not read again


def test_a_file_that_turns_bad_loses_its_old_text(kb: KnowledgeBase, hashing: HashEmbedder):
    (kb.content / "a.md").write_text("apple", encoding="utf-8")
    ingest(kb, hashing, SPLITTING)
    (kb.content / "a.md").write_bytes(b"")
    assert list(ingest(kb, hashing, SPLITTING).failed) == ["a.md"]
    assert kb.catalog.counts() == (0, 0, 0)


def test_a_file_that_is_asked_for_but_not_there_is_reported(kb: KnowledgeBase, hashing: HashEmbedder):
    assert ingest(kb, hashing, SPLITTING, files=["gone.md"]).failed == {"gone.md": "the file is not there"}


class Poison(HashEmbedder):
    """Fails on one text."""

    def embed_documents(self, texts, done=lambda finished: None):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        if any("apple" in text for text in texts):
            raise ZeroDivisionError("poison")
        return super().embed_documents(texts, done)


def test_an_error_of_our_own_in_one_file_is_that_files_reason(kb: KnowledgeBase):
    (kb.content / "a.md").write_text("apple", encoding="utf-8")
    (kb.content / "b.md").write_text("banana", encoding="utf-8")
    end = ingest(kb, Poison(), SPLITTING)
    assert end.failed == {"a.md": "internal error (ZeroDivisionError: poison); the log has the details"}
    assert kb.catalog.counts()[0] == 1


def test_cancel_keeps_what_is_done_and_the_next_run_goes_on(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    cancel = threading.Event()

    def tell(progress: Progress) -> None:
        if progress.done == 2:
            cancel.set()

    with pytest.raises(Cancelled):
        ingest(kb, hashing, SPLITTING, tell=tell, cancel=cancel)
    states = {row.name: (row.state, row.reason) for row in kb.catalog.files()}
    assert sorted(states.values()) == [("failed", "stopped by the user")] * 2 + [("ready", "")] * 2
    assert not unfinished(kb)  # what the user stopped is not resumed behind his back
    end = ingest(kb, hashing, SPLITTING)
    assert (end.unchanged, end.failed) == (2, {})


def test_another_embedding_model_is_refused_with_the_way_out(kb: KnowledgeBase):
    write_papers(kb.content)
    with pytest.raises(Invalid) as caught:
        ingest(kb, HashEmbedder("m3e-base"), SPLITTING)
    assert str(caught.value) == (
        "the library 'papers' was built with hash (32 dimensions), not m3e-base (32); set embedding.model to hash, or rebuild it: "
        "python init_database.py --recreate-vs --kb-name papers"
    )
    assert kb.catalog.files() == []


KILLED = """
import os, signal, sys
from pathlib import Path
from configs.settings import Splitting
from server.ingestion import ingest
from server.shelf import Shelf
from tests.hash_embedder import HashEmbedder

moment, kb = sys.argv[2], Shelf(Path(sys.argv[1])).open("papers")
begun = []
def tell(progress):
    now = f"{progress.done} {progress.message}".strip()
    if progress.message == "reading" and progress.current not in begun:
        begun.append(progress.current)
        now = f"reading {len(begun)}"
    if now == moment and progress.current:
        os.kill(os.getpid(), signal.SIGKILL)
class Killed(HashEmbedder):
    def embed_documents(self, texts, done=lambda n: None):
        vectors = super().embed_documents(texts, done)
        if moment == "embedded" and any("COVID" in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        return vectors
class Event:  # stands where a thread's event would: asked at every step
    def is_set(self): return False
ingest(kb, Killed(), Splitting(), tell=tell, cancel=Event())
"""


@pytest.mark.parametrize("moment", ["0 comparing", "3 comparing", "reading 1", "reading 4", "2 embedding", "3", "embedded"])
def test_after_a_kill_the_next_run_gives_the_rows_of_an_undisturbed_one(tmp_path: Path, shelf: Shelf, kb: KnowledgeBase, moment: str):
    write_papers(kb.content)
    hashing = HashEmbedder()
    undisturbed = Shelf(tmp_path / "other").create("papers", embedding="hash", dimension=32)
    write_papers(undisturbed.content)
    for path in kb.content.iterdir():  # PDFs carry the time they were made
        (undisturbed.content / path.name).write_bytes(path.read_bytes())
    ingest(undisturbed, hashing, SPLITTING)
    if moment == "3 comparing":  # all but the last are unchanged
        ingest(kb, hashing, SPLITTING, files=["notes.md", "paper.pdf", "table.csv"])
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(shelf.root), moment], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert unfinished(kb) == ("comparing" not in moment)
    ingest(kb, hashing, SPLITTING)
    assert snapshot(kb) == snapshot(undisturbed)
    undisturbed.close()


def test_two_runs_of_one_library_wait_for_each_other(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    inside, waiting, ends = threading.Event(), threading.Event(), []

    def slow(progress: Progress) -> None:
        if progress.message == "reading":
            inside.set()
            assert waiting.wait(30)

    def second(progress: Progress) -> None:
        if progress.message == "waiting for another ingestion of this library":
            waiting.set()

    def run(tell: Callable[[Progress], None]) -> None:
        ends.append(ingest(kb, hashing, SPLITTING, tell=tell))

    first = threading.Thread(target=run, args=(slow,))
    first.start()
    assert inside.wait(30)
    other = threading.Thread(target=run, args=(second,))
    other.start()
    first.join(60)
    other.join(60)
    assert sorted(end.unchanged for end in ends) == [0, 4]
    snapshot(kb)


def test_waiting_for_another_run_can_be_cancelled(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    cancel = threading.Event()
    outcome: list[str] = []

    def second() -> None:
        try:
            ingest(kb, hashing, SPLITTING, cancel=cancel, tell=lambda progress: cancel.set())
        except Cancelled as exc:
            outcome.append(str(exc))

    def hold(progress: Progress) -> None:
        if progress.message == "comparing" and not outcome:
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(30)

    assert ingest(kb, hashing, SPLITTING, tell=hold).failed == {}
    assert outcome == ["stopped by the user; ingest again to go on"]


def test_progress_grows_and_tells_pages_chunks_and_the_current_file(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    told: list[Progress] = []
    end = ingest(kb, hashing, SPLITTING, tell=told.append)
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert {p.current for p in told} == {"", "notes.md", "paper.pdf", "table.csv", "中文.md"}
    assert (told[-1].done, told[-1].pages, told[-1].chunks) == (4, 4, end.chunks)
    assert end.seconds >= told[0].seconds >= 0


def test_the_reader_processes_end_with_the_run(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    before = set(psutil.Process().children())
    during: list[int] = []
    ingest(kb, hashing, SPLITTING, tell=lambda progress: during.append(len(set(psutil.Process().children()) - before)))
    assert 1 <= max(during) <= readers_at_once(os.cpu_count() or 1)
    assert set(psutil.Process().children()) <= before


class Removing(HashEmbedder):
    """Its user deletes the file while it is embedded."""

    def __init__(self, kb: KnowledgeBase) -> None:
        super().__init__()
        self.kb = kb

    def embed_documents(self, texts, done=lambda finished: None):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        self.kb.remove_files(["a.txt"], delete_content=True)
        return super().embed_documents(texts, done)


def test_a_file_that_is_deleted_while_it_is_embedded_stays_deleted(kb: KnowledgeBase):
    kb.content.mkdir(exist_ok=True)
    (kb.content / "a.txt").write_text("Apples grow on trees in the garden behind the house.", encoding="utf-8")
    ingest(kb, Removing(kb), SPLITTING)
    assert kb.catalog.files() == []
    assert kb.catalog.counts() == (0, 0, 0)


def test_a_program_that_stops_leaves_what_is_queued_for_its_next_start(kb: KnowledgeBase, hashing: HashEmbedder):
    write_papers(kb.content)
    leaving = threading.Event()

    def tell(progress: Progress) -> None:
        if progress.done == 1:
            leaving.set()

    with pytest.raises(Cancelled, match="goes on at the next start"):
        ingest(kb, hashing, SPLITTING, tell=tell, leaving=leaving)
    assert unfinished(kb)
    assert not [row for row in kb.catalog.files() if row.state == "failed"]
    assert ingest(kb, hashing, SPLITTING).failed == {}
    assert not unfinished(kb)
