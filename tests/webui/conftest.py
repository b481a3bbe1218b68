"""The fake API as a running server, and the environment that points the UI at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.webui import fake_api
from webui.client import KEY_VARIABLE, URL_VARIABLE, Client


@pytest.fixture
def state() -> fake_api.State:
    """What the fake server holds."""
    return fake_api.sample_state()


@pytest.fixture
def api_url(state: fake_api.State) -> Iterator[str]:
    """The address of a fake server for this test alone."""
    with fake_api.serve(state) as url:
        yield url


@pytest.fixture
def client(api_url: str) -> Iterator[Client]:
    """A client of that server."""
    with Client(api_url, patience_s=10, silence_s=10) as client:
        yield client


@pytest.fixture
def ui_environment(api_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The UI in this process speaks to the fake server."""
    monkeypatch.setenv(URL_VARIABLE, api_url)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return api_url
