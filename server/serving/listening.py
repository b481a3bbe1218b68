"""Run an ASGI app as a process; in: app, host, port; out: nothing until a signal, then an end within seconds, streams included."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any, NoReturn

import uvicorn

log = logging.getLogger(__name__)

BACKLOG = 512
STREAMS_END_S = 1  # on SIGTERM open streams get this long, then they are cancelled
KEEP_ALIVE_S = 75  # longer than any client keeps an idle connection, so that none is closed just while it is used again


def log_to_stderr() -> None:
    """One format for all our processes; whoever starts them keeps their output."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("httpx", "httpx2", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def bind(host: str, port: int) -> socket.socket:
    """The port, taken but not yet listening: connections are refused until `run`. Ends the process when it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that are named TCP; with it every small answer may wait 40 ms.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host.strip("[]"), port))
    except OSError as exc:
        taken.close()
        raise SystemExit(f"cannot listen on {host}:{port}: {exc.strerror or exc}; is something else running there?") from exc
    return taken


def run(app: Any, *taken: socket.socket) -> NoReturn:
    """Serve until SIGTERM or Ctrl-C, then leave without waiting for anybody's threads."""
    for each in taken:
        each.listen(BACKLOG)  # from here on connections wait instead of being refused: the app may announce itself when it starts
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STREAMS_END_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
    )
    code = 0
    try:
        uvicorn.Server(config).run(sockets=list(taken))
    except KeyboardInterrupt:
        pass  # uvicorn has stopped in good order and passes the signal on
    except Exception:
        log.exception("the server ended")
        code = 1
    logging.shutdown()
    os._exit(code)  # a thread that computes or sleeps must not hold the process
