"""How values lie in the rows of library.db: spans as packed tenths of points, sections and metadata as JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from server.types import Chunk, Passage, Span

_SPAN_COLUMNS = 7


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


def chunk_row(chunk: Chunk) -> tuple[Any, ...]:
    """(section, page, page_end, kind, language, text) as the columns of `chunks` hold them."""
    return (json.dumps(chunk.section, ensure_ascii=False), chunk.page, chunk.page_end, chunk.kind, chunk.language, chunk.text)


def stored_chunk(kb: str, row: Sequence[Any]) -> Passage:
    """A Passage with scores 0 from (id, file, title, section, page, page_end, kind, language, text, spans, metadata)."""
    chunk_id, file, title, section, page, page_end, kind, language, text, spans, metadata = row
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
    )
