"""A part of a FAISS index <-> two files, of which the second makes the first valid: a kill leaves the old pair or the new one.

`vectors/index-<generation>-<letters>.faiss` is written and synced first: FAISS's own bytes, then the ids by place and the checksums of the
lists. `vectors/index.json` then replaces the old one in one step; it holds sizes, checksums, and a checksum of itself.
Opening maps the file and compares all but the lists, each of which is compared when it is first searched: 100,000 half vectors take
0.1 s at 1 GB/s, two million vectors in lists 0.03 s, and then 0.1 ms a list at 2 GB/s.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from server.stores.faiss_part import Kind, Part

FORMAT = 2
_BLOCK = 1 << 20


def write(part: Part, folder: Path, at: tuple[int, int], named: str | None) -> str:
    """Save the part, which has followed to `at` (generation, stamp), and return the name of its file.

    With `named`, that file holds it already. Raises OSError, and nothing changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # of two processes that save, the other's new file must not be taken for an old one
        if named is not None and (folder / "index.json").is_file() and (old := _facts(folder))["file"] == named:
            facts = old | {"generation": at[0], "stamp": at[1]}
        else:
            name = f"index-{at[0]}-{uuid.uuid4().hex[:8]}.faiss"
            with _in_one_step(folder / name) as file:
                facts = {"format": FORMAT, "file": name, "generation": at[0], "stamp": at[1], **_write_part(part, file)}
        with _in_one_step(folder / "index.json") as file:
            file.write(json.dumps({"facts": facts, "sha256": _digest_of(facts)}).encode())
        for stale in [*folder.glob("index-*.faiss"), *folder.glob(".index*.writing")]:
            if stale.name != facts["file"]:
                with contextlib.suppress(PermissionError):  # Windows: another process has it mapped; the next save tries again
                    stale.unlink(missing_ok=True)
    return str(facts["file"])


def read(folder: Path, dimension: int) -> tuple[Part, tuple[int, int], str]:
    """(the part, mapped and not loaded; its generation and stamp; the name of its file).

    Raises FileNotFoundError when nothing was saved, and ValueError, KeyError, TypeError, OSError or RuntimeError when it is damaged.
    """
    for _ in range(3):  # another process may replace the pair meanwhile
        facts = _facts(folder)
        with contextlib.suppress(FileNotFoundError):
            return (
                _read_part(folder / Path(facts["file"]).name, facts, dimension),
                (facts["generation"], facts.get("stamp", 0)),
                facts["file"],
            )
    raise ValueError(f"{facts['file']} is missing")


def _facts(folder: Path) -> dict[str, Any]:
    signed = json.loads((folder / "index.json").read_bytes())
    facts: dict[str, Any] = signed["facts"]
    if signed["sha256"] != _digest_of(facts) or facts["format"] != FORMAT:
        raise ValueError("index.json is damaged or of another version")
    return facts


def _digest_of(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _write_part(part: Part, file: BinaryIO) -> dict[str, Any]:
    import faiss

    faiss.write_index(part.index, faiss.PyCallbackIOWriter(file.write, _BLOCK))  # type: ignore[attr-defined]  # SWIG's
    body = file.tell()
    file.write(b"\0" * (-body % 8))
    file.write(part.ids.tobytes() + part.sums.tobytes())
    head = body if part.kind != "lists" else body - len(part) * (part.index.code_size + 8)
    file.flush()
    return {
        "kind": part.kind,
        "dimension": int(part.index.d),
        "count": len(part),
        "lists": len(part.sums),
        "probes": part.probes,
        "trained": part.trained,
        "head": head,
        "body": body,
        "size": file.tell(),
        "sha256": _digest(file, head, body),
    }


def _read_part(path: Path, facts: dict[str, Any], dimension: int) -> Part:
    import faiss

    if facts["dimension"] != dimension:
        raise ValueError(f"it holds vectors of {facts['dimension']} dimensions, not {dimension}")
    count = int(facts["count"])
    kind: Kind = facts["kind"]
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != facts["size"] or _digest(file, facts["head"], facts["body"]) != facts["sha256"]:
            raise ValueError(f"{path.name} is not what was saved")
        file.seek(-(-facts["body"] // 8) * 8)
        ids = np.frombuffer(file.read(8 * count), np.int64)
        sums = np.frombuffer(file.read(4 * facts["lists"]), np.uint32)
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP if kind == "lists" else faiss.IO_FLAG_MMAP_IFC)
    return Part(kind, index, ids, facts["probes"], facts["trained"], sums, np.zeros(len(sums), np.bool_))


def _digest(file: BinaryIO, head: int, body: int) -> str:
    """sha256 of the first `head` bytes and of all from `body` on."""
    digest = hashlib.sha256()
    file.seek(0)
    while head > 0 and (block := file.read(min(_BLOCK, head))):
        digest.update(block)
        head -= len(block)
    file.seek(body)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _in_one_step(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
