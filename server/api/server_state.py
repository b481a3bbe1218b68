"""The /server and /other routes of Chatchat 0.2 clients: settings, prompts, a single completion, vectors of texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse

from server.api.bodies import CompletionsBody, EmbedBody, PromptBody
from server.api.chat import guarded
from server.api.knowledge_base import runtime_of
from server.api.responses import Envelope, as_json, event_stream, failure
from server.embedding import short_name
from server.errors import ModelNotFound, PaperError
from server.language import language_of
from server.llm import chat_model, prompts
from server.runtime import Runtime
from server.stopping import Stop

router = APIRouter()


@router.post("/server/configs", tags=["Server State"])
def configs(request: Request) -> Envelope:
    """The settings in use; secrets are stars."""
    return Envelope(data=runtime_of(request).settings.model_dump(mode="json"))


@router.post("/server/get_prompt_template", tags=["Server State"], response_model=None)
def get_prompt_template(body: PromptBody) -> str | JSONResponse:
    """A prompt as one text, the Chinese one where there are two."""
    try:
        prompt = prompts.named(body.type, body.name)
    except PaperError as exc:
        return JSONResponse(failure(exc).model_dump())
    return "\n\n".join(text for text in (prompt.told("zh"), prompt.user["zh"]) if text)


@router.post("/other/completion", tags=["Other"])
def completion(request: Request, body: CompletionsBody) -> StreamingResponse:
    """One question to a language model: events of plain text."""
    stop = Stop()
    return event_stream(request, guarded(_completion(runtime_of(request), body, stop)), stop=stop)


@router.post("/other/embed_texts", tags=["Other"])
def embed_texts(request: Request, body: EmbedBody) -> Envelope:
    """Unit vectors of texts, as passages or, with `to_query`, as questions. `embed_model` must be the model of this server."""
    embedder = runtime_of(request).embedders.get()
    if body.embed_model and body.embed_model not in (embedder.name, short_name(embedder.name)):
        return failure(ModelNotFound(f"no embedding model {body.embed_model!r}; this server runs {embedder.name}"))
    vectors = [embedder.embed_query(text) for text in body.texts] if body.to_query else embedder.embed_documents(body.texts)
    return Envelope(data=[vector.tolist() for vector in vectors])


def _completion(runtime: Runtime, body: CompletionsBody, stop: Stop) -> Iterator[str]:
    messages: Any = prompts.chat_messages(prompts.named("llm_chat", body.prompt_name), body.query, [], language_of(body.query))
    name = body.model_name or runtime.settings.llm.default
    words = chat_model.stream(
        runtime.settings, name, messages, temperature=body.temperature, max_tokens=body.max_tokens, stop=stop, keys=runtime.keys
    )
    said = body.query if body.echo else ""
    if body.stream and said:
        yield as_json(said)
    for piece in words:
        said += piece.text
        if body.stream and piece.text:
            yield as_json(piece.text)
    if not body.stream:
        yield as_json(said)
