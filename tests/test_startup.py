"""startup.py: which parts a flag starts, what is refused and how; one whole run with stand-ins for the parts, over real processes."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import pytest

from configs.settings import load_settings
from server import launch
from server.errors import Invalid
from server.launch import Wish, make_plan, places, variables, worker
from server.ports import Wanted, complaints
from startup import SELECTING, chosen, make_parser, wrong_python

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the developer's yaml nor an environment variable decides these tests."""
    for name in [name for name in os.environ if name.startswith("PAPERPROOF_")]:
        monkeypatch.delenv(name)
    (tmp_path / "settings.yaml").write_text(f"paths: {{knowledge_base: {tmp_path}/kb, models: {tmp_path}/models, logs: {tmp_path}/logs}}\n")
    monkeypatch.setenv("PAPERPROOF_SETTINGS", str(tmp_path / "settings.yaml"))


def wish(line: str) -> Wish:
    options = make_parser().parse_args(line.split())
    return Wish(chosen(options), tuple(options.model_name), options.controller, options.lite, options.quiet)


def started(line: str) -> list[str]:
    """The commands of the parts, in short."""
    with httpx2.Client() as http:
        plan = make_plan(wish(line))
        table = places(plan, http)
        at = 1 if "controller" in plan.kinds else 0
        table[at:at] = [worker(plan, http, name, plan.settings.server.worker_port + i) for i, name in enumerate(plan.models)]
        return [" ".join(place.part.command[2 : 5 if place.kind == "ui" else None]) for place in table]


CONTROLLER = "server.serving.controller"
WORKER = "server.serving.worker smollm2-135m-instruct --port 20002 --controller http://127.0.0.1:20001"
GATEWAY, API, UI = "server.serving.gateway", "server.api", "streamlit run webui/app.py"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("-a", [CONTROLLER, WORKER, GATEWAY, API, UI]),
        ("--all-webui", [CONTROLLER, WORKER, GATEWAY, API, UI]),
        ("--all-api", [CONTROLLER, WORKER, GATEWAY, API]),
        ("--llm-api", [CONTROLLER, WORKER, GATEWAY]),
        ("-o", [CONTROLLER, GATEWAY]),
        ("--openai-api", [CONTROLLER, GATEWAY]),
        ("-m", [WORKER]),
        ("--model-worker", [WORKER]),
        ("--api", [API]),
        ("-p", [GATEWAY]),
        ("--api-worker", [GATEWAY]),
        ("-w", [UI]),
        ("-o -m --api -w", [CONTROLLER, WORKER, GATEWAY, API, UI]),
        ("-a -i", [CONTROLLER, GATEWAY, API, UI]),
        ("-a --lite -q", [CONTROLLER, GATEWAY, API, UI]),
        ("-a -c http://localhost:20001/", [CONTROLLER, WORKER, GATEWAY, API, UI]),
        ("-a -c http://127.0.0.1:7/", [WORKER.replace("127.0.0.1:20001", "127.0.0.1:7"), GATEWAY, API, UI]),
        (
            "-m -n smollm2-135m-instruct chatglm2-6b -c http://127.0.0.1:7",
            [
                WORKER.replace("127.0.0.1:20001", "127.0.0.1:7"),
                "server.serving.transformers_worker chatglm2-6b --port 20003 --controller http://127.0.0.1:7",
            ],
        ),
    ],
)
def test_each_flag_starts_its_parts(line: str, parts: list[str]) -> None:
    assert started(line) == parts


