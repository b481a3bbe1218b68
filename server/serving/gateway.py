"""The OpenAI-compatible gateway; in: settings; out: a process on server.host:gateway_port. `python -m server.serving.gateway`

It only moves bytes: no torch, no langchain, no fastchat is imported, and no fastapi, which takes half a second to import.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette

from configs.settings import Settings, load_settings
from server.access import Access
from server.serving.listening import bind, log_to_stderr, run
from server.serving.openai_errors import shape_errors
from server.serving.openai_routes import routes
from server.serving.upstreams import Upstreams

BODY_LIMIT_MIB = 32  # a context of a million tokens, or some images


def build(settings: Settings) -> Access:
    """The whole app, guard included."""
    upstreams = Upstreams(settings)

    @contextlib.asynccontextmanager
    async def closing(app: Starlette) -> AsyncIterator[None]:
        yield
        await upstreams.aclose()

    app = Starlette(routes=routes(upstreams, settings.llm.default), lifespan=closing)
    shape_errors(app)
    return Access(app, settings.server, body_limit_mib=BODY_LIMIT_MIB)


def main() -> None:
    """Start it."""
    log_to_stderr()
    settings = load_settings()
    run(build(settings), bind(settings.server.host, settings.server.gateway_port))


if __name__ == "__main__":
    main()
