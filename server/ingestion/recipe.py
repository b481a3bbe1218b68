"""An embedder and a way of splitting -> what the rows of a file are made by, and whether a library may be searched and filled with it."""

from __future__ import annotations

from configs.settings import Readers, Splitting
from server.embedding import Embedder
from server.errors import Invalid
from server.knowledge_base import KnowledgeBase

VERSION = 4  # raise it when readers or the splitter make other rows of the same file: libraries are then brought up to date


def recipe(embedder: Embedder, splitting: Splitting) -> str:
    """What made the rows of a file; rows made by another recipe are made again."""
    sizes = "/".join(str(size) for size in splitting.sizes().values())
    return f"v{VERSION} {embedder.name} {splitting.splitter} {sizes}" + " titles" * splitting.zh_title_enhance


def limits(readers: Readers) -> str:
    """Stands behind the recipe of a file that needed more than this: it is read again when more is allowed."""
    return f" in {readers.timeout_s:g} s, {readers.memory_mib} MiB"


def check_embedding(kb: KnowledgeBase, embedder: Embedder) -> None:
    """Raises Invalid when the library was built with another model, or its passages were put to it in another way.

    Vectors of two models cannot be compared, nor those of one model with two passage prefixes or poolings.
    """
    if (kb.facts.embedding, kb.facts.dimension) != (embedder.name, embedder.dimension):
        raise Invalid(
            f"the library {kb.name!r} was built with {kb.facts.embedding} ({kb.facts.dimension} dimensions), not {embedder.name} "
            f"({embedder.dimension}); set embedding.model to {kb.facts.embedding}, or rebuild it: "
            f"python init_database.py --recreate-vs --kb-name {kb.name}"
        )
    if (kb.facts.passages or embedder.usage.delivered_form) != embedder.usage.form:
        raise Invalid(
            f"the library {kb.name!r} was built with {kb.facts.passages or embedder.usage.delivered_form} (pooling, passage prefix) of "
            f"{embedder.name}, which now runs with {embedder.usage.form}; set embedding.passage_prefix back, or rebuild it: "
            f"python init_database.py --recreate-vs --kb-name {kb.name}"
        )
