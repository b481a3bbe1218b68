"""Workers that die or hang while they have requests: real processes behind FastChat's own controller and port 20000."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
import yaml

from server.serving.workers import ALONE_PATIENCE_S, STREAM_PATIENCE_S
from tests.stack import Process, free_port, until, write_settings

ASK = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
SLACK_S = 3.0  # two seconds on an idle machine


class Stack:
    """Controller, gateway, and as many scripted workers as a test starts."""

    def __init__(self, folder: Path) -> None:
        self.settings = write_settings(folder, {"llm": {"default": "small", "local": {"small": {"source": "x"}}}})
        ports = yaml.safe_load(self.settings.read_text())["server"]
        self.controller_url = f"http://127.0.0.1:{ports['controller_port']}"
        self.controller = Process(self.settings, "server.serving.controller")
        self.gateway = Process(self.settings, "server.serving.gateway")
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{ports['gateway_port']}", timeout=60.0, trust_env=False)
        self.workers: list[Process] = []
        self.controller.ready(lambda: self._answers(f"{self.controller_url}/list_models"))
        self.gateway.ready(lambda: self._answers(str(self.client.base_url.join("/v1/models"))))

    def worker(self, before_s: float = 0.0, pieces: int = 1, every_s: float = 0.0) -> Process:
        port = free_port()
        process = Process(self.settings, "tests.serving.slow_worker", str(port), str(before_s), str(pieces), str(every_s))
        self.workers.append(process)
        address = f"http://127.0.0.1:{port}"
        process.ready(lambda: self._answers(f"{address}/worker_get_status"))
        status = {"model_names": ["small"], "speed": 1, "queue_length": 0}
        body = {"worker_name": address, "check_heart_beat": False, "worker_status": status}
        assert httpx2.post(f"{self.controller_url}/register_worker", json=body).status_code == 200
        return process

    def ask(self) -> str:
        answer = self.client.post("/v1/chat/completions", json=ASK)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def owner(self) -> Process:
        """The worker that has a request in work."""
        busy: list[Process] = []

        def found() -> bool:
            busy[:] = [worker for worker in self.workers if not worker.ended and self._queue(worker)]
            return bool(busy)

        until(found, "a worker has the request", 10.0)
        return busy[0]

    @staticmethod
    def _queue(worker: Process) -> int:
        port = Path(f"/proc/{worker.pid}/cmdline").read_bytes().split(b"\0")[3].decode()
        return int(httpx2.post(f"http://127.0.0.1:{port}/worker_get_status").json()["queue_length"])

    @staticmethod
    def _answers(url: str) -> bool:
        try:
            return httpx2.request("GET" if url.endswith("/v1/models") else "POST", url, timeout=2.0).status_code == 200
        except httpx2.HTTPError:
            return False

    def end(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            worker.end(signal.SIGKILL)
        self.client.close()
        self.gateway.end(within_s=20.0)
        self.controller.end(within_s=20.0)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    yield stack
    stack.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_request_without_a_word_yet_goes_on_at_another_worker(stack: Stack, number: int) -> None:
    stack.worker(before_s=1.5)
    stack.worker(before_s=1.5)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(stack.ask)
        lost = stack.owner()
        os.kill(lost.pid, number)
        began = time.monotonic()
        text = asked.result(30)
        assert time.monotonic() - began < 1.5 + SLACK_S
    (other,) = [worker for worker in stack.workers if worker is not lost]
    assert text == str(other.pid)


@pytest.mark.parametrize(("number", "within_s"), [(signal.SIGKILL, 0.0), (signal.SIGSTOP, STREAM_PATIENCE_S)])
def test_a_stream_that_has_begun_ends_with_an_error_and_the_next_request_is_right(stack: Stack, number: int, within_s: float) -> None:
    lost = stack.worker(pieces=1000, every_s=0.05)
    with stack.client.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as stream:
        lines = stream.iter_lines()
        first = json.loads(next(line for line in lines if line).removeprefix("data: "))
        assert first["choices"][0]["delta"]["content"] == str(lost.pid)
        os.kill(lost.pid, number)
        began = time.monotonic()
        other = stack.worker()
        events = [line.removeprefix("data: ") for line in lines if line]
        assert time.monotonic() - began < within_s + SLACK_S + 5.0  # the other worker takes some of it to start
    assert json.loads(events[-2])["error"]["code"] == "backend_error"
    assert events[-1] == "[DONE]"
    began = time.monotonic()
    assert stack.ask() == str(other.pid)
    assert time.monotonic() - began < SLACK_S


def test_the_only_worker_is_waited_for_while_it_is_silent_for_a_moment(stack: Stack) -> None:
    worker = stack.worker(before_s=0.5)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(stack.ask)
        assert stack.owner() is worker
        os.kill(worker.pid, signal.SIGSTOP)
        began = time.monotonic()
        until(lambda: "is silent" in stack.gateway.log.read_text(), "the silence is noticed", 10.0)
        assert time.monotonic() - began < SLACK_S
        assert not asked.done()
        os.kill(worker.pid, signal.SIGCONT)
        assert asked.result(ALONE_PATIENCE_S) == str(worker.pid)
