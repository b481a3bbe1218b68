"""Create, fill, rebuild, prune, import and check libraries; the papers of each lie under knowledge_base/<name>/content.

python init_database.py --increment                      bring every library up to date with its folder
python init_database.py --recreate-vs --kb-name samples  read and embed everything again
python init_database.py --check                          say what is wrong, and what mends it

Works while the server runs, which sees the change at its next search. Exit code 1: something failed or was found; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.settings import Settings, SettingsError, load_settings
from server import checking, embedding, importing, weights
from server.checking import as_lines, names_of
from server.closing_table import Line, closing_table
from server.embedding import Embedder
from server.errors import Conflict, NotFound, PaperError
from server.importing import Imported
from server.ingestion import foresee, ingest
from server.knowledge_base import Facts, KnowledgeBase
from server.progress_bar import moved, show
from server.shelf import Shelf

ACTIONS = {  # flag -> (what it does, in English and Chinese); in the order in which they are done
    "clear-tables": "drop all rows, vectors too; the files stay 清空数据库，文件保留",
    "create-tables": "create missing libraries, empty; nothing is read 建立空的知识库",
    "recreate-vs": "read, split and embed every file of the folder again, from scratch 全部重建",
    "prune-db": "drop the rows and vectors of files that are no longer in the folder 从数据库删除文件夹中已没有的文件",
    "prune-folder": "delete files in the folder that have no rows; lists them and asks first 从文件夹删除数据库中没有的文件",
    "update-in-db": "read and embed again the files that are in both the database and the folder 更新数据库中已有的文件",
    "increment": "read new and changed files, drop the rows of deleted ones 增量更新：读入新文件和改动过的文件",
    "check": "compare rows, vectors and files; name each finding with what mends it 检查数据库、向量和文件是否一致",
}
SHORT = {"recreate-vs": "-r", "increment": "-i", "update-in-db": "-u", "kb-name": "-n", "embed-model": "-e"}
HELP_COLUMNS = 140  # so that each flag is one line
READ_ANEW = "reads every file from scratch already"
GIVES_ROWS = "changes which files have rows, and those without are deleted: run the two one after the other, with a look in between"
NO_ROWS = "leaves no rows; --increment reads the files again"
APART = "brings libraries in as they are; run the other afterwards"
EXCLUDED = {  # (flag, flag) -> why they do not go together
    **{("recreate-vs", other): READ_ANEW for other in ("clear-tables", "update-in-db", "increment", "prune-db")},
    **{(other, "prune-folder"): GIVES_ROWS for other in ("clear-tables", "create-tables", "recreate-vs", "update-in-db", "increment")},
    **{("clear-tables", other): NO_ROWS for other in ("update-in-db", "prune-db")},
    **{("import-db", other): APART for other in (*ACTIONS,) if other not in ("increment", "check")},
}


def main(arguments: list[str] | None = None) -> int:
    """0: all is well; 1: something failed or was found, and the output says what; 2: the call or the settings are wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (_chosen(options) or options.import_db):
        parser.print_help()
        return 2
    if wrong := _wrong(options):
        parser.error(wrong)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s")
    try:
        settings = load_settings({"embedding": {"model": options.embed_model}} if options.embed_model else None)
    except SettingsError as exc:
        print(exc, file=sys.stderr)
        return 2
    work = Work(settings, options)
    try:
        return work.all()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 1
    finally:
        work.shelf.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Build libraries from the papers under knowledge_base/NAME/content. 从 knowledge_base/名称/content 建立知识库。",
        epilog="Put papers into knowledge_base/NAME/content and run: python init_database.py --increment --kb-name NAME. "
        "How they are split is set under splitting in configs/settings.yaml 切分方式见 configs/settings.yaml 的 splitting",
        formatter_class=partial(argparse.HelpFormatter, max_help_position=32, width=HELP_COLUMNS),
    )

    def add(flag: str, words: str, **more: object) -> None:
        parser.add_argument(*filter(None, (SHORT.get(flag), f"--{flag}")), help=words, **more)  # type: ignore[arg-type]  # argparse's own kinds

    for flag, words in ACTIONS.items():
        add(flag, words, action="store_true")
    add("import-db", "take over a library.db, a folder of libraries, or Chatchat 0.2's info.db 导入备份", metavar="FILE", type=Path)
    add("kb-name", "only these libraries; default: all 只处理这些知识库", nargs="+", action="extend", default=[], metavar="NAME")
    add("embed-model", "embedding model of new and recreated libraries 新建和重建时用的嵌入模型", metavar="MODEL", default="")
    add("dry-run", "say what would be done, and do nothing 只说明会做什么，不执行", action="store_true")
    add("yes", "delete without asking (--prune-folder) 不询问直接删除", action="store_true")
    return parser


