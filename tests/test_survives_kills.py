"""Uploads, deletions and resets that a kill interrupts: what was acknowledged holds, the rest is done or undone by the next start."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from configs.settings import ROOT, Settings, Splitting
from server.checking import check
from server.ingestion import ingest, unfinished
from server.knowledge_base import KnowledgeBase
from server.runtime import Runtime, build
from server.shelf import NEXT_DATABASE, NEXT_FACTS, Shelf
from server.stores.rows import Reading
from server.types import Chunk
from tests.hash_embedder import HashEmbedder
from tests.test_knowledge_base import fill

SPLITTING = Splitting()
KILLED = """
import io, os, signal, sys
from pathlib import Path
from server.shelf import Shelf

shelf = Shelf(Path(sys.argv[1]))
kb = shelf.open("papers")
def killed_at(name, number=1):
    plain, left = getattr(os, name), [number]
    def call(*arguments, **named):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **named)
    setattr(os, name, call)
"""


def killed(root: Path, code: str) -> None:
    """Run code with `shelf`, `kb` and `killed_at` in a process that is killed by it."""
    ended = subprocess.run([sys.executable, "-c", KILLED + code, str(root)], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def upload(kb: KnowledgeBase, file: str, content: bytes, *, queue: bool = True) -> None:
    kb.store_file(file, io.BytesIO(content), override=True, limit_bytes=1 << 20, queue=queue)


def states(kb: KnowledgeBase) -> dict[str, str]:
    return {row.name: row.state for row in kb.catalog.files()}


def texts(kb: KnowledgeBase, file: str) -> list[str]:
    return [passage.text for passage in kb.catalog.listing(kb.name, file)]


@pytest.fixture
def runtime(settings: Settings, hashing: HashEmbedder) -> Runtime:
    """A server's objects over an empty library, with the embedder without a model."""
    made = build(settings)
    made.embedders._loaded["hash"] = hashing
    made.shelf.create("papers", embedding="hash", dimension=32)
    return made


def resumed(runtime: Runtime) -> KnowledgeBase:
    """The library after the next start of the server has done what it does by itself."""
    runtime.resume()
    job = runtime.jobs.running("papers")
    if job is not None:
        job.result()
    return runtime.shelf.open("papers")


@pytest.mark.parametrize("call", ["replace", "link"])
def test_an_upload_that_is_killed_before_its_file_is_in_place_leaves_what_was_there(runtime: Runtime, call: str):
    kb = runtime.shelf.open("papers")
    if call == "replace":
        upload(kb, "a.md", b"old words")
        ingest(kb, HashEmbedder(), SPLITTING)
    override = call == "replace"
    killed(
        runtime.shelf.root,
        f"killed_at({call!r}); kb.store_file('a.md', io.BytesIO(b'new words'), override={override}, limit_bytes=99, queue=True)",
    )
    assert states(kb) == {"a.md": "queued"}
    kb = resumed(runtime)
    assert states(kb) == ({"a.md": "ready"} if override else {})
    assert check(kb) == []


def test_an_upload_that_was_acknowledged_is_ingested_after_a_kill(runtime: Runtime):
    kb = runtime.shelf.open("papers")
    upload(kb, "a.md", b"old words")
    ingest(kb, HashEmbedder(), SPLITTING)
    code = "[kb.store_file(name, io.BytesIO(b'new words'), override=True, limit_bytes=99, queue=True) for name in ('a.md', 'b.md')]"
    killed(runtime.shelf.root, f"{code}; os.kill(os.getpid(), signal.SIGKILL)")
    kb = resumed(runtime)
    assert (texts(kb, "a.md"), texts(kb, "b.md")) == (["new words"], ["new words"])
    assert check(kb) == []


def test_a_file_that_is_only_stored_is_not_queued(kb: KnowledgeBase):
    upload(kb, "a.md", b"words", queue=False)
    assert states(kb) == {}


def test_the_same_bytes_again_are_not_read_again(kb: KnowledgeBase, hashing: HashEmbedder):
    upload(kb, "a.md", b"words")
    ingest(kb, hashing, SPLITTING)
    upload(kb, "a.md", b"words")
    assert not unfinished(kb)
    upload(kb, "a.md", b"other")
    assert unfinished(kb)


def test_a_refused_upload_is_not_queued(kb: KnowledgeBase):
    (kb.content / "folder").mkdir()
    for file in ("folder", "x" * 300):
        with pytest.raises(Exception, match=r"cannot be stored|longer than"):
            upload(kb, file, b"words")
    assert states(kb) == {}


@pytest.mark.parametrize("moment", ["killed_at('unlink')", "killed_at('unlink', 2)"])
def test_a_deletion_that_is_killed_is_undone_or_finished_by_the_next_start(runtime: Runtime, moment: str):
    kb = runtime.shelf.open("papers")
    for file in ("a.md", "b.md"):
        upload(kb, file, b"words")
    ingest(kb, HashEmbedder(), SPLITTING)
    killed(runtime.shelf.root, f"{moment}; kb.remove_files(['a.md', 'b.md'], delete_content=True)")
    left = sorted(path.name for path in kb.content.iterdir())
    assert left == (["a.md", "b.md"] if "2" not in moment else ["b.md"])
    kb = resumed(runtime)
    assert states(kb) == dict.fromkeys(left, "ready")
    assert check(kb) == []


def read_as(kb: KnowledgeBase, file: str, sha256: str, text: str) -> None:
    """What a run does at its end that has read the file with these bytes."""
    chunk = Chunk(text, (), 1, 1, "paragraph", "en", (), ((0, len(text)),))
    kb.catalog.replace(file, Reading(file, "en", 1, 1, sha256, "recipe"), [chunk], HashEmbedder().embed_documents([text]))


