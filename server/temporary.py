"""Libraries of files that are uploaded into a chat, each under an id that cannot be guessed, and gone a day after its last use."""

from __future__ import annotations

import logging
import os
import time
import uuid
from pathlib import Path

from server.embedding import Embedder
from server.errors import NotFound, PaperError
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf

log = logging.getLogger(__name__)

FOLDER = ".temporary"  # no library can be called so
EXPIRES_S = 24 * 3600.0


class Temporary:
    """Temporary libraries in a folder of their own under `root`. Thread-safe."""

    def __init__(self, root: Path, expires_s: float = EXPIRES_S) -> None:
        self._shelf = Shelf(root / FOLDER)
        self._expires_s = expires_s

    def create(self, embedder: Embedder) -> KnowledgeBase:
        """A new empty library; those that have expired are deleted."""
        self.sweep()
        self._shelf.root.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        return self._shelf.create(name, embedding=embedder.name, dimension=embedder.dimension, passages=embedder.usage.form)

    def open(self, name: str) -> KnowledgeBase:
        """The library with that id, whose day begins anew. Raises NotFound."""
        if name not in self._shelf or self._expired(name):
            raise NotFound(f"未找到临时知识库 {name}，请先上传文件")
        os.utime(self._shelf.root / name / "kb.json")
        return self._shelf.open(name)

    def sweep(self) -> None:
        """Delete what has expired."""
        for name in self._shelf.names():
            if self._expired(name):
                try:
                    self._shelf.delete(name)
                    log.info("temporary library=%s expired", name)
                except PaperError as exc:
                    log.warning("temporary library=%s could not be deleted: %s", name, exc)

    def close(self) -> None:
        """Close what is open."""
        self._shelf.close()

    def _expired(self, name: str) -> bool:
        try:
            return time.time() - (self._shelf.root / name / "kb.json").stat().st_mtime > self._expires_s
        except FileNotFoundError:
            return True
