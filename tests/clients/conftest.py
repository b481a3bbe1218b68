"""The running program and the client libraries, once for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import packages
from tests.clients.packages import Client
from tests.clients.running import Doors, running


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Doors]:
    """Addresses of a running program; proxies of the environment are not for loopback."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]:
            patch.delenv(name)
        with running(tmp_path_factory.mktemp("clients"), models) as doors:
            yield doors


MAKERS: dict[str, Callable[[], Client]] = {
    "openai": packages.newest_openai,
    "openai 1.x": packages.old_openai,
    "openai node": packages.node_openai,
    "raw": packages.Raw,
}


@pytest.fixture(scope="session")
def started() -> Iterator[dict[str, Client]]:
    """The libraries that are in use already."""
    made: dict[str, Client] = {}
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def client(request: pytest.FixtureRequest, started: dict[str, Client]) -> Client:
    """The library that the test names; starting one takes a second, so each is started once."""
    if request.param not in started:
        started[request.param] = MAKERS[request.param]()
    return started[request.param]
