"""A library -> what is wrong with it: findings that say what was found and what mends it; nothing is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import ValidationError

from configs.settings import Splitting
from server.errors import Corrupt, PaperError
from server.ingestion import UNFINISHED, at_work
from server.knowledge_base import KnowledgeBase
from server.stores.rows import FileRow
from server.stores.soundness import Soundness, examine
from server.types import FileState

# fmt: off
Kind = Literal[
    "damaged", "windows", "words", "vectors", "altered", "strays", "generation", "index", "saved index",
    "no row", "no file", "changed", "unusable", "failed", "unfinished", "state", "splitting",
]
# fmt: on
ATTEMPTS = 5  # at a look at rows and index of the same generation, while somebody writes
NAMED = 20  # files in a sentence
SAVING_STORES = ("faiss",)  # those whose index lies in vectors/


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `mend` is what to do about it: a command, or a sentence."""

    kind: Kind
    what: str
    mend: str
    files: tuple[str, ...] = ()


def check(kb: KnowledgeBase, tell: Callable[[int, int], None] = lambda done, total: None) -> list[Finding]:
    """All findings of an open library, the gravest first; an empty list is a clean bill. `tell` hears (files hashed, of how many).

    A library that is being ingested meanwhile is judged as it stands: its unfinished files are no finding then.
    """
    try:
        sound = examine(kb.catalog.path, kb.facts.dimension)
        if sound.damage:
            return [_damaged(kb.name, "; ".join(sound.damage))]
        rows = kb.catalog.files()
        return [*_inside(kb, sound), *_index(kb, sound), *_states(kb, rows), *_files(kb, rows, tell)]
    except Corrupt as exc:
        return [_damaged(kb.name, str(exc))]


def unopened(name: str, content: Path, reason: PaperError) -> list[Finding]:
    """The finding of a library that could not even be opened, with the reason for it; or of a folder of papers that is none yet."""
    if isinstance(reason, Corrupt):
        return [_damaged(name, str(reason))]
    if content.is_dir():
        return [Finding("no row", "its folder holds papers, but it is no library yet", command("--increment", name))]
    return [Finding("no file", str(reason), command("--create-tables", name))]


def command(flag: str, name: str) -> str:
    """How init_database.py is called for one library."""
    return f"python init_database.py {flag} --kb-name {name}"


def as_lines(findings: Sequence[Finding]) -> str:
    """Two lines a finding, for a terminal: what was found, and what mends it."""
    return "".join(f"  ! {finding.what}{names_of(finding.files)}\n    -> {finding.mend}\n" for finding in findings)


def names_of(files: Sequence[str]) -> str:
    """The first names, as the end of a sentence."""
    more = f" … and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return f": {', '.join(files[:NAMED])}{more}" if files else ""


def _damaged(name: str, reason: str) -> Finding:
    return Finding("damaged", reason, f"restore library.db from a backup, or read every file again: {command('--recreate-vs', name)}")


def _inside(kb: KnowledgeBase, sound: Soundness) -> Iterator[Finding]:
    """What library.db lacks or has too much of."""
    again = command("--update-in-db", kb.name)
    if sound.without_windows:
        yield _of_files("windows", "chunks without vectors: dense search cannot find them", again, sound.without_windows)
    if sound.without_words:
        yield _of_files("words", "chunks without words: word search cannot find them", again, sound.without_words)
    if sound.bad_vectors:
        what = f"vectors that are not {kb.facts.dimension} finite numbers"
        yield _of_files("vectors", what, command("--recreate-vs", kb.name), sound.bad_vectors)
    altered = {name: count for name, count in sound.altered.items() if name not in sound.without_windows | sound.bad_vectors}
    if altered:
        yield _of_files("altered", "chunks that are not what was written: a disk or a program has changed them", again, altered)
    if sound.strays:
        what = "rows that belong to nothing: " + ", ".join(f"{count} {kind}" for kind, count in sound.strays.items())
        yield Finding("strays", what, command("--prune-db", kb.name))
    if sound.ahead:
        what = f"files whose rows are newer than the library's last change ({sound.generation}): the index never follows to them"
        yield Finding("generation", what, f"delete the folder {kb.vectors_folder}, then {again}", sound.ahead)


