"""Databases that come from elsewhere: what kind a file is, a safe copy of a library.db, the rows of Chatchat 0.2's info.db."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from server.errors import Corrupt, Invalid

_OURS = frozenset({"meta", "files", "chunks", "windows"})
_CHATCHAT = frozenset({"knowledge_base", "knowledge_file"})
PAGES_AT_ONCE = 4096  # 16 MiB; a writer of the source gets a turn in between


@dataclass(frozen=True, slots=True)
class ChatchatLibrary:
    """A knowledge base of info.db: its name, what it says about itself, and the names of its files."""

    name: str
    info: str
    embedding: str
    store: str
    files: tuple[str, ...]


def kind_of(path: Path) -> Literal["library", "chatchat"]:
    """What kind of database a file is. Raises Invalid when it is another or none, Corrupt when it is damaged."""
    with _read_only(path) as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables >= _OURS:
        return "library"
    if tables >= _CHATCHAT:
        return "chatchat"
    raise Invalid(f"{path} is neither a library.db nor Langchain-Chatchat's info.db; its tables: {', '.join(sorted(tables)) or 'none'}")


def copy_database(source: Path, target: Path) -> None:
    """A copy that is whole although somebody may be writing to the source. Raises Corrupt."""
    with _read_only(source) as db, contextlib.closing(sqlite3.connect(target)) as copy:
        db.backup(copy, pages=PAGES_AT_ONCE)


def model_of(path: Path) -> tuple[str, int] | None:
    """(Embedding model, dimension) that the rows of a library.db tell; None when it holds no vectors."""
    query = "SELECT f.recipe, length(w.vector) FROM windows w JOIN files f ON f.id = w.file_id WHERE f.recipe <> '' LIMIT 1"
    with _read_only(path) as db:
        row = db.execute(query).fetchone()
    return (str(row[0]).split()[1], int(row[1]) // 2) if row else None


def chatchat_libraries(path: Path) -> list[ChatchatLibrary]:
    """The knowledge bases of an info.db, by name. Raises Corrupt."""
    with _read_only(path) as db:
        columns = {row[1] for row in db.execute("PRAGMA table_info(knowledge_base)")}
        info = "ifnull(kb_info, '')" if "kb_info" in columns else "''"  # came with 0.2.5
        found = db.execute(
            f"SELECT kb_name, {info}, ifnull(embed_model, ''), ifnull(vs_type, '') FROM knowledge_base ORDER BY kb_name"  # noqa: S608 - a constant
        ).fetchall()
        files: dict[str, list[str]] = {}
        for name, file in db.execute("SELECT kb_name, file_name FROM knowledge_file ORDER BY file_name"):
            files.setdefault(name, []).append(str(file))
    return [
        ChatchatLibrary(str(name), str(words), str(model), str(store), tuple(files.get(name, ()))) for name, words, model, store in found
    ]


@contextlib.contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open without changing it, or the folder that it lies in, which may be one that cannot be written."""
    try:
        with path.open("rb") as file:
            written_ahead = file.read(20)[18:19] == b"\x02"  # of SQLite's header: WAL
        # A WAL file whose log is gone is opened by nobody; without `immutable` SQLite would leave an empty log beside it.
        still = written_ahead and not path.with_name(f"{path.name}-wal").exists()
        address = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' * still}"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            yield db
    except (OSError, sqlite3.Error) as exc:
        raise Corrupt(f"{path} cannot be read as a database ({exc})") from exc
