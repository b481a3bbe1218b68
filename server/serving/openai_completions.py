"""Text completions in OpenAI's old shape; in: llama.cpp's choices of one request; out: prompt in front if wanted, logprobs as lists.

llama.cpp leaves `echo` out in silence, and tells logprobs as chats have them, token by token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.errors import Invalid


class Completions:
    """One request. Offsets count characters from the beginning of each choice's text, the echoed prompt included."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        """Raises Invalid for what llama.cpp would leave out in silence."""
        self._prompts: list[str] = []
        self._copies = int(request.get("n", 1))
        self._said: dict[int, int] = {}  # index: characters so far
        if not request.get("echo"):
            return
        prompts = request["prompt"] if isinstance(request["prompt"], list) else [request["prompt"]]
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise Invalid("`echo` needs the prompt as text")
        if request.get("logprobs"):
            raise Invalid("`echo` and `logprobs` do not go together: this model tells no probabilities of a prompt")
        self._prompts = prompts

    def choice(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The next piece of one choice."""
        index, text = int(given["index"]), str(given["text"])
        if self._prompts and index not in self._said:
            text = self._prompts[index // self._copies] + text
        start = self._said.get(index, 0)
        self._said[index] = start + len(text)
        tokens = (given.get("logprobs") or {}).get("content")
        return {**given, "text": text, "logprobs": _lists(tokens, start) if tokens else None}


def _lists(tokens: list[dict[str, Any]], start: int) -> dict[str, list[Any]]:
    offsets = []
    for token in tokens:
        offsets.append(start)
        start += len(token["token"])
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{other["token"]: other["logprob"] for other in token["top_logprobs"]} for token in tokens],
        "text_offset": offsets,
    }
