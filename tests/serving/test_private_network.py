"""Workers on machines of a private network: who may ask whom, and a whole run with addresses of their own in a network namespace."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from configs.settings import ROOT
from server.errors import Invalid
from server.serving.private_network import controller_hosts, guarded, inside, may_ask, worker_hosts
from tests.serving import tiny_models
from tests.stack import write_settings


@pytest.mark.parametrize(
    ("host", "networks", "holds"),
    [
        ("192.168.7.20", ("192.168.7.0/24",), True),
        ("192.168.8.20", ("192.168.7.0/24",), False),
        ("192.168.8.20", ("192.168.7.0/24", "192.168.8.20/32"), True),
        ("::ffff:192.168.7.20", ("192.168.7.0/24",), True),
        ("[fd12::1]", ("fd12::/16",), True),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("192.168.7.20", (), False),
        ("lab", ("192.168.7.0/24",), False),
        ("192.168.7.20.evil.example", ("192.168.7.0/24",), False),
        ("", ("192.168.7.0/24",), False),
    ],
)
def test_only_addresses_lie_inside(host: str, networks: tuple[str, ...], holds: bool) -> None:
    assert inside(host, networks) is holds


def test_without_networks_everything_stays_on_loopback() -> None:
    assert controller_hosts(()) == ("127.0.0.1",)
    assert worker_hosts("http://127.0.0.1:20001", ()) == ("127.0.0.1",)
    assert worker_hosts("http://localhost:20001", ("10.0.0.0/8",)) == ("127.0.0.1",)
    assert may_ask("127.0.0.1", ()) and may_ask("::1", ()) and may_ask("::ffff:127.0.0.1", ())  # noqa: PT018 - one statement
    assert not may_ask("10.0.0.1", ())


def test_a_network_without_an_address_here_is_said() -> None:
    with pytest.raises(Invalid, match=r"names 10\.255\.254\.0/30, where this machine has no address; it has .*127\.0\.0\.1"):
        controller_hosts(("10.255.254.0/30",))


@pytest.mark.parametrize("controller", ["http://10.9.0.1:20001", "http://lab:20001", "http://8.8.8.8:20001"])
def test_a_controller_outside_of_the_networks_is_refused(controller: str) -> None:
    with pytest.raises(Invalid, match=r"lies in none of server\.worker_networks"):
        worker_hosts(controller, ("192.168.7.0/24",))


@pytest.mark.parametrize(
    ("peer", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:20001", 200),
        ("10.1.0.9", "10.1.0.1:20001", 200),
        ("10.2.0.9", "10.1.0.1:20001", 403),
        ("8.8.8.8", "10.1.0.1:20001", 403),
        ("10.1.0.9", "evil.example:20001", 403),
    ],
)
def test_the_guard_knows_its_peers(peer: str, host: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def ask() -> int:
        guard = guarded(app, ("127.0.0.1", "10.1.0.1"), ("10.1.0.0/16",), body_limit_mib=1)
        transport = httpx2.ASGITransport(guard, client=(peer, 1))  # type: ignore[arg-type]  # an ASGI app
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            answer = await client.post("/x")
            if status == 403 and peer != "10.1.0.9":
                assert f"{peer} may not ask here, only this machine and 10.1.0.0/16" in answer.json()["error"]["message"]
            return int(answer.status_code)

    assert asyncio.run(ask()) == status


# Runs inside a network namespace whose loopback also has the addresses of a controller (10.77.0.1), a worker (10.77.0.2), another machine
# of their network (10.77.0.3) and a stranger (10.78.0.1). A client's address is the one that it binds to.
INSIDE = """
import json, subprocess, sys, time
import httpx2
settings, worker_settings, gateway = sys.argv[1:4]
def ask(url, sender, body=None, wait_s=0.0, method="POST"):
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with httpx2.Client(transport=httpx2.HTTPTransport(local_address=sender), timeout=30.0) as client:
                answer = client.request(method, url, json=body or {})
            if answer.status_code < 500 or time.monotonic() > deadline:
                return answer
        except httpx2.TransportError as exc:
            if time.monotonic() > deadline:
                return exc
        time.sleep(0.1)
def run(module, file, *words):
    env = {"PATH": "/usr/bin:/bin", "PAPERPROOF_SETTINGS": file, "HOME": "/nonexistent"}
    return subprocess.Popen([sys.executable, "-m", f"server.serving.{module}", *words], env=env)
