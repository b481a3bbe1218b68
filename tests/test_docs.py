"""The README and the example settings say what is there."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from configs.settings import ROOT, Endpoint, LocalModel, Settings

COMMANDS = ("pip install -r requirements.txt && python startup.py -a", "pip install -r requirements-dev.txt && pytest")


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_names_both_commands(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    assert all(command in text for command in COMMANDS)


def test_the_readme_has_a_line_for_every_file_with_that_files_own_words() -> None:
    listed = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M))
    shown = {"server/readers/__init__.py", "server/splitting/__init__.py", "server/stores/__init__.py", "startup.py", "init_database.py"}
    for folder in ("configs", "server", "webui", "benchmarks"):
        shown |= {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*.py") if p.name != "__init__.py"}
    assert set(listed) == shown
    for name, words in listed.items():
        first = (ast.get_docstring(ast.parse((ROOT / name).read_text(encoding="utf-8"))) or "").splitlines()[0]
        assert words == first.rstrip().replace("|", "/"), name


def test_every_link_inside_the_readme_leads_somewhere() -> None:
    for readme in ("README.md", "README.zh.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", (ROOT / readme).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), target


def test_the_example_settings_hold_every_key_and_no_other() -> None:
    example = yaml.safe_load((ROOT / "configs" / "settings.example.yaml").read_text(encoding="utf-8"))
    assert set(example) == set(Settings.model_fields)
    for block, field in Settings.model_fields.items():
        if block != "profile":
            assert set(example[block]) == set(field.annotation.model_fields), block  # type: ignore[union-attr]
    assert set(example["llm"]["local"]["smollm2-135m-instruct"]) == set(LocalModel.model_fields)
    assert set(example["llm"]["endpoints"]["openai"]) == set(Endpoint.model_fields)
    Settings.model_validate(example)


def test_every_requirement_is_pinned_and_says_what_it_is_for() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                requirement, _, reason = line.partition("#")
                assert "==" in requirement or "<" in requirement, line
                assert reason.strip() or name == "requirements-dev.txt", line


def test_nothing_that_a_user_makes_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")
    if tracked == [""]:
        pytest.skip("not a git checkout")
    wrong = [
        f for f in tracked if Path(f).suffix in (".db", ".faiss", ".gguf", ".safetensors", ".log") or Path(f).name in (".env", "kb.json")
    ]
    assert wrong == []
