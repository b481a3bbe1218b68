"""A disk that is full, or does not let us write: clear words at every step, nothing lost, and it goes on when there is room again."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.settings import ROOT, Splitting
from server.checking import check
from server.errors import Unavailable
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.shelf import NEXT_DATABASE, NEXT_FACTS, Shelf
from server.stores import database
from tests.full_disk import ROOM_KIB
from tests.hash_embedder import HashEmbedder
from tests.test_knowledge_base import fill, found

SMALL_DISK = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -m tests.full_disk "$1"'
STEPS = ("upload", "ingest", "index", "delete", "create", "reset", "search")
OF_ROOM = ("no space is left", "No space left on device")


def test_whatever_a_full_disk_refuses_is_told_and_done_when_there_is_room_again(tmp_path: Path):
    allowed = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False) if shutil.which("unshare") else None
    if allowed is None or allowed.returncode:
        pytest.skip("a disk of 4 MiB cannot be mounted here")
    command = ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", str(tmp_path), sys.executable]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    rooms = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [room["room_kib"] for room in rooms] == list(ROOM_KIB), ended.stderr
    for room in rooms:
        for step in STEPS:
            said = room[step]
            assert said == "done" or (said.startswith(("Unavailable: ", "failed {'new.md': ")) and any(w in said for w in OF_ROOM)), room
        assert room["search"] == "done", room
        assert (room["afterwards"], room["check"], room["answers"]) == ("done", "", "same"), room
    assert rooms[0]["upload"].startswith("Unavailable: new.md cannot be stored: No space left")
    assert any(room["upload"] == "done" and room["ingest"] != "done" for room in rooms)
    assert any("vector index" in room["index"] for room in rooms)


def test_a_transaction_that_finds_no_room_changes_nothing(kb: KnowledgeBase, hashing: HashEmbedder, monkeypatch: pytest.MonkeyPatch):
    (kb.content / "a.md").write_text("apple tree", encoding="utf-8")
    ingest(kb, hashing, Splitting())
    (kb.content / "a.md").write_text("banana split " * 3000, encoding="utf-8")
    pages = kb.catalog.path.stat().st_size // 4096
    kb.close()
    plain = sqlite3.connect

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        db = plain(*arguments, **named)
        db.execute(f"PRAGMA max_page_count = {pages + 30}")  # SQLITE_FULL comes from SQLite itself
        return db

    full = KnowledgeBase(kb.folder, kb.facts)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        reason = ingest(full, hashing, Splitting()).failed["a.md"]
        assert "no space is left on its disk, make room and try again" in reason
        assert found(full, "apple") == ["apple tree"]
    full.close()
    again = KnowledgeBase(kb.folder, kb.facts)
    assert ingest(again, hashing, Splitting()).failed == {}
    assert "banana split" in found(again, "banana")[0]
    assert check(again) == []
    again.close()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (sqlite3.SQLITE_FULL, "Unavailable", "no space is left"),
        (sqlite3.SQLITE_READONLY, "Unavailable", "does not let us write"),
        (sqlite3.SQLITE_CANTOPEN, "Unavailable", "its folder does not let us write, or too many files are open"),
        (sqlite3.SQLITE_IOERR_WRITE, "Unavailable", "the disk does not do what it is asked"),
        (sqlite3.SQLITE_IOERR_CORRUPTFS, "Corrupt", "is damaged"),
        (sqlite3.SQLITE_CORRUPT, "Corrupt", "is damaged"),
        (sqlite3.SQLITE_NOTADB, "Corrupt", "--recreate-vs"),
        (sqlite3.SQLITE_BUSY, "Unavailable", "another process"),
    ],
)
def test_what_sqlite_says_of_the_disk_is_no_damage_of_the_library(kb: KnowledgeBase, code: int, kind: str, words: str):
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorcode = code
    ours = kb.catalog._translated(error)
    assert type(ours).__name__ == kind
    assert words in str(ours)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_an_upload_to_a_disk_that_refuses_is_unavailable_and_leaves_nothing(
    kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, number: int
):
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    kb.store_file("old.md", io.BytesIO(b"old"), override=False, limit_bytes=9)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", refuse)
        for file in ("old.md", "new.md"):
            with pytest.raises(Unavailable, match=f"{file} cannot be stored: {os.strerror(number)}"):
                kb.store_file(file, io.BytesIO(b"new"), override=True, limit_bytes=9, queue=True)
    assert [(path.name, path.read_bytes()) for path in kb.content.iterdir()] == [("old.md", b"old")]
    assert kb.catalog.files() == []


def test_a_library_that_cannot_be_made_anew_for_want_of_room_stays_as_it_is(
    shelf: Shelf, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
):
    fill(kb, "a", ["apple tree"])

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", refuse)
        with pytest.raises(Unavailable, match=r"kb\.json cannot be written: No space left on device"):
            shelf.reset("papers", embedding="other", dimension=16)
        with pytest.raises(Unavailable, match="No space left on device"):
            shelf.create("other", embedding="hash", dimension=32)
    assert shelf.names() == ["papers"]
    assert shelf.open("papers") is kb
    assert found(kb, "apple") == ["apple tree"]
    left = [path.name for path in [*kb.folder.iterdir(), *(shelf.root / "other").iterdir()]]
    assert not [name for name in left if name.startswith((NEXT_DATABASE, NEXT_FACTS, ".kb.json"))]
    assert shelf.create("other", embedding="hash", dimension=32).catalog.counts() == (0, 0, 0)


WITHOUT_RIGHTS = """
import sys
from pathlib import Path
from configs.settings import Splitting
from server.errors import PaperError
from server.ingestion import ingest
from server.shelf import Shelf
from tests.hash_embedder import HashEmbedder
shelf = Shelf(Path(sys.argv[1]))
def came_to(act):
    try:
        act()
        print("done")
    except PaperError as exc:
        print(type(exc).__name__, exc)
