"""One file of a hub's model, fetched by the real hub client from a server on loopback that answers as the hub does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from configs.settings import ROOT
from server import weights
from server.errors import Invalid, Unavailable

FILES = {
    "/Qwen/Tiny-GGUF/resolve/main/tiny-q4.gguf": b"GGUF" + b"q" * 1000,
    "/Qwen/Tiny-GGUF/resolve/main/big/x-00001-of-00002.gguf": b"GGUF one",
    "/Qwen/Tiny-GGUF/resolve/main/big/x-00002-of-00002.gguf": b"GGUF two",
}


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.reply(body=False)

    def do_GET(self) -> None:
        self.reply(body=True)

    def reply(self, body: bool) -> None:
        content = FILES.get(self.path)
        if content is None:
            self.send_response(404)
            self.send_header("x-error-code", "EntryNotFound")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.send_header("etag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("x-repo-commit", "0" * 40)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(hub: str, source: str, models: Path) -> str:
    """What `python -m server.fetching` writes."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and not name.startswith("HF_")}
    environment = clean | {"HF_ENDPOINT": hub, "HF_HOME": str(models.parent / "hf"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "server.fetching", source, str(models)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120).stdout


def test_a_file_is_fetched_and_then_found(hub: str, tmp_path: Path) -> None:
    source = "hf:Qwen/Tiny-GGUF/tiny-q4.gguf"
    models = tmp_path / "models"
    with pytest.raises(Unavailable, match=r"by hand: copy the model's file to .*Qwen--Tiny-GGUF--tiny-q4\.gguf"):
        weights.find(source, models)
    assert "error" not in fetch(hub, source, models)
    found = weights.find(source, models)
    assert found == models / "Qwen--Tiny-GGUF--tiny-q4.gguf"
    assert found.read_bytes() == FILES["/Qwen/Tiny-GGUF/resolve/main/tiny-q4.gguf"]
    assert [path.name for path in models.iterdir()] == [found.name]  # nothing half is left


def test_a_divided_file_comes_with_its_parts_under_names_that_llama_cpp_puts_together(hub: str, tmp_path: Path) -> None:
    assert "error" not in fetch(hub, "hf:Qwen/Tiny-GGUF/big/x-00001-of-00002.gguf", tmp_path / "models")
    held = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    assert held == {
        "Qwen--Tiny-GGUF--big--x-00001-of-00002.gguf": b"GGUF one",
        "Qwen--Tiny-GGUF--big--x-00002-of-00002.gguf": b"GGUF two",
    }


def test_a_file_that_the_hub_does_not_have_is_said(hub: str, tmp_path: Path) -> None:
    told = fetch(hub, "hf:Qwen/Tiny-GGUF/none.gguf", tmp_path / "models")
    assert "could not fetch hf:Qwen/Tiny-GGUF/none.gguf" in told
    assert "by hand: copy the model's file to" in told


@pytest.mark.parametrize("source", ["hf:owner/file.gguf", "hf:owner/../file.gguf", "hf:owner/name/../../file.gguf"])
def test_a_file_needs_owner_and_model(source: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"or hf:owner/name/file\.gguf"):
        weights.find(source, tmp_path)
