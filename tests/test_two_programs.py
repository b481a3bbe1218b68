"""Two programs at the same library at once: each does its part or says why not, and the library is sound afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs.settings import ROOT
from init_database import main
from server.checking import check
from server.shelf import Shelf
from tests.conftest import write_papers
from tests.stack import free_port, write_settings

NOTES = 12


@pytest.fixture
def home(tmp_path: Path, tiny_model: Path) -> Path:
    """Settings with the tiny model, and the content of `papers`, not read yet."""
    write_settings(
        tmp_path, {"embedding": {"model": str(tiny_model), "dtype": "float32", "device": "cpu"}, "server": {"api_port": free_port()}}
    )
    content = tmp_path / "knowledge_base" / "papers" / "content"
    write_papers(content)
    for number in range(NOTES):
        (content / f"note{number}.md").write_text(f"# Note {number}\n\n" + "words of a note " * 60, encoding="utf-8")
    return tmp_path


def started(home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAPERPROOF_")}
    return subprocess.Popen(
        [sys.executable, "init_database.py", *arguments],
        cwd=ROOT,
        env=environment | {"PAPERPROOF_SETTINGS": str(home / "settings.yaml")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ends(*programs: subprocess.Popen[str]) -> list[tuple[int, str]]:
    return [(program.wait(), output) for program in programs for output in [program.communicate(timeout=200)[0]]]


def findings(home: Path) -> list[str]:
    with contextlib.closing(Shelf(home / "knowledge_base")) as shelf:
        kb = shelf.open("papers")
        assert kb.catalog.counts()[0] == len(kb.names()) == NOTES + 4
        return [finding.what for finding in check(kb)]


def test_two_increments_at_once_read_every_file_once(home: Path):
    both = ends(started(home, "--increment"), started(home, "--increment"))
    assert [code for code, _ in both] == [0, 0], both
    tables = [line.split() for _, output in both for line in output.splitlines() if line.startswith("papers ")]
    assert sum(int(row[3]) for row in tables) == NOTES + 4  # read; the other run found them unchanged
    assert findings(home) == []


def test_two_rebuilds_at_once_leave_a_sound_library(home: Path, monkeypatch: pytest.MonkeyPatch):
    both = ends(started(home, "--recreate-vs"), started(home, "--recreate-vs"))
    assert all("Traceback" not in output for _, output in both), both
    for name in [name for name in os.environ if name.startswith("PAPERPROOF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAPERPROOF_SETTINGS", str(home / "settings.yaml"))
    assert main(["--increment"]) == 0
    assert findings(home) == []
