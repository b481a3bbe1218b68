"""What each flag of init_database.py does to a library, what it refuses, and that a dry run does nothing."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from configs.settings import ROOT, Splitting
from init_database import ACTIONS, EXCLUDED, main
from server.ingestion import ingest
from server.shelf import Shelf
from tests.conftest import write_papers
from tests.hash_embedder import HashEmbedder
from tests.stack import Process, free_port, write_settings

SMALL = Splitting(splitter="chinese_recursive", chunk_size=20)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of libraries with the content of `papers`, not read yet; the settings name the tiny model."""
    embedding = {"model": str(tiny_model), "dtype": "float32", "device": "cpu"}
    file = write_settings(tmp_path, {"embedding": embedding, "server": {"api_port": free_port()}})
    write_papers(tmp_path / "knowledge_base" / "papers" / "content")
    for name in [name for name in os.environ if name.startswith("PAPERPROOF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAPERPROOF_SETTINGS", str(file))
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in this process: (exit code, what it printed)."""

    def running(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    return running


@pytest.fixture
def filled(home: Path, run: Run) -> Path:
    """The content folder of `papers`, which has been read."""
    assert run("--increment")[0] == 0
    return home / "knowledge_base" / "papers" / "content"


@contextlib.contextmanager
def opened(home: Path) -> Iterator[Shelf]:
    shelf = Shelf(home / "knowledge_base")
    yield shelf
    shelf.close()


def chunks(home: Path) -> dict[str, int]:
    with opened(home) as shelf:
        return {row.name: row.chunks for row in shelf.open("papers").catalog.files()}


def test_update_in_db_reads_what_is_on_both_sides_and_nothing_else(home: Path, filled: Path, run: Run):
    (filled / "new.md").write_text("new words", encoding="utf-8")
    (filled / "table.csv").unlink()
    before = chunks(home)
    code, output = run("--update-in-db")
    assert code == 0
    assert output.splitlines()[2].split()[:5] == ["papers", "update-in-db", "3", "3", "0"]  # files, read, unchanged
    assert chunks(home) == before


def test_prune_db_drops_rows_without_files_and_strays(home: Path, filled: Path, run: Run):
    (filled / "table.csv").unlink()
    with contextlib.closing(sqlite3.connect(filled.parent / "library.db")) as db, db:
        db.execute("INSERT INTO words (rowid, text) VALUES (5, 'nobody')")
    assert "drop 1 files from the database: table.csv" in run("--prune-db", "--dry-run")[1]
    assert len(chunks(home)) == 4
    code, output = run("--prune-db")
    assert (code, output) == (0, "papers: 1 files dropped from the database: table.csv; 1 rows that belonged to nothing\n")
    assert sorted(chunks(home)) == ["notes.md", "paper.pdf", "中文.md"]
    assert run("--check") == (0, "papers: sound\n")


def test_prune_folder_lists_asks_and_deletes_only_what_has_no_rows(home: Path, filled: Path, run: Run):
    (filled / "sub").mkdir()
    (filled / "sub" / "surplus.md").write_text("12345", encoding="utf-8")
    assert "would delete 1 files: sub/surplus.md" in run("--prune-folder", "--dry-run")[1]
    code, output = run("--prune-folder")  # nobody is at the terminal
    assert code == 1
    assert "sub/surplus.md  (5 bytes)" in output
    assert "nothing was deleted; answer yes, or give --yes" in output
    assert (filled / "sub" / "surplus.md").exists()
    code, output = run("--prune-folder", "--yes")
    assert code == 0
    assert "1 files deleted" in output
    assert sorted(path.name for path in filled.rglob("*") if path.is_file()) == ["notes.md", "paper.pdf", "table.csv", "中文.md"]
    assert "nothing to delete" in run("--prune-folder", "--yes")[1]


def test_prune_folder_spares_a_library_that_was_never_read(home: Path, run: Run):
    content = home / "knowledge_base" / "papers" / "content"
    assert run("--prune-folder", "--yes")[0] == 1  # no library yet
    assert run("--create-tables")[0] == 0
    code, output = run("--prune-folder", "--yes")
    assert code == 1
    assert "would delete every file" in output
    assert len(list(content.iterdir())) == 4


def test_clear_tables_empties_the_database_and_keeps_the_files(home: Path, filled: Path, run: Run):
    code, output = run("--clear-tables")
    assert code == 0
    assert "cleared, 4 files and" in output
    assert chunks(home) == {}
    assert len(list(filled.iterdir())) == 4
    assert run("--clear-tables", "--increment")[0] == 0
    assert len(chunks(home)) == 4


def test_recreating_keeps_how_each_file_is_to_be_split(home: Path, run: Run):
    with opened(home) as shelf:
        kb = shelf.create("papers", embedding="hash", dimension=32)
        ingest(kb, HashEmbedder(), Splitting(), files=["中文.md"], chosen=SMALL)
    chosen = chunks(home)["中文.md"]
    assert run("--recreate-vs")[0] == 0  # with another model, too
    assert chunks(home)["中文.md"] == chosen > 2
    assert chunks(home)["notes.md"] > 0
    with opened(home) as shelf:
        assert shelf.open("papers").facts.embedding == "tiny-e5"
        assert shelf.open("papers").catalog.choices() == {"中文.md": SMALL.model_dump_json()}
    assert run("--clear-tables", "--increment")[0] == 0
    assert chunks(home)["中文.md"] < chosen  # cleared is cleared


def test_a_model_that_does_not_load_costs_no_rows(home: Path, filled: Path, run: Run, tmp_path: Path, tiny_model: Path):
    broken = tmp_path / "broken-e5"
    broken.mkdir()
    for path in tiny_model.iterdir():
        if path.name != "model.safetensors":
            (broken / path.name).symlink_to(path)
    (broken / "model.safetensors").write_bytes(b"torn")
    before = chunks(home)
    code, output = run("--recreate-vs", "--embed-model", str(broken))
    assert code == 1
    assert "does not load" in output
    assert chunks(home) == before


def test_another_model_is_refused_without_loading_it_unless_all_is_read_again(
    home: Path, filled: Path, run: Run, tmp_path: Path, tiny_model: Path
):
    (tmp_path / "other-e5").symlink_to(tiny_model)
    for flag in ("--increment", "--update-in-db"):
        code, output = run(flag, "--embed-model", str(tmp_path / "other-e5"))
        assert code == 1
        assert "was built with tiny-e5 (32 dimensions), not other-e5 (32)" in output
    assert run("--recreate-vs", "--embed-model", str(tmp_path / "other-e5"))[0] == 0
    with opened(home) as shelf:
        assert shelf.open("papers").facts.embedding == "other-e5"


def snapshot(folder: Path) -> dict[str, bytes]:
    ignored = (".lock", "-wal", "-shm")
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.name.endswith(ignored)}


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("clear-tables", "drop 4 ready files"),
        ("create-tables", "do nothing: it exists"),
        ("recreate-vs", "read 5 files again"),
        ("prune-db", "drop 0 files"),
        ("prune-folder", "delete 1 files: new.md"),
        ("update-in-db", "read 4 files again"),
        ("increment", "read 1 files: new.md and drop 0 from the database"),
    ],
)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(home: Path, filled: Path, run: Run, flag: str, words: str):
    (filled / "new.md").write_text("new words", encoding="utf-8")
    before = snapshot(home)
    code, output = run(f"--{flag}", "--dry-run", "--kb-name", "papers")
    assert code == 0
    assert f"papers: --{flag} would {words}" in output
    assert snapshot(home) == before


@pytest.mark.parametrize("pair", EXCLUDED)
def test_flags_that_contradict_each_other_are_wrong_usage_with_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], pair: tuple[str, str]
):
    arguments = [argument for flag in pair for argument in ([f"--{flag}"] + ["info.db"] * (flag == "import-db"))]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert f"--{pair[0]} and --{pair[1]} do not go together: --{pair[0]} {EXCLUDED[pair]}" in capsys.readouterr().err
    assert not (home / "knowledge_base" / "papers" / "kb.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--increment", "--yes"], "--yes is for --prune-folder only"),
        (["--check", "--dry-run"], "--check changes nothing anyway"),
        (["--prune-db", "--embed-model", "x"], "--embed-model is for actions that embed"),
        (["--increment", "--kb-name"], "expected at least one argument"),
    ],
)
def test_flags_without_their_action_are_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_help_has_one_line_for_each_flag_in_both_languages(home: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for flag in (*ACTIONS, "import-db", "kb-name", "embed-model", "dry-run", "yes"):
        (line,) = [line for line in lines if re.search(rf"--{flag}\b", line[:32])]
        words = line if len(line) > 50 else lines[lines.index(line) + 1]
        assert any("\u4e00" <= character <= "\u9fff" for character in words), flag


def test_several_libraries_end_in_one_table_with_its_sum(home: Path, run: Run):
    write_papers(home / "knowledge_base" / "中文库" / "content")
    (home / "knowledge_base" / "中文库" / "content" / "bad.pdf").write_bytes(b"this is no PDF")
    code, output = run("--increment", "-n", "papers", "-n", "中文库")
    assert code == 1
    table = output.strip().splitlines()
    assert [line.split()[:7] for line in table[1:4]] == [
        ["papers", "increment", "4", "4", "0", "0", "0"],
        ["中文库", "increment", "5", "4", "0", "0", "1"],
        ["together", "9", "8", "0", "0", "1", "8"],
    ]
    assert table[4].startswith("FAILED 中文库/bad.pdf: ")
    assert run("--increment", "--check", "-n", "papers")[0] == 0
    code, output = run("--check")
    assert code == 1
    assert "papers: sound\n中文库: 1 finding\n  ! could not be read: " in output
    assert "-> mend, replace or remove the file, then python init_database.py --increment --kb-name 中文库" in output


def test_a_backup_is_imported_and_read_in_one_call(home: Path, filled: Path, run: Run):
    (filled / "new.md").write_text("new words", encoding="utf-8")
    assert "copy: would be made from" in run("--import-db", str(filled.parent), "--kb-name", "copy", "--dry-run")[1]
    assert not (home / "knowledge_base" / "copy").exists()
    code, output = run("--import-db", str(filled.parent), "--kb-name", "copy", "--increment", "--check")
    assert code == 0
    assert "copy: imported, 5 files" in output
    assert "copy: sound" in output
    code, output = run("--import-db", str(filled.parent))
    assert code == 1
    assert "there is a library papers already" in output
    code, output = run("--import-db", str(home / "nothing.db"))
    assert code == 1
    assert "there is no" in output


def test_an_unchanged_library_is_brought_up_to_date_without_torch(home: Path, filled: Path):
    script = (
        "import sys, init_database as i; print(i.main(['--increment']), 'torch' in sys.modules, 'sentence_transformers' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout.splitlines()[-1] == "0 False False"


def test_a_server_that_runs_sees_each_change_at_its_next_search(home: Path, filled: Path, run: Run):
    settings = Path(os.environ["PAPERPROOF_SETTINGS"])
    port = next(line.split()[1] for line in settings.read_text().splitlines() if "api_port" in line)
    server = Process(settings, "server.api")
    try:

        def files() -> set[str]:
            body = {"query": "windows of words", "knowledge_base_name": "papers", "top_k": 50, "score_threshold": 4}
            found = httpx2.post(f"http://127.0.0.1:{port}/knowledge_base/search_docs", json=body, timeout=60).json()
            return {passage["metadata"]["source"] for passage in found}

        def answers() -> bool:
            with contextlib.suppress(httpx2.HTTPError):
                return httpx2.get(f"http://127.0.0.1:{port}/docs", timeout=5).status_code == 200
            return False

        server.ready(answers)
        assert files() == {"notes.md", "paper.pdf", "table.csv", "中文.md"}
        (filled / "new.md").write_text("windows of words", encoding="utf-8")
        (filled / "table.csv").unlink()
        assert run("--increment")[0] == 0
        assert files() == {"new.md", "notes.md", "paper.pdf", "中文.md"}
        (filled / "new.md").unlink()
        assert run("--prune-db")[0] == 0
        assert files() == {"notes.md", "paper.pdf", "中文.md"}
        assert run("--clear-tables")[0] == 0
        assert files() == set()
        assert run("--recreate-vs")[0] == 0
        assert files() == {"notes.md", "paper.pdf", "中文.md"}
    finally:
        server.end()