def _chosen(options: argparse.Namespace) -> list[str]:
    return [flag for flag in ACTIONS if getattr(options, flag.replace("-", "_"))]


def _wrong(options: argparse.Namespace) -> str:
    """Why these flags make no sense together; empty when they do."""
    chosen = [*_chosen(options), *(["import-db"] if options.import_db else [])]
    for (one, other), reason in EXCLUDED.items():
        if one in chosen and other in chosen:
            return f"--{one} and --{other} do not go together: --{one} {reason}"
    if options.yes and "prune-folder" not in chosen:
        return "--yes is for --prune-folder only; nothing else asks"
    if options.dry_run and chosen == ["check"]:
        return "--check changes nothing anyway; leave --dry-run out, or name an action"
    if options.embed_model and not {"create-tables", "recreate-vs", "update-in-db", "increment", "import-db"} & set(chosen):
        return "--embed-model is for actions that embed; name one of --create-tables --recreate-vs --update-in-db --increment --import-db"
    return ""


class Work:
    """One call of the program: its libraries, the models it has loaded, and what went wrong."""

    def __init__(self, settings: Settings, options: argparse.Namespace) -> None:
        self.settings, self.options = settings, options
        self.shelf = Shelf(settings.paths.knowledge_base, settings.stores)
        self._embedders: dict[str, Embedder] = {}
        self._lines: list[Line] = []
        self._bad = False

    def all(self) -> int:
        """Do everything for every library; the exit code."""
        names = self._imported() if self.options.import_db else self.options.kb_name or self._present()
        if not names and not self.options.import_db:
            root = self.shelf.root
            print(f"no library under {root}; make one: mkdir -p {root}/NAME/content")
            return 1
        for name in dict.fromkeys(names) if _chosen(self.options) else ():
            try:
                self._library(name)
            except PaperError as exc:
                self._fail(f"{name}: {exc}")
            except KeyboardInterrupt:
                self._fail(f"\n{name}: interrupted; the next --increment goes on from here")
                break
        if self._lines:
            print(f"\n{closing_table(self._lines)}")
        return 1 if self._bad or any(line.end.failed for line in self._lines) else 0

    def _present(self) -> list[str]:
        """The libraries, and the folders of papers that could become some."""
        folders = self.shelf.root.glob("*/content")
        return sorted({f.parent.name for f in folders if f.is_dir() and not f.parent.name.startswith(".")} | set(self.shelf.names()))

    def _library(self, name: str) -> None:
        """All chosen actions for one library, in the order of ACTIONS."""
        self.shelf.check_name(name)
        chosen = _chosen(self.options)
        for flag in chosen:
            if flag == "check":
                self._check(name)
            elif self.options.dry_run:
                print(f"{name}: --{flag} would {self._foreseen(flag, name)}")
            else:
                getattr(self, f"_{flag.replace('-', '_')}")(name)

    # ---- actions

    def _clear_tables(self, name: str) -> None:
        kb = self.shelf.open(name)
        _, chunks, _ = kb.catalog.counts()
        files, facts = len(kb.catalog.files()), kb.facts
        self.shelf.reset(name, embedding=facts.embedding, dimension=facts.dimension, passages=facts.passages, keep_choices=False)
        print(f"{name}: cleared, {files} files and {chunks} chunks dropped from the database; the files stay in {kb.content}")

    def _create_tables(self, name: str) -> None:
        if name not in self.shelf:
            if not (self.shelf.root / name / "content").is_dir():
                print(f"{name}: no folder {self.shelf.root / name / 'content'} yet; an empty library is made")
            self._create(name)
        kb = self.shelf.open(name)
        print(f"{name}: ready, {len(kb.names())} files under {kb.content}")

    def _recreate_vs(self, name: str) -> None:
        self._must_exist(name)
        embedder = self._embedder(self.settings.embedding.model)
        embedder.count_tokens("")  # one that does not load must cost no rows
        kb = self.shelf.reset(name, **_model(embedder))
        self._ingest("recreate-vs", kb, embedder)

    def _prune_db(self, name: str) -> None:
        kb = self.shelf.open(name)
        gone = kb.differences()[1]
        strays = kb.catalog.remove_strays()
        if gone:
            kb.catalog.remove(gone, awaited=True)
        kb.save_index()
        print(
            f"{name}: {len(gone)} files dropped from the database{names_of(gone)}"
            + f"; {strays} rows that belonged to nothing" * bool(strays)
        )

    def _prune_folder(self, name: str) -> None:
        kb = self.shelf.open(name)
        surplus = self._surplus(kb)
        if not surplus:
            print(f"{name}: every file in {kb.content} has rows; nothing to delete")
            return
        sizes = {file: kb.existing(file).stat().st_size for file in surplus}
        print(f"{name}: these {len(surplus)} files in {kb.content} have no rows, {sum(sizes.values()) / 2**20:.1f} MiB:")
        print("\n".join(f"  {file}  ({size:,} bytes)" for file, size in sizes.items()))
        if not (self.options.yes or _agreed("Delete them for good? 确定永久删除？ (yes/no) ")):
            raise Conflict("nothing was deleted; answer yes, or give --yes")
        still = set(self._surplus(kb))  # an upload may have given one its rows meanwhile
        for file in (wanted := [file for file in surplus if file in still]):
            try:
                kb.path_of(file).unlink(missing_ok=True)
            except OSError as exc:
                self._fail(f"{name}: {file} cannot be deleted ({exc.strerror or exc})")
        print(f"{name}: {sum(not kb.path_of(file).exists() for file in wanted)} files deleted")

    def _update_in_db(self, name: str) -> None:
        kb = self.shelf.open(name)
        self._ingest("update-in-db", kb, self._embedder_of(kb), files=_in_both(kb), force=True)

    def _increment(self, name: str) -> None:
        self._must_exist(name)
        if name not in self.shelf:
            self._create(name)
        kb = self.shelf.open(name)
        self._ingest("increment", kb, self._embedder_of(kb))

    def _check(self, name: str) -> None:
        with tqdm(unit="file", desc=f"{name} check", leave=False, disable=None) as bar:
            try:
                findings = checking.check(self.shelf.open(name), moved(bar))
            except PaperError as exc:
                findings = checking.unopened(name, self.shelf.root / name / "content", exc)
        print(f"{name}: {len(findings)} finding{'s' * (len(findings) > 1)}" if findings else f"{name}: sound")
        self._bad |= bool(findings)
        print(as_lines(findings), end="")

    def _imported(self) -> list[str]:
        """The names of the libraries that were imported."""
        done = []
        try:
            sources = importing.sources(self.options.import_db, self.options.kb_name)
        except PaperError as exc:
            self._fail(str(exc))
            return []
        for source in sources:
            try:
                if self.options.dry_run:
                    self.shelf.check_name(source.name)
                    there = (
                        "exists already, so nothing"
                        if source.name in self.shelf
                        else f"would be made from {source.database or source.content}"
                    )
                    print(f"{source.name}: {there}")
                    continue
                needed = None if source.facts else self._embedder(self.settings.embedding.model)
                default = Facts(**_model(needed)) if needed else source.facts or Facts("", 0)
                with tqdm(unit="B", unit_scale=True, desc=f"{source.name} import", leave=False, disable=None) as bar:
                    end = importing.bring_in(self.shelf, source, default, lambda _file, at, total, bar=bar: moved(bar)(at, total))  # type: ignore[misc]  # bound now
                _show_imported(end)
                done.append(source.name)
            except PaperError as exc:
                self._fail(f"{source.name}: {exc}")
        return done

    # ---- inside

    def _foreseen(self, flag: str, name: str) -> str:
        """What an action would do, as the rest of a sentence; nothing is changed."""
        content = self.shelf.root / name / "content"
        if name not in self.shelf:
            if flag in ("recreate-vs", "increment"):
                self._must_exist(name)
            if flag in ("create-tables", "recreate-vs", "increment"):
                return f"create the library, for {embedding.name_of(self.settings)}" + (
                    "" if flag == "create-tables" else f", and read what lies in {content}"
                )
            raise NotFound(f"there is no library {name!r}")
        kb = self.shelf.open(name)
        without_row, without_file = kb.differences()
        if flag == "clear-tables":
            files, chunks, _ = kb.catalog.counts()
            return f"drop {files} ready files with {chunks} chunks from the database; the files stay"
        if flag == "create-tables":
            return "do nothing: it exists"
        if flag == "recreate-vs":
            model = embedding.name_of(self.settings)
            return f"read {len(kb.names())} files again" + f", with {model} instead of {kb.facts.embedding}" * (model != kb.facts.embedding)
        if flag == "prune-db":
            return f"drop {len(without_file)} files from the database{names_of(without_file)}"
        if flag == "prune-folder":
            return f"delete {len(without_row)} files{names_of(self._surplus(kb))}"
        if flag == "update-in-db":
            return f"read {len(_in_both(kb))} files again"
        read, gone = foresee(kb, self._embedder_of(kb), self.settings.splitting, readers=self.settings.readers)
        return f"read {len(read)} files{names_of(read)} and drop {len(gone)} from the database{names_of(gone)}"

    def _create(self, name: str) -> None:
        model = _model(self._embedder(self.settings.embedding.model))
        with contextlib.suppress(Conflict):  # another program has made it since we looked
            self.shelf.create(name, **model)

    def _must_exist(self, name: str) -> None:
        if name not in self.shelf and not (self.shelf.root / name / "content").is_dir():
            raise NotFound(
                f"there is no library {name!r} and no folder {self.shelf.root / name / 'content'}; to begin one: --create-tables"
            )

    def _surplus(self, kb: KnowledgeBase) -> list[str]:
        """Files without rows. Raises Conflict where no file has any: then the rows are what is missing, not the files too many."""
        surplus, _ = kb.differences()
        if surplus and not kb.catalog.files():
            raise Conflict(f"the database of {kb.name!r} is empty: --prune-folder would delete every file in {kb.content}")
        return surplus

    def _embedder_of(self, kb: KnowledgeBase) -> Embedder:
        """The model that the library was built with; what --embed-model names when it does, and ingestion then refuses another."""
        here = self.options.embed_model or embedding.name_of(self.settings) == kb.facts.embedding
        return self._embedder(self.settings.embedding.model if here else kb.facts.embedding)

    def _embedder(self, model: str) -> Embedder:
        if model not in self._embedders:
            if not (self.options.dry_run or self.settings.endpoint_of(model)):
                with tqdm(unit="B", unit_scale=True, desc=f"fetching {model}", leave=False, disable=None) as bar:
                    weights.fetch(model, self.settings.paths.models, lambda _what, done, total: moved(bar)(done, total))
            self._embedders[model] = embedding.load_late(self.settings, model)
        return self._embedders[model]

    def _ingest(self, flag: str, kb: KnowledgeBase, embedder: Embedder, *, files: Sequence[str] | None = None, force: bool = False) -> None:
        kb.catalog.await_nothing()
        with tqdm(unit="file", desc=kb.name, disable=None) as bar:
            end = ingest(
                kb,
                embedder,
                self.settings.splitting,
                files=files,
                force=force,
                tell=lambda progress: show(bar, progress),
                readers=self.settings.readers,
            )
        self._lines.append(Line(kb.name, flag, end))

    def _fail(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)
        self._bad = True


def _model(embedder: Embedder) -> dict[str, Any]:
    """What a library remembers of its model."""
    return {"embedding": embedder.name, "dimension": embedder.dimension, "passages": embedder.usage.form}


def _in_both(kb: KnowledgeBase) -> list[str]:
    return sorted({row.name for row in kb.catalog.files()} & set(kb.names()))


def _agreed(question: str) -> bool:
    """Whether somebody at a terminal answers yes; nobody there is a no."""
    try:
        return sys.stdin.isatty() and input(question).strip().lower() == "yes"
    except EOFError:
        return False


def _show_imported(end: Imported) -> None:
    print(f"{end.name}: imported, {len(end.taken)} files")
    for note in end.notes:
        print(f"  {note}")
    for what, files in (("named in the database, but not there", end.absent), ("left out (hidden, links)", end.left_out)):
        if files:
            print(f"  {len(files)} files {what}{names_of(files)}")
    print(as_lines(end.findings), end="")


if __name__ == "__main__":
    sys.exit(main())
