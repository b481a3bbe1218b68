"""The command line: exit codes, the table with its reasons, and what each switch does to a library of small papers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configs.settings import ROOT
from server.shelf import Shelf
from tests.conftest import write_papers


@pytest.fixture
def home(tmp_path: Path, tiny_model: Path) -> Path:
    """A folder of libraries with `papers`: four good files and a bad one; settings.yaml beside it names the tiny model."""
    paths = {name: str(tmp_path / name) for name in ("knowledge_base", "models", "logs")}
    embedding = {"model": str(tiny_model), "dtype": "float32", "device": "cpu"}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"paths": paths, "embedding": embedding}), encoding="utf-8")
    content = tmp_path / "knowledge_base" / "papers" / "content"
    write_papers(content)
    (content / "bad.pdf").write_bytes(b"this is no PDF")
    return tmp_path


def run(home: Path, *arguments: str) -> tuple[int, str]:
    """(exit code, what it printed)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAPERPROOF_")}
    ended = subprocess.run(
        [sys.executable, "init_database.py", *arguments],
        cwd=ROOT,
        env=environment | {"PAPERPROOF_SETTINGS": str(home / "settings.yaml")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout + ended.stderr


def numbers(output: str, row: str = "papers") -> dict[str, int]:
    """The counts that the closing table has for a library."""
    names, values = (line.split() for line in output.splitlines() if re.match(rf"(library|{row}) +([a-z-]+ +)?[a-z0-9]+ +\w+ ", line))
    return {name: int(value) for name, value in zip(names[:1:-1], values[::-1], strict=False) if name != "seconds"}


def state(home: Path) -> tuple[int, int, int]:
    shelf = Shelf(home / "knowledge_base")
    try:
        return shelf.open("papers").catalog.counts()
    finally:
        shelf.close()


def test_a_library_grows_and_shrinks_with_its_folder(home: Path):
    code, output = run(home, "--increment")
    assert code == 1  # one file failed, and the table says why
    assert re.search(r"FAILED papers/bad\.pdf: .{10,}", output)
    assert numbers(output) == {"files": 5, "read": 4, "unchanged": 0, "removed": 0, "failed": 1, "pages": 4, "chunks": state(home)[1]}
    assert state(home)[0] == 4

    code, output = run(home, "-i", "-n", "papers")
    assert (code, numbers(output)["unchanged"], numbers(output)["read"]) == (1, 5, 0)
    assert "FAILED papers/bad.pdf" in output  # it is still bad, and still said

    content = home / "knowledge_base" / "papers" / "content"
    (content / "bad.pdf").unlink()
    (content / "notes.md").write_text("changed", encoding="utf-8")
    code, output = run(home, "--increment")
    assert code == 0
    assert {"files": 4, "read": 1, "unchanged": 3, "removed": 1, "failed": 0}.items() <= numbers(output).items()

    code, output = run(home, "--recreate-vs", "--kb-name", "papers")
    assert code == 0
    assert {"files": 4, "read": 4, "unchanged": 0}.items() <= numbers(output).items()


def test_a_new_file_beside_an_old_bad_one_is_counted_as_read(home: Path):
    run(home, "--increment")
    (home / "knowledge_base" / "papers" / "content" / "new.md").write_text("new words", encoding="utf-8")
    _, output = run(home, "--increment")
    assert {"files": 6, "read": 1, "unchanged": 5, "failed": 1}.items() <= numbers(output).items()


def test_create_tables_makes_the_missing_libraries_and_reads_nothing(home: Path):
    code, output = run(home, "--create-tables", "--kb-name", "papers", "新的")
    assert code == 0
    assert "papers: ready, 5 files under" in output
    assert "新的: no folder" in output
    assert Shelf(home / "knowledge_base").names() == ["papers", "新的"]
    assert state(home) == (0, 0, 0)


def test_without_a_switch_it_explains_itself_and_a_wrong_setting_is_named(home: Path):
    code, output = run(home)
    assert code == 2
    assert "python init_database.py --increment --kb-name NAME" in " ".join(output.split())
    (home / "settings.yaml").write_text("embeding: {model: x}", encoding="utf-8")
    code, output = run(home, "--increment")
    assert code == 2
    assert "unknown setting embeding" in output
    assert "did you mean embedding?" in output


def test_another_model_an_unknown_one_and_a_bad_name_fail_with_their_reasons(home: Path, tiny_model: Path, tmp_path: Path):
    assert run(home, "--increment")[0] == 1
    other = tmp_path / "other-e5"
    other.symlink_to(tiny_model)
    code, output = run(home, "--increment", "--embed-model", str(other))
    assert code == 1
    assert "was built with tiny-e5 (32 dimensions), not other-e5 (32)" in output
    code, output = run(home, "--increment", "--embed-model", "no-such-model")
    assert code == 1
    assert "no model at 'no-such-model'" in output
    code, output = run(home, "--create-tables", "--kb-name", "../evil")
    assert code == 1
    assert "'../evil' cannot name a library" in output
    assert not (home / "evil").exists()
    code, output = run(home, "--increment", "--kb-name", "paper")
    assert code == 1
    assert "there is no library 'paper'" in output
    assert not (home / "knowledge_base" / "paper").exists()


def test_an_empty_home_says_how_to_begin(home: Path, tmp_path: Path):
    empty = {"paths": {"knowledge_base": str(tmp_path / "none")}}
    (home / "settings.yaml").write_text(yaml.safe_dump(empty), encoding="utf-8")
    code, output = run(home, "--increment")
    assert code == 1
    assert f"mkdir -p {tmp_path / 'none'}/NAME/content" in output


def test_recreating_mends_a_damaged_library(home: Path):
    run(home, "--increment")
    library = home / "knowledge_base" / "papers"
    for path in library.glob("library.db*"):
        path.write_bytes(b"damaged")
    code, output = run(home, "--increment")
    assert code == 1
    assert "--recreate-vs" in output
    code, output = run(home, "--recreate-vs")
    assert numbers(output)["read"] == 4
    assert state(home)[0] == 4
