"""llama.cpp in this process, through xllamacpp; in: a GGUF file and OpenAI requests; out: chunks as they are made.

Facts that shaped this: its streaming callback ends a request by returning True, but is called only when there is something to tell; so
progress of the prompt is asked for and the batch is small, which makes it speak every half second even inside a long prompt. A batch
of 64 costs 3 % of the prompt's speed against 2048 (141 to 145 tokens/s). An 8-bit KV cache halves its memory, but reads prompts 40 %
slower. The listener that it always opens gets a random key, and serves us for what the Python side lacks: counting tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from configs.local_models import LocalModel
from server.errors import BackendFailed, ContextOverflow, Invalid, PaperError, Unavailable
from server.serving.messages import plain_request
from server.serving.openai_chunks import Chunk
from server.serving.openai_completions import Completions

log = logging.getLogger(__name__)

BATCH_TOKENS = 64
CACHE_MIB = 256  # prompts of earlier requests, kept beside those that are still in their slots
WARNINGS = 2  # llama.cpp's log level

Handler = Callable[[dict[str, Any], Callable[[dict[str, Any]], bool]], object]


class LlamaCpp:
    """A loaded model with `slots` places; further requests wait in order."""

    def __init__(self, name: str, file: Path, model: LocalModel) -> None:
        """Takes a second or more. Raises Unavailable when the file can't be loaded."""
        import xllamacpp

        started = time.monotonic()
        self.name = name
        key = secrets.token_urlsafe()
        try:
            self._server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), file, model, key))
        except (RuntimeError, ValueError) as exc:
            raise Unavailable(f"llama.cpp cannot load {file}: {exc}; it must be a whole GGUF file") from exc
        self._own = httpx2.Client(
            base_url=self._server.listening_address, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=10.0
        )
        properties = self._own.get("/props").raise_for_status().json()
        self.template = str(properties.get("chat_template", ""))
        self._tools = bool(properties.get("chat_template_caps", {}).get("supports_tools", True))
        self.context_tokens = int(properties["default_generation_settings"]["n_ctx"])
        self._pool = ThreadPoolExecutor(model.slots, thread_name_prefix="slot")
        self._open: set[Future[None]] = set()
        log.info("loaded model=%s file=%s slots=%d seconds=%.1f", name, file.name, model.slots, time.monotonic() - started)

    @property
    def queue_length(self) -> int:
        """Requests in work and waiting; one is in work until llama.cpp has let it go."""
        return len(self._open)

    def count_tokens(self, text: str) -> int:
        """Without the special tokens of a chat."""
        try:
            answer = self._own.post("/tokenize", json={"content": text}).raise_for_status().json()
        except httpx2.HTTPError as exc:
            raise BackendFailed(f"llama.cpp could not count tokens: {exc}") from exc
        return len(answer["tokens"])

    def chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Chunks of a chat completion, the usage chunk last. Closing the generator frees the slot within half a second."""
        if "messages" not in body:
            raise Invalid("`messages` is missing")
        if not self._tools and body.get("tools") and body.get("tool_choice") not in (None, "auto", "none"):
            raise Invalid(f"`tool_choice`: {self.name} cannot call tools, for its chat template has no place for them")
        return self._chunks(self._server.handle_chat_completions, body, "chatcmpl")

    def complete(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Chunks of a text completion of `prompt`, the usage chunk last."""
        if "prompt" not in body:
            raise Invalid("`prompt` is missing")
        return self._chunks(self._server.handle_completions, body, "cmpl")

    async def _chunks(self, handler: Handler, body: Mapping[str, Any], kind: str) -> AsyncGenerator[Chunk, None]:
        request = {**plain_request(body), "stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
        head = {"id": f"{kind}-{secrets.token_hex(12)}", "object": "", "created": int(time.time()), "model": self.name}
        usages: list[Mapping[str, Any]] = []
        texts = Completions(request) if kind == "cmpl" else None
        raw = self._stream(handler, request)
        try:
            async for data in raw:
                if data.get("usage"):
                    usages.append(data["usage"])
                head["object"] = data["object"]
                if data["choices"] and "prompt_progress" not in data:
                    yield {**head, "choices": [texts.choice(part) if texts else _without_ids(part) for part in data["choices"]]}
        finally:
            await raw.aclose()
        yield {**head, "choices": [], "usage": _counted(usages, int(request.get("n", 1)))}

    async def _stream(self, handler: Handler, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """What the callback is told, from the thread of its slot into this loop."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[dict[str, Any] | Exception | None] = asyncio.Queue()
        gone = threading.Event()

        def tell(item: dict[str, Any] | Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(told.put_nowait, item)

        def heard(data: dict[str, Any]) -> bool:
            if not gone.is_set():
                tell(data)
            return gone.is_set()

        def work() -> None:
            try:
                if not gone.is_set():
                    handler(request, heard)
                tell(None)
            except Exception as exc:  # noqa: BLE001 - a request ends here; it is raised in the loop below
                tell(exc)

        future = self._pool.submit(work)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        try:
            while (item := await told.get()) is not None:
                if isinstance(item, Exception):
                    raise _error(item) from item
                if "error" in item:
                    raise _refusal(item["error"])
                yield item
        finally:
            gone.set()
            future.cancel()


def _parameters(params: Any, file: Path, model: LocalModel, key: str) -> Any:
    params.model.path = str(file)
    params.hostnames, params.port, params.api_keys, params.ui = ["127.0.0.1"], 0, [key], False
    params.n_parallel, params.n_ctx = model.slots, model.slots * model.context_tokens  # llama.cpp divides the context by the slots
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = model.threads
    params.cache_prompt, params.cache_ram_mib = True, CACHE_MIB
    params.verbosity = WARNINGS
    if model.device == "cpu":
        params.n_gpu_layers = 0
    return params


def _error(exc: Exception) -> PaperError:
    """xllamacpp raises ValueError and RuntimeError for requests that llama.cpp can't do."""
    return Invalid(str(exc)) if isinstance(exc, ValueError | RuntimeError) else BackendFailed(f"llama.cpp failed: {exc!r}")


def _refusal(error: Mapping[str, Any]) -> PaperError:
    message = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        return ContextOverflow(message)
    return Invalid(message) if int(error.get("code", 500)) < 500 else BackendFailed(f"llama.cpp: {message}")


def _without_ids(choice: dict[str, Any]) -> dict[str, Any]:
    """Numbers of tokens beside their logprobs are llama.cpp's own."""
    for token in (choice.get("logprobs") or {}).get("content") or ():
        for entry in (token, *token["top_logprobs"]):
            entry.pop("id", None)
    return choice


def _counted(usages: Sequence[Mapping[str, Any]], copies: int) -> dict[str, int]:
    """Several prompts are counted one by one; llama.cpp counts a prompt once for each of its `copies` answers, OpenAI once."""
    prompt = sum(int(usage["prompt_tokens"]) for usage in usages) // copies
    completion = sum(int(usage["completion_tokens"]) for usage in usages)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
