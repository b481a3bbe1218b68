"""An embedder that is loaded for its first text: what it says before, how often it is loaded, and what it refuses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Embedding as EmbeddingSettings
from server import embedding
from server.embedding import LateEmbedder
from server.errors import Invalid, Unavailable
from tests.hash_embedder import HashEmbedder


def test_it_is_loaded_once_for_its_first_text_and_gives_what_the_model_gives():
    loads: list[int] = []

    def load() -> HashEmbedder:
        loads.append(1)
        return HashEmbedder()

    late = LateEmbedder("hash", 32, load)
    assert (late.name, late.dimension, loads) == ("hash", 32, [])
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(late.count_tokens, ["two words"] * 8)) == [2] * 8
    assert loads == [1]
    assert (late.max_tokens, late.device, late.dtype) == (512, "cpu", "float32")
    assert np.array_equal(late.embed_query("a"), HashEmbedder().embed_query("a"))
    assert np.array_equal(late.embed_documents(["a", "b"]), HashEmbedder().embed_documents(["a", "b"]))


def test_a_model_of_another_dimension_than_its_folder_says_is_refused():
    with pytest.raises(Invalid, match="gives vectors of 32 dimensions, but its folder says 16"):
        LateEmbedder("hash", 16, HashEmbedder).embed_query("a")


def test_the_folder_says_the_dimension(tiny_model: Path, tmp_path: Path):
    settings = EmbeddingSettings(model=str(tiny_model), dtype="float32", device="cpu")
    late = embedding.load_late(settings, tmp_path)
    assert isinstance(late, LateEmbedder)
    assert (late.name, late.dimension) == ("tiny-e5", 32)
    assert late.embed_query("a").shape == (32,)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"": {"hidden_size": 768}}, 768),
        (
            {
                "": {"hidden_size": 768},
                "1_Pooling": {"word_embedding_dimension": 768},
                "2_Dense": {"in_features": 768, "out_features": 256},
            },
            256,
        ),
    ],
)
def test_the_last_part_with_a_dimension_decides(tmp_path: Path, parts: dict[str, object], expected: int):
    model = tmp_path / "model"
    for part, facts in parts.items():
        (model / part).mkdir(parents=True, exist_ok=True)
        (model / part / "config.json").write_text(json.dumps(facts))
    if len(parts) > 1:
        (model / "modules.json").write_text(json.dumps([{"path": part} for part in [*parts, "3_Normalize"]]))
    assert embedding.load_late(EmbeddingSettings(model=str(model)), tmp_path).dimension == expected


def test_weights_that_are_not_there_are_missed_at_once(tmp_path: Path):
    with pytest.raises(Unavailable, match="no model at 'nothing'"):
        embedding.load_late(EmbeddingSettings(model="nothing"), tmp_path)
