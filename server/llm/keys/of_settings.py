"""Settings -> one pool of keys for each endpoint, made when first needed; the keys file wins over the environment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pydantic import SecretStr, ValidationError

from configs.settings import ROOT, Settings
from server.errors import Invalid, NotFound
from server.llm.keys.key_file import LOOK_S, KeyEntry, KeyFile
from server.llm.keys.pool import KeyPool, KeyState, Notice


class Keys:
    """The keys of all endpoints, for as long as the server lives. Thread-safe. Whoever appends to `notices` hears of keys that fail."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.notices: list[Callable[[Notice], None]] = []
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._file: KeyFile | None = None
        self._pools: dict[str, KeyPool] = {}

    def pool(self, label: str) -> KeyPool:
        """The pool of that endpoint. Raises NotFound."""
        endpoint = self._settings.llm.endpoints.get(label)
        if endpoint is None:
            raise NotFound(f"no endpoint {label!r} in llm.endpoints; known: {', '.join(self._settings.llm.endpoints) or 'none'}")
        with self._lock:
            if self._file is None and self._settings.llm.keys_file:
                self._file = KeyFile(ROOT / self._settings.llm.keys_file, self._settings.llm.endpoints, self._clock)
            if label not in self._pools:
                source = _Source(self._settings, self._file, label, self._clock)
                self._pools[label] = KeyPool(label, endpoint, source, self._clock, self.notices)
            return self._pools[label]

    def checked(self, label: str) -> KeyPool:
        """The pool, if it has a key. Raises Invalid with the way out."""
        pool = self.pool(label)
        if not pool.named():
            raise Invalid(
                f"no key for the endpoint {label!r}: set {pool.endpoint.api_key_env} in the environment or in .env, or list keys in a "
                "file that llm.keys_file names"
            )
        return pool

    def state(self) -> dict[str, tuple[KeyState, ...]]:
        """Every key of every endpoint, without its secret."""
        return {label: self.pool(label).state() for label in self._settings.llm.endpoints}


class _Source:
    """The keys of one endpoint as they are now; the same tuple as long as nothing changed."""

    def __init__(self, settings: Settings, file: KeyFile | None, label: str, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._file = file
        self._label = label
        self._clock = clock
        self._single: tuple[KeyEntry, ...] = ()
        self._looked: float | None = None

    def __call__(self) -> tuple[KeyEntry, ...]:
        listed = self._file.entries(self._label) if self._file else ()
        return listed or self._from_environment()

    def _from_environment(self) -> tuple[KeyEntry, ...]:
        """A key may be exchanged in .env while we run."""
        now = self._clock()
        if self._looked is None or now - self._looked >= LOOK_S:
            self._looked = now
            variable = self._settings.llm.endpoints[self._label].api_key_env
            secret = (self._settings.secret(variable) or "").strip()
            try:
                found = (KeyEntry(key=SecretStr(secret)),) if secret else ()
            except ValidationError:  # whose text is not needed: nothing else can be wrong
                raise Invalid(f"the key in {variable} holds a space or a character that is not ASCII: copy it again") from None
            if found != self._single:
                self._single = found
        return self._single
