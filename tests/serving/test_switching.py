"""Models started, stopped and changed by port 7861 while the whole program runs, and asked through port 20000."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from configs.settings import ROOT
from tests.stack import small_llm, until, write_settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


class Program:
    """startup.py with two names for the embedded model, a torn file and a missing one."""

    def __init__(self, folder: Path, weights: Path, embedding: Path) -> None:
        (folder / "torn.gguf").write_bytes(weights.read_bytes()[: 20 << 20])
        small = {"engine": "llama_cpp", "context_tokens": 2048, "slots": 1}
        sources = {"one": weights, "two": weights, "torn": folder / "torn.gguf", "missing": folder / "missing.gguf"}
        local = {name: {**small, "source": str(source)} for name, source in sources.items()}
        self.settings = write_settings(
            folder, {"llm": {"default": "one", "local": local}, "embedding": {"model": str(embedding), "device": "cpu"}}
        )
        self.ports = yaml.safe_load(self.settings.read_text())["server"]
        self.said = folder / "said.txt"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PAPERPROOF_")}
        with self.said.open("wb") as out:
            command = [sys.executable, "startup.py", "--all-api", "-n", "one", "torn"]
            environment = {**clean, "PAPERPROOF_SETTINGS": str(self.settings), "PYTHONIOENCODING": "utf-8"}
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
        self.api = httpx2.Client(base_url=f"http://127.0.0.1:{self.ports['api_port']}", timeout=120.0, trust_env=False)
        self.openai = httpx2.Client(base_url=f"http://127.0.0.1:{self.ports['gateway_port']}/v1", timeout=120.0, trust_env=False)

    def listed(self) -> list[str]:
        with contextlib.suppress(httpx2.HTTPError):
            return [entry["id"] for entry in self.openai.get("/models").json()["data"] if entry["owned_by"] == "local"]
        return []

    def api_is_up(self) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return self.api.get("/health").status_code == 200
        return False

    def says(self, model: str) -> httpx2.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Say hi"}], "max_tokens": 4}
        return self.openai.post("/chat/completions", json=body)

    def old(self, route: str, **body: Any) -> Any:
        answer = self.api.post(f"/llm_model/{route}", json=body)
        assert answer.status_code == 200
        return answer.json()

    def state(self, name: str) -> dict[str, Any]:
        return next(state for state in self.api.get("/api/v1/llms").json()["local"] if state["name"] == name)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("switching"), small_llm(), tiny_model)
    try:
        until(lambda: program.listed() == ["one"] and program.api_is_up(), "one is served, and the API runs", 120.0)
        yield program
        program.process.send_signal(signal.SIGINT)
        program.process.wait(15)
    finally:
        program.api.close()
        program.openai.close()
        program.process.kill()
        program.process.wait()


def test_models_are_changed_and_each_is_asked_by_its_name(program: Program) -> None:
    assert program.says("one").status_code == 200
    changed = program.old("change", model_name="one", new_model_name="two")
    assert changed["code"] == 200, changed
    assert program.says("two").status_code == 200
    gone = program.says("one")
    assert gone.status_code == 503
    assert "no worker serves one right now" in gone.json()["error"]["message"]
    assert list(program.old("list_running_models")["data"]) == ["two"]
    assert program.old("change", model_name="two", new_model_name="one")["code"] == 200
    assert program.says("one").status_code == 200


def test_two_run_at_once_on_ports_of_their_own(program: Program) -> None:
    assert program.api.post("/api/v1/llms/two/start").status_code == 204
    assert sorted(program.old("list_running_models")["data"]) == ["one", "two"]
    assert program.state("one")["address"] != program.state("two")["address"]
    assert 100 < program.state("two")["memory_mib"] < 2000
    assert program.says("one").status_code == program.says("two").status_code == 200
    assert program.old("stop", model_name="two")["code"] == 200
    assert program.state("two")["state"] == "stopped"


@pytest.mark.parametrize(("name", "words"), [("torn", "it must be a whole GGUF file"), ("missing", "no model at")])
def test_a_model_that_does_not_load_says_why_and_the_one_before_is_back(program: Program, name: str, words: str) -> None:
    failed = program.old("change", model_name="one", new_model_name=name)
    assert failed["code"] == 500
    assert words in failed["msg"]
    assert program.says("one").status_code == 200


def test_a_model_of_the_command_line_that_does_not_load_leaves_the_rest(program: Program) -> None:
    until(lambda: program.state("torn")["state"] in ("failed", "stopped"), "torn is given up", 60.0)
    assert "✗ worker torn: exited with code 1: llama.cpp cannot load" in program.said.read_text(encoding="utf-8")
    assert program.says("one").status_code == 200
