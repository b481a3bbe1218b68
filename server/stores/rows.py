"""How values lie in the rows of library.db: spans as packed tenths of points; lists, sections and metadata as JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Any

import numpy as np

from server.errors import Corrupt
from server.types import Box, Chunk, FileState, Hidden, Identity, Passage, Span

_SPAN_COLUMNS = 7
READING_COLUMNS = (  # in the order of `reading_row`
    *("title", "language", "pages", "bytes", "sha256", "recipe", "warnings"),
    *("authors", "abstract", "year", "doi", "arxiv_id", "hidden", "ocr_pages"),
)
FILE_COLUMNS = ("name", "state", "reason", "updated_at", "splitting", "edited", *READING_COLUMNS)
CHUNK_COLUMNS = ("section", "page", "page_end", "kind", "language", "text", "spans", "section_number", "repeated", "metadata", "checksum")
PASSAGE_COLUMNS = ("c.id", "f.name", "f.title", *(f"c.{column}" for column in CHUNK_COLUMNS))
CHUNK_OF_FILE = f"SELECT {', '.join(PASSAGE_COLUMNS)} FROM chunks c JOIN files f ON f.id = c.file_id"  # noqa: S608 - columns are constants

UNKNOWN = Identity()
NOT_AS_WRITTEN = (
    "a chunk of {file} in the library {kb!r} is not what was written, library.db is damaged; "
    "python init_database.py --check --kb-name {kb} says what to do"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What ingestion learned about a file, beside its chunks. `recipe` says what made the chunks."""

    title: str
    language: str
    pages: int
    bytes: int
    sha256: str
    recipe: str
    warnings: tuple[str, ...] = ()
    identity: Identity = UNKNOWN
    hidden: tuple[Hidden, ...] = ()
    ocr_pages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a library: its state, and what was read from it.

    `splitting` is how it was asked to be split: a Splitting as JSON, or "" for what the settings say. `edited`: a person has changed,
    removed or written chunks, so it is read again only when its content changes, or when that is asked for.
    """

    name: str
    state: FileState
    reason: str
    updated_at: float
    splitting: str
    edited: bool
    chunks: int
    title: str
    language: str
    pages: int
    bytes: int
    sha256: str
    recipe: str
    warnings: tuple[str, ...]
    identity: Identity
    hidden: tuple[Hidden, ...]
    ocr_pages: tuple[int, ...]


NOTHING_READ = Reading("", "", 0, 0, "", "")


def reading_row(reading: Reading) -> tuple[Any, ...]:
    """A Reading as READING_COLUMNS hold it."""
    identity = reading.identity
    hidden = [{"text": h.text, "reason": h.reason, "page": h.box.page, "box": h.box[1:]} for h in reading.hidden]
    return (
        *(reading.title, reading.language, reading.pages, reading.bytes, reading.sha256, reading.recipe, _json(reading.warnings)),
        *(_json(identity.authors), identity.abstract, identity.year, identity.doi, identity.arxiv_id),
        *(_json(hidden), _json(reading.ocr_pages)),
    )


def stored_file(row: Sequence[Any], chunks: int) -> FileRow:
    """A FileRow from FILE_COLUMNS; `chunks` is how many it has. Raises Corrupt when it is none."""
    try:
        return _file(row, chunks)
    except (ValueError, TypeError, KeyError) as exc:
        raise Corrupt(f"the row of the file {row[0]!r} in library.db is damaged ({exc}); restore it, or use --recreate-vs") from exc


def _file(row: Sequence[Any], chunks: int) -> FileRow:
    name, state, reason, updated_at, splitting, edited, title, language, pages, size, sha256, recipe, warnings, *rest = row
    authors, abstract, year, doi, arxiv_id, hidden, ocr_pages = rest
    return FileRow(
        *(name, state, reason, updated_at, splitting, bool(edited), chunks, title, language, pages, size, sha256, recipe, _items(warnings)),
        identity=Identity(_items(authors), abstract, year, doi, arxiv_id),
        hidden=tuple(Hidden(h["text"], h["reason"], Box(h["page"], *h["box"])) for h in _items(hidden)),
        ocr_pages=_items(ocr_pages),
    )


def packed_spans(spans: Sequence[Span]) -> bytes:
    """Seven unsigned 16-bit numbers a span (start, end, page, box in tenths of points), transposed so that they compress well.

    Pages up to 65,535 and sheets up to 6,553 points (2.3 m) fit; larger values are cut to that.
    """
    table = np.array([(s.start, s.end, s.page, s.x0 * 10, s.y0 * 10, s.x1 * 10, s.y1 * 10) for s in spans], np.float64)
    whole = np.clip(np.rint(table.reshape(-1, _SPAN_COLUMNS)), 0, 65_535).astype("<u2")
    return zlib.compress(whole.T.tobytes(), 1)


def unpacked_spans(blob: bytes) -> tuple[Span, ...]:
    """What `packed_spans` packed, boxes to a tenth of a point."""
    table = np.frombuffer(zlib.decompress(blob), "<u2").reshape(_SPAN_COLUMNS, -1).T.tolist()
    return tuple(Span(start, end, page, x0 / 10, y0 / 10, x1 / 10, y1 / 10) for start, end, page, x0, y0, x1, y1 in table)


def chunk_row(chunk: Chunk, notes: dict[str, object]) -> tuple[Any, ...]:
    """A Chunk as CHUNK_COLUMNS hold it; `notes` are its metadata."""
    row = (
        *(_json(chunk.section), chunk.page, chunk.page_end, chunk.kind, chunk.language, chunk.text, packed_spans(chunk.spans)),
        *(chunk.section_number, chunk.repeated, _json(notes)),
    )
    return (*row, checksum(row))


def checksum(row: Sequence[Any]) -> int:
    """CRC-32 of a chunk's values: SQLite does not notice a bit that turned in a text, and a quote of it would be proved."""
    section, page, page_end, kind, language, text, spans, section_number, repeated, metadata = row
    small = f"{section}\n{page} {page_end} {kind} {language} {section_number} {repeated}\n{metadata}"
    return zlib.crc32(small.encode(), zlib.crc32(spans, zlib.crc32(text.encode())))


