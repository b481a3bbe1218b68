"""A worker that speaks FastChat's protocol, asked in OpenAI's; in: a request; out: OpenAI's answer or events."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from server.errors import BackendFailed, ContextOverflow, Invalid
from server.serving.fastchat import FastChat, WorkerStatus
from server.serving.messages import plain_request, wants_usage, without_tools
from server.serving.openai_chunks import Chunk, events_of, merged
from server.serving.stock_prompts import render

_NUMBERS = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "repetition_penalty", "max_tokens")
_SAME = (*_NUMBERS[:-1], "stop", "seed")
SPARE_TOKENS = 1  # FastChat keeps one place free
_HALF_CHARACTER = "\ufffd"  # the first bytes of a character whose last bytes are still to come


@dataclass(frozen=True, slots=True)
class FastChatUpstream:
    """One worker, for one model."""

    fastchat: FastChat
    worker: str
    status: WorkerStatus
    model: str

    async def answer(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The whole answer, JSON."""
        return json.dumps(await merged(self._chunks(path, body)), ensure_ascii=False).encode()

    def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """Events as they come. Closing the generator ends the work of the worker."""
        return events_of(self._chunks(path, body), usage=wants_usage(body))

    async def _chunks(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        chat = path == "/chat/completions"
        params = await self._params(body, chat=chat)
        head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": int(time.time()),
            "model": self.model,
        }
        said, piece = "", None
        pieces = self.fastchat.generate(self.worker, params)
        try:
            async for piece in pieces:
                text = piece.text.replace(_HALF_CHARACTER, "")
                if len(text) > len(said):
                    yield {**head, "choices": [_choice(chat, text[len(said) :], first=not said)]}
                    said = text
        finally:
            await pieces.aclose()
        if piece is None:
            raise BackendFailed(f"worker {self.worker} ended without an answer; its log says why")
        yield {**head, "choices": [{**_choice(chat, ""), "finish_reason": piece.finish_reason}]}
        counts = (piece.prompt_tokens, piece.completion_tokens)
        usage = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), (*counts, sum(counts)), strict=True))
        yield {**head, "choices": [], "usage": usage}

    async def _params(self, body: Mapping[str, Any], *, chat: bool) -> dict[str, Any]:
        request = plain_request(body)
        if request.get("n", 1) != 1:
            raise Invalid(f"{self.model} makes one answer at a time: `n` must be 1")
        for key in _NUMBERS:
            if not isinstance(request.get(key, 0), int | float):
                raise Invalid(f"`{key}` must be a number, not {request[key]!r}")
        params = {key: request[key] for key in _SAME if key in request}
        params |= {"model": self.model, "echo": bool(request.get("echo")) and not chat}
        longest = int(request["max_tokens"]) if "max_tokens" in request else None
        if chat and self.status.messages:
            messages = without_tools(request.get("messages") or ())
            return {**params, "messages": messages, "max_new_tokens": longest or self.status.context_tokens or 1024}
        if chat:
            params = await self._as_prompt(params, request)
        elif isinstance(request.get("prompt"), str):
            params["prompt"] = request["prompt"]
        else:
            raise Invalid(f"{self.model} takes one prompt, a string")
        if self.status.context_tokens:
            return {**params, "max_new_tokens": longest or self.status.context_tokens}
        context, used = await self.fastchat.room(self.worker, self.model, params["prompt"])  # a stock worker cuts what does not fit
        if used + SPARE_TOKENS >= context:
            raise ContextOverflow(f"the prompt has {used} tokens, the context of {self.model} {context}")
        return {**params, "max_new_tokens": min(longest or context, context - used - SPARE_TOKENS)}

    async def _as_prompt(self, params: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        """A stock worker of FastChat knows prompts only, and has a conversation template for its model."""
        try:
            template = await self.fastchat.conversation(self.worker, self.model)
        except BackendFailed as exc:
            raise BackendFailed(
                f"worker {self.worker} knows prompts only, and has no conversation template for {self.model}; start it with "
                f"python -m server.serving.transformers_worker, or use /v1/completions ({exc})"
            ) from exc
        rendered = render(template, without_tools(request.get("messages") or ()))
        stops = request.get("stop") or []
        return {**params, **rendered, "stop": [*([stops] if isinstance(stops, str) else stops), *rendered["stop"]]}


def _choice(chat: bool, text: str, *, first: bool = False) -> dict[str, Any]:
    if not chat:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": None}
    delta = {"role": "assistant"} if first else {}
    if text:
        delta["content"] = text
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