def test_what_was_read_before_a_new_upload_does_not_take_its_place(kb: KnowledgeBase):
    kb.catalog.queue(["a.md"], awaited="new")
    read_as(kb, "a.md", "old", "old words")
    assert states(kb) == {"a.md": "queued"}
    assert texts(kb, "a.md") == []
    kb.catalog.fail("a.md", "it was damaged", "old", "recipe")
    assert states(kb) == {"a.md": "queued"}
    kb.catalog.queue(["a.md"])  # the run that reads the new ones
    kb.catalog.mark(["a.md"], "reading")
    read_as(kb, "a.md", "new", "new words")
    assert states(kb) == {"a.md": "ready"}
    kb.catalog.queue(["a.md"])
    read_as(kb, "a.md", "changed by hand", "words by hand")
    assert texts(kb, "a.md") == ["words by hand"]


def test_what_lay_there_between_two_uploads_of_the_same_bytes_is_not_taken_for_them(kb: KnowledgeBase):
    kb.catalog.queue(["a.md"], awaited="first")
    kb.catalog.queue(["a.md"])  # a run has hashed the first
    kb.catalog.queue(["a.md"], awaited="second")
    kb.catalog.mark(["a.md"], "reading")  # and reads the second
    kb.catalog.queue(["a.md"], awaited="first")  # which is replaced by the first again
    kb.catalog.mark(["a.md"], "embedding")
    read_as(kb, "a.md", "first", "words of the second")
    assert (states(kb), texts(kb, "a.md")) == ({"a.md": "queued"}, [])
    kb.catalog.mark(["a.md"], "reading")
    kb.catalog.mark(["a.md"], "embedding")
    assert states(kb) == {"a.md": "embedding"}
    read_as(kb, "a.md", "first", "words of the first")
    assert texts(kb, "a.md") == ["words of the first"]


def test_a_file_that_fails_is_not_waited_for_any_more(kb: KnowledgeBase):
    kb.catalog.queue(["a.md"], awaited="new")
    kb.catalog.mark(["a.md"], "reading")
    kb.catalog.fail("a.md", "it is damaged", "new", "recipe")
    assert states(kb) == {"a.md": "failed"}
    kb.catalog.queue(["a.md"])
    read_as(kb, "a.md", "by hand", "words")
    assert states(kb) == {"a.md": "ready"}


def test_an_upload_that_failed_for_no_fault_of_its_own_is_tried_again_by_the_next_start(kb: KnowledgeBase):
    kb.catalog.queue(["a.md", "b.md"], awaited="new")
    kb.catalog.mark(["a.md"], "failed", "the reader was ended from outside")
    kb.catalog.mark(["b.md"], "reading")
    read_as(kb, "b.md", "new", "words")
    kb.catalog.await_nothing()
    assert states(kb) == {"a.md": "queued", "b.md": "ready"}
    kb.catalog.await_nothing()
    read_as(kb, "a.md", "whatever it holds now", "words")
    assert states(kb) == {"a.md": "ready", "b.md": "ready"}


def test_a_run_that_did_not_see_an_upload_does_not_remove_its_row(kb: KnowledgeBase):
    kb.catalog.queue(["coming.md"], awaited="new")
    kb.catalog.queue(["gone.md"])
    kb.catalog.remove(["coming.md", "gone.md"])
    assert states(kb) == {"coming.md": "queued"}
    kb.catalog.remove(["coming.md"], awaited=True)
    assert states(kb) == {}


KILLS_IN_A_RESET = [
    ("write", "killed_at('fsync')", "hash"),
    ("facts", "killed_at('replace')", "hash"),
    ("commit", "killed_at('unlink', first_of('kb.json'))", "hash"),
    ("database", "killed_at('replace', 2)", "other"),
    ("facts in place", "killed_at('replace', 3)", "other"),
]


@pytest.mark.parametrize(("moment", "call", "model"), KILLS_IN_A_RESET, ids=[row[0] for row in KILLS_IN_A_RESET])
def test_after_a_kill_in_a_reset_there_is_the_old_library_or_the_new_one(
    shelf: Shelf, kb: KnowledgeBase, moment: str, call: str, model: str
):
    upload(kb, "a.md", b"x", queue=False)
    fill(kb, "a.md", ["apple tree"])
    kb.save_index()
    shelf.close()
    at_kb_json = (
        "def first_of(wanted):\n    plain = os.unlink\n    def call(path, *a, **n):\n        if str(path).endswith('/' + wanted):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n        return plain(path, *a, **n)\n    os.unlink = call\n    return 10**6\n"
    )
    killed(shelf.root, f"{at_kb_json}{call}; shelf.reset('papers', embedding='other', dimension=16)")
    again = Shelf(shelf.root)
    assert again.names() == ["papers"]
    library = again.open("papers")
    assert library.facts.embedding == model
    assert library.names() == ["a.md"]
    assert library.catalog.counts()[1] == (1 if model == "hash" else 0)
    made = again.reset("papers", embedding="third", dimension=8)
    assert made.facts.embedding == "third"
    assert not [name for name in os.listdir(kb.folder) if name.startswith((NEXT_DATABASE, NEXT_FACTS))]
    again.close()


@pytest.mark.skipif(sys.platform != "linux", reason="kill -9 and forks")
def test_a_library_that_is_killed_again_and_again_ends_as_an_undisturbed_one():
    command = [
        sys.executable,
        "-m",
        "benchmarks.kill_nine",
        "--kills",
        "12",
        "--papers",
        str(ROOT / "knowledge_base" / "samples" / "content"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\| kills; .* \| 12; \d+ \|", run.stdout)
    assert "| faults: lost, doubled, left over, or other rows than undisturbed | 0 |" in run.stdout
