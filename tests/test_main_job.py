"""The program as its user starts it: `startup.py -a`, every part a real process, the samples ingested, questions by every door."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import openai
import psutil
import pytest

from benchmarks.citations import judge, over_api, over_gateway
from configs.settings import ROOT
from server import weights
from server.errors import Unavailable
from tests.one_question import EVIDENCE, QUESTION
from tests.stack import SMALL_LLM, free_port, small_llm, until
from tests.webui import browser as drive

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
QUESTIONS = [
    json.loads(line) for line in (ROOT / "knowledge_base" / "samples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
]


@dataclass
class Program:
    """A running startup.py."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]
    folder: Path

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.ports[part]}"

    def pid_of(self, module: str) -> int | None:
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if module in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    return child.pid
        return None

    def samples(self) -> dict[str, object]:
        with contextlib.suppress(httpx2.HTTPError):
            rows = httpx2.get(f"{self.url('api')}/api/v1/libraries", timeout=10).json()
            return next((row for row in rows if row["name"] == "samples"), {})
        return {}

    def whole(self) -> bool:
        row = self.samples()
        return bool(row) and row["ready"] == row["files"] == 7 and row["job"] is None


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    models = small_llm().parent
    try:
        weights.fetch("multilingual-e5-small", models)
    except Unavailable as exc:
        pytest.skip(str(exc))
    folder = tmp_path_factory.mktemp("program")
    ports = {name: free_port() for name in ("gateway", "controller", "worker", "api", "ui")}
    environment = os.environ | {f"PAPERPROOF_SERVER__{name.upper()}_PORT": str(port) for name, port in ports.items()}
    environment |= {"PAPERPROOF_PATHS__KNOWLEDGE_BASE": str(folder / "kb"), "PAPERPROOF_PATHS__LOGS": str(folder / "logs")}
    environment |= {"PAPERPROOF_PATHS__MODELS": str(models), "HF_HUB_OFFLINE": "1"}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen([sys.executable, "startup.py", "-a"], cwd=ROOT, env=environment, stdout=out, stderr=out)
        started = Program(process, ports, folder)
        try:
            yield started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def client(program: Program) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{program.url('gateway')}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def test_an_ingest_killed_in_the_middle_is_finished_by_the_next_start(program: Program) -> None:
    until(lambda: bool(program.samples().get("ready")), "the first sample is ready", 180)
    victim = program.pid_of("server.api")
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    until(program.whole, "seven samples ready after the kill", 180)
    with contextlib.closing(sqlite3.connect(program.folder / "kb" / "samples" / "library.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM files WHERE state = 'ready'").fetchone() == (7,)
        assert db.execute("SELECT count(*) FROM (SELECT file_id, ord FROM chunks GROUP BY 1, 2 HAVING count(*) > 1)").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM chunks WHERE file_id NOT IN (SELECT id FROM files)").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM windows WHERE chunk_id NOT IN (SELECT id FROM chunks)").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM chunks WHERE id NOT IN (SELECT chunk_id FROM windows)").fetchone() == (0,)
        assert db.execute("SELECT (SELECT count(*) FROM words) - (SELECT count(*) FROM chunks)").fetchone() == (0,)


