"""Batches by tokens, the cache of questions, and both inside the real embedder."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Embedding
from server import embedding
from server.embedding.batches import batches
from server.embedding.questions import LONGEST, QuestionCache


@given(st.lists(st.integers(1, 600), max_size=80), st.integers(1, 2000), st.integers(1, 20))
def test_every_text_is_in_one_batch_within_the_budget(tokens: list[int], budget: int, most: int):
    found = list(batches(tokens, budget, most))
    assert sorted(place for batch in found for place in batch) == list(range(len(tokens)))
    for batch in found:
        assert 0 < len(batch) <= most
        assert len(batch) == 1 or max(tokens[i] for i in batch) * len(batch) <= budget


def test_batches_carry_little_padding():
    tokens = [10, 200, 12, 190, 11, 210, 9, 205] * 8
    work = sum(max(tokens[i] for i in batch) * len(batch) for batch in batches(tokens, 1024))
    assert work / sum(tokens) < 1.12  # by eights in the order given it is 1.98
    assert list(batches([3, 5, 4], 10)) == [[1, 2], [0]]


def vector(text: str) -> np.ndarray:
    return np.full(3, len(text), np.float32)


def test_a_question_is_embedded_once_and_the_oldest_is_forgotten():
    cache, calls = QuestionCache(kept=2), []

    def ask(text: str) -> np.ndarray:
        return cache.get(text, lambda: (calls.append(text), vector(text))[1])

    for text in ("a", "bb", "a", "ccc", "a", "bb"):  # bb was dropped for ccc, since a had been asked later
        assert ask(text).tolist() == [len(text)] * 3
    assert calls == ["a", "bb", "ccc", "bb"]
    assert len(cache) == 2
    ask("x" * (LONGEST + 1))
    assert len(cache) == 2
    with pytest.raises(ValueError, match="read-only"):
        ask("bb")[0] = 7


def test_many_threads_get_right_vectors_and_the_cache_stays_bounded():
    cache, wrong = QuestionCache(kept=8), []

    def ask(seed: int) -> None:
        for i in range(400):
            text = "x" * ((seed * 7 + i) % 20 + 1)
            if cache.get(text, lambda text=text: vector(text))[0] != len(text):
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) == 8


def counted(made: embedding.Embedder) -> list[int]:
    """The number of texts of each pass through the model from now on."""
    passes: list[int] = []
    made._model[0].register_forward_hook(lambda module, features, out: passes.append(int(features[0]["input_ids"].shape[0])))  # type: ignore[attr-defined]
    return passes


def test_the_model_is_asked_once_a_question_and_in_batches_by_tokens(tiny_model: Path):
    chosen = Embedding(model=str(tiny_model), dtype="float32", device="cpu", batch_tokens=64)
    made = embedding.load(chosen, tiny_model)
    one_by_one = [made.embed_documents([text])[0] for text in ("a b c", "检索", "apple pie")]
    passes = counted(made)
    for question in ("a b c", "检索", "a b c", "检索", "a b c"):
        made.embed_query(question)
    assert passes == [1, 1]
    assert not np.allclose(made.embed_query("a b c"), one_by_one[0], atol=1e-3)  # a question is not a passage
    passes.clear()
    finished: list[int] = []
    together = made.embed_documents(["a b c", "检索", "apple pie"] * 4, finished.append)
    assert sum(passes) == sum(finished) == 12
    assert 3 <= len(passes) < 12  # "passage: " alone is ten tokens here, so 64 hold three or four texts
    assert np.allclose(together, np.stack(one_by_one * 4), atol=1e-5)
    assert made.embed_documents([]).shape == (0, 32)
