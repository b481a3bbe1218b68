"""Files under content/ and rows of library.db -> the files that must be read, and the rows whose files are gone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from configs.settings import Readers, Splitting
from server.embedding import Embedder
from server.errors import Corrupt, NotFound, PaperError, Unavailable
from server.ingestion.progress import Run
from server.ingestion.recipe import limits, recipe
from server.knowledge_base import KnowledgeBase
from server.stores.rows import FileRow


@dataclass(frozen=True, slots=True)
class Ways:
    """How the files of a run are split: as chosen for this run, else as the file's row says, else by default."""

    default: Splitting
    chosen: Splitting | None

    def of(self, row: FileRow | None) -> Splitting:
        """The way of one file. Raises Corrupt when its row holds none."""
        if self.chosen or not (row and row.splitting):
            return self.chosen or self.default
        try:
            return Splitting.model_validate_json(row.splitting)
        except ValidationError as exc:
            raise Corrupt(
                f"library.db does not say how {row.name} is to be split: {exc.errors()[0]['msg']}; upload the file again"
            ) from exc

    @property
    def to_remember(self) -> str | None:
        """What the rows of the files are to say from now on; None: what they say."""
        if self.chosen is None:
            return None
        return "" if self.chosen == self.default else self.chosen.model_dump_json()


@dataclass(frozen=True, slots=True)
class Todo:
    """A file that must be read; hash and size are those it had when it was compared."""

    name: str
    sha256: str
    bytes: int
    splitting: Splitting
    recipe: str


def compare(
    kb: KnowledgeBase, embedder: Embedder, ways: Ways, readers: Readers, files: Sequence[str] | None, force: bool, run: Run
) -> tuple[list[Todo], list[str]]:
    """What must be read, and the rows whose files are gone; nothing is changed but the counts of the run."""
    present = kb.names()
    rows = {row.name: row for row in kb.catalog.files()}
    if files is None:
        run.failed |= kb.unusable()
    wanted = present if files is None else sorted(set(files) & set(present))
    run.failed |= {name: "the file is not there" for name in files or () if name not in present}
    run.total = len(wanted) + len(run.failed)
    run.done = len(run.failed)
    gone = sorted(rows.keys() - set(present)) if files is None else []
    todo: list[Todo] = []
    remember = ways.to_remember
    for name in wanted:
        run.tell(name, "comparing")
        try:
            sha, size = fingerprint(kb, name)
        except PaperError as exc:  # no rights to it, or gone since the folder was listed
            run.failed[name] = str(exc)
            run.done += 1
            continue
        row = rows.get(name)
        splitting = ways.of(row)
        made_by = recipe(embedder, splitting)
        known = row and not force and row.state in ("ready", "failed") and remember in (None, row.splitting)
        as_before = row and (row.edited or row.recipe in (made_by, made_by + limits(readers)))
        if row and known and row.sha256 == sha and as_before:
            run.done += 1
            run.unchanged += 1
            if row.state == "failed":
                run.failed[name] = row.reason
            continue
        todo.append(Todo(name, sha, size, splitting, made_by))
    return todo, gone


def fingerprint(kb: KnowledgeBase, name: str) -> tuple[str, int]:
    """(sha256 of a file's content, its size in bytes). Raises NotFound, Forbidden, and Unavailable when it cannot be opened."""
    path = kb.existing(name)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except FileNotFoundError as exc:
        raise NotFound(f"no file {name!r} in the library {kb.name!r}") from exc
    except OSError as exc:
        raise Unavailable(f"cannot be opened: {exc.strerror or exc}") from exc