def test_the_parser_and_the_table_know_the_same_flags() -> None:
    assert set(SELECTING) == set(launch.FLAGS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-a -n smollm", "unknown local model 'smollm'; known: chatglm2-6b, smollm2-135m-instruct"),
        ("-a -n chatglm-6b", "unknown local model 'chatglm-6b'; did you mean chatglm2-6b?"),
        ("-a -p", "-p starts the gateway for online endpoints without controller and workers, --all-webui starts those too"),
        ("-m -i", "-m starts a worker, --lite starts none"),
        ("-a -i -n chatglm2-6b", "--lite starts no worker"),
        ("-o -n chatglm2-6b", "no worker would be started. Add -m"),
        ("-o -c http://127.0.0.1:20001", "-c names the controller that workers register with, but no worker would be started"),
        ("-a -i -c http://127.0.0.1:20001", "-c names the controller"),
        ("-m -c 127.0.0.1:20001", "-c needs a URL such as http://127.0.0.1:20001"),
        ("-m -n chatglm2-6b chatglm2-6b", "-n names a model twice"),
    ],
)
def test_what_cannot_be_is_a_sentence(line: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        make_plan(wish(line))
    assert words in str(caught.value)


def test_an_online_default_needs_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERPROOF_PROFILE", "online")
    assert started("-a") == [CONTROLLER, GATEWAY, API, UI]
    with pytest.raises(Invalid, match=r"llm\.default 'gpt-4o-mini' is an online one"):
        make_plan(wish("-m"))
    with pytest.raises(Invalid, match="served by the online endpoint 'openai' and needs no worker"):
        make_plan(wish("-m -n gpt-4o"))


def test_a_controller_on_another_machine_could_not_reach_our_workers() -> None:
    with pytest.raises(Invalid, match=r"workers answer only loopback and server\.worker_networks"):
        make_plan(wish("-m -c http://lab:20001"))


def test_a_controller_inside_a_worker_network_is_accepted_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERPROOF_SERVER__WORKER_NETWORKS", "[192.168.7.0/24]")
    plan = make_plan(wish("-m -c http://192.168.7.1:20001"))
    assert (plan.controller, plan.kinds, plan.models) == ("http://192.168.7.1:20001", {"worker"}, ("smollm2-135m-instruct",))
    with pytest.raises(Invalid, match="the controller by its address"):
        make_plan(wish("-m -c http://192.168.8.1:20001"))


def test_what_the_command_line_says_reaches_the_parts_as_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(wish("-a -n chatglm2-6b -c http://127.0.0.1:9"))
    made = variables(plan.overrides)
    assert made == {
        "PAPERPROOF_LLM__RUN": '["chatglm2-6b"]',
        "PAPERPROOF_LLM__DEFAULT": '"chatglm2-6b"',  # the configured default has no worker now
        "PAPERPROOF_LLM__CONTROLLER": '"http://127.0.0.1:9"',
    }
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == plan.settings


def test_the_ui_on_loopback_gets_the_first_key_and_other_parts_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERPROOF_SERVER__API_KEYS", '["sixteen-letters-1", "sixteen-letters-2"]')
    with httpx2.Client() as http:
        table = {place.kind: place.part for place in places(make_plan(wish("--api -w")), http)}
    assert table["ui"].environment["PAPERPROOF_API_KEY"] == "sixteen-letters-1"
    assert table["ui"].environment["PAPERPROOF_API_URL"] == table["api"].address == "http://127.0.0.1:7861"
    assert "PAPERPROOF_API_KEY" not in table["api"].environment
    assert "*" not in table["ui"].command


def test_a_ui_that_others_can_reach_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERPROOF_SERVER__API_KEYS", '["sixteen-letters-1"]')
    monkeypatch.setenv("PAPERPROOF_SERVER__HOST", "0.0.0.0")  # noqa: S104 - nothing is bound
    with httpx2.Client() as http:
        table = {place.kind: place.part for place in places(make_plan(wish("--api -w")), http)}
    assert "PAPERPROOF_API_KEY" not in table["ui"].environment


def test_the_hub_is_switched_off_unless_weights_are_missing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert launch.environment(make_plan(wish("-a")))["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("PAPERPROOF_EMBEDDING__MODEL", "m3e-base")
    assert "HF_HUB_OFFLINE" not in launch.environment(make_plan(wish("-a")))


@pytest.mark.parametrize(("version", "fits"), [((3, 10), False), ((3, 11), True), ((3, 12), True), ((3, 13), False)])
def test_another_python_is_refused_with_the_way_out(version: tuple[int, int], fits: bool) -> None:
    assert (wrong_python(version) == "") is fits
    assert fits or "needs Python 3.11 or 3.12" in wrong_python(version)


def test_a_taken_port_is_named_with_its_part_and_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (sentence,) = complaints([Wanted("API", "127.0.0.1", port, "server.api_port")])
    assert f"port {port} is taken, API wants it; pid {os.getpid()} holds it (" in sentence
    assert "PAPERPROOF_SERVER__API_PORT=" in sentence
    assert complaints([Wanted("API", "127.0.0.1", port, "server.api_port")]) == []


def test_two_parts_that_want_one_port_are_both_named() -> None:
    wanted = [Wanted("API", "127.0.0.1", 0, "server.api_port"), Wanted("web UI", "127.0.0.1", 0, "server.ui_port")]
    (sentence,) = complaints(wanted)
    assert "wanted by two parts, API and web UI" in sentence


def startup(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "startup.py", *flags], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_no_flag_teaches_in_two_languages() -> None:
    done = startup()
    assert done.returncode == 2
    assert "python startup.py -a  " in done.stdout
    assert "启动全部服务" in done.stdout


def test_wrong_settings_and_unknown_models_end_with_their_sentence() -> None:
    done = startup("-a", PAPERPROOF_SERVER__API_PROT="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("startup.py: unknown setting server.api_prot in the environment; did you mean server.api_port?")
    done = startup("-a", "-n", "gpt-5")
    assert done.returncode == 2
    assert "known: chatglm2-6b, smollm2-135m-instruct" in done.stderr


def test_with_a_taken_port_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = startup("-o", PAPERPROOF_SERVER__GATEWAY_PORT=str(port))
    assert done.returncode == 1
    assert f"✗ port {port} is taken, OpenAI API wants it; pid {os.getpid()} holds it" in done.stdout
    assert not (tmp_path / "logs").exists()


def test_a_worker_that_loads_says_how_far_it_is() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps(
                {"state": "loading", "model": "m", "done": 3, "total": 7, "unit": "shards", "gib": 13.14, "seconds": 12.4}
            ).encode()
            self.send_response(503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        with httpx2.Client() as client:
            part = worker(make_plan(wish("-m")), client, "smollm2-135m-instruct", server.server_address[1]).part
            assert part.progress() == "loading 3 of 7 shards (13.1 GiB), 12 s"
            assert not part.answers()
            server.shutdown()
            server.server_close()
            assert part.progress() == ""
    finally:
        server.server_close()
