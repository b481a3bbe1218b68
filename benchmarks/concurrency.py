"""Writers and readers at one server: uploads and deletions beside searches; errors, stale hits, lost files, and what searches wait.

python -m benchmarks.concurrency                          4,000 files, 6 writers, 16 readers, two libraries, multilingual-e5-small
python -m benchmarks.concurrency --embedder tiny          with random weights of 32 dimensions: the server's own share alone
python -m benchmarks.concurrency --files 300 --calm-s 4 --beside-s 20       the short version

The same readers search before the writing, for two minutes of it, and after it; each asks again as soon as it has its answer, unless
--pause-ms is given.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import concurrency_clients as clients
from benchmarks.concurrency_clients import LIBRARIES, Seen
from benchmarks.machine import head
from tests.stack import Process, write_settings

WARM_S = 1.0  # of each search phase, not counted: connections are made


@dataclass
class Outcome:
    """What one call measured and found."""

    waits: dict[str, list[float]] = field(default_factory=dict)  # phase -> seconds of its searches, sorted
    seconds: dict[str, float] = field(default_factory=dict)  # phase -> how long it was counted
    faults: dict[str, list[str]] = field(default_factory=dict)  # what must not be -> where it was
    written: Seen = field(default_factory=Seen)
    writing_s: float = 0.0
    cpu_s: float = 0.0

    def searched(self, phase: str, seen: Seen, until: float) -> None:
        """Count the searches of a phase that were sent after its warm-up and answered before `until`."""
        start = min(sent for sent, _, _, _ in seen.searches) + WARM_S
        self.waits[phase] = sorted(seconds for sent, seconds, _, _ in seen.searches if sent >= start and sent + seconds <= until)
        self.seconds[phase] = until - start


def main() -> int:
    """Print the table; 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--base", type=int, default=200, help="files there are before anything is measured (default: 200)")
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--calm-s", type=float, default=30.0, help="readers alone, before and after (default: 30)")
    parser.add_argument("--beside-s", type=float, default=120.0, help="readers beside the writers (default: 120)")
    parser.add_argument("--pause-ms", type=float, default=0.0, help="mean pause of a reader between two searches (default: 0)")
    parser.add_argument("--deleted", type=float, default=0.1, help="share of the files that are deleted again (default: 0.1)")
    parser.add_argument("--embedder", default="multilingual-e5-small", help="tiny (random weights), or a name of the weights table")
    parser.add_argument("--seed", type=int, default=20_260_802)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings, port = _settings(Path(folder), options.embedder)
        server = Process(settings, "server.api")
        try:
            server.ready(lambda: clients.Client(port, Seen()).ask("GET", "/health") is not None)
            outcome = measured(options, port, server.pid)
        finally:
            server.end(signal.SIGTERM, 30)
        outcome.faults["findings of the check"] = _findings(Path(folder) / "knowledge_base")
        outcome.faults["errors in the server's log"] = errors_of(server.log.read_text())
    return _report(options, outcome)


def _settings(folder: Path, embedder: str) -> tuple[Path, int]:
    model: dict[str, Any] = {"model": embedder}
    if embedder == "tiny":
        from server.weights_e5 import write_folder
        from tests import tiny_e5

        write_folder(tiny_e5.write(folder / "tiny.bin"), folder / "tiny-e5")
        model = {"model": str(folder / "tiny-e5"), "dtype": "float32", "device": "cpu"}
    settings: dict[str, Any] = {"embedding": model}
    if models := os.environ.get("PAPERPROOF_PATHS__MODELS"):
        settings["paths"] = {name: str(folder / name) for name in ("knowledge_base", "logs")} | {"models": models}
    file = write_settings(folder, settings)
    port = next(int(line.split()[1]) for line in file.read_text().splitlines() if "api_port" in line)
    return file, port


def measured(options: argparse.Namespace, port: int, server: int) -> Outcome:
    """Fill both libraries, search alone, search beside the writers, search alone; then look for every file."""
    outcome, first = Outcome(), Seen()
    base = range(options.files, options.files + options.base)
    _fill(port, first, base)

    def reading(seconds: float) -> Future[Seen]:
        return pool.submit(clients.read, port, options.files, options.readers, options.seed, options.pause_ms / 1000, seconds)

    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        before = reading(options.calm_s).result()
        outcome.searched("before", before, time.monotonic())
        started, cpu = time.monotonic(), _cpu_s(server)
        writing = pool.submit(clients.write, port, options.files, options.writers, options.deleted, options.seed)
        beside_reading = reading(options.beside_s)
        outcome.written = written = writing.result()
        ended = time.monotonic()
        outcome.writing_s, outcome.cpu_s = ended - started, _cpu_s(server) - cpu
        beside = beside_reading.result()
        outcome.searched("beside the writers", beside, min(ended, beside.searches[-1][0]))
        after = reading(options.calm_s).result()
        outcome.searched("after", after, time.monotonic())
        left = sorted([*(set(written.uploaded) - set(written.deleted)), *base])
        lost, looked = pool.submit(clients.missing, port, left, 4).result()
    wanted = {library: {clients.file_of(n) for n in left if clients.library_of(n) == library} for library in LIBRARIES}
    wrong = _wrong_documents(port, first, wanted)
    outcome.faults = {
        "errors": [error for seen in (first, before, beside, after, written, looked) for error in seen.errors],
        "hits from deleted files": [*stale(beside, written.deleted), *stale(after, written.deleted)],
        "uploaded files that their own word does not find": [clients.file_of(n) for n in lost],
        "files lacking or too much at the end": wrong,
    }
    return outcome


