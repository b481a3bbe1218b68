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
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """The library that the test names."""
    made = MAKERS[request.param]()
    yield made
    made.close()
