"""A keys file (JSON or YAML) -> the keys of each endpoint; read again within a second of a change, and taken only when it is whole.

    openai:                       # a name of llm.endpoints
      - key: sk-…
        rpm: 500                  # requests and tokens a minute, all models together; left out: learned from the service's headers
        tpm: 200000
      - key: sk-…
        base_url: https://other.example/v1
        organization: org-…

No sentence here holds a key: not even a name that the file makes up is repeated, since it may be a key in the wrong place.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator

log = logging.getLogger(__name__)

LOOK_S = 0.25  # a change is taken when two looks find the same file, so that none is read while it is being written
LONG_ENOUGH = 16  # characters; the last four of a shorter key would tell too much of it


class KeyEntry(BaseModel):
    """One key, and what goes with it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key: SecretStr = Field(description="As the service gave it.")
    base_url: str | None = Field(None, pattern=r"^https?://[^\s@?#/]+[^\s@?#]*$", description="Where it is valid; none: the endpoint's.")
    organization: str | None = Field(None, pattern=r"^[!-~]+$", description="Sent as OpenAI-Organization.")
    rpm: int | None = Field(None, ge=1, description="Requests a minute.")
    tpm: int | None = Field(None, ge=1, description="Tokens a minute.")

    @field_validator("key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text or any(not "!" <= letter <= "~" for letter in text):
            raise ValueError("a key is of printable ASCII characters without spaces")
        return value

    @property
    def name(self) -> str:
        """What the key is called in logs and states."""
        return fingerprint(self.key.get_secret_value())


def fingerprint(key: str) -> str:
    """The last four characters; of a short key six digits of its SHA-256."""
    return f"…{key[-4:]}" if len(key) >= LONG_ENOUGH else f"#{hashlib.sha256(key.encode()).hexdigest()[:6]}"


class KeyFile:
    """The file at `path`; `labels` are the endpoints that it may name. Thread-safe."""

    def __init__(self, path: Path, labels: Collection[str], clock: Callable[[], float]) -> None:
        self._path = path
        self._labels = tuple(labels)
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[KeyEntry, ...]] = {}
        self._taken: tuple[int, ...] | None = None  # the file that was read last, good or bad
        self._seen = self._mark()
        self._looked = clock()
        self._warned = False
        self.problem = ""
        self._read(self._seen)

    def entries(self, label: str) -> tuple[KeyEntry, ...]:
        """The keys of that endpoint, as the last whole file had them; empty when it names none."""
        with self._lock:
            if self._clock() - self._looked >= LOOK_S:
                self._looked = self._clock()
                mark = self._mark()
                if mark != self._taken and mark == self._seen:
                    self._read(mark)
                self._seen = mark
            return self._entries.get(label, ())

    def _mark(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)

    def _read(self, mark: tuple[int, ...]) -> None:
        self._taken = mark
        try:
            entries = _parsed(self._path, self._labels)
        except ValueError as exc:
            kept = "the keys from before stay" if self._entries else "its keys are not used"
            if self.problem != str(exc):
                log.error("keys file %s: %s; %s", self._path, exc, kept)
            self.problem = str(exc)
            return
        self._entries, self.problem = entries, ""
        log.info("keys file=%s endpoints=%d keys=%d", self._path, len(entries), sum(map(len, entries.values())))
        if mark and os.name == "posix" and mark[3] & stat.S_IROTH and not self._warned:
            self._warned = True
            log.warning("keys file %s can be read by every user of this machine: chmod 600 it", self._path)


def _parsed(path: Path, labels: Collection[str]) -> dict[str, tuple[KeyEntry, ...]]:
    """Raises ValueError with one sentence that says what is wrong and holds nothing of the file's values."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except OSError as exc:
        raise ValueError(f"it cannot be read ({exc.strerror or type(exc).__name__})") from None
    content = _loaded(text, path.suffix.lower() == ".json")
    if not isinstance(content, dict):
        raise ValueError("it must hold names of endpoints, each with a list of keys")
    for place, label in enumerate(content, 1):
        if label not in labels:
            raise ValueError(f"its name number {place} is not one of llm.endpoints; known: {', '.join(labels) or 'none'}")
    try:
        entries = _FORM.validate_python(content)
    except ValidationError as exc:
        raise ValueError("; ".join(_sentence(error) for error in exc.errors(include_input=False, include_url=False))) from None
    for label, keys in entries.items():
        if len({(entry.key, entry.base_url) for entry in keys}) < len(keys):
            raise ValueError(f"{label} names a key twice, whose limits would be spent twice")
    return entries


def _loaded(text: str, is_json: bool) -> Any:
    try:
        return json.loads(text) if is_json else yaml.safe_load(text)
    except json.JSONDecodeError as exc:
        raise ValueError(f"it is not valid JSON, line {exc.lineno}") from None
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise ValueError(f"it is not valid YAML{f', line {mark.line + 1}' if mark else ''}") from None
    except ValueError:  # what looks like a date and is none
        raise ValueError("it holds a value that YAML cannot read; put it in quotes") from None


def _sentence(error: Any) -> str:
    label, *rest = error["loc"]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest if isinstance(part, int) or part in _FIELDS)
    if error["type"] == "extra_forbidden":
        return f"{label}{place} has a field that is not known; known: {', '.join(_FIELDS)}"
    return f"{label}{place}: {str(error['msg']).removeprefix('Value error, ')}"


_FIELDS = tuple(KeyEntry.model_fields)
_FORM = TypeAdapter(dict[str, tuple[KeyEntry, ...]])
