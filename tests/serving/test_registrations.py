"""What FastChat's controller may be told: the real one, on loopback; every case is one that it believes as it is delivered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml

from server.errors import Forbidden, Invalid
from server.serving.registrations import check_worker
from tests.stack import Process, free_port, write_settings

STATUS = {"model_names": ["m"], "speed": 1, "queue_length": 0}
MIB = 1 << 20


class Controller:
    """A running controller, and how to tell it things."""

    def __init__(self, folder: Path) -> None:
        file = write_settings(folder, {})
        self.at = f"http://127.0.0.1:{yaml.safe_load(file.read_text())['server']['controller_port']}"
        self.process = Process(file, "server.serving.controller")
        self.process.ready(self.answers)

    def answers(self) -> bool:
        try:
            return self.tell("list_models").status_code == 200
        except httpx2.TransportError:
            return False

    def tell(self, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return httpx2.post(f"{self.at}/{path}", json=body or {}, trust_env=False, timeout=10.0, **more)

    def register(self, worker: object, status: object = STATUS) -> httpx2.Response:
        return self.tell("register_worker", {"worker_name": worker, "check_heart_beat": True, "worker_status": status})

    @property
    def models(self) -> list[str]:
        return list(self.tell("list_models").json()["models"])


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    running = Controller(tmp_path_factory.mktemp("controller"))
    yield running
    running.process.end()


class Elsewhere:
    """A server that counts what it is asked, and answers with a redirect when `to` is set."""

    def __init__(self, to: str = "") -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append(self.path)
                self.send_response(307 if to else 200)
                if to:
                    self.send_header("location", to)
                body = json.dumps(STATUS).encode()
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *words: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.at = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.mark.stack
@pytest.mark.parametrize("status", [STATUS, None])
@pytest.mark.parametrize(
    "worker",
    ["http://192.168.7.20:20002", "http://169.254.169.254:80", "http://example.com:80", "http://0.0.0.0:22", "http://[fe80::1]:80"],
)
def test_a_worker_from_elsewhere_is_refused_with_403_and_words(controller: Controller, worker: str, status: Any) -> None:
    answer = controller.register(worker, status)
    assert answer.status_code == 403
    assert "workers run on this machine or in server.worker_networks, none named" in answer.json()["error"]["message"]
    assert controller.models == []


@pytest.mark.stack
@pytest.mark.parametrize(
    "worker",
    [
        "http://127.0.0.1:7861/knowledge_base/delete_knowledge_base?",
        "http://127.0.0.1:80#",
        "http://user@127.0.0.1:80",
        "http://127.0.0.1:80@evil.example:80",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379",
        "https://127.0.0.1:443",
        "http://127.0.0.1",
        "http://127.0.0.1:99999",
        "",
        7,
        None,
        ["http://127.0.0.1:1"],
        "http://127.0.0.1:80/" + "x" * MIB,
    ],
)
def test_what_is_no_workers_address_is_400(controller: Controller, worker: object) -> None:
    for path in ("register_worker", "receive_heart_beat"):
        answer = controller.tell(path, {"worker_name": worker, "check_heart_beat": True, "worker_status": STATUS, "queue_length": 0})
        assert answer.status_code in (400, 413), path
        assert len(answer.content) < 1000
    assert controller.models == []


@pytest.mark.stack
@pytest.mark.parametrize(
    "status",
    [
        {**STATUS, "model_names": ["x" * 301]},
        {**STATUS, "model_names": [{}]},
        {**STATUS, "model_names": []},
        {**STATUS, "model_names": ["m"] * 101},
        {**STATUS, "speed": 0},
        {**STATUS, "queue_length": "many"},
        {"model_names": ["m"]},
        [],
        "x",
    ],
)
def test_a_status_that_would_break_the_list_is_400(controller: Controller, status: object) -> None:
    assert controller.register("http://127.0.0.1:20002", status).status_code == 400
    assert controller.models == []


@pytest.mark.stack
def test_a_redirect_leads_the_controller_nowhere(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    try:
        with Elsewhere() as secret, Elsewhere(to=f"{secret.at}/secret") as worker:
            controller.register(worker.at, None)
            assert controller.register(worker.at).status_code == 200
            assert controller.models == ["m"]
            controller.tell("refresh_all_workers")
            assert controller.models == []
            controller.register(worker.at)
            controller.tell("worker_get_status")
            assert worker.asked.count("/worker_get_status") == 3
            assert secret.asked == []
    finally:
        controller.process.end()


@pytest.mark.stack
def test_a_worker_of_this_machine_is_believed(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    try:
        with Elsewhere() as worker:
            for name in (worker.at, worker.at.replace("127.0.0.1", "localhost")):
                assert controller.register(name, None).status_code == 200
            assert controller.models == ["m"]
            assert controller.tell("receive_heart_beat", {"worker_name": worker.at, "queue_length": 1}).json() == {"exist": True}
            unknown = {"worker_name": f"http://127.0.0.1:{free_port()}", "queue_length": 1}
            assert controller.tell("receive_heart_beat", unknown).json() == {"exist": False}
    finally:
        controller.process.end()


@pytest.mark.stack
def test_100_mib_and_what_is_no_json_are_refused_without_taking_memory(controller: Controller) -> None:
    process = psutil.Process(controller.process.pid)
    before = process.memory_info().rss
    for path in ("register_worker", "receive_heart_beat", "get_worker_address"):
        answer = httpx2.post(f"{controller.at}/{path}", content=b"x" * 100 * MIB, trust_env=False, timeout=30.0)
        assert answer.status_code == 413
        endless = (b"x" * MIB for _ in range(100))  # no content-length
        assert httpx2.post(f"{controller.at}/{path}", content=endless, trust_env=False, timeout=30.0).status_code == 413
    for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000):
        assert httpx2.post(f"{controller.at}/register_worker", content=body, trust_env=False).status_code == 400
    assert process.memory_info().rss - before < 32 * MIB


@pytest.mark.parametrize(
    ("worker", "sender", "error"),
    [
        ("http://10.1.0.7:20002", "10.1.0.7", None),
        ("http://10.1.0.7:20002", "::ffff:10.1.0.7", None),
        ("http://[fd12::7]:20002", "fd12::7", None),
        ("http://127.0.0.1:20002", "127.0.0.1", None),
        ("http://localhost:20002/", "::1", None),
        ("http://10.1.0.7:20002", "", None),  # a heartbeat, which the gateway also sends
        ("http://10.1.0.8:20002", "10.1.0.7", Forbidden),  # somebody else's address
        ("http://127.0.0.1:7861", "10.1.0.7", Forbidden),  # our own servers
        ("http://10.2.0.7:20002", "10.2.0.7", Forbidden),
        ("http://8.8.8.8:80", "10.1.0.7", Forbidden),
        ("http://lab:20002", "10.1.0.7", Forbidden),
        ("http://10.1.0.7:20002/x", "10.1.0.7", Invalid),
        ("http://10.1.0.7:20002?x", "10.1.0.7", Invalid),
    ],
)
def test_a_machine_of_a_named_network_brings_workers_at_its_own_address_only(worker: str, sender: str, error: Any) -> None:
    networks = ("10.1.0.0/16", "fd12::/16")
    if error is None:
        check_worker(worker, sender, networks)
        return
    with pytest.raises(error):
        check_worker(worker, sender, networks)
