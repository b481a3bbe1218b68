"""Stop: end an answer from another thread, also while it waits for the model's first word."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Any

from server.errors import Cancelled


class Stop:
    """Called when the client has gone. The model's connection is shut, so a thread that reads from it wakes up with an error."""

    def __init__(self) -> None:
        self._gone = threading.Event()
        self._socket: socket.socket | None = None

    def __call__(self) -> None:
        """End the answer; calling twice is calling once."""
        self._gone.set()
        self._shut()

    def check(self) -> None:
        """Between two steps of the work. Raises Cancelled."""
        if self._gone.is_set():
            raise Cancelled("the client has gone")

    def watch(self, request: Any) -> None:
        """An HTTP client's request hook: remember the connection as soon as there is one."""
        request.extensions["trace"] = self._trace

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._socket = info["return_value"].get_extra_info("socket")
            if self._gone.is_set():
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)
