"""Writers and readers at one server: uploads and deletions beside searches; errors, stale hits, lost files, and what searches wait.

python -m benchmarks.concurrency                          4,000 files, 6 writers, 16 readers, two libraries, multilingual-e5-small
python -m benchmarks.concurrency --embedder tiny          with random weights of 32 dimensions: the server's own share alone
python -m benchmarks.concurrency --files 300 --calm-s 4   the short version

The same readers search before, during and after the writing; each asks again as soon as it has its answer, unless --pause-ms is given.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import concurrency_clients as clients
from benchmarks.concurrency_clients import LIBRARIES, Seen
from benchmarks.machine import head
from tests.stack import Process, write_settings

BASE_FILES = 200  # in each library before anything is measured


def main() -> int:
    """Print the table; 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--calm-s", type=float, default=30.0, help="readers alone, before and after (default: 30)")
    parser.add_argument("--least-s", type=float, default=0.0, help="the writing is stretched to so many seconds at least")
    parser.add_argument("--pause-ms", type=float, default=0.0, help="mean pause of a reader between two searches (default: 0)")
    parser.add_argument("--deleted", type=float, default=0.1, help="share of the files that are deleted again (default: 0.1)")
    parser.add_argument("--embedder", default="multilingual-e5-small", help="tiny (random weights), or a name of the weights table")
    parser.add_argument("--seed", type=int, default=20_260_802)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings, port = _settings(Path(folder), options.embedder)
        server = Process(settings, "server.api")
        try:
            server.ready(lambda: _answers(port))
            outcome = measured(options, port, server.pid)
        finally:
            server.end(signal.SIGTERM, 30)
        outcome |= {"findings of the check": _findings(Path(folder) / "knowledge_base")}
        errors_in_log = [line for line in server.log.read_text().splitlines() if " ERROR " in line or "Traceback" in line]
        outcome["errors in the server's log"] = errors_in_log
        print(head("Searches beside uploads"))
        return _report(options, outcome)


def _settings(folder: Path, embedder: str) -> tuple[Path, int]:
    model: dict[str, Any] = {"model": embedder}
    if embedder == "tiny":
        from server.weights_e5 import write_folder
        from tests import tiny_e5

        write_folder(tiny_e5.write(folder / "tiny.bin"), folder / "tiny-e5")
        model = {"model": str(folder / "tiny-e5"), "dtype": "float32", "device": "cpu"}
    models = os.environ.get("PAPERPROOF_PATHS__MODELS")
    settings: dict[str, Any] = {"embedding": model}
    if models:
        settings["paths"] = {name: str(folder / name) for name in ("knowledge_base", "logs")} | {"models": models}
    file = write_settings(folder, settings)
    port = next(int(line.split()[1]) for line in file.read_text().splitlines() if "api_port" in line)
    return file, port


def _answers(port: int) -> bool:
    return clients.Client(port, Seen()).ask("GET", "/health") is not None