def status(answer): return getattr(answer, "status_code", None)
said, at, worker = {}, "http://10.77.0.1:20001", "http://10.77.0.2:20002"
parts = [run("controller", settings), run("gateway", settings), run("transformers_worker", worker_settings, "m")]
try:
    ask(f"{at}/list_models", "10.77.0.1", wait_s=30)
    deadline = time.monotonic() + 60
    while ask(f"{at}/list_models", "10.77.0.1").json()["models"] != ["m"] and time.monotonic() < deadline:
        time.sleep(0.2)
    said["models"] = ask(f"{at}/list_models", "10.77.0.3").json()["models"]
    said["address"] = ask(f"{at}/get_worker_address", "127.0.0.1", {"model": "m"}).json()["address"]
    said["controller"] = {sender: status(ask(f"{at}/list_models", sender)) for sender in ("10.77.0.1", "10.77.0.3", "10.78.0.1")}
    said["worker"] = {sender: status(ask(f"{worker}/worker_get_status", sender)) for sender in ("10.77.0.1", "10.77.0.3", "10.78.0.1")}
    said["worker on loopback"] = status(ask("http://127.0.0.1:20002/worker_get_status", "127.0.0.1"))
    # the same machine in this test, so only a stranger's address shows where nobody listens
    said["other addresses"] = [type(ask(f"http://10.78.0.1:{port}/x", "10.78.0.1")).__name__ for port in (20001, 20002)]
    ready = {"model_names": ["x"], "speed": 1, "queue_length": 0}
    told = lambda name: {"worker_name": name, "check_heart_beat": True, "worker_status": ready}
    said["own"] = status(ask(f"{at}/register_worker", "10.77.0.3", told("http://10.77.0.3:9")))
    said["another's"] = status(ask(f"{at}/register_worker", "10.77.0.3", told("http://10.77.0.2:9")))
    said["ours"] = status(ask(f"{at}/register_worker", "10.77.0.3", told("http://127.0.0.1:7861")))
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    answer = ask(f"{gateway}/v1/chat/completions", "127.0.0.1", chat)
    said["chat"] = [status(answer), answer.json()["usage"]["completion_tokens"] > 0]
finally:
    for part in parts: part.terminate()
    for part in parts: part.wait(10)
print("SAID " + json.dumps(said))
"""
ADDRESSES = ("10.77.0.1", "10.77.0.2", "10.77.0.3", "10.78.0.1")


@pytest.mark.stack
def test_a_worker_on_another_machine_serves_through_the_controller_and_answers_only_its_machine(tmp_path: Path) -> None:
    probe = ["unshare", "-rn", "ip", "addr", "add", "10.77.0.1/32", "dev", "lo"]
    if not all(map(shutil.which, ("unshare", "ip"))) or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs unshare and ip, and leave to make a network namespace")
    local = {"m": {"source": str(tiny_models.write(tmp_path / "tiny")), "device": "cpu"}}
    files = []
    for name, network in (("controller", "10.77.0.0/24"), ("worker", "10.77.0.0/24")):
        (tmp_path / name).mkdir()
        server = {"controller_port": 20001, "worker_port": 20002, "worker_networks": [network]}
        llm = {"default": "m", "local": local, **({"controller": "http://10.77.0.1:20001"} if name == "worker" else {})}
        files.append(write_settings(tmp_path / name, {"llm": llm, "server": server}))
    gateway = yaml.safe_load(files[0].read_text())["server"]["gateway_port"]
    addresses = " && ".join(f"ip addr add {address}/32 dev lo" for address in ADDRESSES)
    # the worker reaches its controller from 10.77.0.2, as it would from its own machine
    route = "ip route replace local 10.77.0.1 dev lo src 10.77.0.2 table local"
    script = f'ip link set lo up && {addresses} && {route} && exec "$@"'
    command = ["unshare", "-rn", "sh", "-c", script, "sh", sys.executable, "-c", INSIDE, *map(str, files), f"http://127.0.0.1:{gateway}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert "SAID " in done.stdout, done.stderr[-3000:]
    said = json.loads(done.stdout.rpartition("SAID ")[2])
    assert said["models"] == ["m"]
    assert said["address"] == "http://10.77.0.2:20002"
    assert said["controller"] == {"10.77.0.1": 200, "10.77.0.3": 200, "10.78.0.1": 403}
    assert said["worker"] == {"10.77.0.1": 200, "10.77.0.3": 403, "10.78.0.1": 403}
    assert said["worker on loopback"] == 200
    assert said["other addresses"] == ["ConnectError", "ConnectError"]
    assert (said["own"], said["another's"], said["ours"]) == (200, 403, 403)
    assert said["chat"] == [200, True]
