"""FastChat's controller as it is; in: settings; out: a process on loopback. `python -m server.serving.controller`"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from configs.settings import load_settings
from server.access import App, loopback_only
from server.serving.listening import bind, log_to_stderr, run

HOST = "127.0.0.1"  # it believes everybody, so nobody else may reach it


def main() -> None:
    """Start it."""
    log_to_stderr()
    settings = load_settings()
    taken = bind(HOST, settings.server.controller_port)
    run(loopback_only(_app(settings.paths.logs / "fastchat")), taken)


def _app(logs: Path) -> App:
    os.environ["LOGDIR"] = str(logs)  # read when fastchat is imported
    from fastchat.serve import controller

    # Its heartbeat thread sleeps 90 s and is no daemon; a thread made by a daemon is one.
    maker = threading.Thread(target=lambda: setattr(controller, "controller", controller.Controller("shortest_queue")), daemon=True)
    maker.start()
    maker.join()
    controller.logger.addFilter(_no_heartbeats)
    return controller.app  # type: ignore[no-any-return]  # fastchat has no types


def _no_heartbeats(record: logging.LogRecord) -> bool:
    """A line every five seconds for each worker tells nothing."""
    return not record.getMessage().startswith("Receive heart beat")


if __name__ == "__main__":
    main()
