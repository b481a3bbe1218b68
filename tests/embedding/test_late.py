"""An embedder that is loaded for its first text: what it says before, how often it is loaded, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Embedding as EmbeddingSettings
from configs.settings import load_settings
from server import embedding
from server.embedding import Embedder
from server.embedding.families import Usage
from server.embedding.late import LateEmbedder, Said, said_by
from server.errors import Invalid, Unavailable
from tests.hash_embedder import HashEmbedder


def late_hash(load: Callable[[], Embedder], dimension: int = 32, form: str = "words") -> LateEmbedder:
    return LateEmbedder("hash", Said(dimension, Usage("", "", form, "a test", "")), load)


def test_it_is_loaded_once_for_its_first_text_and_gives_what_the_model_gives():
    loads: list[int] = []

    def load() -> HashEmbedder:
        loads.append(1)
        return HashEmbedder()

    late = late_hash(load)
    assert (late.name, late.dimension, loads) == ("hash", 32, [])
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(late.count_tokens, ["two words"] * 8)) == [2] * 8
    assert loads == [1]
    assert (late.max_tokens, late.device, late.dtype) == (512, "cpu", "float32")
    assert np.array_equal(late.embed_query("a"), HashEmbedder().embed_query("a"))
    assert np.array_equal(late.embed_documents(["a", "b"]), HashEmbedder().embed_documents(["a", "b"]))


def test_a_model_of_another_dimension_than_its_folder_says_is_refused():
    with pytest.raises(Invalid, match="gives vectors of 32 dimensions, but its folder says 16"):
        late_hash(HashEmbedder, 16).embed_query("a")
    with pytest.raises(Invalid, match=r"runs with words '' .*but its folder says cls"):
        late_hash(HashEmbedder, form="cls").embed_query("a")


def test_the_folder_says_the_dimension(tiny_model: Path, tmp_path: Path):
    settings = load_settings({"embedding": {"model": str(tiny_model), "dtype": "float32", "device": "cpu"}})
    late = embedding.load_late(settings)
    assert isinstance(late, LateEmbedder)
    assert (late.name, late.dimension) == ("tiny-e5", 32)
    assert late.usage == embedding.load_model(settings).usage
    assert (late.usage.passage, late.usage.pooling) == ("passage: ", "mean")
    assert late.embed_query("a").shape == (32,)


OLD = {"word_embedding_dimension": 768, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
NEW = {"embedding_dimension": 768, "pooling_mode": "lasttoken"}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"": {"hidden_size": 768}, "1_Pooling": OLD}, (768, "cls")),
        ({"": {"hidden_size": 768}, "1_Pooling": NEW, "2_Dense": {"in_features": 768, "out_features": 256}}, (256, "lasttoken")),
        ({"": {"hidden_size": 768}}, None),
        ({"1_Pooling": {**OLD, "pooling_mode_mean_tokens": True}}, None),
        ({"1_Pooling": {"pooling_mode": "cls"}}, None),
    ],
)
def test_the_last_part_with_a_dimension_decides_and_what_is_left_open_is_not_guessed(
    tmp_path: Path, parts: dict[str, object], expected: tuple[int, str] | None
):
    for part, facts in parts.items():
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / "config.json").write_text(json.dumps(facts))
    (tmp_path / "modules.json").write_text(json.dumps([{"path": part} for part in [*parts, "3_Normalize"]]))
    said = said_by(tmp_path, "model", EmbeddingSettings())
    assert (said and (said.dimension, said.usage.pooling)) == expected


def test_a_folder_that_is_not_understood_is_left_to_loading(tmp_path: Path):
    assert said_by(tmp_path, "model", EmbeddingSettings()) is None
    (tmp_path / "modules.json").write_text("{")
    assert said_by(tmp_path, "model", EmbeddingSettings()) is None


def test_weights_that_are_not_there_are_missed_at_once():
    with pytest.raises(Unavailable, match="no model at 'nothing'"):
        embedding.load_late(load_settings({"embedding": {"model": "nothing"}}))
