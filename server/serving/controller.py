"""FastChat's controller, guarded; in: settings; out: a process on loopback and on worker_networks. `python -m server.serving.controller`"""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from configs.settings import load_settings
from server.access import App
from server.errors import PaperError
from server.serving.listening import bind, log_to_stderr, run
from server.serving.private_network import controller_hosts, guarded
from server.serving.registrations import Registrations

BODY_LIMIT_MIB = 1  # it is told names and numbers


def main() -> None:
    """Start it."""
    log_to_stderr()
    settings = load_settings()
    networks = settings.server.worker_networks
    try:
        hosts = controller_hosts(networks)
    except PaperError as exc:
        raise SystemExit(str(exc)) from exc
    taken = [bind(host, settings.server.controller_port) for host in hosts]
    app = Registrations(_app(settings.paths.logs / "fastchat"), networks)
    run(guarded(app, hosts, networks, body_limit_mib=BODY_LIMIT_MIB), *taken)


def _app(logs: Path) -> App:
    os.environ["LOGDIR"] = str(logs)  # read when fastchat is imported
    from fastchat.serve import controller

    # A worker that answers with a redirect must not lead the controller elsewhere, nor may a proxy stand between.
    session = controller.requests.Session()
    session.trust_env = False
    controller.requests = SimpleNamespace(post=partial(session.post, allow_redirects=False), exceptions=controller.requests.exceptions)
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
