"""Where the truth files and the papers lie, and both read: rows of benchmarks/truth/NAME, documents of the library, each once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from server.readers import read
from server.types import Document

ROOT = Path(__file__).resolve().parents[1]
TRUTH = ROOT / "benchmarks" / "truth"
LIBRARY = Path(os.environ.get("PAPERPROOF_LIBRARY") or ROOT.parent / "shared" / "library")


def truth_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def document_of(library: Path, name: str, documents: dict[str, Document]) -> Document:
    """The paper of that name, from `documents` when it was read before."""
    if name not in documents:
        documents[name] = read(library / "papers" / name)
    return documents[name]
