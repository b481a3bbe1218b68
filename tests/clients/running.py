"""One whole program for client libraries; in: a folder; out: its doors: an open one, one that wants a key, and the worker's own count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from server import weights
from server.errors import Unavailable
from tests.clients.scripted_endpoint import BUSY, CALLER, FAILING, SLOW, endpoint
from tests.conftest import write_papers
from tests.stack import SMALL_LLM, Process, free_port, served, small_llm, write_settings

LLM = SMALL_LLM
EMBEDDER = "multilingual-e5-small"
LIBRARY = "kb/papers"
ABSENT = "nobody/serves-this"  # in the settings, without a worker
KEY = "a-long-secret-for-clients"
CONTEXT_TOKENS = 1024
SLOTS = 2


@dataclass(frozen=True, slots=True)
class Doors:
    """Addresses up to and including /v1."""

    open: str
    guarded: str
    worker: str

    def busy(self) -> int:
        """Requests that the worker has in work or waiting."""
        return int(httpx2.post(f"{self.worker}/worker_get_status", trust_env=False).json()["queue_length"])


@contextlib.contextmanager
def running(folder: Path, models: Path) -> Iterator[Doors]:
    """Controller, llama.cpp worker, port 7861 with a library of four papers, two gateways, and a scripted online endpoint."""
    model = {"source": str(small_llm()), "engine": "llama_cpp", "context_tokens": CONTEXT_TOKENS, "slots": SLOTS, "parameters_m": 135}
    try:
        weights.fetch(EMBEDDER, models)
    except Unavailable as exc:
        pytest.skip(str(exc))
    with contextlib.ExitStack() as ends:
        ends.enter_context(pytest.MonkeyPatch.context()).setenv("SCRIPTED_KEY", "sk-scripted")
        elsewhere = ends.enter_context(served(endpoint()))
        cloud = {"base_url": f"{elsewhere}/v1", "models": [BUSY, CALLER, FAILING, SLOW], "api_key_env": "SCRIPTED_KEY", "patience_s": 0}
        settings: dict[str, Any] = {
            "paths": {"knowledge_base": str(folder / "kb"), "logs": str(folder / "logs"), "models": str(models)},
            "llm": {"default": LLM, "local": {LLM: model, ABSENT: {"source": "x"}}, "endpoints": {"scripted": cloud}},
            "embedding": {"model": EMBEDDER},
        }
        file = write_settings(folder, settings)
        ports = yaml.safe_load(file.read_text())["server"]
        guarded = folder / "guarded"
        guarded.mkdir()
        locked = write_settings(guarded, {**settings, "server": {**ports, "gateway_port": free_port(), "api_keys": [KEY]}})

        def start(settings: Path, module: str, *arguments: str) -> Process:
            process = Process(settings, module, *arguments)
            ends.callback(process.end, within_s=20.0)
            return process

        at = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        api = start(file, "server.api")
        start(file, "server.serving.controller")
        worker = start(file, "server.serving.worker", LLM)
        gateways = [start(file, "server.serving.gateway"), start(locked, "server.serving.gateway")]
        guarded_at = f"http://127.0.0.1:{yaml.safe_load(locked.read_text())['server']['gateway_port']}"
        doors = Doors(f"{at['gateway_port']}/v1", f"{guarded_at}/v1", at["worker_port"])
        for process, address in zip(gateways, (doors.open, doors.guarded), strict=True):
            process.ready(lambda address=address: _answers(address.replace("/v1", "/health")))
        worker.ready(lambda: LLM in _listed(at["controller_port"]))
        api.ready(lambda: _answers(f"{at['api_port']}/health"))
        _fill(at["api_port"], folder / "papers")
        yield doors


def _fill(api: str, papers: Path) -> None:
    names = write_papers(papers)
    with httpx2.Client(base_url=api, timeout=120.0, trust_env=False) as client:
        made = client.post("/knowledge_base/create_knowledge_base", json={"knowledge_base_name": LIBRARY.removeprefix("kb/")}).json()
        files = [("files", (name, (papers / name).read_bytes())) for name in names]
        given = {"knowledge_base_name": LIBRARY.removeprefix("kb/")}
        stored = client.post("/knowledge_base/upload_docs", data=given, files=files).json()
        assert (made["code"], stored["code"], stored["data"]["failed_files"]) == (200, 200, {})


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False, timeout=2.0).status_code == 200
    except httpx2.HTTPError:
        return False


def _listed(controller: str) -> list[str]:
    try:
        return list(httpx2.post(f"{controller}/list_models", trust_env=False, timeout=2.0).json()["models"])
    except httpx2.HTTPError:
        return []
