"""A real cross-encoder of random weights: its numbers, its refusals, and the way through settings, status and search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from configs.settings import SettingsError, load_settings
from server.errors import Invalid, Unavailable
from server.retrieval import reranking
from server.runtime import build


def cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A BERT of two layers with random weights, saved as bge-reranker is."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "zebra", "lion", "stripes", "what", "is"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, num_labels=labels, initializer_range=0.5, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_scores_are_the_sigmoid_of_the_models_logits(tmp_path: Path):
    import torch
    from transformers import BertForSequenceClassification, BertTokenizerFast

    folder = cross_encoder(tmp_path / "tiny")
    reranker = reranking.load(str(folder), tmp_path, "cpu")
    texts = ["zebra stripes", "lion", "zebra zebra zebra", "is what"]
    scores = reranker.scores("what is zebra", texts)
    tokenizer, model = BertTokenizerFast.from_pretrained(folder), BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = [model(**tokenizer("what is zebra", text, return_tensors="pt")).logits.item() for text in texts]
    assert scores == pytest.approx([1 / (1 + math.exp(-logit)) for logit in logits], abs=1e-4)
    assert len(set(scores)) == 4
    assert reranker.name == "tiny"
    assert reranker.scores("zebra", []) == []


def test_models_that_rank_nothing_are_refused(tmp_path: Path):
    with pytest.raises(Invalid, match="gives 3 numbers for a passage, not one"):
        reranking.load(str(cross_encoder(tmp_path / "nli", labels=3)), tmp_path, "cpu")
    with pytest.raises(Unavailable, match="no model at 'nothing'"):
        reranking.load("nothing", tmp_path, "cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unavailable, match=r"the reranker in .*empty does not load"):
        reranking.load(str(tmp_path / "empty"), tmp_path, "cpu")


def test_a_search_uses_the_reranker_of_the_settings(tmp_path: Path, tiny_model: Path):
    folder = cross_encoder(tmp_path / "tiny")
    settings = load_settings(
        {
            "paths": {"knowledge_base": str(tmp_path / "kb")},
            "embedding": {"model": str(tiny_model), "dtype": "float32", "device": "cpu"},
            "retrieval": {"reranker": str(folder), "rerank_pool": 3},
        }
    )
    runtime = build(settings)
    kb = runtime.create_library("papers")
    for name, text in (("a.txt", "zebra stripes"), ("b.txt", "lion"), ("c.txt", "what is a zebra")):
        (kb.content / name).write_text(text)
    runtime.start_ingest("papers").result()
    found = runtime.search(["papers"], "what is zebra")
    own = runtime.reranker()
    assert own is runtime.reranker()
    assert own is not None
    assert [p.score for p in found] == pytest.approx(sorted(own.scores("what is zebra", [p.text for p in found]), reverse=True))
    runtime.close()


def test_settings_of_retrieval_are_checked():
    with pytest.raises(SettingsError, match=r"retrieval\.mmr_lambda"):
        load_settings({"retrieval": {"mmr_lambda": 2}})