def measured(options: argparse.Namespace, port: int, server: int) -> dict[str, Any]:
    """Fill both libraries, search alone, search beside the writers, search alone; then look for every file."""
    first = Seen()
    client = clients.Client(port, first)
    for library in LIBRARIES:
        client.ask("POST", "/knowledge_base/create_knowledge_base", f'{{"knowledge_base_name": "{library}"}}'.encode())
    base = range(options.files, options.files + BASE_FILES)
    threads = [threading.Thread(target=_fill, args=(port, first, [n for n in base if n % 4 == i])) for i in range(4)]
    _all(threads)
    with multiprocessing.get_context("spawn").Manager() as manager, ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        stop = manager.Event()
        reading = pool.submit(clients.read, port, options.files, options.readers, options.seed, options.pause_ms / 1000, stop)
        time.sleep(2)  # connections, caches
        calm = [time.monotonic()]
        time.sleep(options.calm_s)
        calm.append(time.monotonic())
        cpu = _cpu_s(server)
        written = pool.submit(clients.write, port, options.files, options.writers, options.deleted, options.seed).result()
        writing = (calm[1], time.monotonic())
        cpu = _cpu_s(server) - cpu
        time.sleep(max(0.0, options.least_s - (writing[1] - writing[0])))
        again = [time.monotonic() + 1]
        time.sleep(options.calm_s + 1)
        again.append(time.monotonic())
        stop.set()
        seen = reading.result()
        left = sorted([*(set(written.uploaded) - set(written.deleted)), *base])
        lost, looked = pool.submit(clients.missing, port, left, 4).result()
    documents = {library: client.ask("GET", f"/api/v1/libraries/{library}/documents") for library in LIBRARIES}
    wrong = []
    for library in LIBRARIES:
        wanted = {clients.file_of(n) for n in left if clients.library_of(n) == library}
        ready = {body["file"] for body in documents[library] if body["state"] == "ready" and body["chunks"] == 1}
        wrong += [f"{library}: {name} is {'lacking' if name in wanted else 'too much'}" for name in sorted(wanted ^ ready)]
        wrong += [f"{library}: {body['file']} is {body['state']}" for body in documents[library] if body["state"] != "ready"]
    return {
        "errors": [*first.errors, *seen.errors, *written.errors, *looked.errors],
        "hits from deleted files": stale(seen, written.deleted),
        "uploaded files that their own word does not find": [clients.file_of(n) for n in lost],
        "files lacking or too much at the end": wrong,
        "_latencies": {
            "before": _within(seen, calm[0], calm[1]),
            "beside the writers": _within(seen, writing[0], writing[1]),
            "after": _within(seen, again[0], again[1]),
        },
        "_seconds": {"before": calm[1] - calm[0], "beside the writers": writing[1] - writing[0], "after": again[1] - again[0]},
        "_written": written,
        "_cpu": cpu,
    }


def _fill(port: int, seen: Seen, numbers: Sequence[int]) -> None:
    client = clients.Client(port, seen)
    for number in numbers:
        client.upload(number, old=False)


def _all(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stale(seen: Seen, deleted: dict[int, float]) -> list[str]:
    """Searches that were sent after a deletion was acknowledged, and found the file all the same."""
    gone = {clients.file_of(number): when for number, when in deleted.items()}
    return [
        f"{file} {sent - gone[file]:.3f} s later" for sent, _, _, files in seen.searches for file in files if sent > gone.get(file, sent)
    ]


def _within(seen: Seen, start: float, stop: float) -> list[float]:
    return sorted(seconds for sent, seconds, _, _ in seen.searches if sent >= start and sent + seconds <= stop)


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


def _report(options: argparse.Namespace, outcome: dict[str, Any]) -> int:
    written: Seen = outcome["_written"]
    print(f"{options.readers} readers, {options.writers} writers, {options.files} files, {options.embedder}, seed {options.seed}\n")
    print("| searches | number | a second | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|---|")
    calm = sorted([*outcome["_latencies"]["before"], *outcome["_latencies"]["after"]])
    for name, values in outcome["_latencies"].items():
        ms = [f"{1000 * v:.0f}" for v in (share(values, 0.5), share(values, 0.99), values[-1])]
        print(f"| {name} | {len(values)} | {len(values) / outcome['_seconds'][name]:.1f} | {' | '.join(ms)} |")
    ratio = share(outcome["_latencies"]["beside the writers"], 0.99) / share(calm, 0.99)
    seconds = outcome["_seconds"]["beside the writers"]
    waits = sorted(written.waits)
    print(f"\np99 beside the writers is {ratio:.2f} times that without them (at most 2 is wanted)\n")
    print("| writing | |\n|---|---|")
    print(f"| uploaded and ingested, deleted | {len(written.uploaded)}, {len(written.deleted)} in {seconds:.0f} s |")
    print(f"| files a second | {len(written.uploaded) / seconds:.1f} |")
    print(f"| from sending a file to the end of its job: p50, p99 | {share(waits, 0.5):.2f}, {share(waits, 0.99):.2f} s |")
    print(f"| CPU of the server meanwhile | {outcome['_cpu']:.0f} s |")
    print("\n| what must not be | times |\n|---|---|")
    faults = {name: values for name, values in outcome.items() if not name.startswith("_")}
    for name, values in faults.items():
        print(f"| {name} | {len(values)} |")
    for name, values in faults.items():
        for value in values[:5]:
            print(f"- {name}: {value}")
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
