"""The calling thread -> behind those that answer questions, in the eyes of the system; processes that it starts go behind, too."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

NICENESS = 5  # such a thread gets a quarter of a core that another one wants, and all of one that nobody wants


def step_back() -> None:
    """For good: only root could take it back. Only Linux gives threads priorities of their own; elsewhere nothing happens."""
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):  # a sandbox that forbids it
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
