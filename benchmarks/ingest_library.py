"""A folder of papers ingested by init_database.py into a library of its own: seconds, pages, chunks, bad files, exit code; then searched.

python -m benchmarks.ingest_library [FOLDER]      default: ../shared/library/papers beside the repository
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import head

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Print the table and init_database.py's own output."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "library" / "papers"
    if not folder.is_dir():
        print(f"no papers at {folder}; name a folder")
        return 1
    with tempfile.TemporaryDirectory() as temporary:
        content = Path(temporary) / "papers" / "content"
        shutil.copytree(folder, content)
        environment = os.environ | {"PAPERPROOF_PATHS__KNOWLEDGE_BASE": temporary}
        command = [sys.executable, "init_database.py", "--increment", "--kb-name", "papers"]
        runs = []
        for _ in range(2):
            started = time.perf_counter()
            run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            runs.append((run, time.perf_counter() - started))
        searchable = _searchable(temporary)
    first, seconds = runs[0]
    print(head("Papers ingested by init_database.py"))
    print("| run | exit code | wall s | files | pages | chunks | ingest s |\n|---|---|---|---|---|---|---|")
    for name, (run, wall) in zip(("first", "again, nothing changed"), runs, strict=True):
        names, values = (line.split() for line in run.stdout.splitlines() if re.match(r"(library|papers) +\w+ +\w+", line))
        numbers = dict(zip(names, values, strict=True))
        cells = [name, str(run.returncode), f"{wall:.1f}", *(numbers[key] for key in ("files", "pages", "chunks", "seconds"))]
        print(f"| {' | '.join(cells)} |")
    print(f"\nready and found by a search for their own title: {searchable}\n\n```{first.stdout.rstrip()}\n```")
    return 0 if seconds else 1


def _searchable(root: str) -> str:
    from configs.settings import load_settings
    from server.retrieval import retrieve
    from server.runtime import build

    runtime = build(load_settings({"paths": {"knowledge_base": root}}))
    kb = runtime.shelf.open("papers")
    embedder = runtime.embedder_of(kb)
    ready = [row for row in kb.catalog.files() if row.state == "ready"]
    lost = []
    for row in ready:
        found = retrieve([(kb, embedder)], row.title, runtime.settings.retrieval, top_k=5)
        if row.name not in {passage.file for passage in found}:
            lost.append(row.name)
    return f"{len(ready) - len(lost)} of {len(ready)}" + (f" (not in the first five: {', '.join(lost)})" if lost else "")


if __name__ == "__main__":
    sys.exit(main())
