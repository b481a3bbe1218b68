"""Model name -> LangChain chat model. Local models are asked through the gateway, online ones at their endpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from configs.settings import Settings, local_url
from server.errors import BackendFailed, ContextOverflow, Invalid, ModelNotFound, PaperError, RateLimited, Unavailable
from server.llm.keys.of_settings import Keys
from server.llm.keys.rate_headers import retry_after_s
from server.stopping import Stop
from server.types import Message

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

SMALL_M = 1000.0  # millions of parameters below which a model is not trusted to answer by itself


def names(settings: Settings) -> list[str]:
    """Every LLM that the settings know, online ones first."""
    online = [name for endpoint in settings.llm.endpoints.values() for name in endpoint.models]
    return [*online, *settings.llm.local]


def is_small(settings: Settings, name: str) -> bool:
    """Whether the model has under a billion parameters, so that `quotes` is its default depth."""
    local = settings.llm.local.get(name)
    return local is not None and local.parameters_m is not None and local.parameters_m < SMALL_M


def is_running(settings: Settings, name: str, keys: Keys | None = None) -> bool:
    """Whether the model can be asked now: a worker has registered it with the controller, or an endpoint serves it and has a usable key."""
    for label, endpoint in settings.llm.endpoints.items():
        if name in endpoint.models:
            return (keys or Keys(settings)).pool(label).usable()
    return name in _served(settings)


def running(settings: Settings, keys: Keys) -> list[str]:
    """The models that can be asked now, online ones first; those of other machines' settings that a worker serves, too."""
    online = [name for label, endpoint in settings.llm.endpoints.items() if keys.pool(label).usable() for name in endpoint.models]
    return list(dict.fromkeys([*online, *_served(settings)]))


@dataclass(frozen=True, slots=True)
class Piece:
    """What a model has just said; counts and reason come with the last ones."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = ""


def stream(
    settings: Settings,
    name: str,
    messages: Sequence[Message],
    *,
    temperature: float,
    max_tokens: int | None,
    stop: Stop,
    keys: Keys | None = None,
) -> Iterator[Piece]:
    """The model's words as they come. `keys` are what requests share; None: of this one alone.

    Raises ModelNotFound, Invalid without a key, Cancelled after `stop`, and foreign errors as ours.
    """
    import openai

    stop.check()
    with _client(settings, name, stop, keys) as (http, base_url, key):
        model = _model(name, http, base_url, key, temperature, max_tokens)
        try:
            for chunk in model.stream([(message.role, message.content) for message in messages]):
                usage = chunk.usage_metadata
                reason = str(chunk.response_metadata.get("finish_reason") or "")
                yield Piece(str(chunk.content), usage["input_tokens"] if usage else 0, usage["output_tokens"] if usage else 0, reason)
        except openai.APIStatusError as exc:
            raise _translated(exc) from exc
        except openai.APITimeoutError as exc:
            stop.check()
            raise Unavailable("the language model did not answer in time") from exc
        except openai.APIConnectionError as exc:
            stop.check()
            raise Unavailable(f"the language model cannot be reached: {exc.__cause__ or exc}") from exc
        except openai.APIError as exc:  # an error event inside a stream
            raise BackendFailed(f"the language model broke off: {exc.message}") from exc


@contextlib.contextmanager
def _client(settings: Settings, name: str, stop: Stop, keys: Keys | None) -> Iterator[tuple[Any, str, SecretStr]]:
    """(HTTP client, base URL, key) of whoever serves the model; closed at the end, also after an error."""
    import httpx2

    from server.llm.keys.transport import ONE_A_CONNECTION, client

    hooks = {"request": [stop.watch]}
    for label, endpoint in settings.llm.endpoints.items():
        if name in endpoint.models:
            pool = (keys or Keys(settings)).checked(label)
            with client(pool, tick=stop.check, limits=ONE_A_CONNECTION, event_hooks=hooks) as http:  # `stop` ends the newest connection
                yield http, endpoint.base_url, SecretStr("of the pool")
            return
    if name not in settings.llm.local:
        raise ModelNotFound(f"no model {name!r}; known: {', '.join(names(settings))}")
    ours = settings.server.api_keys
    with httpx2.Client(trust_env=False, timeout=httpx2.Timeout(300, connect=5), event_hooks=hooks) as http:  # a proxy must not see loopback
        yield http, f"{local_url(settings.server.host, settings.server.gateway_port)}/v1", ours[0] if ours else SecretStr("none")


def _model(name: str, http: Any, base_url: str, key: SecretStr, temperature: float, max_tokens: int | None) -> BaseChatModel:
    """LangChain's chat model over that client."""
    from langchain_openai import ChatOpenAI

    limit: dict[str, Any] = {} if max_tokens is None else {"max_tokens": max_tokens}
    return ChatOpenAI(
        model=name, base_url=base_url, api_key=key, http_client=http, temperature=temperature, max_retries=0, stream_usage=True, **limit
    )


def _served(settings: Settings) -> list[str]:
    """What workers have registered with the controller; nothing while that is away."""
    import httpx2

    try:
        return sorted(httpx2.post(f"{settings.controller_url()}/list_models", timeout=1, trust_env=False).json()["models"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return []


def _translated(exc: Any) -> PaperError:
    """An OpenAI client's status error as one of ours."""
    message = str(getattr(exc, "message", exc))
    if exc.status_code == 429:
        return RateLimited(message, retry_after_s(exc.response.headers) or 1.0)
    if exc.code == "context_length_exceeded":
        return ContextOverflow(message)
    if exc.status_code in (401, 403):
        return BackendFailed(f"the endpoint refuses the key that the settings name: {message}")
    if exc.status_code == 404:
        return ModelNotFound(message)
    if exc.status_code < 500:
        return Invalid(message)
    return Unavailable(message) if exc.status_code == 503 else BackendFailed(message)
