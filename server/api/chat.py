"""The /chat routes of Chatchat 0.2 clients: server-sent events, the last one of a library chat carrying `docs` and `citations`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse

from server.answering import Asked
from server.api.bodies import AskBody, ChatBody, LibraryChatBody
from server.api.conversations import owner_of
from server.api.knowledge_base import distance, document_lines, runtime_of
from server.api.responses import as_json, event_stream
from server.api.v1 import citation_body
from server.errors import NotFound, PaperError
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.llm import chat_model, prompts
from server.memory import remembered
from server.runtime import Runtime
from server.stopping import Stop
from server.types import Answer, Message, Token

log = logging.getLogger(__name__)
router = APIRouter(prefix="/chat", tags=["Chat"])
NOTHING_FOUND = "<span style='color:red'>未找到相关文档,该回答为大模型自身能力解答！</span>"


@router.post("/chat")
def chat(request: Request, body: ChatBody) -> StreamingResponse:
    """Talk to a language model without a library: events {text, message_id}. It is kept, so that `history` may be a number of turns."""
    stop = Stop()
    return event_stream(request, guarded(_chat(runtime_of(request), owner_of(request), body, stop)), stop=stop)


@router.post("/knowledge_base_chat", response_model=None)
def knowledge_base_chat(request: Request, body: LibraryChatBody) -> StreamingResponse | JSONResponse:
    """Ask a library, or several: events {answer}…, then {docs, citations, refused}."""
    runtime = runtime_of(request)
    names = [body.knowledge_base_name] if isinstance(body.knowledge_base_name, str) else body.knowledge_base_name
    if not names:
        return JSONResponse({"code": 400, "msg": "knowledge_base_name names no library"})
    if missing := [name for name in names if name not in runtime.shelf]:
        return JSONResponse({"code": 404, "msg": f"未找到知识库 {missing[0]}"})
    stop = Stop()
    return event_stream(
        request,
        guarded(library_chat(runtime, [runtime.shelf.open(name) for name in dict.fromkeys(names)], body, str(request.base_url), stop)),
        stop=stop,
    )


def guarded(events: Iterator[str]) -> Iterator[str]:
    """The events; a failure is one more event with its code and reason, never silence."""
    try:
        yield from events
    except PaperError as exc:
        yield as_json({"code": exc.status, "msg": str(exc)})
    except Exception as exc:  # a request ends here
        log.exception("request failed")
        yield as_json({"code": 500, "msg": f"internal error ({type(exc).__name__}); the log has the details"})


def _chat(runtime: Runtime, owner: str, body: ChatBody, stop: Stop) -> Iterator[str]:
    if isinstance(body.history, list) and body.history:
        history = [Message(turn.role, turn.content) for turn in body.history]
    else:
        history = _kept(runtime, owner, body.conversation_id, body.history if isinstance(body.history, int) else body.history_len)
    prompt = prompts.named("llm_chat", body.prompt_name)
    messages = prompts.chat_messages(prompt, body.query, history, language_of(body.query))
    name = body.model_name or runtime.settings.llm.default
    message_id = uuid.uuid4().hex
    whole = ""
    words = chat_model.stream(
        runtime.settings, name, messages, temperature=body.temperature, max_tokens=body.max_tokens, stop=stop, keys=runtime.keys
    )
    try:
        for piece in words:
            whole += piece.text
            if body.stream and piece.text:
                yield as_json({"text": piece.text, "message_id": message_id})
    finally:  # what was said before a stop or an error was said
        if whole:
            conversation = runtime.conversations.begin(owner, body.query, body.conversation_id)
            runtime.conversations.add(owner, conversation, "user", body.query)
            runtime.conversations.add(owner, conversation, "assistant", whole, {"model": name}, message_id)
    if not body.stream:
        yield as_json({"text": whole, "message_id": message_id})


def library_chat(runtime: Runtime, kbs: Sequence[KnowledgeBase], body: AskBody, base_url: str, stop: Stop) -> Iterator[str]:
    """Events {answer}…, then {docs, citations, refused}; without `base_url` the docs have no links."""
    history = tuple(Message(turn.role, turn.content) for turn in body.history)
    asked = Asked(body.query, history, body.depth, body.model_name, body.top_k, body.temperature, body.max_tokens, stop, body.prompt_name)
    for event in runtime.answer(kbs, asked):
        if isinstance(event, Token) and body.stream:
            yield as_json({"answer": event.text})
        if isinstance(event, Answer):
            near = [passage for passage in event.passages if distance(passage) <= body.score_threshold][: body.top_k]
            last = {
                "docs": document_lines(base_url, near) or [NOTHING_FOUND],
                "citations": [citation_body(citation) for citation in event.citations],
                "refused": event.refused,
            }
            yield as_json(last if body.stream else {"answer": event.text, **last})


def _kept(runtime: Runtime, owner: str, conversation: str, turns: int) -> list[Message]:
    """The last turns of a conversation; none of one that only begins."""
    if not conversation or turns <= 0:
        return []
    try:
        told = runtime.conversations.turns(owner, conversation)
    except NotFound:
        return []
    return remembered("window", [Message(turn.role, turn.content) for turn in told], turns=turns, tokens=0, count=len)
