"""Libraries as folders: names and paths from outside, uploads, create, delete, reset, and changes made by other processes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from configs.settings import ROOT
from server.errors import Conflict, Corrupt, Forbidden, Invalid, NotFound, PaperError, Unavailable
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from server.stores.rows import Reading
from server.types import Chunk
from tests.hash_embedder import HashEmbedder

GOOD = ["papers", "中文文库", "Zürich 2024", "a", "x" * 100, "文" * 66, "v1.2", "a,b;c"]
ATTACKS = [
    "../x",
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "/etc",
    "a\0b",
    "a\nb",
    " a",
    "a ",
    "a@b",
    "x" * 101,
    "文" * 67,
    "a:b",
    "a*",
    "a\u202eb",
]
PATHS = ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", ".hidden", "a/.hidden/b", "a\0b", "..\\x", "a\\b", "a/"]


def fill(kb: KnowledgeBase, file: str, texts: list[str]) -> None:
    """Put chunks of these texts into the rows, as ingestion does."""
    chunks = [Chunk(text, (), 1, 1, "paragraph", "en", (), ((0, len(text)),)) for text in texts]
    kb.catalog.queue([file])
    kb.catalog.replace(file, Reading(file, "en", 1, 1, "sha", "recipe", ()), chunks, HashEmbedder().embed_documents(texts))


def found(kb: KnowledgeBase, question: str, k: int = 3) -> list[str]:
    """The texts of the nearest windows."""
    windows = [window for window, _ in kb.search(HashEmbedder().embed_query(question), k)]
    chunks = kb.catalog.chunks_of_windows(windows)
    passages = kb.catalog.passages(kb.name, list(chunks.values()))
    return [passages[chunks[window]].text for window in windows if window in chunks]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_becomes_a_library_and_is_gone_after_delete(shelf: Shelf, name: str):
    assert shelf.create(name, embedding="hash", dimension=32).name == name
    assert shelf.names() == [name]
    assert name in shelf
    shelf.delete(name)
    assert shelf.names() == []
    assert [path.name for path in shelf.root.iterdir() if path.name != ".libraries.lock"] == []


@pytest.mark.parametrize("name", ATTACKS)
def test_a_bad_name_is_refused_and_nothing_is_made(shelf: Shelf, name: str):
    with pytest.raises(Forbidden, match="cannot name a library: at most 100 characters"):
        shelf.create(name, embedding="hash", dimension=32)
    assert not shelf.root.exists()
    assert name not in shelf
    for act in (shelf.open, shelf.delete, lambda n: shelf.reset(n, embedding="hash", dimension=32)):
        with pytest.raises(NotFound):
            act(name)


@pytest.mark.parametrize("name", ["", " ", "\n"])
def test_an_empty_name_has_its_own_words(shelf: Shelf, name: str):
    with pytest.raises(Invalid, match="知识库名称不能为空，请重新填写知识库名称"):
        shelf.create(name, embedding="hash", dimension=32)


def test_a_name_of_half_a_surrogate_pair_is_refused(shelf: Shelf):
    with pytest.raises(PaperError):
        shelf.create("a\ud800", embedding="hash", dimension=32)


def test_a_taken_name_and_an_unknown_store_are_refused(shelf: Shelf, kb: KnowledgeBase):
    with pytest.raises(Conflict, match="已存在同名知识库 papers"):
        shelf.create("papers", embedding="hash", dimension=32)
    with pytest.raises(Invalid, match="unknown vector store 'milvuss'; known: faiss, memory"):
        shelf.create("other", embedding="hash", dimension=32, store="milvuss")
    assert shelf.names() == ["papers"]


@pytest.mark.parametrize("file", PATHS)
def test_a_path_that_is_no_name_inside_the_library_is_refused(kb: KnowledgeBase, file: str):
    for act in (kb.path_of, kb.existing, lambda f: kb.store_file(f, io.BytesIO(b"x"), override=True, limit_bytes=10)):
        with pytest.raises(Forbidden):
            act(file)


def test_links_that_lead_out_are_refused_and_not_listed(kb: KnowledgeBase, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (kb.content / "link.txt").symlink_to(tmp_path / "secret.txt")
    (kb.content / "folder").symlink_to(tmp_path)
    (kb.content / "own.txt").write_text("own", encoding="utf-8")
    (kb.content / "inner.txt").symlink_to(kb.content / "own.txt")
    for file in ("link.txt", "folder/secret.txt", "folder/new.txt"):
        with pytest.raises(Forbidden, match="leads out of the library"):
            kb.path_of(file)
    with pytest.raises(Forbidden):
        kb.store_file("folder/new.txt", io.BytesIO(b"x"), override=True, limit_bytes=10)
    assert kb.names() == ["inner.txt", "own.txt"]
    assert not (tmp_path / "new.txt").exists()


def test_names_keep_sub_folders_and_leave_out_hidden_files(kb: KnowledgeBase):
    for file in ("b.md", "wiki/Home.MD", "wiki/.git/config", ".DS_Store", "中文/论文.pdf"):
        (kb.content / file).parent.mkdir(parents=True, exist_ok=True)
        (kb.content / file).touch()
    assert kb.names() == ["b.md", "wiki/Home.MD", "中文/论文.pdf"]


@pytest.mark.skipif(sys.platform != "linux", reason="file systems of other systems refuse such names themselves")
def test_files_that_no_request_can_name_are_told_with_their_reason(kb: KnowledgeBase):
    (kb.content / "good.txt").write_text("x")
    (kb.content / os.fsdecode("论文.txt".encode("gb18030"))).write_text("x")
    (kb.content / ("长" * 70 + ".txt")).write_text("x")
    (kb.content / "a\\b.txt").write_text("x")
    os.mkfifo(kb.content / "pipe.txt")
    (kb.content / "gone.txt").symlink_to(kb.content / "nothing.txt")
    assert kb.names() == ["good.txt"]
    reasons = kb.unusable()
    assert reasons.pop("\\udcc2\\udcdb\\udcce\\udcc4.txt").startswith("its name is not UTF-8")
    assert reasons.pop("长" * 70 + ".txt").endswith("longer than 200 bytes; rename it")
    assert reasons.pop("a\\b.txt").endswith("no hidden, absolute or parent paths; rename it")
    assert reasons == dict.fromkeys(["gone.txt", "pipe.txt"], "this is not a regular file")


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(kb: KnowledgeBase):
    kb.content.rename(kb.folder / "elsewhere")
    with pytest.raises(Unavailable, match=r"cannot be listed \(No such file or directory\): content; nothing was changed"):
        kb.names()


def test_an_upload_lands_whole_and_an_existing_file_needs_override(kb: KnowledgeBase):
    path = kb.store_file("sub/a.txt", io.BytesIO(b"first"), override=False, limit_bytes=5)
    assert path.read_bytes() == b"first"
    with pytest.raises(Conflict, match=r"文件 sub/a\.txt 已存在。"):
        kb.store_file("sub/a.txt", io.BytesIO(b"other"), override=False, limit_bytes=5)
    assert path.read_bytes() == b"first"
    kb.store_file("sub/a.txt", io.BytesIO(b"other"), override=True, limit_bytes=5)
    assert path.read_bytes() == b"other"
    assert [p.name for p in (kb.content / "sub").iterdir()] == ["a.txt"]


def test_an_upload_that_is_too_large_leaves_the_old_file_and_no_temporary_one(kb: KnowledgeBase):
    kb.store_file("a.txt", io.BytesIO(b"old"), override=False, limit_bytes=1 << 20)
    with pytest.raises(Invalid, match=r"a\.txt is larger than 1 MiB \(setting server\.upload_limit_mib\)"):
        kb.store_file("a.txt", io.BytesIO(b"x" * ((1 << 20) + 1)), override=True, limit_bytes=1 << 20)
    assert [(p.name, p.read_bytes()) for p in kb.content.iterdir()] == [("a.txt", b"old")]


class Breaks(io.BytesIO):
    """A client that goes away."""

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionError("gone")


def test_an_upload_that_breaks_off_leaves_nothing(kb: KnowledgeBase):
    with pytest.raises(ConnectionError):
        kb.store_file("a.txt", Breaks(), override=False, limit_bytes=10)
    assert list(kb.content.iterdir()) == []


def test_both_ways_to_write_an_accent_are_one_file(kb: KnowledgeBase):
    kb.store_file("cafe\u0301.txt", io.BytesIO(b"x"), override=False, limit_bytes=10)
    with pytest.raises(Conflict):
        kb.store_file("caf\u00e9.txt", io.BytesIO(b"x"), override=False, limit_bytes=10)


@pytest.mark.parametrize("file", ["文" * 90 + ".txt", "x" * 256, "folder", "own.txt/inner.txt"])
def test_a_name_that_the_file_system_refuses_is_refused_in_our_words(kb: KnowledgeBase, file: str):
    (kb.content / "folder").mkdir()
    (kb.content / "own.txt").touch()
    with pytest.raises(PaperError):
        kb.store_file(file, io.BytesIO(b"x"), override=True, limit_bytes=10)


def test_removing_files_is_all_or_nothing(kb: KnowledgeBase):
    kb.store_file("a.txt", io.BytesIO(b"x"), override=False, limit_bytes=10)
    fill(kb, "a.txt", ["apple"])
    with pytest.raises(NotFound, match=r"no file 'b\.txt'"):
        kb.remove_files(["a.txt", "b.txt"], delete_content=True)
    assert (kb.content / "a.txt").exists()
    kb.remove_files(["a.txt"], delete_content=False)
    assert (kb.content / "a.txt").exists()
    assert kb.catalog.counts() == (0, 0, 0)
    kb.remove_files(["a.txt"], delete_content=True)
    assert not (kb.content / "a.txt").exists()


def test_a_folder_with_papers_becomes_a_library_with_its_papers(shelf: Shelf):
    (shelf.root / "mine" / "content").mkdir(parents=True)
    (shelf.root / "mine" / "content" / "a.txt").touch()
    assert shelf.names() == []  # no kb.json: not whole
    assert shelf.create("mine", embedding="hash", dimension=32).names() == ["a.txt"]


def test_a_reset_keeps_the_papers_and_empties_the_rows(shelf: Shelf, kb: KnowledgeBase):
    kb.store_file("a.txt", io.BytesIO(b"x"), override=False, limit_bytes=10)
    fill(kb, "a.txt", ["apple"])
    again = shelf.reset("papers", embedding="other", dimension=16)
    assert (again.facts.embedding, again.facts.dimension) == ("other", 16)
    assert again.names() == ["a.txt"]
    assert again.catalog.counts() == (0, 0, 0)


def test_a_reset_keeps_how_files_are_to_be_split_and_so_does_a_new_start_after_a_kill(shelf: Shelf, kb: KnowledgeBase):
    kb.catalog.queue(["a.txt"], '{"chunk_tokens": 64}')
    kb.catalog.queue(["b.txt"])
    again = shelf.reset("papers", embedding="other", dimension=16)
    assert again.catalog.choices() == {"a.txt": '{"chunk_tokens": 64}'}
    assert [(row.name, row.state) for row in again.catalog.files()] == [("a.txt", "queued")]
    shelf.close()
    (kb.folder / "kb.json").unlink()  # where a kill in the middle leaves it
    assert shelf.create("papers", embedding="hash", dimension=32).catalog.choices() == {"a.txt": '{"chunk_tokens": 64}'}
    assert shelf.reset("papers", embedding="hash", dimension=32, keep_choices=False).catalog.choices() == {}
    assert not list(kb.folder.glob(".library.db*"))


def test_a_reset_keeps_the_introduction(shelf: Shelf):
    shelf.create("mine", embedding="hash", dimension=32, info="about apples")
    assert shelf.reset("mine", embedding="other", dimension=16).facts.info == "about apples"
    assert not [name for name in os.listdir(shelf.root / "mine") if name.endswith(".new")]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"embedding": "hash"}', '{"embedding": "hash", "dimension": 32, "more": 1}', "\xff"])
def test_a_damaged_kb_json_is_corrupt_and_a_reset_mends_it(shelf: Shelf, kb: KnowledgeBase, text: str):
    shelf.close()
    (kb.folder / "kb.json").write_text(text, encoding="latin-1")
    with pytest.raises(Corrupt, match="--recreate-vs --kb-name papers"):
        shelf.open("papers")
    assert shelf.reset("papers", embedding="hash", dimension=32).catalog.counts() == (0, 0, 0)


def test_one_damaged_library_does_not_hide_the_others(shelf: Shelf, kb: KnowledgeBase):
    shelf.create("damaged", embedding="hash", dimension=32)
    shelf.close()
    (shelf.root / "damaged" / "kb.json").write_text("{", encoding="utf-8")
    assert [library.name for library in shelf] == ["papers"]


def other_process(root: Path, code: str) -> None:
    """Run code with `shelf` and `fill` in another process."""
    head = (
        "from pathlib import Path\nfrom server.shelf import Shelf\nfrom tests.test_knowledge_base import fill\n"
        f"shelf = Shelf(Path({str(root)!r}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", head + code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def test_processes_that_make_the_same_library_get_the_same_one(tmp_path: Path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom server.errors import Conflict\nfrom server.shelf import Shelf\n"
        "from tests.test_knowledge_base import fill\nshelf = Shelf(Path(sys.argv[1]))\nsys.stdin.readline()\n"
        "for n in range(20):\n"
        "    try:\n        shelf.create(f'x{n}', embedding='hash', dimension=32)\n"
        "    except Conflict:\n        pass\n"
        "    fill(shelf.open(f'x{n}'), sys.argv[2], ['apple tree'])\n"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), who], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for who in "ab"
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write(b"go\n")
        maker.stdin.flush()
    for maker in makers:
        _, errors = maker.communicate(timeout=60)
        assert maker.returncode == 0, errors.decode()
    shelf = Shelf(tmp_path)
    assert [[row.name for row in kb.catalog.files()] for kb in shelf] == [["a", "b"]] * 20
    shelf.close()


def test_a_change_of_another_process_is_seen_at_the_next_search(shelf: Shelf, kb: KnowledgeBase):
    fill(kb, "a", ["apple tree"])
    assert found(kb, "apple") == ["apple tree"]
    other_process(shelf.root, "kb = shelf.open('papers'); fill(kb, 'b', ['banana split']); kb.catalog.remove(['a']); kb.save_index()")
    assert found(kb, "banana") == ["banana split"]


def test_a_rebuild_by_another_process_is_seen_at_the_next_question(shelf: Shelf, kb: KnowledgeBase):
    fill(kb, "a", ["apple tree"])
    assert found(shelf.open("papers"), "apple") == ["apple tree"]
    other_process(shelf.root, "fill(shelf.reset('papers', embedding='hash', dimension=32), 'b', ['banana split'])")
    assert found(shelf.open("papers"), "banana") == ["banana split"]


def test_a_library_that_another_process_deleted_is_not_found(shelf: Shelf, kb: KnowledgeBase):
    other_process(shelf.root, "shelf.delete('papers')")
    with pytest.raises(NotFound, match="未找到知识库 papers"):
        shelf.open("papers")


@pytest.mark.parametrize("damage", ["lost", "torn", "stale"])
def test_a_lost_torn_or_stale_index_is_rebuilt_from_the_rows(shelf: Shelf, kb: KnowledgeBase, damage: str):
    fill(kb, "a", ["apple tree"])
    kb.save_index()
    if damage == "stale":
        fill(kb, "b", ["banana split"])
        fill(kb, "a", ["avocado toast"])
    for path in kb.vectors_folder.iterdir():
        if damage == "lost":
            path.unlink()
        elif damage == "torn":
            path.write_bytes(path.read_bytes()[:-7])
    shelf.close()
    again = shelf.open("papers")
    expected = ["avocado toast", "banana split"] if damage == "stale" else ["apple tree"]
    assert sorted(found(again, "apple banana", 5)) == expected
    assert len(again.search(HashEmbedder().embed_query("x"), 9)) == len(expected)


def test_an_index_that_is_ahead_of_the_rows_is_rebuilt(shelf: Shelf, kb: KnowledgeBase):
    for number in range(5):
        fill(kb, "a", [f"apple {number}"])
    kb.save_index()
    shelf.close()
    for path in kb.folder.glob("library.db*"):  # the user restored an older library.db, or deleted a damaged one
        path.unlink()
    again = shelf.open("papers")
    fill(again, "b", ["banana split"])
    assert found(again, "banana") == ["banana split"]


def test_readers_never_wait_for_a_writer(kb: KnowledgeBase):
    fill(kb, "a", ["apple tree"])
    inside, done = threading.Event(), threading.Event()

    class Slow(list[Chunk]):
        def __iter__(self):  # type: ignore[override]  # the writer is held in the middle of its transaction
            inside.set()
            assert done.wait(30)
            return super().__iter__()

    chunk = Chunk("banana", (), 1, 1, "paragraph", "en", (), ((0, 6),))
    reading = Reading("b", "en", 1, 1, "sha", "recipe", ())
    kb.catalog.queue(["b"])
    writer = threading.Thread(target=lambda: kb.catalog.replace("b", reading, Slow([chunk]), np.ones((1, 32), np.float32)))
    writer.start()
    assert inside.wait(30)
    assert found(kb, "apple") == ["apple tree"]
    done.set()
    writer.join(30)
    assert sorted(found(kb, "apple banana", 5)) == ["apple tree", "banana"]
