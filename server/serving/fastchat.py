"""FastChat's HTTP protocol; in: a controller's address; out: models, workers, pieces of text. Foreign errors become server.errors.

Controller: list_models, get_worker_address, refresh_all_workers, register_worker, receive_heart_beat. Worker: worker_get_status,
worker_generate_stream (JSON objects separated by NUL, each with the whole text so far). Our workers say more of themselves in their
status: `openai` (has /v1/chat/completions), `messages` (accepts `messages` instead of `prompt`), `context_length`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from server.errors import BackendFailed, ContextOverflow, Invalid, PaperError, RateLimited, Unavailable

CONTROLLER_S = 2.0  # the controller answers from memory
CONTROLLER_AT_ONCE = 8  # questions to it; with 200 at once the last would not be answered in time
STATUS_S = 1.5  # so that a hung worker is noticed within two seconds
COUNT_S = 20.0  # a worker may be busy with others
CONNECT_S = 1.0
LOADING = 503  # a worker whose model is not loaded yet
LONGEST_WORDS = 300  # characters of somebody else's error
SILENCE_S = 600.0  # a long prompt on a slow machine, behind others in the queue

VALIDATION_ERROR, CONTEXT_OVERFLOW, RATE_LIMIT, INTERNAL_ERROR, OUT_OF_MEMORY, NO_WORKER = 40001, 40303, 42901, 50001, 50002, 50005

_SORRY = "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**"  # what FastChat puts before a real reason


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker says of itself; `context_tokens` is 0 when it doesn't."""

    models: tuple[str, ...]
    queue_length: int
    openai: bool
    messages: bool
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """The whole text so far, with the counts so far; `finish_reason` is "" until the last one."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class FastChat:
    """A client of one controller and of the workers that it names."""

    def __init__(self, controller: str, client: httpx2.AsyncClient) -> None:
        self.controller = controller.rstrip("/")
        self._client = client
        self._few = asyncio.Semaphore(CONTROLLER_AT_ONCE)

    async def models(self) -> tuple[str, ...]:
        """Names of the models that workers serve, sorted."""
        answer = await self._ask_controller("/list_models", {})
        return tuple(sorted(str(name) for name in answer.get("models", ())))

    async def address(self, model: str) -> str:
        """The worker with the shortest queue, "" when none serves `model`. It may be dead: the controller doesn't look."""
        return str((await self._ask_controller("/get_worker_address", {"model": model})).get("address", ""))

    async def refresh(self) -> None:
        """Let the controller ask all its workers, and forget those that don't answer."""
        await self._ask_controller("/refresh_all_workers", {})

    async def register(self, worker: str, status: Mapping[str, Any]) -> None:
        """Tell the controller about a worker."""
        await self._ask_controller("/register_worker", {"worker_name": worker, "check_heart_beat": True, "worker_status": dict(status)})

    async def heartbeat(self, worker: str, queue_length: int) -> bool:
        """Whether the controller still knows the worker; after its own restart it does not."""
        answer = await self._ask_controller("/receive_heart_beat", {"worker_name": worker, "queue_length": queue_length})
        return bool(answer.get("exist", False))

    async def status(self, worker: str) -> WorkerStatus:
        """Raises Unavailable when the worker does not answer at once."""
        answer = await self._ask(f"{worker}/worker_get_status", {}, STATUS_S, f"worker {worker}")
        return WorkerStatus(
            models=tuple(answer.get("model_names", ())),
            queue_length=int(answer.get("queue_length", 0)),
            openai=bool(answer.get("openai", False)),
            messages=bool(answer.get("messages", False)),
            context_tokens=int(answer.get("context_length", 0)),
        )

    async def conversation(self, worker: str, model: str) -> Mapping[str, Any]:
        """The worker's conversation template, as FastChat writes it."""
        found = (await self._ask(f"{worker}/worker_get_conv_template", {"model": model}, STATUS_S, f"worker {worker}")).get("conv")
        if not isinstance(found, Mapping):
            raise BackendFailed(f"worker {worker} has no conversation template")
        return found

    async def room(self, worker: str, model: str, prompt: str) -> tuple[int, int]:
        """(tokens of the worker's context, tokens of the prompt), by the worker's own tokenizer."""
        details = await self._ask(f"{worker}/model_details", {"model": model}, STATUS_S, f"worker {worker}")
        counted = await self._ask(f"{worker}/count_token", {"model": model, "prompt": prompt}, COUNT_S, f"worker {worker}")
        try:
            return int(details["context_length"]), int(counted["count"])
        except (KeyError, TypeError, ValueError) as exc:
            raise BackendFailed(f"worker {worker} does not say how long its context is") from exc

    async def generate(self, worker: str, params: Mapping[str, Any]) -> AsyncGenerator[Piece, None]:
        """Pieces of an answer. Closing the generator closes the connection, by which the worker learns that nobody waits."""
        timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        finished = False
        try:
            async with self._client.stream("POST", f"{worker}/worker_generate_stream", json=dict(params), timeout=timeout) as response:
                if response.status_code != 200:
                    raise BackendFailed(f"worker {worker} answered with status {response.status_code}; its log says why")
                rest = b""
                async for data in response.aiter_bytes():
                    *complete, rest = (rest + data).split(b"\0")
                    for item in complete:
                        piece = _piece(item, worker)
                        finished = bool(piece.finish_reason)
                        yield piece
        except httpx2.ConnectError as exc:
            raise Unavailable(f"worker {worker} is gone") from exc
        except httpx2.HTTPError as exc:
            raise BackendFailed(f"worker {worker} stopped answering ({type(exc).__name__})") from exc
        if not finished:
            raise BackendFailed(f"worker {worker} ended its answer early; its log says why")

    async def _ask_controller(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._few:
            return await self._ask(self.controller + path, body, CONTROLLER_S, f"the FastChat controller at {self.controller}")

    async def _ask(self, url: str, body: Mapping[str, Any], timeout_s: float, who: str) -> dict[str, Any]:
        try:
            response = await self._post(url, body, httpx2.Timeout(timeout_s, connect=CONNECT_S))
            if response.status_code == LOADING:
                raise Unavailable(f"{who} is not ready: {response.text[:LONGEST_WORDS]}")
            if response.is_error:
                raise BackendFailed(f"{who} answered with status {response.status_code}: {response.text[:LONGEST_WORDS]}")
            answer = response.json()
        except httpx2.ConnectError as exc:
            raise Unavailable(f"{who} is not running") from exc
        except httpx2.TimeoutException as exc:
            raise Unavailable(f"{who} gave no answer in {timeout_s:g} s") from exc
        except (httpx2.HTTPError, ValueError) as exc:
            raise BackendFailed(f"{who} answered wrongly: {exc}") from exc
        return answer if isinstance(answer, dict) else {}

    async def _post(self, url: str, body: Mapping[str, Any], timeout: httpx2.Timeout) -> httpx2.Response:
        try:
            return await self._client.post(url, json=dict(body), timeout=timeout)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):  # a kept connection to a process that ended since
            return await self._client.post(url, json=dict(body), timeout=timeout)


