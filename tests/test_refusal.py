"""Refusal: nothing found, the measured threshold at its edge, and models that were not measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from configs.settings import ROOT, Retrieval
from server.embedding import Embedder
from server.knowledge_base import KnowledgeBase
from server.language import language_of
from server.refusal import THRESHOLDS, support, supported
from server.retrieval import retrieve
from server.shelf import Shelf
from server.types import Language, Passage
from tests.retrieval.test_retrieve import fill

OFF_TOPIC = [
    "Who won the football world cup in 1998?",
    "Which vaccine protects children against measles?",
    "What is the boiling point of ethanol at sea level?",
    "红烧肉应该炖多长时间？",
]


def passage(text: str, similarity: float, language: Language = "en", kb: str = "measured") -> Passage:
    return Passage(1, kb, "a", "t", (), 1, 1, "paragraph", language, text, (), 0.5, similarity)


@pytest.fixture
def measured(shelf: Shelf) -> KnowledgeBase:
    """A library that says it was built with the model whose thresholds were measured."""
    library = shelf.create("measured", embedding="multilingual-e5-small", dimension=32)
    fill(library, "a", ["zebra", "lion", "bear", "wolf"])
    return library


def test_support_worked_out_by_hand(measured: KnowledgeBase):
    # of zebra (ln 3.5/1.5) and unicorn (ln 9) the first is held by the second passage
    held = math.log(3.5 / 1.5) / (math.log(3.5 / 1.5) + math.log(9))
    found = support([measured], "zebra unicorn", [passage("nothing", 0.85), passage("a zebra", 0.82)])
    assert found == pytest.approx(max(0.85, 0.82 + 0.2 * held))
    assert held > 0.2


def test_a_passage_is_measured_by_the_terms_that_its_language_can_hold(measured: KnowledgeBase):
    # zebra is the only term in Latin letters, and an English passage can hold no other
    assert support([measured], "zebra 条纹", [passage("a zebra", 0.8)]) == pytest.approx(0.8 + 0.2)
    assert support([measured], "zebra 条纹", [passage("a lion", 0.8)]) == pytest.approx(0.8)
    assert support([measured], "条纹", [passage("a lion", 0.8)]) == pytest.approx(0.8 + 0.2 * 0.3)
    assert support([measured], "条纹", [passage("狮子", 0.8, "zh")]) == pytest.approx(0.8)


@pytest.mark.parametrize(("question", "language"), [("xyzzy plugh", "en"), ("魑魅魍魉", "zh")])
def test_the_threshold_of_the_questions_language_decides(measured: KnowledgeBase, question: str, language: Language):
    edge = THRESHOLDS["multilingual-e5-small"][language]
    assert language_of(question) == language
    text = "没有" if language == "zh" else "nothing of it"
    assert supported([measured], question, [passage(text, edge, language)])
    assert not supported([measured], question, [passage(text, edge - 0.001, language)])


def test_terms_lift_a_passage_over_the_threshold(measured: KnowledgeBase):
    near = THRESHOLDS["multilingual-e5-small"]["en"] - 0.1
    assert supported([measured], "zebra", [passage("the zebra", near)])
    assert not supported([measured], "zebra", [passage("the lion", near)])


def test_nothing_found_is_not_supported(measured: KnowledgeBase, kb: KnowledgeBase):
    assert not supported([measured], "zebra", [])
    assert not supported([kb], "zebra", [])


def test_a_model_that_was_not_measured_never_refuses(kb: KnowledgeBase):
    assert supported([kb], "zebra", [replace(passage("nothing", 0, kb=kb.name), similarity=-1.0)])


def test_of_several_libraries_one_that_supports_is_enough_and_each_is_measured_by_its_own_model(measured: KnowledgeBase, kb: KnowledgeBase):
    edge = THRESHOLDS["multilingual-e5-small"]["en"]
    far = passage("nothing of it", edge - 0.001)
    assert not supported([measured, kb], "xyzzy plugh", [far])
    assert supported([measured, kb], "xyzzy plugh", [far, passage("nothing of it", edge)])
    assert supported([measured, kb], "xyzzy plugh", [far, passage("nothing of it", 0.1, kb=kb.name)])  # its model never refuses


def supports(library: KnowledgeBase, embedder: Embedder, question: str) -> bool:
    return supported([library], question, retrieve([(library, embedder)], question, Retrieval(), top_k=10))


def questions(name: str) -> list[str]:
    lines = (ROOT / "knowledge_base" / "samples" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines if line.strip()]


def test_no_question_that_the_samples_answer_is_refused(samples: KnowledgeBase, embedder: Embedder):
    assert [q for q in questions("questions.jsonl") if not supports(samples, embedder, q)] == []


@pytest.mark.parametrize("question", OFF_TOPIC)
def test_a_question_about_something_else_is_refused(samples: KnowledgeBase, embedder: Embedder, question: str):
    assert not supports(samples, embedder, question)
