"""What is said about the embedding model before and after it is loaded: the banner, the weights that are fetched, the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from configs.settings import Embedding, Settings
from server import embedding
from server.banner import EmbeddingStatus, Status, banner
from server.launch import Plan, sources
from server.parts import Report

ONLINE = {"openai": {"models": ["gpt-4o-mini"]}}


def plan_of(settings: Settings, model: str) -> Plan:
    """The API alone, with that embedding model."""
    whole = {**settings.model_dump(), "llm": {**settings.llm.model_dump(), "endpoints": ONLINE}, "embedding": {"model": model}}
    return Plan(Settings.model_validate(whole), frozenset({"api"}), (), "http://127.0.0.1:20001")


def test_no_weights_are_fetched_for_a_model_of_an_endpoint(settings: Settings):
    assert sources(plan_of(settings, "m3e-base")) == ["m3e-base"]
    assert sources(plan_of(settings, "openai/text-embedding-3-small")) == []


def test_the_banner_says_prefixes_pooling_and_who_decided(settings: Settings, tmp_path: Path):
    reports = [Report("API", "ready", "http://127.0.0.1:7861", tmp_path / "api.log", 1.0, "")]
    facts = {"name": "bge-small-zh", "state": "ready", "device": "cpu", "dtype": "bfloat16", "dimension": 512, "max_tokens": 512}
    said = {"pooling": "cls", "query_prefix": "为: ", "passage_prefix": "", "usage_from": "family bge-*-zh, by name"}
    shown = banner(plan_of(settings, "bge-small-zh"), reports, Status(embedding=EmbeddingStatus.model_validate(facts | said)))
    assert "bge-small-zh, cpu, bfloat16, 512 dimensions, 512 tokens, pooling cls\n" in shown
    assert "prefixes" in shown.lower()
    assert "'为: ' for questions, '' for passages (said by family bge-*-zh, by name)" in shown
    none = EmbeddingStatus.model_validate(facts | said | {"query_prefix": ""})
    assert "none (said by" in banner(plan_of(settings, "bge-small-zh"), reports, Status(embedding=none))
    older = EmbeddingStatus(name="m", state="ready")
    assert "Prefixes" not in banner(plan_of(settings, "m"), reports, Status(embedding=older))


def test_the_log_names_what_was_chosen(tiny_model: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        embedding.load(Embedding(model=str(tiny_model), dtype="float32", device="cpu"), tiny_model)
    line = next(record.getMessage() for record in caplog.records if record.getMessage().startswith("loaded embedding="))
    for words in ("dim=32", "max_tokens=512", "pooling=mean", "query_prefix='query: '", "passage_prefix='passage: '", "the model's folder"):
        assert words in line