def refused(exc: PaperError) -> bool:
    """Whether nothing listens at the address any more, as opposed to a silent or overloaded process."""
    return isinstance(exc.__cause__, httpx2.ConnectError) and not isinstance(exc.__cause__, httpx2.TimeoutException)


def error_of(code: int, text: str) -> PaperError:
    """FastChat's error code (three digits of HTTP status, two of its own) as one of ours."""
    message = text.replace(_SORRY, "").strip().removeprefix("(").removesuffix(")") or f"FastChat's error {code}"
    if code == CONTEXT_OVERFLOW:
        return ContextOverflow(message)
    if code == NO_WORKER:
        return Unavailable("no worker serves this model")
    if code == OUT_OF_MEMORY:
        return BackendFailed(f"the GPU's memory is full: {message}")
    kind = code // 100
    if kind == 429:
        return RateLimited(message)
    return Invalid(message) if 400 <= kind < 500 else BackendFailed(message)


def code_of(exc: PaperError) -> int:
    """The nearest of FastChat's error codes."""
    if isinstance(exc, ContextOverflow):
        return CONTEXT_OVERFLOW
    if isinstance(exc, RateLimited):
        return RATE_LIMIT
    return VALIDATION_ERROR if exc.status < 500 else INTERNAL_ERROR


def _piece(item: bytes, worker: str) -> Piece:
    try:
        data = json.loads(item)
        code = int(data.get("error_code", 0))
        if code:
            raise error_of(code, str(data.get("text", "")))
        usage = data.get("usage") or {}
        return Piece(
            text=str(data["text"]),
            finish_reason=str(data.get("finish_reason") or ""),
            prompt_tokens=int(usage.get("prompt_tokens", 0)),
            completion_tokens=int(usage.get("completion_tokens", 0)),
        )
    except (ValueError, KeyError, AttributeError, TypeError) as exc:
        raise BackendFailed(f"worker {worker} sent something that is not FastChat's protocol") from exc
