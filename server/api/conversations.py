"""Conversations of port 7861's clients: /api/v1/conversations, and the feedback route of Chatchat 0.2 clients.

They belong to the API key and to the visitor that a client names (the web UI: a browser's cookie), so two browsers see their own.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from server.api.bodies import FeedbackBody, TitleBody
from server.api.knowledge_base import runtime_of
from server.api.responses import Envelope, failure
from server.errors import PaperError

router = APIRouter()
VISITOR = "x-visitor"  # header


@router.get("/api/v1/conversations", tags=["PaperProof"])
def conversations(
    request: Request, search: str = "", limit: int = Query(100, ge=1, le=1000), offset: int = Query(0, ge=0)
) -> list[dict[str, Any]]:
    """The caller's conversations, the newest change first."""
    found = runtime_of(request).conversations.listed(owner_of(request), search, limit=limit, offset=offset)
    return [asdict(conversation) for conversation in found]


@router.get("/api/v1/conversations/{conversation}", tags=["PaperProof"])
def conversation(request: Request, conversation: str) -> list[dict[str, Any]]:
    """All its turns, with what belongs to each answer."""
    return [asdict(turn) for turn in runtime_of(request).conversations.turns(owner_of(request), conversation)]


@router.get("/api/v1/conversations/{conversation}/export", tags=["PaperProof"])
def export(request: Request, conversation: str) -> PlainTextResponse:
    """As Markdown, every answer with its quotes and pages."""
    turns = runtime_of(request).conversations.turns(owner_of(request), conversation)
    lines: list[str] = []
    for turn in turns:
        lines.append(f"## {turn.content}" if turn.role == "user" else turn.content)
        lines += [f"- [{c['index']}] {c['file']}, p. {c['page']}: “{c['quote']}”" for c in turn.data.get("citations", ())]
    return PlainTextResponse("\n\n".join(lines) + "\n", media_type="text/markdown; charset=utf-8")


@router.put("/api/v1/conversations/{conversation}", tags=["PaperProof"], status_code=204)
def rename(request: Request, conversation: str, body: TitleBody) -> Response:
    """Another title."""
    runtime_of(request).conversations.rename(owner_of(request), conversation, body.title)
    return Response(status_code=204)


@router.delete("/api/v1/conversations/{conversation}", tags=["PaperProof"], status_code=204)
def delete(request: Request, conversation: str) -> Response:
    """Gone, with all its turns."""
    runtime_of(request).conversations.delete(owner_of(request), conversation)
    return Response(status_code=204)


@router.post("/chat/feedback", tags=["Chat"])
def feedback(request: Request, body: FeedbackBody) -> Envelope:
    """What a reader thinks of an answer."""
    try:
        runtime_of(request).conversations.feedback(owner_of(request), body.message_id, body.score, body.reason)
    except PaperError as exc:
        return failure(exc)
    return Envelope(msg=f"已反馈聊天记录 {body.message_id}")


def owner_of(request: Request) -> str:
    """Whose conversations a request sees: those of its key and of its visitor; only hashes are kept."""
    key, visitor = request.headers.get("authorization", ""), request.headers.get(VISITOR, "")
    return hashlib.sha256(f"{key}\n{visitor}".encode()).hexdigest()