def test_the_openai_client_lists_the_models_and_streams_the_llm(client: openai.OpenAI) -> None:
    until(lambda: SMALL_LLM in {model.id for model in client.models.list()}, "the worker is registered")
    assert {SMALL_LLM, "multilingual-e5-small", "kb/samples"} <= {model.id for model in client.models.list()}
    chunks = list(
        client.chat.completions.create(
            model=SMALL_LLM,
            messages=[{"role": "user", "content": "Say hello."}],
            max_tokens=12,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert len([c for c in chunks if c.choices and c.choices[0].delta.content]) > 3
    assert chunks[-1].usage is not None
    assert 1 <= chunks[-1].usage.completion_tokens <= 12
    vector = client.embeddings.create(model="multilingual-e5-small", input="unit length").data[0].embedding
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("door", ["gateway", "api"])
def test_sixteen_of_twenty_questions_cite_their_evidence_page(program: Program, door: str) -> None:
    until(program.whole, "the samples are ready", 180)
    with over_gateway(f"{program.url('gateway')}/v1", "samples") if door == "gateway" else over_api(program.url("api"), "samples") as ask:
        outcomes = [judge(row, *ask(row["question"])) for row in QUESTIONS]
    assert sum(outcome.cited for outcome in outcomes) >= 16
    assert max(outcome.citations for outcome in outcomes) <= 5
    assert max(outcome.longest_words for outcome in outcomes) <= 60


def test_a_library_asked_through_a_named_llm_is_written_by_it(program: Program, client: openai.OpenAI) -> None:
    until(program.whole, "the samples are ready", 180)
    until(lambda: SMALL_LLM in {model.id for model in client.models.list()}, "the worker is registered")
    answer = client.chat.completions.create(
        model=f"kb/samples@{SMALL_LLM}",
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=48,
        extra_body={"depth": "fast", "top_k": 2},
    )
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 48
    assert answer.usage.prompt_tokens > 200  # two passages were read


def test_a_client_that_leaves_frees_the_model_also_before_its_first_word(program: Program, client: openai.OpenAI) -> None:
    until(program.whole, "the samples are ready", 180)
    until(lambda: SMALL_LLM in {model.id for model in client.models.list()}, "the worker is registered")

    def busy() -> int:
        return int(httpx2.post(f"{program.url('worker')}/worker_get_status", timeout=5).json()["queue_length"])

    asked = {"model": f"kb/samples@{SMALL_LLM}", "max_tokens": 512, "temperature": 1}
    body = {**asked, "depth": "fast", "top_k": 5, "messages": [{"role": "user", "content": "What do the papers say about kills?"}]}
    with socket.create_connection(("127.0.0.1", program.ports["gateway"])) as connection:
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
        head += "Content-Type: application/json\r\n\r\n"
        connection.sendall(head.encode() + data)
        until(lambda: busy() == 1, "the model works", 20)
    assert until(lambda: busy() == 0, "the slot is free", 10) < 3


@pytest.mark.browser
@pytest.mark.skipif(drive.chromium_path() is None, reason="no Chromium; apt-get install chromium")
def test_a_person_asks_in_the_browser_and_sees_the_page_that_proves_the_answer(program: Program) -> None:
    until(program.whole, "the samples are ready", 180)
    with drive.chromium() as chromium:
        page = drive.open_app(chromium, program.url("ui"))
        elsewhere = drive.foreign_requests(page, program.url("ui"))
        drive.ask(page, QUESTION)
        labels = drive.citations(page)
        place = next(i for i, label in enumerate(labels, 1) if f"{EVIDENCE[0]}, p. {EVIDENCE[1]}" in label)
        drive.open_citation(page, place)
        assert drive.shown_page(page).startswith(b"\x89PNG")
        if shot := os.environ.get("SCREENSHOT"):
            drive.settled(page)
            page.get_by_text(QUESTION).first.scroll_into_view_if_needed()
            page.screenshot(path=shot)
        assert elsewhere == []


@pytest.mark.parametrize("module", ["server.serving.controller", "server.serving.worker", "server.serving.gateway", "streamlit"])
def test_a_part_that_is_killed_comes_back(program: Program, module: str) -> None:
    victim = program.pid_of(module)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    until(lambda: program.pid_of(module) not in (None, victim), f"a new {module}", 30)
    body = {"model": SMALL_LLM, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}

    def answers() -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            llm = httpx2.post(f"{program.url('gateway')}/v1/chat/completions", json=body, timeout=30).status_code
            return llm == httpx2.get(f"{program.url('ui')}/_stcore/health", timeout=5).status_code == 200
        return False

    until(answers, "LLM and web page answer again", 60)


def test_sigterm_stops_everything_within_ten_seconds(program: Program) -> None:
    children = psutil.Process(program.process.pid).children(recursive=True)
    assert len(children) >= 5
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(10) == 0
    _, left = psutil.wait_procs(children, 2)
    assert left == []