def vectors_checksum(blobs: Iterable[object]) -> int:
    """One number for the vectors of a chunk, in any order; -1, which no vectors have, when one is no blob any more."""
    some = list(blobs)
    return reduce(xor, (zlib.crc32(blob) for blob in some if isinstance(blob, bytes)), 0) if all(isinstance(b, bytes) for b in some) else -1


def stored_chunk(kb: str, row: Sequence[Any]) -> Passage:
    """A Passage with scores 0 from PASSAGE_COLUMNS. Raises Corrupt when it is not what was written."""
    file, *_, known = row[1:]
    try:
        if known is None or checksum(row[3:-1]) == known:
            return _chunk(kb, row)
    except (ValueError, TypeError, AttributeError, zlib.error) as exc:  # of other types, or without a checksum
        raise Corrupt(NOT_AS_WRITTEN.format(file=file, kb=kb)) from exc
    raise Corrupt(NOT_AS_WRITTEN.format(file=file, kb=kb))


def _chunk(kb: str, row: Sequence[Any]) -> Passage:
    chunk_id, file, title, *values, _ = row
    section, page, page_end, kind, language, text, spans, section_number, repeated, metadata = values
    return Passage(
        chunk_id=chunk_id,
        kb=kb,
        file=file,
        title=title,
        section=tuple(json.loads(section)),
        page=page,
        page_end=page_end,
        kind=kind,
        language=language,
        text=text,
        spans=unpacked_spans(spans),
        score=0.0,
        similarity=0.0,
        metadata=json.loads(metadata),
        section_number=section_number,
        repeated=repeated,
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _items(text: str) -> tuple[Any, ...]:
    return tuple(json.loads(text)) if text != "[]" else ()  # most are empty, and a library has thousands of files
