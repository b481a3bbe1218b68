"""A worker that speaks FastChat's protocol, asked in OpenAI's; in: a request; out: OpenAI's answer or events."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from server.errors import BackendFailed, Invalid
from server.serving.fastchat import FastChat, WorkerStatus
from server.serving.messages import plain_request, wants_usage, without_tools
from server.serving.openai_chunks import Chunk, events_of, merged

_NUMBERS = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "repetition_penalty", "max_tokens")
_SAME = (*_NUMBERS[:-1], "stop", "seed")
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
        params = self._params(body, chat=chat)
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

    def _params(self, body: Mapping[str, Any], *, chat: bool) -> dict[str, Any]:
        request = plain_request(body)
        if request.get("n", 1) != 1:
            raise Invalid(f"{self.model} makes one answer at a time: `n` must be 1")
        for key in _NUMBERS:
            if not isinstance(request.get(key, 0), int | float):
                raise Invalid(f"`{key}` must be a number, not {request[key]!r}")
        params = {key: request[key] for key in _SAME if key in request}
        echo = bool(request.get("echo")) and not chat
        params |= {"model": self.model, "echo": echo, "max_new_tokens": request.get("max_tokens", self.status.context_tokens or 1024)}
        if not chat:
            prompt = request.get("prompt")
            if not isinstance(prompt, str):
                raise Invalid(f"{self.model} takes one prompt, a string")
            return {**params, "prompt": prompt}
        if not self.status.messages:
            raise BackendFailed(
                f"worker {self.worker} knows prompts only, and the chat template of {self.model} is not here; "
                "start it with python -m server.serving.transformers_worker, or use /v1/completions"
            )
        return {**params, "messages": without_tools(request.get("messages") or ())}


def _choice(chat: bool, text: str, *, first: bool = False) -> dict[str, Any]:
    if not chat:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": None}
    delta = {"role": "assistant"} if first else {}
    if text:
        delta["content"] = text
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
