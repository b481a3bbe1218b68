"""What a person makes of a library's text: in: chunks that are changed, removed or written by hand; out: rows, embedded like all others.

Such chunks stay until the content of their file changes, or somebody asks for it to be read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from configs.settings import Splitting
from server.embedding import Embedder, Vectors
from server.errors import Invalid, NotFound
from server.ingestion import check_embedding, recipe
from server.ingestion.comparing import fingerprint
from server.ingestion.hand import no_vectors, window_texts
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.splitting.counting import LONGEST_CHUNK
from server.splitting.windows import window_bounds
from server.stores.editing import Edited
from server.stores.rows import Reading
from server.types import Chunk, Passage

OURS = ("source", "page", "page_end", "section", "title")  # what a passage knows by itself, and old clients send back in its metadata


@dataclass(frozen=True, slots=True)
class Written:
    """The text of a chunk, and what else is known about it: `page` and `page_end`, `section` ("a / b"), and names of one's own."""

    text: str
    metadata: Mapping[str, Any]


def edit(kb: KnowledgeBase, embedder: Embedder, changes: Mapping[int, Written]) -> None:
    """Give chunks another text, or other metadata; an empty text removes the chunk. All of them, or none.

    A chunk whose text changed has no boxes any more: its page stays, its place on the page is not known. Raises NotFound, Invalid.
    """
    check_embedding(kb, embedder)
    known = kb.catalog.passages(kb.name, list(changes))
    if missing := [chunk_id for chunk_id in changes if chunk_id not in known]:
        raise NotFound(f"no chunk {missing[0]} in the library {kb.name!r}; a file that was read again has new ones")
    chunks = {chunk_id: _changed(known[chunk_id], _checked(new.text)) for chunk_id, new in changes.items() if new.text.strip()}
    vectors = _embedded(embedder, list(chunks.values()))
    edits: dict[int, Edited | None] = {}
    for chunk_id, new in changes.items():
        chunk = chunks.get(chunk_id)
        edits[chunk_id] = None if chunk is None else Edited(chunk, vectors.pop(0), _own(new.metadata))
    kb.catalog.edit(edits)
    kb.save_index()


def write_file(kb: KnowledgeBase, embedder: Embedder, splitting: Splitting, file: str, chunks: Sequence[Written]) -> None:
    """Chunks of one's own instead of those that would be read from a file of content/. Raises NotFound, Invalid."""
    check_embedding(kb, embedder)
    sha, size = fingerprint(kb, file)
    made = [_own_chunk(written) for written in chunks if written.text.strip()]
    if not made:
        raise Invalid(f"{file}: at least one of the given chunks must have text")
    row = next(iter(kb.catalog.rows([file])), None)
    reading = Reading(
        title=(row.title if row else "") or file,
        language=made[0].language,
        pages=row.pages if row and row.pages else max(chunk.page_end for chunk in made),
        bytes=size,
        sha256=sha,
        recipe=recipe(embedder, splitting),
    )
    if row:
        reading = replace(reading, identity=row.identity)
    vectors = embedder.embed_documents(window_texts(made))
    metadata = [_own(written.metadata) for written in chunks if written.text.strip()]
    kb.catalog.queue([file])
    kb.catalog.mark([file], "reading")  # what an upload has queued is now being taken
    kb.catalog.replace(file, reading, made, vectors, metadata)
    kb.save_index()


def _checked(text: str) -> str:
    if len(text) > LONGEST_CHUNK:
        raise Invalid(f"a chunk has at most {LONGEST_CHUNK} characters, not {len(text)}")
    return text


def _changed(passage: Passage, text: str) -> Chunk:
    same = text == passage.text
    return Chunk(
        text=text,
        section=passage.section,
        page=passage.page,
        page_end=passage.page_end,
        kind=passage.kind,
        language=passage.language if same else language_of(text),
        spans=passage.spans if same else (),
        windows=tuple(window_bounds(text)),
        section_number=passage.section_number,
        repeated=passage.repeated if same else 0,
    )


def _own_chunk(written: Written) -> Chunk:
    text, said = _checked(written.text), written.metadata
    page = _page(said.get("page", 1))
    section = said.get("section", "")
    return Chunk(
        text=text,
        section=tuple(part for part in str(section).split(" / ") if part),
        page=page,
        page_end=max(page, _page(said.get("page_end", page))),
        kind="paragraph",
        language=language_of(text),
        spans=(),
        windows=tuple(window_bounds(text)),
    )


def _page(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 16:
        raise Invalid(f"page must be a number from 1 on, not {value!r}")
    return value


def _own(metadata: Mapping[str, Any]) -> dict[str, object]:
    return {name: value for name, value in metadata.items() if name not in OURS}


def _embedded(embedder: Embedder, chunks: Sequence[Chunk]) -> list[Vectors]:
    """For each chunk the vectors of its windows."""
    vectors = embedder.embed_documents(window_texts(chunks)) if chunks else no_vectors(0, embedder.dimension)
    parts, at = [], 0
    for chunk in chunks:
        parts.append(vectors[at : at + len(chunk.windows)])
        at += len(chunk.windows)
    return parts
