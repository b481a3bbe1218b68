"""A file whose vectors are there, or the reason why it comes to nothing -> its rows."""

from __future__ import annotations

import logging
import time

from configs.settings import Readers
from server.errors import Exceeded, Locked, PaperError, Unreadable
from server.ingestion.comparing import Todo
from server.ingestion.hand import InHand
from server.ingestion.recipe import limits
from server.knowledge_base import KnowledgeBase

log = logging.getLogger(__name__)


def write(kb: KnowledgeBase, file: InHand) -> None:
    """One transaction: the old rows of the file go, the new ones come. Raises what library.db raises."""
    kb.catalog.replace(file.todo.name, file.reading, file.chunks, file.vectors)
    log.info(
        "ingested kb=%s file=%s pages=%d chunks=%d seconds=%.1f",
        *(kb.name, file.todo.name, file.reading.pages, len(file.chunks), time.monotonic() - file.begun_s),
    )


def refuse(kb: KnowledgeBase, item: Todo, readers: Readers, error: Exception) -> str:
    """One transaction: the file is failed. The reason, as the user reads it.

    Whose fault it is decides what stays and whether the next run tries again.
    """
    if not isinstance(error, PaperError):  # its reason reaches the user, its traceback the log
        log.error("failed kb=%s file=%s", kb.name, item.name, exc_info=error)
        reason = f"internal error ({type(error).__name__}: {error}); the log has the details"
        kb.catalog.mark([item.name], "failed", reason)
        return reason
    reason = str(error)
    if isinstance(error, Exceeded):  # not read again until it changes, or more is allowed
        kb.catalog.fail(item.name, reason, item.sha256, item.recipe + limits(readers), keep_same=True)
    elif isinstance(error, Unreadable) and not isinstance(error, Locked):  # its own fault: not read again until it changes
        kb.catalog.fail(item.name, reason, item.sha256, item.recipe)
    else:  # its old chunks stay, and the next run tries again
        kb.catalog.mark([item.name], "failed", reason)
    log.warning("failed kb=%s file=%s reason=%s", kb.name, item.name, reason)
    return reason
