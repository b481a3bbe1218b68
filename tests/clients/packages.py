"""Client libraries as other people have them; in: a call as a dict; out: its outcome as a dict, the same shape for each library.

{"answer": …} or {"chunks": […]} or {"error": class, "status", "code", "message", "retry_after"}. What is not installed here is fetched
into the user's cache once; where that fails, the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx2
import openai
import pytest

from tests.clients import strict

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paperproof-tests"
OLD_OPENAI = "openai==1.109.1"
NODE_OPENAI = "openai@6.49.0"
DRIVERS = Path(__file__).parent / "drivers"
FETCH_S = 120.0
PATHS = {"chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}


class Client(Protocol):
    """One library."""

    version: str

    def outcome(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Of one call."""

    def close(self) -> None:
        """End it."""


class Driven:
    """A library in a process of its own, which reads a call and writes its outcome, line by line."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self.version: str = self._line()["version"]

    def outcome(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Of one call."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(row) + "\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        """It ends when nothing more can come."""
        self._process.communicate(timeout=10)

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the client's process ended; its words are above"
        return dict(json.loads(line))


class Raw:
    """HTTP without a library: every answer is checked against OpenAI's types, strictly."""

    version = "HTTP"

    def outcome(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Of one call."""
        headers = {"authorization": f"Bearer {row['key']}"} if row["key"] else {}
        timeout = httpx2.Timeout(row["timeout_s"])
        with httpx2.Client(base_url=row["base_url"], headers=headers, timeout=timeout, trust_env=False) as client:
            try:
                return self._asked(client, str(row["call"]), dict(row["ask"]), int(row["leave_after"]))
            except httpx2.ReadTimeout:
                return {"error": "APITimeoutError", "status": None, "code": None, "message": "", "retry_after": None}

    def close(self) -> None:
        """Nothing is open."""

    def _asked(self, client: httpx2.Client, call: str, ask: dict[str, Any], leave_after: int) -> dict[str, Any]:
        if call.startswith("models"):
            response = client.get("/models" if call == "models.list" else f"/models/{ask['model']}")
        elif ask.get("stream"):
            return self._streamed(client, call, ask, leave_after)
        elif call == "bytes":
            response = client.post("/chat/completions", content=ask["content"])
        else:
            response = client.post(PATHS[call], json=ask)
        if response.status_code != 200:
            return _refused(response)
        if call == "models.list":
            listed = response.json()
            assert (set(listed), listed["object"]) == ({"object", "data"}, "list")
            return {"answer": {"data": [strict.parsed(openai.types.Model, json.dumps(m).encode()) and m for m in listed["data"]]}}
        if not (call == "embeddings" and ask.get("encoding_format") == "base64"):  # the type knows numbers only
            strict.parsed(strict.WHOLE[call], response.content)
        return {"answer": response.json()}

    def _streamed(self, client: httpx2.Client, call: str, ask: dict[str, Any], leave_after: int) -> dict[str, Any]:
        with client.stream("POST", PATHS[call], json=ask) as response:
            if response.status_code != 200:
                response.read()
                return _refused(response)
            assert response.headers["content-type"].startswith("text/event-stream")
            events: list[bytes] = []
            for line in response.iter_lines():
                if line and not line.startswith(":"):  # comments keep a silent connection open
                    assert line.startswith("data: "), line
                    events.append(line.removeprefix("data: ").encode())
                if len(events) == leave_after:
                    return {"chunks": [json.loads(event) for event in events]}
        if events[-2].startswith(b'{"error"'):
            assert events[-1] == b"[DONE]"
            error = strict.error(events[-2])
            return {"error": "APIError", "status": None, "code": error["code"], "message": error["message"], "retry_after": None}
        return {"chunks": strict.stream(call, events, usage=bool((ask.get("stream_options") or {}).get("include_usage")))}


def _refused(response: httpx2.Response) -> dict[str, Any]:
    error = strict.error(response.content)
    classes = {
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        429: "RateLimitError",
    }
    return {
        "error": classes.get(response.status_code, "InternalServerError"),
        "status": response.status_code,
        "code": error["code"],
        "message": error["message"],
        "retry_after": response.headers.get("retry-after"),
    }


def newest_openai() -> Client:
    """The package that is installed here."""
    return Driven([sys.executable, str(DRIVERS / "openai_package.py")], {})


def old_openai() -> Client:
    """The last 1.x, which many programs still pin."""
    folder = _fetched(
        OLD_OPENAI, [sys.executable, "-m", "pip", "install", "-q", "--timeout", "10", "--retries", "0", OLD_OPENAI, "--target"]
    )
    return Driven([sys.executable, str(DRIVERS / "openai_package.py")], {"PYTHONPATH": str(folder)})


def node_openai() -> Client:
    """The package of npm."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    npm = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=10000", NODE_OPENAI, "--prefix"]
    return Driven(["node", str(DRIVERS / "openai_node.mjs")], {"PACKAGES": str(_fetched(NODE_OPENAI, npm))})


def _fetched(name: str, command: Sequence[str]) -> Path:
    """The folder in the cache; half a fetch is never used."""
    folder = CACHE / name
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        given = subprocess.run([*command, fresh], capture_output=True, text=True, timeout=FETCH_S)
        if given.returncode:
            pytest.skip(f"{name} cannot be fetched: {given.stderr.strip()[-300:]}")
        shutil.copytree(fresh, CACHE / f"{name}.part-{os.getpid()}")
        (CACHE / f"{name}.part-{os.getpid()}").rename(folder)
    return folder
