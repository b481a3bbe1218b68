"""A provider for tests of keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.llm.provider import Provider, provider


@pytest.fixture
def cloud() -> Iterator[Provider]:
    """A provider that answers everybody."""
    with provider() as made:
        yield made
