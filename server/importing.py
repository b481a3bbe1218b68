"""Libraries from elsewhere -> libraries here; in: a library.db, a library, a folder of libraries, or Langchain-Chatchat 0.2's info.db.

Everything is put together in a folder of its own, checked there, and moved to its place in one step: what fails leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from server.checking import Finding, check
from server.errors import Conflict, Corrupt, Invalid, Unavailable
from server.knowledge_base import Facts, KnowledgeBase, read_facts, write_facts
from server.shelf import Shelf
from server.stores.catalog import Catalog
from server.stores.foreign import chatchat_libraries, copy_database, kind_of, model_of

GRAVE = (
    "damaged",
    "windows",
    "words",
    "vectors",
    "altered",
    "strays",
    "generation",
    "index",
)  # a library with one of these is not taken over
LEFT_OVER_S = 24 * 3600.0  # no copy lasts that long
FROM_CHATCHAT = (
    "from Langchain-Chatchat: its name, its description and its files are taken over. Its vectors, chunks, summaries, splitting, "
    "conversations and chosen embedding model are not: they know no pages; the files are read anew"
)
Tell = Callable[[str, int, int], None]  # file, bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Source:
    """One library that can be imported. `content` is where its papers are; None when they are not there."""

    name: str
    content: Path | None
    database: Path | None = None  # a library.db; None for one of Chatchat's
    facts: Facts | None = None  # None: the model is chosen here
    files: tuple[str, ...] = ()  # that info.db names
    info: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a source: `taken` files lie in the library, `absent` ones were named but not there; `findings` are worth knowing."""

    name: str
    taken: tuple[str, ...]
    absent: tuple[str, ...]
    left_out: tuple[str, ...]  # files that are not taken over: hidden, links, or with names that cannot be
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def sources(path: Path, names: Sequence[str] = ()) -> list[Source]:
    """The libraries in `path`, only those of `names` when given; one library alone takes the one name that is given.

    Raises Invalid when there is none, or not that one; Corrupt when a database cannot be read.
    """
    found = list(_in_folder(path)) if path.is_dir() else list(_in_file(path))
    if not found:
        raise Invalid(f"no library in {path}: give a library.db, a folder of libraries, or Langchain-Chatchat's info.db")
    if len(found) == 1 and len(names) == 1:
        return [replace(found[0], name=names[0])]
    unknown = sorted(set(names) - {source.name for source in found})
    if unknown:
        raise Invalid(f"no library {', '.join(unknown)} in {path}; there are {', '.join(source.name for source in found)}")
    return [source for source in found if not names or source.name in names]


def bring_in(shelf: Shelf, source: Source, default: Facts, tell: Tell = lambda file, done, total: None) -> Imported:
    """Make it a library of the shelf; `default` holds the model of sources that have none.

    Raises Conflict when there is one of that name, Forbidden for a name that cannot be, Corrupt when the copy is not sound, and
    Unavailable when copying fails; nothing has changed then.
    """
    shelf.check_name(source.name)
    if source.name in shelf:
        raise Conflict(f"there is a library {source.name} already; import under another name with --kb-name, or delete that one first")
    home = shelf.root / source.name
    facts = source.facts or replace(default, info=source.info)
    if source.content is not None and source.database is None and source.content.resolve() == (home / "content").resolve():
        kb = shelf.create(source.name, embedding=facts.embedding, dimension=facts.dimension, info=facts.info, passages=facts.passages)
        kb.catalog.queue(kb.names())  # so that the next start of a server goes on with them
        return _report(source, kb, (), ())
    shelf.root.mkdir(parents=True, exist_ok=True)
    _sweep(shelf.root)
    place = shelf.root / f".import-{uuid.uuid4().hex}" / source.name
    try:
        (place / "content").mkdir(parents=True)
        left_out = _copy_content(source.content, place, tell) if source.content else ()
        findings = _copy_rows(source, place, facts)
        kb = shelf.adopt(source.name, place)
    except OSError as exc:
        raise Unavailable(f"{source.name} could not be copied ({exc.strerror or exc}); nothing was imported") from exc
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)
    if source.database is None:
        kb.catalog.queue(kb.names())
    kb.save_index()
    return _report(source, kb, left_out, findings)


