"""The whole program from the outside: seconds until each part answers, memory of each process, and kill -9 of every process in turn.

python -m benchmarks.stack      starts `startup.py -a` on ports of its own with an empty library folder, and stops it again
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil

from benchmarks.machine import head
from tests.one_question import EVIDENCE, QUESTION
from tests.webui import browser as drive

ROOT = Path(__file__).resolve().parents[1]
PORTS = {"gateway": 41000, "controller": 41001, "worker": 41002, "api": 47861, "ui": 48501}
URL = {name: f"http://127.0.0.1:{port}" for name, port in PORTS.items()}
LLM = "smollm2-135m-instruct"


def main() -> int:
    """Print the tables; 1 when a part did not come back, or something was left behind."""
    print(head("The whole program: start, memory, kill -9"))
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {f"PAPERPROOF_SERVER__{name.upper()}_PORT": str(port) for name, port in PORTS.items()}
        environment |= {
            "PAPERPROOF_PATHS__KNOWLEDGE_BASE": f"{folder}/kb",
            "PAPERPROOF_PATHS__LOGS": f"{folder}/logs",
            "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
        }
        out = Path(folder) / "out"
        started = time.monotonic()
        with out.open("w") as file:
            program = subprocess.Popen([sys.executable, "startup.py", "-a"], cwd=ROOT, env=environment, stdout=file, stderr=file)
        try:
            ok = _report(program, started)
        finally:
            stopping, children = time.monotonic(), psutil.Process(program.pid).children(recursive=True)
            program.send_signal(signal.SIGTERM)
            program.wait(30)
            left = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
            print(f"\nSIGTERM: exit code {program.returncode} after {time.monotonic() - stopping:.1f} s, {len(left)} processes left")
        return 0 if ok and not left and program.returncode == 0 else 1


def _report(program: subprocess.Popen[bytes], started: float) -> bool:
    print("| reached | seconds after start |\n|---|---|")
    steps: list[tuple[str, Callable[[], bool]]] = [
        ("API answers (GET /health on 7861)", lambda: _get("api", "/health")),
        ("gateway answers (GET /health on 20000)", lambda: _get("gateway", "/health")),
        ("web page answers", lambda: _get("ui", "/_stcore/health")),
        ("the LLM answers by name", _llm_answers),
        ("first answer of kb/samples that cites the evidence", _library_answers),
        ("the same in the web page, in Chromium", _page_answers),
        ("sample library whole", _samples_ready),
    ]
    for name, reached in steps:
        _wait(reached, 300)
        print(f"| {name} | {time.monotonic() - started:.1f} |", flush=True)
    print("\n| process | memory (RSS), MiB | own (USS), MiB |\n|---|---|---|")
    total = own = 0.0
    for name, process in _parts(program):
        memory = process.memory_full_info()
        total, own = total + memory.rss / 2**20, own + memory.uss / 2**20
        print(f"| {name} | {memory.rss / 2**20:.0f} | {memory.uss / 2**20:.0f} |")
    print(f"| all | {total:.0f} | {own:.0f} |\n\n| killed with -9 | answers again after, s | by |\n|---|---|---|", flush=True)
    ok = True
    for name, victim in list(_parts(program)):
        if name == "startup.py":
            continue
        pid = victim.pid
        victim.kill()
        killed = time.monotonic()
        check = {"worker": _llm_answers, "controller": _llm_answers, "api": _library_answers}.get(name)
        check = check or (lambda: _get("gateway", "/health") and _get("ui", "/_stcore/health") and _library_answers())
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.wait(5)
        answers = _quietly(lambda check=check: _wait(check, 60))
        seconds = time.monotonic() - killed
        again = _quietly(lambda pid=pid, name=name: _wait(lambda: any(p.pid != pid for part, p in _parts(program) if part == name), 20))
        ok &= answers and again
        by = f"a new process, seen {time.monotonic() - killed:.1f} s after the kill" if again else "no new process"
        print(f"| {name} | {seconds:.1f} | {by} |" if answers else f"| {name} | never | {by} |", flush=True)
    return ok


def _parts(program: subprocess.Popen[bytes]) -> Iterator[tuple[str, psutil.Process]]:
    root = psutil.Process(program.pid)
    yield "startup.py", root
    for child in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join(child.cmdline())
            found = re.search(r"server\.serving\.(\w+)|server\.(\w+)|(streamlit)", line)
            if found and child.status() != psutil.STATUS_ZOMBIE:
                yield {"streamlit": "ui"}.get(part := next(filter(None, found.groups())), part), child


def _get(part: str, path: str) -> bool:
    return httpx2.get(URL[part] + path, timeout=5).status_code == 200


def _llm_answers() -> bool:
    body = {"model": LLM, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    return httpx2.post(f"{URL['gateway']}/v1/chat/completions", json=body, timeout=60).status_code == 200


def _library_answers() -> bool:
    body = {"model": "kb/samples", "messages": [{"role": "user", "content": QUESTION}]}
    answer = httpx2.post(f"{URL['gateway']}/v1/chat/completions", json=body, timeout=60)
    if answer.status_code != 200:
        return False
    return EVIDENCE in {(c["file"], c["page"]) for c in answer.json()["choices"][0]["message"]["citations"]}


def _page_answers() -> bool:
    if drive.chromium_path() is None:
        return True
    with drive.chromium() as browser:
        page = drive.open_app(browser, URL["ui"])
        drive.ask(page, QUESTION)
        return any(f"{EVIDENCE[0]}, p. {EVIDENCE[1]}" in label for label in drive.citations(page))


def _samples_ready() -> bool:
    rows = httpx2.get(f"{URL['api']}/api/v1/libraries", timeout=10).json()
    return any(row["name"] == "samples" and row["ready"] == row["files"] for row in rows)


def _wait(reached: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(httpx2.HTTPError, ValueError):
            if reached():
                return True
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


def _quietly(wait: Callable[[], bool]) -> bool:
    try:
        return wait()
    except TimeoutError:
        return False


if __name__ == "__main__":
    sys.exit(main())
