"""Reading in a child process: limits, crashes, and an end with its parent. Real processes, no fakes."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pymupdf
import pytest
from pdf_maker import column, make_pdf

from server.errors import Cancelled, Exceeded, NotFound, Unavailable, Unreadable
from server.readers.process import ROOT, ReaderProcess, _Unpickler

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX process limits")


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.md"
    path.write_text("# A note\n\nIt says something.")
    return path


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PDF that takes seconds: 900 pages of small print."""
    folder = tmp_path_factory.mktemp("slow")
    page = make_pdf(folder / "page.pdf", column(["many words that say very little about anything " * 4] * 150, y=20, size=4, pitch=5))
    with pymupdf.open(page) as one, pymupdf.open() as many:
        for _ in range(900):
            many.insert_pdf(one)
        many.save(folder / "slow.pdf")
    return folder / "slow.pdf"


def test_child_reads_what_the_reader_reads_and_stays(note: Path, tmp_path: Path) -> None:
    paper = make_pdf(tmp_path / "paper.pdf", column(["a line of text", "and another"]))
    with ReaderProcess() as reader:
        assert reader.read(note).title == "A note"
        child = reader._child
        assert reader.read(paper).sections[0].blocks[0].text == "a line of text and another"
        assert reader._child is child


def test_errors_come_through_and_the_child_lives_on(note: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pdf"
    empty.touch()
    with ReaderProcess() as reader:
        with pytest.raises(Unreadable, match=r"the file is empty \(0 bytes\)"):
            reader.read(empty)
        with pytest.raises(NotFound):
            reader.read(tmp_path / "gone.md")
        assert reader.read(note).title == "A note"


def test_file_that_takes_too_long_is_given_up_and_the_next_is_read(slow: Path, note: Path) -> None:
    with ReaderProcess(timeout_s=0.5) as reader:
        started = time.monotonic()
        with pytest.raises(Exceeded, match=r"longer than 0\.5 s"):
            reader.read(slow)
        assert time.monotonic() - started < 10  # the child's start included
        assert reader.read(note).title == "A note"


@needs_posix
def test_crash_costs_one_file(slow: Path, note: Path) -> None:
    with ReaderProcess() as reader:
        reader.read(note)
        assert reader._child is not None
        pid = reader._child._process.pid
        killer = threading.Timer(0.2, os.kill, (pid, 11))
        killer.start()
        with pytest.raises(Unreadable, match=r"crashed on this file \(signal 11\)"):
            reader.read(slow)
        killer.join()
        assert reader.read(note).title == "A note"


@needs_posix
@pytest.mark.parametrize("number", [9, 15])
def test_a_child_that_somebody_else_ends_is_not_the_files_fault(slow: Path, note: Path, number: int) -> None:
    with ReaderProcess() as reader:
        reader.read(note)
        assert reader._child is not None
        killer = threading.Timer(0.2, os.kill, (reader._child._process.pid, number))
        killer.start()
        with pytest.raises(Unavailable, match=rf"ended from outside \(signal {number}\)"):
            reader.read(slow)
        killer.join()
        assert reader.read(note).title == "A note"


@needs_posix
def test_a_child_that_died_while_it_was_idle_is_replaced(note: Path) -> None:
    with ReaderProcess() as reader:
        reader.read(note)
        assert reader._child is not None
        os.kill(reader._child._process.pid, 9)
        os.waitid(os.P_PID, reader._child._process.pid, os.WEXITED | os.WNOWAIT)
        assert reader.read(note).title == "A note"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts data only on Linux")
def test_memory_above_the_limit_costs_one_file(tmp_path: Path, note: Path) -> None:
    big = tmp_path / "big.txt"
    big.write_bytes(b"word " * (30 * 2**20))
    with ReaderProcess(memory_mib=250) as reader:
        with pytest.raises(Unreadable, match=r"more than 250 MiB|crashed on this file"):
            reader.read(big)
        assert reader.read(note).title == "A note"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts data only on Linux")
def test_child_that_cannot_start_is_not_the_files_fault(note: Path) -> None:
    with ReaderProcess(memory_mib=1) as reader, pytest.raises(Unavailable, match="could not start"):
        reader.read(note)


def test_close_from_another_thread_cancels(slow: Path) -> None:
    reader = ReaderProcess()
    closer = threading.Timer(1.0, reader.close)
    closer.start()
    with pytest.raises(Cancelled):
        reader.read(slow)
    closer.join()


@needs_posix
def test_child_ends_with_its_parent(slow: Path) -> None:
    code = (
        "import os, sys, threading\nfrom pathlib import Path\nfrom server.readers.process import ReaderProcess\n"
        "reader = ReaderProcess()\n"
        "threading.Thread(target=reader.read, args=(Path(sys.argv[1]),), daemon=True).start()\n"
        "while not (reader._child and reader._child.files): pass\n"
        "print(reader._child._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code, str(slow)], cwd=ROOT, capture_output=True, text=True, check=False)
    child = int(parent.stdout)
    deadline = time.monotonic() + 20
    while _runs(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


def test_only_documents_are_unpickled() -> None:
    with pytest.raises(pickle.UnpicklingError, match="not part of a document"):
        _Unpickler(io.BytesIO(pickle.dumps(os.system))).load()


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    path = make_pdf(tmp_path / "open.pdf", column(["a text behind a lock"]))
    with pymupdf.open(path) as source:
        source.save(tmp_path / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="秘密", owner_pw="owner")
    path.unlink()
    return tmp_path / "locked.pdf"


def test_password_opens_a_locked_paper_and_a_wrong_one_is_named_as_such(locked: Path) -> None:
    with ReaderProcess() as reader:
        with pytest.raises(Unreadable, match=r"needs a password; give it when you add the file, or set readers\.passwords"):
            reader.read(locked)
        with pytest.raises(Unreadable, match="none of the given passwords opens it"):
            reader.read(locked, passwords=["guess", "another"])
        document = reader.read(locked, passwords=["guess", "秘密"])
    assert document.sections[0].blocks[0].text == "a text behind a lock"


def test_unlocked_copy_takes_the_place_of_the_locked_paper(locked: Path) -> None:
    before = locked.read_bytes()
    with ReaderProcess() as reader:
        with pytest.raises(Unreadable, match="the password does not open this PDF"):
            reader.unlock(locked, "guess")
        assert locked.read_bytes() == before
        reader.unlock(locked, "秘密")
        assert reader.read(locked).sections[0].blocks[0].text == "a text behind a lock"
    assert [path.name for path in locked.parent.iterdir()] == ["locked.pdf"]


def test_unlocking_what_is_no_pdf_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    path.write_text("<html>")
    with ReaderProcess() as reader, pytest.raises(Unreadable, match="this is no PDF"):
        reader.unlock(path, "secret")
    assert path.read_text() == "<html>"
    assert list(tmp_path.iterdir()) == [path]
