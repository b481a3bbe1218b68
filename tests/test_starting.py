"""A whole run of startup.py's session over real processes, with stand-ins for the parts: first start, restart, failure, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from server import trees

ROOT = Path(__file__).resolve().parents[1]

# Five papers; each look at the job reads one more. What is ready survives a kill, jobs do not.
API = """
import http.server, json, os, sys
from pathlib import Path
state = Path(sys.argv[2])
def ready(): return int(state.read_text()) if state.exists() else 0
job = None
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.reply()
    def do_POST(self): self.reply()
    def reply(self):
        global job
        status, body = 200, {}
        if self.path == "/api/v1/status":
            llm = {"name": "tiny", "kind": "local", "engine": "llama_cpp", "small": True}
            embedding = {"name": "multilingual-e5-small", "state": "ready", "device": "cpu", "dtype": "bfloat16", "dimension": 384}
            body = {"version": "1", "llm": llm, "depth": "quotes", "embedding": embedding}
        elif self.path == "/api/v1/libraries":
            body = [{"name": "samples", "files": 5, "ready": ready(), "job": None}] if state.exists() else []
        elif self.path == "/api/v1/libraries/samples/jobs":
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert asked == {"kind": "increment", "create": True}
            job, status = f"job-{os.getpid()}", 202
            body = {"id": job, "state": "running", "total": 5}
        elif self.path.startswith("/api/v1/jobs/"):
            if self.path.rpartition("/")[2] != job:
                status, body = 404, {"detail": "no such job"}
            else:
                state.write_text(str(done := min(5, ready() + 1)))
                body = {"id": job, "state": "running", "total": 5, "done": done, "chunks": done * 10, "seconds": 2.0}
                if done == 5:
                    body |= {"state": "done", "failed": {"broken.pdf": "is not a PDF"}}
        self.send_response(status); self.end_headers(); self.wfile.write(json.dumps(body).encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

RUN = """
import sys
from pathlib import Path
import httpx2
from server.launch import Place, Wish, make_plan
from server.parts import Part, Patience
from server.starting import Session
here, port, flags = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
def say(line): print(line, flush=True)
def worker(plan, http, name, port):
    command = (sys.executable, "-c", "import time; time.sleep(1000)")
    part = Part(f"worker {name}", command, lambda: True, plan.settings.paths.logs / f"{name}.log", f"http://127.0.0.1:{port}")
    return Place("worker", part, "127.0.0.1", port, "server.worker_port", plan.settings.llm.local[name].source)
def places(plan, http, control):
    def ok():
        try: return http.get(f"http://127.0.0.1:{port}/health").status_code == 200
        except httpx2.HTTPError: return False
    def place(kind, name, command, answers, port, source=""):
        part = Part(name, (sys.executable, *command), answers, plan.settings.paths.logs / f"{name}.log", f"http://127.0.0.1:{port}")
        return Place(kind, part, "127.0.0.1", port, f"server.{kind}_port", source)
    sleep = ("-c", "import time; time.sleep(1000)")
    return [
        place("controller", "controller", sleep, lambda: True, port + 1),
        place("api", "API", (str(here / "api.py"), str(port), str(here / "ready")), ok, port),
    ]
plan = make_plan(Wish(("--all-api",), quiet="-q" in flags))
sys.exit(Session(plan, say, Patience(first_s=0.1), places, worker).run())
"""


def three_free_ports() -> int:
    """The first of three in a row."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for more in (1, 2):
                stack.enter_context(socket.create_server(("127.0.0.1", first + more)))
            return int(first)


class Run:
    """The process of one session, with what it printed."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.port = three_free_ports()
        (folder / "api.py").write_text(API)
        (folder / "weights.gguf").touch()
        (folder / "models").mkdir(exist_ok=True)
        (folder / "embedding").mkdir()
        (folder / "settings.yaml").write_text(
            f"paths: {{knowledge_base: {folder}/kb, models: {folder}/models, logs: {folder}/logs}}\n"
            f"server: {{api_port: {self.port}}}\n"
            f"embedding: {{model: {folder}/embedding}}\n"
            f"llm: {{default: tiny, local: {{tiny: {{source: {folder}/weights.gguf, engine: llama_cpp}}}}}}\n"
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PAPERPROOF_")}
        environment = clean | {"PAPERPROOF_SETTINGS": str(folder / "settings.yaml"), "PYTHONIOENCODING": "utf-8"}
        self.flags = flags
        self.command = [sys.executable, "-c", RUN, str(folder), str(self.port), *flags]
        self.environment = environment

    @contextlib.contextmanager
    def going(self) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = subprocess.Popen(self.command, cwd=ROOT, env=self.environment, stdout=out, stderr=err)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def text(self) -> str:
        return (self.folder / "out").read_text(encoding="utf-8")

    @property
    def bars(self) -> str:
        return (self.folder / "err").read_text(encoding="utf-8")


def until(condition: Callable[[], object], what: Callable[[], str], limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def everything_below(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_start_fills_the_samples_shows_one_banner_and_stops_clean(tmp_path: Path, number: int) -> None:
    run = Run(tmp_path)
    with run.going() as process:
        until(lambda: "sample library: 4 of 5 papers ready, 50 chunks, 2 s" in run.text and "配置" in run.text, lambda: run.text + run.bars)
        family = everything_below(process)
        assert len(family) == 4  # controller, worker, API, guard
        process.send_signal(number)
        assert process.wait(10) == 0
        until(lambda: not any(trees.alive(child) for child in family), lambda: f"{family} live", limit_s=2.0)
    assert run.text.count("Profile   配置   embedded") == 1
    assert "tiny (demo model 演示模型: quotes depth), llama_cpp, worker http://127.0.0.1:" in run.text
    assert f"{tmp_path.name}" in run.text
    assert "multilingual-e5-small, cpu, bfloat16, 384 dimensions" in run.text
    assert "✗ sample library: broken.pdf: is not a PDF" in run.text
    assert "5 of 5 files" in run.bars
    assert "Traceback" not in run.bars


def test_quiet_prints_one_line_when_all_is_up_and_one_for_the_samples(tmp_path: Path) -> None:
    run = Run(tmp_path, "-q")
    (tmp_path / "ready").write_text("4")
    with run.going() as process:
        until(lambda: "PaperProof is up" in run.text and "broken.pdf" in run.text, lambda: run.text + run.bars)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    lines = run.text.splitlines()
    assert len([line for line in lines if "PaperProof is up: controller http" in line]) == 1
    assert not any("ready in" in line for line in lines)
    assert run.bars == ""


def test_the_samples_go_on_when_the_api_is_killed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.going() as process:
        until(lambda: (tmp_path / "ready").exists(), lambda: run.text + run.bars)
        next(child for child in everything_below(process) if "api.py" in " ".join(child.cmdline())).kill()
        until(lambda: "4 of 5 papers ready" in run.text, lambda: run.text + run.bars)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert "✗ API: killed by SIGKILL" in run.text
    assert "✓ API: ready again" in run.text
    assert "sample library: the API was restarted; going on where it stopped" in run.text


def test_a_worker_without_weights_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "weights.gguf").unlink()
    with run.going() as process:
        until(lambda: "配置" in run.text, lambda: run.text + run.bars)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 1
    assert f"✗ {tmp_path}/weights.gguf: no model at '{tmp_path}/weights.gguf'" in run.text
    assert "✗ worker tiny: no weights: no model at" in run.text
    assert "✓ API" in run.text
    assert "not running 未运行" in run.text


def test_killed_with_nine_it_leaves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.going() as process:
        until(lambda: "配置" in run.text, lambda: run.text + run.bars)
        family = everything_below(process)
        process.kill()
        until(lambda: not any(trees.alive(child) for child in family), lambda: f"{family} live", limit_s=10.0)
