"""The profiles: sets of defaults below everything that the user sets. Names of weights are rows of server/weights.py."""

from __future__ import annotations

from typing import Any

_LOCAL: dict[str, Any] = {
    "smollm2-135m-instruct": {"source": "smollm2-135m-instruct", "slots": 2, "parameters_m": 135},
    "chatglm2-6b": {"source": "chatglm2-6b", "parameters_m": 6200, "trust_remote_code": True},
}

PROFILES: dict[str, dict[str, Any]] = {
    # Runs anywhere: models from PyPI wheels, CPU, no key.
    "embedded": {"llm": {"default": "smollm2-135m-instruct", "local": _LOCAL}, "embedding": {"model": "multilingual-e5-small"}},
    # The classic pair, on a GPU with 13 GB or more.
    "gpu": {"llm": {"default": "chatglm2-6b", "local": _LOCAL}, "embedding": {"model": "m3e-base"}},
    # Any OpenAI-compatible service for the LLM; the embedding model stays local.
    "online": {
        "llm": {"default": "gpt-4o-mini", "local": _LOCAL, "endpoints": {"openai": {"models": ["gpt-4o-mini", "gpt-4o"]}}},
        "embedding": {"model": "multilingual-e5-small"},
    },
}