def _index(kb: KnowledgeBase, sound: Soundness) -> Iterator[Finding]:
    """Whether the index holds exactly the windows of the rows, and whether the saved one can be used."""
    try:
        generation, ids = kb.indexed()
        for _ in range(ATTEMPTS):
            if sound.generation == generation:
                break
            sound = examine(kb.catalog.path, kb.facts.dimension)  # somebody has written meanwhile
            generation, ids = kb.indexed()
    except Corrupt as exc:  # vectors of another length do not make a matrix
        yield Finding("index", f"the index cannot be built from the rows ({exc})", command("--recreate-vs", kb.name))
        return
    lacking, extra = np.setdiff1d(sound.windows, ids), np.setdiff1d(ids, sound.windows)
    if sound.generation == generation and (len(lacking) or len(extra) or len(ids) != len(sound.windows)):
        what = (
            f"{len(sound.windows)} windows in library.db, {len(ids)} in the index: "
            f"{len(lacking)} are missing there, {len(extra)} have no row"
        )
        mend = f"delete the folder {kb.vectors_folder} and restart a server that runs: the index is built anew from the rows"
        yield Finding("index", what, mend)
    saved = kb.saved_generation()
    again = command("--increment", kb.name)
    if saved is None and len(sound.windows) and kb.facts.store in SAVING_STORES:
        yield Finding(
            "saved index",
            f"the index in {kb.vectors_folder} is absent, damaged, or that of another library.db: every start builds it anew",
            again,
        )
    if saved is not None and saved > sound.generation:
        what = f"the saved index has followed to change {saved}, library.db is at {sound.generation}: it belongs to another library.db"
        yield Finding("generation", what, f"delete the folder {kb.vectors_folder}, then {again}")


def _states(kb: KnowledgeBase, rows: Sequence[FileRow]) -> Iterator[Finding]:
    """What the rows of files say about themselves."""
    odd = tuple(row.name for row in rows if row.state not in get_args(FileState) or (row.state == "ready" and not row.chunks))
    if odd:
        yield Finding(
            "state", "files that are called ready but have no chunks, or have an unknown state", command("--update-in-db", kb.name), odd
        )
    unfinished = tuple(row.name for row in rows if row.state in UNFINISHED)
    if unfinished and not at_work(kb):
        yield Finding("unfinished", "files that a run left queued", command("--increment", kb.name), unfinished)
    for row in rows:
        if row.state == "failed":
            mend = f"mend, replace or remove the file, then {command('--increment', kb.name)}"
            yield Finding("failed", f"could not be read: {row.reason}", mend, (row.name,))
    unclear = tuple(row.name for row in rows if row.splitting and not _is_splitting(row.splitting))
    if unclear:
        yield Finding("splitting", "files whose rows do not say how they are to be split", "upload them again", unclear)


def _files(kb: KnowledgeBase, rows: Sequence[FileRow], tell: Callable[[int, int], None]) -> Iterator[Finding]:
    """Files and rows side by side."""
    without_row, without_file = kb.differences()
    again = command("--increment", kb.name)
    if without_row:
        mend = f"{again}; or delete them: {command('--prune-folder', kb.name)}"
        yield Finding("no row", "files that were not read in yet", mend, tuple(without_row))
    if without_file:
        mend = f"put them back, or drop their rows: {command('--prune-db', kb.name)}"
        yield Finding("no file", "rows whose files are gone", mend, tuple(without_file))
    settled = [row for row in rows if row.state in ("ready", "failed") and row.sha256 and row.name not in without_file]
    changed = []
    for done, row in enumerate(settled):
        tell(done, len(settled))
        if _changed(kb, row):
            changed.append(row.name)
    tell(len(settled), len(settled))
    if changed:
        yield Finding("changed", "files that have changed since they were read", again, tuple(changed))
    for name, reason in kb.unusable().items():
        yield Finding("unusable", reason, "rename or remove it", (name,))


def _changed(kb: KnowledgeBase, row: FileRow) -> bool:
    """Whether the file has other bytes than were read; one that cannot be opened has."""
    try:
        with kb.existing(row.name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() != row.sha256
    except (OSError, PaperError):
        return True


def _is_splitting(text: str) -> bool:
    try:
        Splitting.model_validate_json(text)
    except ValidationError:
        return False
    return True


def _of_files(kind: Kind, what: str, mend: str, counts: Mapping[str, int]) -> Finding:
    return Finding(kind, f"{sum(counts.values())} {what}", mend, tuple(counts))