came_to(lambda: shelf.open("papers").catalog.files())
came_to(lambda: shelf.create("other", embedding="hash", dimension=32))
came_to(lambda: shelf.delete("papers"))
came_to(lambda: shelf.reset("papers", embedding="hash", dimension=32))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="rights of another kind")
def test_folders_that_do_not_let_us_write_are_told_in_words(shelf: Shelf, kb: KnowledgeBase):
    ordinary = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []  # rights bind root, too
    if ordinary and not shutil.which("setpriv"):
        pytest.skip("rights do not bind root")
    fill(kb, "a", ["apple tree"])
    shelf.close()
    folders = [shelf.root, kb.folder, kb.content]
    for folder in folders:
        folder.chmod(0o555)
    try:
        command = [*ordinary, sys.executable, "-c", WITHOUT_RIGHTS, str(shelf.root)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    lines = ended.stdout.splitlines()
    assert len(lines) == 4, ended.stderr
    assert all(line.startswith("Unavailable ") for line in lines), lines
    assert "library.db cannot be used now: it, or its folder, does not let us write" in lines[0]
    assert all("Permission denied" in line or "does not let us write" in line for line in lines[1:]), lines
    assert found(Shelf(shelf.root).open("papers"), "apple") == ["apple tree"]


def test_every_code_of_sqlite_that_is_of_the_disk_has_its_words():
    assert all(words and not words.endswith(".") for words in database.OF_THE_DISK.values())


def test_errors_in_every_connection_leave_the_shared_memory_that_a_full_disk_could_not_give_again(kb: KnowledgeBase):
    fill(kb, "a", ["apple tree"])
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), kb.catalog._connection():
            raise ZeroDivisionError
        assert (kb.folder / "library.db-shm").exists()
    kb.close()
    assert not (kb.folder / "library.db-shm").exists()
