"""The vLLM worker as far as it goes without a GPU: what it says where vLLM is missing or too new, and what it tells FastChat."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from configs.local_models import LocalModel
from configs.settings import ROOT, Settings
from server import launch
from server.errors import Unavailable
from server.launch import Plan
from server.log_excerpt import reason_in
from server.serving.local_models import Assignment
from server.serving.vllm_worker import check, command_line
from tests.stack import write_settings

missing = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")


@missing
@pytest.mark.stack
def test_without_vllm_the_supervisor_shows_the_way_out(tmp_path: Path) -> None:
    file = write_settings(tmp_path, {"llm": {"default": "m", "local": {"m": {"source": "m", "engine": "vllm"}}}})
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "server.serving.vllm_worker", "m"]
        environment = {"PATH": "/usr/bin:/bin", "PAPERPROOF_SETTINGS": str(file)}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=60)
    assert done.returncode == 1
    said = log.read_text()
    assert said.strip() == (
        f"cannot load m: engine vllm needs the package vllm in the environment of {sys.executable}: there `pip install 'vllm<0.6.2' "
        "fschat[model_worker]`, and name it in llm.local.m.python; or run `vllm serve MODEL` and name it under llm.endpoints with its "
        "base_url"
    )
    assert reason_in(log) == said.strip()[:300]


@pytest.mark.parametrize(("version", "fits"), [("0.4.2", True), ("0.6.1.post2", True), ("0.6.2", False), ("0.11.0+cu128", False)])
def test_a_vllm_that_fastchat_does_not_know_is_refused(version: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    if fits:
        check("m")
        return
    with pytest.raises(Unavailable, match=f"FastChat's worker does not know vLLM {version.replace('+', '.')}"):
        check("m")


@pytest.mark.parametrize(
    ("block", "more"),
    [
        ({}, ["--trust_remote_code"]),  # FastChat's flag turns it off
        ({"trust_remote_code": True}, []),
        ({"gpus": [0, 1], "slots": 64, "context_tokens": 4096}, ["--num-gpus", "2", "--trust_remote_code"]),
    ],
)
def test_fastchats_vllm_worker_is_told(block: dict[str, Any], more: list[str]) -> None:
    model = LocalModel.model_validate({"source": "m", "engine": "vllm", **block})
    said = command_line(Assignment("m", model, 20002, "http://127.0.0.1:20001", ("127.0.0.1",)), Path("/models/m"))
    assert said[:8] == [
        *("--model-path", "/models/m", "--model-names", "m"),
        *("--worker-address", "http://127.0.0.1:20002", "--controller-address", "http://127.0.0.1:20001"),
    ]
    assert said[8:12] == ["--limit-worker-concurrency", str(model.slots), "--max-model-len", str(model.context_tokens)]
    assert said[12:] == more


def test_startup_runs_it_by_the_interpreter_that_the_settings_name() -> None:
    local = {"m": {"source": "m", "engine": "vllm", "python": "/envs/vllm/bin/python"}}
    settings = Settings.model_validate({"llm": {"default": "m", "local": local}})
    plan = Plan(settings, frozenset({"worker"}), ("m",), "http://127.0.0.1:20001")
    with httpx2.Client() as http:
        command = launch.worker(plan, http, "m", 20002).part.command
    assert command[:4] == ("/envs/vllm/bin/python", "-m", "server.serving.vllm_worker", "m")
