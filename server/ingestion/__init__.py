"""Files under content/ -> rows of library.db; in: a library, an embedder; out: how far it came, and progress on the way.

A file goes queued -> reading -> embedding -> ready | failed(reason). All that changes is marked `queued` first; each file then is one
transaction. So a kill at any point leaves its old version or its new one, and the next run does what is still queued.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from configs.settings import Readers, Splitting
from server.embedding import Embedder
from server.errors import Cancelled
from server.ingestion.alone import OnlyRun, at_work
from server.ingestion.comparing import Ways, compare
from server.ingestion.pipeline import Pipeline
from server.ingestion.progress import Progress, Run
from server.ingestion.recipe import VERSION, check_embedding, recipe
from server.knowledge_base import KnowledgeBase

__all__ = ["UNFINISHED", "VERSION", "Progress", "at_work", "check_embedding", "foresee", "ingest", "recipe", "unfinished"]

AS_DELIVERED = Readers()
UNFINISHED = ("queued", "reading", "embedding")


def ingest(
    kb: KnowledgeBase,
    embedder: Embedder,
    splitting: Splitting,
    *,
    files: Sequence[str] | None = None,
    force: bool = False,
    tell: Callable[[Progress], None] = lambda progress: None,
    cancel: threading.Event | None = None,
    leaving: threading.Event | None = None,
    readers: Readers = AS_DELIVERED,
    chosen: Splitting | None = None,
) -> Progress:
    """Bring the library up to date with content/, or only `files` of it; unchanged files cost a hash unless `force`.

    `splitting` is how files are split that nobody has chosen another way for. `chosen` is that way for the files of this run, and is
    remembered with each of them, unless it is what `splitting` says; None leaves them what they have.
    Files that cannot be read are in `failed` with their reasons, those of earlier runs too while they are unchanged. Raises Cancelled
    after `cancel` was set, or `leaving` (the program stops: what is queued stays queued, and the next start goes on with it); Invalid
    when the library was built with another embedding model.
    """
    check_embedding(kb, embedder)
    run = Run(tell, cancel or threading.Event(), leaving or threading.Event())
    with OnlyRun(kb, lambda: run.tell(message="waiting for another ingestion of this library")):
        ways = Ways(splitting, chosen)
        todo, gone = compare(kb, embedder, ways, readers, files, force, run)
        if gone:
            kb.catalog.remove(gone)
            run.removed = len(gone)
        kb.catalog.queue([item.name for item in todo], ways.to_remember)
        try:
            if todo:
                run.tell(message="loading the embedding model")
                embedder.count_tokens("")  # one that loads late: when it cannot, the run ends here and blames no file
                with Pipeline(kb, embedder, readers, todo, run) as pipeline:
                    pipeline.work()
        except Cancelled:
            if not run.leaving.is_set():
                own = {item.name for item in todo}  # another run may have queued others
                begun = [row.name for row in kb.catalog.files() if row.state in UNFINISHED and row.name in own]
                kb.catalog.mark(begun, "failed", "stopped by the user")
            raise
        finally:
            kb.save_index()
        return run.tell()


def foresee(kb: KnowledgeBase, embedder: Embedder, splitting: Splitting, *, readers: Readers = AS_DELIVERED) -> tuple[list[str], list[str]]:
    """What `ingest` would do now, without doing it: (the files that it would read, the rows that it would remove)."""
    check_embedding(kb, embedder)
    run = Run(lambda progress: None, threading.Event(), threading.Event())
    todo, gone = compare(kb, embedder, Ways(splitting, None), readers, None, False, run)
    return [item.name for item in todo], gone


def unfinished(kb: KnowledgeBase) -> bool:
    """Whether a run was killed before it had done all that it had queued."""
    return any(row.state in UNFINISHED for row in kb.catalog.files())
