"""Create, rebuild and update libraries from the papers under knowledge_base/<name>/content.

python init_database.py --increment                      bring every library up to date with its folder
python init_database.py --recreate-vs --kb-name samples  read and embed everything again

Works while the server runs, which sees the change at its next search. Exit code 1 when a file or a library failed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from pathlib import Path

from tqdm import tqdm

from configs.settings import Settings, SettingsError, load_settings
from server import embedding, weights
from server.embedding import Embedder
from server.errors import Cancelled, PaperError
from server.ingestion import Progress, ingest
from server.shelf import Shelf


def main(arguments: list[str] | None = None) -> int:
    """0: all is well; 1: something failed, and the table says what; 2: the call or the settings are wrong."""
    options = _parser().parse_args(arguments)
    if not (options.create_tables or options.recreate_vs or options.increment):
        _parser().print_help()
        return 2
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s")
    try:
        settings = load_settings({"embedding": {"model": options.embed_model}} if options.embed_model else None)
        names = _names(settings, options.kb_name)
        if not names:
            print(f"no library under {settings.paths.knowledge_base}; make one: mkdir -p {settings.paths.knowledge_base}/NAME/content")
            return 1
        embedder = _embedder(settings)
    except SettingsError as exc:
        print(exc, file=sys.stderr)
        return 2
    except PaperError as exc:
        print(exc, file=sys.stderr)
        return 1
    shelf = Shelf(settings.paths.knowledge_base, settings.stores)
    ends = [_one(shelf, name, embedder, settings, options) for name in names]
    shelf.close()
    return 0 if all(ends) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Build libraries from the papers under knowledge_base/NAME/content. 从 knowledge_base/名称/content 建立文库。",
        epilog="Put papers into knowledge_base/NAME/content and run: python init_database.py --increment --kb-name NAME. "
        "How they are split is set under splitting in configs/settings.yaml 切分方式见 configs/settings.yaml 的 splitting",
    )
    parser.add_argument("--create-tables", action="store_true", help="create missing libraries, empty; nothing is read 建立空的知识库")
    parser.add_argument("-r", "--recreate-vs", action="store_true", help="read, split and embed every file again, from scratch 全部重建")
    parser.add_argument("-i", "--increment", action="store_true", help="read new and changed files, drop deleted ones 增量更新")
    parser.add_argument(
        "-n", "--kb-name", nargs="+", default=[], metavar="NAME", help="only these libraries; default: all 只处理这些知识库"
    )
    parser.add_argument("-e", "--embed-model", default="", metavar="MODEL", help="embedding model for new and recreated libraries 嵌入模型")
    return parser


def _names(settings: Settings, wanted: list[str]) -> list[str]:
    """The libraries to work on: the named ones, or every folder that holds content/."""
    root = settings.paths.knowledge_base
    present = (
        sorted(f.parent.name for f in root.glob("*/content") if f.is_dir() and not f.parent.name.startswith(".")) if root.is_dir() else []
    )
    for name in wanted:
        if name not in present:
            print(f"{name}: no folder {root / name / 'content'} yet; an empty library is made")
    return wanted or present


def _embedder(settings: Settings) -> Embedder:
    with tqdm(total=0, unit="B", unit_scale=True, desc=f"fetching {settings.embedding.model}", leave=False, disable=None) as bar:

        def show(_what: str, done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        weights.fetch(settings.embedding.model, settings.paths.models, show)
    return embedding.load(settings.embedding, settings.paths.models)


def _one(shelf: Shelf, name: str, embedder: Embedder, settings: Settings, options: argparse.Namespace) -> bool:
    """Whether the library and all of its files are well."""
    try:
        if name not in shelf and not (shelf.root / name / "content").is_dir():
            shelf.create(name, embedding=embedder.name, dimension=embedder.dimension)
        elif options.recreate_vs:
            shelf.reset(name, embedding=embedder.name, dimension=embedder.dimension)
        elif name not in shelf:
            shelf.create(name, embedding=embedder.name, dimension=embedder.dimension)
        kb = shelf.open(name)
        if not (options.recreate_vs or options.increment):
            print(f"{name}: ready, {len(kb.names())} files under {kb.content}")
            return True
        cancel = threading.Event()
        with tqdm(unit="file", desc=name, disable=None) as bar:
            try:
                end = ingest(kb, embedder, settings.splitting, tell=lambda p: _show(bar, p), cancel=cancel, readers=settings.readers)
            except KeyboardInterrupt:
                print(f"\n{name}: interrupted; the next --increment goes on from here", file=sys.stderr)
                return False
        _table(name, kb.content, end)
    except (PaperError, Cancelled) as exc:
        print(f"{name}: {exc}", file=sys.stderr)
        return False
    return not end.failed


def _page(progress: Progress) -> str:
    return f" page {progress.page} of {progress.of_pages} (OCR)" if progress.of_pages else ""


def _show(bar: tqdm, progress: Progress) -> None:  # type: ignore[type-arg]  # tqdm is generic only in its stubs
    bar.total = progress.total
    bar.set_postfix_str(
        f"{progress.pages} pages, {progress.chunks} chunks {progress.message} {progress.current[-40:]}{_page(progress)}", refresh=False
    )
    bar.update(progress.done - bar.n)


def _table(name: str, content: Path, end: Progress) -> None:
    print(f"\n{name}  ({content})")
    print(f"  files {end.total}   read {end.read}   unchanged {end.unchanged}   removed {end.removed}   failed {len(end.failed)}")
    print(f"  pages {end.pages}   chunks {end.chunks}   seconds {end.seconds:.1f}")
    for file, reason in sorted(end.failed.items()):
        print(f"  FAILED {file}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
