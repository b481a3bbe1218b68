"""Values of a request, as OpenAI's API bounds them; in: a request without nulls; out: nothing, or Invalid with the field's name.

llama.cpp and FastChat take much of what is wrong here in silence: a temperature of -1 as 0, a `stop` that is a number as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.errors import Invalid

Bounds = tuple[float | None, float | None]

UNLIMITED = -1  # as `max_tokens`, by which clients of llama.cpp and LangChain mean: as long as there is room
_NUMBERS: dict[str, Bounds] = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
_INTEGERS: dict[str, Bounds] = {
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
    "n": (1, 128),
    "seed": (None, None),
    "top_logprobs": (0, 20),
}


def check(request: Mapping[str, Any]) -> None:
    """Raises Invalid. Fields that are not there are not missed, unknown ones are not looked at."""
    for name, bounds in _NUMBERS.items():
        _number(request, name, bounds, "a number", (int, float))
    for name, whole in _INTEGERS.items():
        if name not in ("max_tokens", "max_completion_tokens") or request.get(name) != UNLIMITED:
            _number(request, name, whole, "an integer", (int,))
    stop = request.get("stop", [])
    if not isinstance(stop, str) and not (isinstance(stop, list) and all(isinstance(word, str) for word in stop)):
        raise Invalid(f"`stop` must be a string or a list of strings, not {stop!r}")
    if not isinstance(request.get("stream_options", {}), Mapping):
        raise Invalid("`stream_options` must be an object")


def _number(request: Mapping[str, Any], name: str, bounds: Bounds, kind: str, types: tuple[type, ...]) -> None:
    value: Any = request.get(name)
    if value is None:
        return
    lowest, highest = bounds
    if type(value) not in types:  # True is an int, but no number
        raise Invalid(f"`{name}` must be {kind}, not {value!r}")
    if lowest is not None and value < lowest:
        raise Invalid(f"`{name}` must be at least {lowest}, not {value}")
    if highest is not None and value > highest:
        raise Invalid(f"`{name}` must be at most {highest}, not {value}")
