"""`python -m server.api`: port 7861 by itself."""

from __future__ import annotations

import logging
import sys

import uvicorn

from configs.settings import SettingsError, load_settings
from server.api.app import create_app
from server.runtime import build


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when the settings are wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = load_settings()
    except SettingsError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    app = create_app(build(settings))
    uvicorn.run(app, host=settings.server.host, port=settings.server.api_port, log_level="warning", timeout_graceful_shutdown=3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
