"""Text and a model -> its tokens, without asking anybody outside; tokens and a price -> what they cost.

In this order: the served model's own tokenizer, through its worker; tiktoken's table, when it lies on this machine; else a bound.
The bound never undercounts: no token of a byte-level tokenizer, or of one that falls back to bytes, is shorter than a byte of UTF-8, and
SentencePiece adds at most one for the space that it puts in front. English has about 4 bytes a token, Chinese about 2 to 4.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from configs.endpoints import Price
from configs.settings import Settings

log = logging.getLogger(__name__)

MESSAGE_TOKENS = 8  # role and marks that a chat template puts around a message: ChatML has 4 to 5, Llama 3 has 5
WORKER_S = 2.0
_TABLES = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"  # tiktoken keeps a table under the SHA-1 of this


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts the tokens of a text for one model; only those of the way `bound` are no exact numbers, but never too few."""

    way: Literal["worker", "tiktoken", "bound"]
    text: Callable[[str], int]


def counter(settings: Settings, model: str) -> Counter:
    """The best way to count for `model` at this moment: a worker that does not run now, or goes away later, leaves the bound."""
    for endpoint in settings.llm.endpoints.values():
        if model in endpoint.models:
            encoding = _tiktoken(model)
            return BOUND if encoding is None else Counter("tiktoken", partial(_encoded, encoding))
    address = _worker(settings, model)
    return Counter("worker", partial(_asked, address)) if address else BOUND


def bound(text: str) -> int:
    """At least the tokens of `text`."""
    return len(text.encode("utf-8", "surrogatepass")) + 1 if text else 0


BOUND = Counter("bound", bound)


def cost(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    """In the price's currency."""
    return (prompt_tokens * price.prompt + completion_tokens * price.completion) / 1e6


def price_of(settings: Settings, model: str) -> Price | None:
    """What the settings say a model costs; None: nothing is known, or it runs here."""
    return next((endpoint.prices[model] for endpoint in settings.llm.endpoints.values() if model in endpoint.prices), None)


def _encoded(encoding: Any, text: str) -> int:
    return len(encoding.encode_ordinary(text))


def _worker(settings: Settings, model: str) -> str:
    """The address of a worker that serves the model and counts; "" when there is none."""
    import httpx2

    try:
        answer = httpx2.post(
            f"{settings.controller_url()}/get_worker_address", json={"model": model}, timeout=WORKER_S, trust_env=False
        ).json()
        address = str(answer.get("address", ""))
        return address if address and _ask(address, "a") >= 0 else ""
    except (httpx2.HTTPError, ValueError, KeyError, AttributeError, TypeError):
        return ""


def _asked(address: str, text: str) -> int:
    import httpx2

    try:
        return _ask(address, text)
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
        log.warning("worker=%s counts no tokens (%s); the bound is used", address, type(exc).__name__)
        return bound(text)


def _ask(address: str, text: str) -> int:
    import httpx2

    answer = httpx2.post(f"{address}/count_token", json={"prompt": text}, timeout=WORKER_S, trust_env=False).raise_for_status().json()
    return int(answer["count"])


@lru_cache(maxsize=8)
def _tiktoken(model: str) -> Any:
    """The encoding, only when its table is here: tiktoken would fetch it, or wait for a network that is not there."""
    import tiktoken

    try:
        name = tiktoken.encoding_name_for_model(model)
        folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
        table = Path(folder or Path(tempfile.gettempdir(), "data-gym-cache")) / hashlib.sha1(_TABLES.format(name).encode()).hexdigest()  # noqa: S324 - tiktoken's name for it
        return tiktoken.get_encoding(name) if table.is_file() else None
    except (KeyError, ValueError, OSError) as exc:
        log.warning("model=%s has no table of tiktoken (%s); the bound is used", model, exc)
        return None
