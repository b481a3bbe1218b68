"""An answer -> whose matter it is: the request's, the key's, the limit's, or the service's; and what the service says, in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

Verdict = Literal["passed", "final", "limited", "refused", "used up", "elsewhere", "again"]

MESSAGE_CHARS = 300
PAYMENT_REQUIRED = 402  # DeepSeek and OpenRouter, where OpenAI says 429 insufficient_quota
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


def verdict(status: int, body: bytes) -> Verdict:
    """`final`: the request itself is wrong, no key helps. `elsewhere`: this key may not use this model, another may. `again`: later."""
    if status < 400:
        return "passed"
    error = error_in(body) if status in (400, 403, 429) else {}
    names = {str(error.get("code")), str(error.get("type"))}
    if status == PAYMENT_REQUIRED or names & _QUOTA:
        return "used up"
    if status == 429:
        return "limited"
    if status == 403 and "model_not_found" in names:
        return "elsewhere"  # OpenAI: the key's project has no access to the model
    if status == 403 and _is_moderation(error):
        return "final"
    if status in (401, 403):
        return "refused"
    return "again" if status >= 500 or status in (408, 409) else "final"


def error_in(body: bytes) -> Mapping[str, Any]:
    """The `error` object of a body, or the whole object; empty when there is none."""
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(data, dict):
        return {}
    error = data.get("error", data)
    return error if isinstance(error, dict) else {"message": error}


def said(body: bytes) -> str:
    """What the service says is wrong, in one line of at most 300 characters."""
    error = error_in(body)
    text = error.get("message") or error.get("detail") or body[: 4 * MESSAGE_CHARS].decode("utf-8", "replace")
    return " ".join(str(text).split())[:MESSAGE_CHARS] or "nothing"


def _is_moderation(error: Mapping[str, Any]) -> bool:
    """OpenRouter answers 403 for a text that a filter stopped, with the reasons; that is not the key's fault."""
    metadata = error.get("metadata")
    return isinstance(metadata, dict) and "reasons" in metadata
