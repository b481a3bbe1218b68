"""The head of every table: machine, system, commit, command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path


def head(title: str) -> str:
    """Markdown lines that say where and with what a table was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", ".", ":!benchmarks/results"], capture_output=True, text=True, check=False
    ).stdout.strip()
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"# {title}\n\n"
        f"- machine: {os.cpu_count()} x {names[0] if names else platform.processor()}, {memory:.0f} GiB, {platform.system()}\n"
        f"- Python {platform.python_version()}, commit {commit}{' with changes' if changed else ''}\n"
        f"- command: python -m {Path(sys.argv[0]).parent.name}.{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}\n"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