def _in_folder(path: Path) -> Iterator[Source]:
    """A library, or every library in a folder of them; Chatchat's folder is known by its info.db."""
    if (path / "library.db").is_file():
        yield from _in_file(path / "library.db")
    elif (path / "info.db").is_file():
        yield from _in_file(path / "info.db")
    else:
        for folder in sorted(path.iterdir()):
            if (folder / "library.db").is_file() and not folder.name.startswith("."):
                yield from _in_file(folder / "library.db")


def _in_file(path: Path) -> Iterator[Source]:
    if not path.is_file():
        raise Invalid(f"there is no {path}")
    beside = path.absolute().parent
    if kind_of(path) == "chatchat":
        for library in chatchat_libraries(path):
            content = beside / library.name / "content"
            there = content if Path(library.name).name == library.name and content.is_dir() else None
            yield Source(library.name, there, files=library.files, info=library.info)
        return
    content = beside / "content"
    whole = path.name == "library.db" and (beside / "kb.json").is_file()
    if whole:
        yield Source(beside.name, content if content.is_dir() else None, path, read_facts(beside))
        return
    model = model_of(path)
    if model is None:
        raise Invalid(f"{path} holds no vectors and has no kb.json beside it: there is nothing to take over")
    name = beside.name if path.name == "library.db" else path.stem
    yield Source(name, content if path.name == "library.db" and content.is_dir() else None, path, Facts(*model))


def _copy_content(content: Path, place: Path, tell: Tell) -> tuple[str, ...]:
    """Copy the papers; the names of those that are left out."""
    files: list[str] = []
    left_out: list[str] = []
    for folder, inner, names in os.walk(content):
        left_out += [(Path(folder) / name).relative_to(content).as_posix() for name in inner if (Path(folder) / name).is_symlink()]
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in names:
            path = Path(folder) / name
            wanted = path.is_file() and not path.is_symlink() and not name.startswith(".")
            (files if wanted else left_out).append(path.relative_to(content).as_posix())
    total, done = sum((content / name).stat().st_size for name in files), 0
    for name in sorted(files):
        tell(name, done, total)
        target = place / "content" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(content / name, target)
        done += target.stat().st_size
    tell("", done, total)
    return tuple(sorted(left_out))


def _copy_rows(source: Source, place: Path, facts: Facts) -> tuple[Finding, ...]:
    """library.db and kb.json of the copy; what the check found in it. Raises Corrupt when it must not be taken over."""
    if source.database is not None:
        copy_database(source.database, place / "library.db")
    Catalog(place / "library.db").close()  # a new one, or an older one brought up to date
    write_facts(place, facts)
    if source.database is None:
        return ()
    kb = KnowledgeBase(place, replace(facts, store="faiss"))  # the copy has another home yet, where a server would keep its vectors
    try:
        findings = check(kb)
    finally:
        kb.close()
    grave = [finding.what for finding in findings if finding.kind in GRAVE]
    if grave:
        raise Corrupt(f"{source.database} is not sound, nothing was imported: {'; '.join(grave)}")
    return tuple(finding for finding in findings if finding.kind != "saved index")


def _report(source: Source, kb: KnowledgeBase, left_out: tuple[str, ...], findings: tuple[Finding, ...]) -> Imported:
    taken = tuple(kb.names())
    notes = []
    if source.database is None:
        notes.append(FROM_CHATCHAT)
        absent = tuple(sorted(set(source.files) - set(taken)))
    else:
        absent = tuple(kb.differences()[1])
    if source.content is None and not taken:
        notes.append(f"its papers were not beside the database: put them into {kb.content} before the next --increment")
    return Imported(source.name, taken, absent, left_out, findings, tuple(notes))


def _sweep(root: Path) -> None:
    """Remove what imports that were killed long ago have left."""
    for folder in root.glob(".import-*"):
        if time.time() - folder.stat().st_mtime > LEFT_OVER_S:
            shutil.rmtree(folder, ignore_errors=True)
