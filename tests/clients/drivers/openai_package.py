"""The openai package, whichever version is found first; in: calls as lines of JSON; out: answer, chunks or error as a line of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai


def call(client: Any, name: str, ask: dict[str, Any]) -> Any:
    if name == "models.list":
        return {"data": [model.model_dump(mode="json", exclude_unset=True) for model in client.models.list()]}
    if name == "models.retrieve":
        return client.models.retrieve(ask["model"])
    return {"chat": client.chat.completions, "completions": client.completions, "embeddings": client.embeddings}[name].create(**ask)


def outcome(row: dict[str, Any]) -> dict[str, Any]:
    client = openai.OpenAI(base_url=row["base_url"], api_key=row["key"], max_retries=0, timeout=row["timeout_s"])
    try:
        given = call(client, row["call"], row["ask"])
        if not row["ask"].get("stream"):
            return {"answer": given if isinstance(given, dict) else given.model_dump(mode="json", exclude_unset=True)}
        chunks = []
        for chunk in given:
            chunks.append(chunk.model_dump(mode="json", exclude_unset=True))
            if len(chunks) == row["leave_after"]:
                given.close()
                break
        return {"chunks": chunks}
    except openai.APIError as exc:
        response = getattr(exc, "response", None)
        return {
            "error": type(exc).__name__,
            "status": response.status_code if response is not None else None,
            "code": exc.code,
            "message": exc.message,
            "retry_after": response.headers.get("retry-after") if response is not None else None,
        }
    finally:
        client.close()


def tell(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


tell({"version": openai.__version__})
for line in sys.stdin:
    tell(outcome(json.loads(line)))
