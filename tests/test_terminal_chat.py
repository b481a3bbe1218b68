"""`startup.py --chat`, as a process with a person's lines on its input: against a scripted port 20000, and once against the real stack."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from configs.settings import ROOT
from tests.serving.scripted_servers import Answer, OpenAI, refuses, streams, streams_until_left
from tests.stack import SMALL_LLM, served, small_llm, until, write_settings

LLM = {
    "default": "cloud",
    "endpoints": {
        "x": {"base_url": "http://127.0.0.1:9/v1", "models": ["cloud"], "prices": {"cloud": {"prompt": 10.0, "completion": 100.0}}}
    },
}


def chunk(content: str = "", **more: Any) -> bytes:
    body = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "cloud",
        "choices": [{"index": 0, "delta": {"content": content}}],
    }
    return b"data: " + json.dumps(body | more, ensure_ascii=False).encode() + b"\n\n"


class Person:
    """Types lines into the program and reads what it says."""

    def __init__(self, settings: Path, *arguments: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PAPERPROOF_")}
        self.out = settings.with_name("said.txt")
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "startup.py", "--chat", *arguments],
                cwd=ROOT,
                env={**clean, "PAPERPROOF_SETTINGS": str(settings), "PYTHONIOENCODING": "utf-8"},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def heard(self) -> str:
        return self.out.read_text(encoding="utf-8")

    def types(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def hears(self, words: str, times: int = 1, within_s: float = 30.0) -> None:
        until(lambda: self.heard.count(words) >= times or self.process.poll() is not None, words, within_s)
        assert self.heard.count(words) >= times, self.heard

    def leaves(self, within_s: float = 30.0) -> int:
        self.close()
        return self.process.wait(within_s)

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[tuple[Person, OpenAI]]:
    """A person at the model `cloud`; a test says what it answers."""
    server = OpenAI(streams(), listed=["cloud", "kb/samples"])
    with served(server.app()) as url:
        settings = write_settings(tmp_path, {"llm": LLM, "server": {"gateway_port": int(url.rpartition(":")[2])}})
        person = Person(settings)
        yield person, server
        person.process.kill()
        person.process.wait()
        person.close()


def answers(*parts: bytes) -> Answer:
    return streams(*parts, b"data: [DONE]\n\n")


def test_an_answer_with_its_tokens_its_price_and_the_history_that_is_sent_next(scripted: tuple[Person, OpenAI]) -> None:
    person, server = scripted
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
    server.answer = answers(chunk("Zwei"), chunk(" 二"), chunk(choices=[], usage=usage))
    person.types("one \\", "and one?", "again")
    person.hears("(1000 + 20 tokens", times=2)
    assert "Zwei 二\n" in person.heard
    assert "0.0120 USD)" in person.heard  # 1000 at 10 and 20 at 100 for a million
    assert server.asked[0]["messages"] == [{"role": "user", "content": "one \nand one?"}]
    assert [message["role"] for message in server.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert server.asked[1]["messages"][1]["content"] == "Zwei 二"
    assert person.leaves() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(scripted: tuple[Person, OpenAI]) -> None:
    person, server = scripted
    left = threading.Event()
    server.answer = streams_until_left(left, chunk("begun"))
    person.types("go")
    person.hears("begun")
    person.process.send_signal(signal.SIGINT)
    person.hears("(stopped 已停止)")
    assert left.wait(10.0)
    server.answer = answers(chunk("fine"))
    person.types("and now?")
    person.hears("fine\n› ")
    assert [message["content"] for message in server.asked[1]["messages"]] == ["go", "begun", "and now?"]
    person.process.send_signal(signal.SIGINT)
    person.hears("/quit or Ctrl-D leaves")
    assert person.process.poll() is None
    assert person.leaves() == 0


def test_an_error_is_a_line_and_takes_the_question_back(scripted: tuple[Person, OpenAI]) -> None:
    person, server = scripted
    server.answer = refuses(429, {"error": {"message": "all keys rest for 20 s", "type": "x", "param": None, "code": "y"}})
    person.types("first")
    person.hears("✗ all keys rest for 20 s")
    server.answer = answers(chunk("fine"))
    person.types("second")
    person.hears("fine")
    assert server.asked[1]["messages"] == [{"role": "user", "content": "second"}]
    assert "Traceback" not in person.heard


def test_citations_commands_and_a_saved_conversation(scripted: tuple[Person, OpenAI], tmp_path: Path) -> None:
    person, server = scripted
    citation = {"index": 1, "file": "a.pdf", "title": "A", "page": 4, "quote": "q"}
    choice = {"index": 0, "delta": {"citations": [citation]}, "finish_reason": "stop"}
    server.answer = answers(chunk("Found [1]"), chunk(choices=[choice]))
    person.types("/model nobody", "/model", "/model kb/samples", "why?", f"/save {tmp_path}/talk.md", "/new", "/nonsense", "/undo", "/quit")
    assert person.process.wait(30) == 0
    assert "✗ no model 'nobody'; known: cloud, kb/samples" in person.heard
    assert "* cloud\n  kb/samples\n" in person.heard
    assert server.asked[0]["model"] == "kb/samples"
    assert "  [1] a.pdf, p. 4\n" in person.heard
    assert (tmp_path / "talk.md").read_text(encoding="utf-8") == "**You**\n\nwhy?\n\n**kb/samples**\n\nFound [1]\n"
    assert "/undo           forget" in person.heard


def test_wrong_uses_end_with_a_sentence(tmp_path: Path) -> None:
    settings = write_settings(tmp_path, {"llm": LLM})
    both = Person(settings, "cloud", "-a")
    assert both.leaves() == 2
    assert "--chat starts what it needs by itself; leave out --all-webui" in both.heard


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_the_embedded_model_is_started_asked_and_stopped_again(tmp_path: Path) -> None:
    folder = small_llm().parent
    settings = write_settings(tmp_path, {"paths": {"models": str(folder), "logs": str(tmp_path / "logs"), "knowledge_base": str(tmp_path)}})
    person = Person(settings, SMALL_LLM)
    person.types("What is 1+1?")
    person.hears(" tokens, ", within_s=120.0)
    below = psutil.Process(person.process.pid).children(recursive=True)
    assert len(below) >= 4  # startup.py, controller, worker, gateway
    assert person.leaves() == 0
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in below)
