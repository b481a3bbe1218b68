"""The routes that port 20000 forwards: libraries as models, and embeddings, in OpenAI's shapes."""

from __future__ import annotations

import base64
import logging
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse

from server.access import openai_error
from server.answering import Asked
from server.api.bodies import CompletionBody, EmbeddingsBody
from server.api.knowledge_base import runtime_of
from server.api.responses import as_json, event_stream, while_connected
from server.api.v1 import citation_body
from server.embedding import short_name
from server.errors import Invalid, ModelNotFound, PaperError
from server.llm import chat_model
from server.runtime import Runtime
from server.stopping import Stop
from server.types import Answer, Message, Token

log = logging.getLogger(__name__)
router = APIRouter(prefix="/api/v1", tags=["OpenAI"])
STARTED = int(time.time())
MOST_TEXTS = 2048  # OpenAI's own limit


@router.get("/models")
def models(request: Request) -> dict[str, Any]:
    """Libraries as kb/<name>, and the embedding model."""
    runtime = runtime_of(request)
    ids = [(f"kb/{name}", "library") for name in runtime.shelf.names()] + [(runtime.embedders.default, "embedding")]
    return {
        "object": "list",
        "data": [{"id": i, "object": "model", "created": STARTED, "owned_by": f"paperproof-{kind}"} for i, kind in ids],
    }


@router.post("/chat/completions", response_model=None)
async def chat_completions(request: Request, body: CompletionBody) -> StreamingResponse | JSONResponse:
    """Ask a library: model kb/<name> or kb/<name>@<llm>. When the client goes, the model is stopped."""
    runtime, stop = runtime_of(request), Stop()
    pieces = _answer(runtime, body, stop)
    shape = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
    if body.stream:
        first = await while_connected(request, stop, lambda: next(pieces))  # an error before the first token has its real status
        usage = bool((body.stream_options or {}).get("include_usage"))
        return event_stream(request, _chunks(first, pieces, shape, usage), "\n\n", stop)
    whole = await while_connected(request, stop, lambda: next(piece for piece in pieces if isinstance(piece, Answer)))
    message = {"role": "assistant", "content": whole.text, **_proof(whole)}
    choice = {"index": 0, "message": message, "finish_reason": whole.finish_reason, "logprobs": None}
    return JSONResponse({**shape, "object": "chat.completion", "choices": [choice], "usage": _usage(whole)})


@router.post("/embeddings")
def embeddings(request: Request, body: EmbeddingsBody) -> dict[str, Any]:
    """Unit vectors of the texts; as base64 they are little-endian float32."""
    runtime = runtime_of(request)
    texts = _texts(body)
    embedder = runtime.embedders.get()
    if body.model and embedder.name not in (body.model, short_name(body.model)) and body.model != short_name(embedder.name):
        raise ModelNotFound(f"no embedding model {body.model!r}; this server runs {embedder.name}")
    if body.dimensions not in (None, embedder.dimension):
        raise Invalid(f"`dimensions`: {embedder.name} makes vectors of {embedder.dimension} numbers, and cannot make {body.dimensions}")
    vectors = embedder.embed_documents(texts)
    plain = body.encoding_format == "float"
    rows = [v.tolist() if plain else base64.b64encode(np.ascontiguousarray(v, "<f4").tobytes()).decode() for v in vectors]
    tokens = sum(embedder.count_tokens(text) for text in texts)
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    return {"object": "list", "data": data, "model": embedder.name, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _answer(runtime: Runtime, body: CompletionBody, stop: Stop) -> Iterator[Token | Answer]:
    """The answer; everything, also the checks, is done when the first piece is asked for."""
    if not body.model.startswith("kb/"):
        raise ModelNotFound(f"no library {body.model!r}; libraries are called kb/<name>: {_known(runtime)}")
    name, _, llm = body.model.removeprefix("kb/").partition("@")
    if name not in runtime.shelf:
        raise ModelNotFound(f"no library kb/{name}; known: {_known(runtime)}")
    if llm and llm not in chat_model.names(runtime.settings):
        raise ModelNotFound(f"no model {llm!r} to ask kb/{name} with; known: {', '.join(chat_model.names(runtime.settings))}")
    turns = [(m.role, m.text()) for m in body.messages if m.role in ("user", "assistant")]
    if not turns or turns[-1][0] != "user":
        raise Invalid("the last message must be the user's question")
    history = tuple(Message("user" if role == "user" else "assistant", text) for role, text in turns[:-1])
    limit = body.max_completion_tokens or body.max_tokens
    asked = Asked(turns[-1][1], history, body.depth, llm or None, body.top_k, body.temperature, limit, stop)
    yield from runtime.answer([runtime.shelf.open(name)], asked)


def _known(runtime: Runtime) -> str:
    return ", ".join(f"kb/{name}" for name in runtime.shelf.names()) or "none yet"


def _chunks(first: Token | Answer, rest: Iterator[Token | Answer], shape: dict[str, Any], usage: bool) -> Iterator[str]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return as_json({**shape, "object": "chat.completion.chunk", "choices": [choice]} | ({"usage": None} if usage else {}))

    yield chunk({"role": "assistant", "content": ""})
    try:
        for piece in (p for part in ([first], rest) for p in part):
            if isinstance(piece, Token):
                yield chunk({"content": piece.text})
                continue
            yield chunk(_proof(piece), piece.finish_reason)
            if usage:
                yield as_json({**shape, "object": "chat.completion.chunk", "choices": [], "usage": _usage(piece)})
    except PaperError as exc:
        yield as_json(openai_error(exc))
    except Exception as exc:  # a request ends here
        log.exception("request failed")
        yield as_json({"error": {"message": f"internal error ({type(exc).__name__})", "type": "server_error", "param": None, "code": None}})
    yield "[DONE]"


def _proof(whole: Answer) -> dict[str, Any]:
    return {"citations": [citation_body(citation) for citation in whole.citations], "refused": whole.refused}


def _usage(whole: Answer) -> dict[str, int]:
    total = whole.prompt_tokens + whole.completion_tokens
    return {"prompt_tokens": whole.prompt_tokens, "completion_tokens": whole.completion_tokens, "total_tokens": total}


def _texts(body: EmbeddingsBody) -> list[str]:
    given = body.input
    texts: list[str]
    if isinstance(given, str):
        texts = [given]
    elif all(isinstance(item, str) for item in given):
        texts = [str(item) for item in given]
    else:
        raise Invalid("token arrays do not say which tokenizer made them; send texts (OpenAIEmbeddings: check_embedding_ctx_length=False)")
    if not texts or any(not text for text in texts):
        raise Invalid("input must hold at least one text, and no empty one")
    if len(texts) > MOST_TEXTS:
        raise Invalid(f"input may hold at most {MOST_TEXTS} texts, not {len(texts)}")
    return texts