def _fill(port: int, seen: Seen, numbers: Sequence[int]) -> None:
    """Make the libraries and upload some files."""
    client = clients.Client(port, seen)
    for library in LIBRARIES:
        client.ask("POST", "/knowledge_base/create_knowledge_base", f'{{"knowledge_base_name": "{library}"}}'.encode())

    def some(thread: int) -> None:
        own = clients.Client(port, seen)
        for number in numbers[thread::4]:
            own.upload(number, old=False)

    threads = [threading.Thread(target=some, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _wrong_documents(port: int, seen: Seen, wanted: dict[str, set[str]]) -> list[str]:
    client = clients.Client(port, seen)
    wrong = []
    for library, names in wanted.items():
        documents = client.ask("GET", f"/api/v1/libraries/{library}/documents") or []
        ready = {body["file"] for body in documents if body["state"] == "ready" and body["chunks"]}
        wrong += [f"{library}: {name} is {'lacking' if name in names else 'too much'}" for name in sorted(names ^ ready)]
        wrong += [f"{library}: {body['file']} is {body['state']}" for body in documents if body["state"] != "ready"]
    return wrong


def stale(seen: Seen, deleted: dict[int, float]) -> list[str]:
    """Searches that were sent after a deletion was acknowledged, and found the file all the same."""
    gone = {clients.file_of(number): when for number, when in deleted.items()}
    found = [(sent, file) for sent, _, _, files in seen.searches for file in files]
    return [f"{file} {sent - gone[file]:.3f} s later" for sent, file in found if sent > gone.get(file, sent)]


def errors_of(log: str) -> list[str]:
    """Every line of an error, with the end of its traceback."""
    parts = re.split(r"^(?=\d{4}-\d\d-\d\d )", log, flags=re.M)  # each line of the log with what hangs below it
    return [part.splitlines()[0] + " … " + " | ".join(part.splitlines()[-8:]) for part in parts if " ERROR " in part or "Traceback" in part]


def share(values: Sequence[float], part: float) -> float:
    """The value that `part` of the sorted values do not exceed."""
    return values[min(len(values) - 1, int(part * len(values)))]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _findings(root: Path) -> list[str]:
    from server.checking import check
    from server.shelf import Shelf

    shelf = Shelf(root)
    found = [f"{kb.name}: {finding.kind} {finding.what}" for kb in shelf for finding in check(kb)]
    shelf.close()
    return found


def _report(options: argparse.Namespace, outcome: Outcome) -> int:
    print(head("Searches beside uploads"))
    print(f"{options.readers} readers, {options.writers} writers, {options.files} files, {options.embedder}, seed {options.seed}\n")
    print("| searches | number | a second | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|---|")
    for name, waits in outcome.waits.items():
        ms = [f"{1000 * value:.0f}" for value in (share(waits, 0.5), share(waits, 0.99), waits[-1])]
        print(f"| {name} | {len(waits)} | {len(waits) / outcome.seconds[name]:.1f} | {' | '.join(ms)} |")
    calm = sorted([*outcome.waits["before"], *outcome.waits["after"]])
    ratio = share(outcome.waits["beside the writers"], 0.99) / share(calm, 0.99)
    print(f"\np99 beside the writers is {ratio:.2f} times that without them (at most 2 is wanted)\n")
    written, waits = outcome.written, sorted(outcome.written.waits)
    print("| writing | |\n|---|---|")
    print(f"| uploaded and ingested, deleted | {len(written.uploaded)}, {len(written.deleted)} in {outcome.writing_s:.0f} s |")
    print(f"| files a second | {len(written.uploaded) / outcome.writing_s:.1f} |")
    print(f"| from sending a file to the end of its job: p50, p99 | {share(waits, 0.5):.2f}, {share(waits, 0.99):.2f} s |")
    print(f"| CPU of the server meanwhile, searches included | {outcome.cpu_s:.0f} s |")
    print("\n| what must not be | times |\n|---|---|")
    for name, places in outcome.faults.items():
        print(f"| {name} | {len(places)} |")
    for name, places in outcome.faults.items():
        for place in places[:5]:
            print(f"- {name}: {place}")
    return 1 if any(outcome.faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
