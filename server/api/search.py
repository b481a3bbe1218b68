"""POST /api/v1/search: a question to one library or several -> the best passages, without an answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from server.api.knowledge_base import runtime_of
from server.errors import Invalid
from server.stores.where import Where
from server.types import Passage

router = APIRouter(prefix="/api/v1", tags=["PaperProof"])


class FindBody(BaseModel):
    """What to search for, and where; what is left out narrows nothing. `min_similarity` is a cosine."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=20_000)
    libraries: list[str] = Field(min_length=1, max_length=100)
    top_k: int | None = Field(None, ge=1, le=200)
    min_similarity: float | None = Field(None, ge=-1, le=1)
    files: list[str] = []
    year_from: int | None = None
    year_to: int | None = None
    authors: list[str] = []
    sections: list[str] = []


@router.post("/search")
def search(request: Request, body: FindBody) -> list[dict[str, Any]]:
    """Passages, best first: `score` (0..1) orders them, `similarity` is the cosine. 404 for a library that is not there."""
    query = body.query.strip()
    if not query:
        raise Invalid("the query is empty")
    where = Where(tuple(body.files), body.year_from, body.year_to, tuple(body.authors), tuple(body.sections))
    found = runtime_of(request).search(body.libraries, query, top_k=body.top_k, where=where, min_similarity=body.min_similarity)
    return [passage_body(passage) for passage in found]


def passage_body(passage: Passage) -> dict[str, Any]:
    """A passage as JSON; `chunk` is a string, for JavaScript's numbers are too small for it."""
    return {
        "library": passage.kb,
        "file": passage.file,
        "title": passage.title,
        "section": list(passage.section),
        "page": passage.page,
        "page_end": passage.page_end,
        "kind": passage.kind,
        "language": passage.language,
        "text": passage.text,
        "score": round(passage.score, 6),
        "similarity": round(passage.similarity, 6),
        "chunk": str(passage.chunk_id),
    }
