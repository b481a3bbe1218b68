"""Run on a small disk: all that writes to a library, with more and more room; prints what each attempt came to, as JSON lines."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from configs.settings import Retrieval, Splitting
from server.checking import check
from server.errors import PaperError
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.retrieval import retrieve
from server.shelf import Shelf
from tests.hash_embedder import HashEmbedder

ROOM_KIB = (0, 4, 16, 64, 160, 400)
BLOCK = 4096
NEW = f"# New\n\n{'pear tree ' * 6000}".encode()


@contextlib.contextmanager
def full_but(root: Path, room_kib: int) -> Iterator[None]:
    """The disk holds a file that leaves so much."""
    filler = root / ".filler"
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(BLOCK))
        os.truncate(filler, max(0, file.tell() - room_kib * 1024) // BLOCK * BLOCK)
    try:
        yield
    finally:
        filler.unlink()


def came_to(act: Callable[[], object]) -> str:
    """`done`, or the error's class and words."""
    try:
        act()
    except PaperError as exc:
        return f"{type(exc).__name__}: {exc}"
    except Exception as exc:  # noqa: BLE001 - told, so that the test fails by it
        return f"RAW {type(exc).__name__}: {exc}"
    return "done"


def ingested(kb: KnowledgeBase) -> str:
    failed: dict[str, str] = {}
    outcome = came_to(lambda: failed.update(ingest(kb, HashEmbedder(), Splitting()).failed))
    return outcome if outcome != "done" or not failed else f"failed {failed}"


def found(kb: KnowledgeBase) -> list[str]:
    return sorted(passage.text for passage in retrieve([(kb, HashEmbedder())], "apple number", Retrieval()))


def main(root: Path) -> None:
    """For each amount of room: what every step came to; then with room again."""
    shelf = Shelf(root)
    kb = shelf.create("papers", embedding="hash", dimension=32)
    for number in range(4):
        (kb.content / f"old{number}.md").write_text(f"apple number {number} " * 40, encoding="utf-8")
    assert ingested(kb) == "done"
    before = found(kb)
    for room_kib in ROOM_KIB:
        said: dict[str, str] = {}
        with full_but(root, room_kib):
            said["upload"] = came_to(partial(kb.store_file, "new.md", io.BytesIO(NEW), override=True, limit_bytes=1 << 30, queue=True))
            said["ingest"] = ingested(kb)
            said["index"] = came_to(kb.save_index)
            said["delete"] = came_to(partial(kb.remove_files, ["old3.md"], delete_content=False))
            said["create"] = came_to(lambda: shelf.create("other", embedding="hash", dimension=32))
            said["reset"] = came_to(lambda: shelf.reset("papers", embedding="hash", dimension=32))
            said["search"] = came_to(lambda: found(shelf.open("papers")))
        again = Shelf(root)
        kb = again.open("papers")
        said["afterwards"] = ingested(kb)
        said["check"] = "; ".join(finding.what for finding in check(kb))
        if "new.md" in kb.names():
            kb.remove_files(["new.md"], delete_content=True)
        said["answers"] = "same" if found(kb) == before else "others"
        again.close()
        with contextlib.suppress(PaperError):
            shelf.delete("other")
        kb = shelf.open("papers")
        ingested(kb)
        sys.stdout.write(json.dumps({"room_kib": room_kib, **said}) + "\n")
    shelf.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
