"""Requests that are made to hurt, at every port, with the real processes: bounded time and memory, an answer in words, and life goes on."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import psutil
import pytest
import yaml

from tests.serving import tiny_models
from tests.stack import Process, write_settings

pytestmark = pytest.mark.stack

MIB = 1 << 20
CPU_S = 6.0  # for 8 to 100 MiB, on a busy machine; the holes that were published took minutes, or never ended
PORTS = ("controller", "worker", "gateway", "api")
HEALTH = {"controller": "list_models", "worker": "worker_get_status", "gateway": "health", "api": "health"}
DOORS = [  # a route of each port that reads a body
    ("controller", "register_worker"),
    ("worker", "worker_generate_stream"),
    ("worker", "worker_get_embeddings"),
    ("gateway", "v1/chat/completions"),
    ("gateway", "v1/embeddings"),
    ("api", "knowledge_base/upload_docs"),
    ("api", "chat/chat"),
]


@dataclass
class Door:
    """A running process and its port."""

    process: psutil.Process
    port: int
    health: str

    @property
    def at(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def alive(self) -> bool:
        ask = httpx2.get if self.health == "health" else httpx2.post
        with contextlib.suppress(httpx2.TransportError):
            return ask(f"{self.at}/{self.health}", trust_env=False, timeout=5.0).status_code == 200
        return False

    @contextlib.contextmanager
    def bounded(self, memory_mib: int) -> Iterator[None]:
        """The process must be well afterwards, and have taken little."""
        times, memory = self.process.cpu_times(), self.process.memory_info().rss
        yield
        after = self.process.cpu_times()
        assert after.user + after.system - times.user - times.system < CPU_S
        assert self.process.memory_info().rss - memory < memory_mib * MIB
        assert self.alive()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Door]]:
    folder = tmp_path_factory.mktemp("doors")
    local = {"m": {"source": str(tiny_models.write(folder / "tiny")), "device": "cpu"}}
    file = write_settings(folder, {"llm": {"default": "m", "local": local}, "embedding": {"model": str(folder / "none")}})
    ports = yaml.safe_load(file.read_text())["server"]
    modules = {"controller": ("server.serving.controller",), "worker": ("server.serving.transformers_worker", "m")}
    modules |= {"gateway": ("server.serving.gateway",), "api": ("server.api",)}
    with contextlib.ExitStack() as ends:
        made = {}
        for name in PORTS:
            process = Process(file, *modules[name])
            ends.callback(process.end)
            made[name] = Door(psutil.Process(process.pid), ports[f"{name}_port"], HEALTH[name])
            process.ready(made[name].alive)
        yield made


def post(url: str, **more: Any) -> httpx2.Response:
    return httpx2.post(url, trust_env=False, timeout=60.0, **more)


@pytest.mark.parametrize(("name", "route"), DOORS)
@pytest.mark.parametrize(
    "body",
    [
        b"--b" + b"-" * 8 * MIB,
        b"\r\n--b" * MIB,
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nx\r\n--b--' + b"-\r\n" * (2 * MIB),
        b"--b\r\n" + b"a: b\r\n" * MIB,
    ],
    ids=["a boundary without an end", "boundaries only", "dashes behind the last boundary", "headers without an end"],
)
def test_a_boundary_without_an_end_costs_little(doors: dict[str, Door], name: str, route: str, body: bytes) -> None:
    door = doors[name]
    with door.bounded(memory_mib=96):
        answer = post(f"{door.at}/{route}", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
        assert answer.status_code in (400, 413, 422)
        assert len(answer.content) < (len(body) * 2 if answer.status_code == 422 else 10_000)  # FastAPI repeats what it refuses


@pytest.mark.parametrize(("name", "route"), DOORS)
def test_100_mib_are_refused(doors: dict[str, Door], name: str, route: str) -> None:
    door = doors[name]
    with door.bounded(memory_mib=96):
        answer = post(f"{door.at}/{route}", content=b"x" * 100 * MIB, headers={"content-type": "application/json"})
        assert answer.status_code == 413


@pytest.mark.parametrize("name", PORTS)
def test_a_header_without_an_end_is_refused(doors: dict[str, Door], name: str) -> None:
    door = doors[name]
    with door.bounded(memory_mib=16), socket.create_connection(("127.0.0.1", door.port), timeout=10.0) as line:
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
            for _ in range(20):
                line.sendall(b"x" * MIB)
            assert line.recv(100).startswith(b"HTTP/1.1 400")
        assert time.monotonic() - started < 10.0


@pytest.mark.parametrize("route", ["v1/chat/completions", "v1/completions", "v1/embeddings"])
def test_a_name_of_megabytes_is_not_repeated(doors: dict[str, Door], route: str) -> None:
    body = {"model": "m" * 5 * MIB, "messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x"}
    with doors["gateway"].bounded(memory_mib=96):
        answer = post(f"{doors['gateway'].at}/{route}", json=body)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, f"`model` has {5 * MIB} characters; names have at most 300")


def test_a_worker_survives_what_is_no_request(doors: dict[str, Door]) -> None:
    door = doors["worker"]
    with door.bounded(memory_mib=64):
        for route in ("worker_generate_stream", "worker_generate", "worker_get_embeddings", "count_token"):
            for body in (
                b"",
                b"[]",
                b"{",
                b'{"prompt": 1}',
                b'{"prompt": "x", "max_new_tokens": 1, "model": "' + b"m" * MIB + b'"}',
                b"[" * 100_000,
            ):
                answer = post(f"{door.at}/{route}", content=body)
                assert answer.status_code in (200, 400)
                assert len(answer.content) < 10_000
        assert post(f"{door.at}/worker_get_status").json()["queue_length"] == 0


@pytest.mark.parametrize("name", ["controller", "worker"])
@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"host": "127.0.0.1.evil.example"}])
def test_a_page_cannot_reach_controller_and_worker_through_a_browser(doors: dict[str, Door], name: str, headers: dict[str, str]) -> None:
    assert post(f"{doors[name].at}/{doors[name].health}", headers=headers).status_code == 403
