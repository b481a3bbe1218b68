"""A server over small real files, with a tiny embedding model and no gateway; both kinds of routes are asked through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from configs.profiles import PROFILES
from configs.settings import Settings
from server.api.app import create_app
from server.ingestion import ingest
from server.runtime import Runtime, build
from tests.conftest import write_papers
from tests.stack import free_port


def make_settings(folder: Path, model: Path, **server: Any) -> Settings:
    """Settings over a folder, with the tiny embedding model and no gateway."""
    return Settings.model_validate(
        {
            **PROFILES["embedded"],
            "paths": {name: folder / name for name in ("knowledge_base", "models", "logs")},
            "embedding": {"model": str(model), "dtype": "float32", "device": "cpu"},
            "server": {"gateway_port": free_port(), "upload_limit_mib": 1, **server},
        }
    )


def add_library(runtime: Runtime, name: str) -> None:
    """A library of four small papers."""
    library = runtime.create_library(name)
    write_papers(library.content)
    assert ingest(library, runtime.embedders.get(), runtime.settings.splitting).failed == {}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runtime:
    """The objects of a server with the library `papers`."""
    made = build(make_settings(tmp_path_factory.mktemp("state"), tiny_model))
    add_library(made, "papers")
    return made


@pytest.fixture(scope="module")
def http(runtime: Runtime) -> Iterator[TestClient]:
    """A client of the real app."""
    with TestClient(create_app(runtime), base_url="http://127.0.0.1:7861") as client:
        yield client


@pytest.fixture
def scratch(runtime: Runtime) -> Iterator[str]:
    """An empty library for one test."""
    yield runtime.create_library("scratch").name
    if "scratch" in runtime.shelf:
        runtime.delete_library("scratch")
