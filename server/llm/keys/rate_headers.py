"""Headers of an answer -> what they say about limits: how many a minute, how many are left, and seconds until more are.

Known: Retry-After (seconds or a date, RFC 9110), retry-after-ms (OpenAI, Azure), and x-ratelimit-{limit,remaining,reset}-{requests,tokens}
of OpenAI and those who follow it. A reset is a duration ("6m0s", "12ms"), seconds, or the Unix time in seconds or milliseconds.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_S = 86_400.0  # nothing is believed beyond a day
UNIX_S, UNIX_MS = 1e9, 1e12  # a larger number of seconds is a date: 1e9 is September 2001
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """What one kind of limit stands at; None where the answer does not say it."""

    limit: float | None
    remaining: float | None
    reset_s: float | None


def limits(headers: Mapping[str, str]) -> tuple[Limit, Limit]:
    """(requests, tokens)."""
    return _limit(headers, "requests"), _limit(headers, "tokens")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service wants to be left alone; None when it does not say it."""
    if number := _NUMBER.fullmatch(headers.get("retry-after-ms", "").strip()):
        return min(float(number[1]) / 1000, LONGEST_S)
    said = headers.get("retry-after", "").strip()
    if number := _NUMBER.fullmatch(said):
        return min(float(number[1]), LONGEST_S)
    try:
        return min(max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time()), LONGEST_S)
    except (ValueError, OverflowError):
        return None


def rest_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to rest after a 429: Retry-After, else the reset of the limit that is used up, else the longest reset named."""
    said = retry_after_s(headers)
    if said is not None:
        return said
    known = [limit for limit in limits(headers) if limit.reset_s is not None]
    used_up = [limit.reset_s for limit in known if limit.remaining is not None and limit.remaining <= 0]
    return max((reset for reset in used_up or [limit.reset_s for limit in known] if reset is not None), default=None)


def duration_s(text: str) -> float | None:
    """Seconds of "1h2m3.5s", "12ms", "7.66" or a Unix time; None for anything else."""
    text = text.strip().lower()
    if number := _NUMBER.fullmatch(text):
        value = float(number[1])
        if value >= UNIX_S:
            value = max(0.0, value / (1000 if value >= UNIX_MS else 1) - time.time())
        return min(value, LONGEST_S)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return float(min(sum(float(number) * _SECONDS[unit] for number, unit in parts), LONGEST_S))


def _limit(headers: Mapping[str, str], kind: str) -> Limit:
    reset = headers.get(f"x-ratelimit-reset-{kind}")
    return Limit(
        _number(headers.get(f"x-ratelimit-limit-{kind}")),
        _number(headers.get(f"x-ratelimit-remaining-{kind}")),
        None if reset is None else duration_s(reset),
    )


def _number(text: str | None) -> float | None:
    """The number that the text begins with; "60, 60;w=60" is 60."""
    found = _NUMBER.match(text or "")
    return float(found[1]) if found else None
