"""Which questions are about several papers, and which candidates are shown."""

from __future__ import annotations

import numpy as np
import pytest

from server.language import language_of
from server.retrieval.candidates import Candidate
from server.retrieval.choosing import different, diverse, few_of_each_paper, spans_papers
from server.types import Passage


def candidate(number: int, score: float, file: str = "a", text: str = "", vector: tuple[float, ...] = (1.0, 0.0)) -> Candidate:
    passage = Passage(number, "kb", file, file, (), 1, 1, "paragraph", "en", text or str(number), (), 0.0, 0.0)
    return Candidate(passage, score, 0.0, 0.0, np.array(vector, np.float32), score)


def numbers(found: list[Candidate]) -> list[int]:
    return [c.passage.chunk_id for c in found]


@pytest.mark.parametrize(
    "question",
    [
        "Which papers use FAISS?",
        "which of these other papers disagree",
        "How many studies report recall?",
        "Compare the losses of the two methods.",
        "What is the difference between IVF and HNSW?",
        "Is there a literature on this?",
        "哪些论文使用了FAISS？",
        "比较两种方法的差异",
        "各篇的样本量分别是多少？",
    ],
)
def test_questions_about_several_papers(question: str):
    assert spans_papers(question, language_of(question))


@pytest.mark.parametrize("question", ["What is the recall of HNSW?", "Who wrote it?", "召回率是多少？", "这篇论文的结论是什么", ""])
def test_questions_about_one_thing(question: str):
    assert not spans_papers(question, language_of(question))


def test_the_same_text_stands_there_once():
    assert numbers(different([candidate(1, 0.9, text="x"), candidate(2, 0.8, "b", text="x"), candidate(3, 0.7)])) == [1, 3]


def test_at_most_so_many_of_one_paper_and_filled_up_when_there_are_too_few():
    best = [candidate(i, 1 - i / 10, "a" if i < 4 else "b") for i in range(6)]
    assert numbers(few_of_each_paper(best, 2, 4)) == [0, 1, 4, 5]
    assert numbers(few_of_each_paper(best, 1, 4)) == [0, 4, 1, 2]
    assert numbers(few_of_each_paper(best, 9, 4)[:4]) == [0, 1, 2, 3]


def test_variety_worked_out_by_hand():
    best = [candidate(1, 1.0), candidate(2, 0.9), candidate(3, 0.5, vector=(0.0, 1.0))]
    # after 1: 0.5*0.9 - 0.5*1 = -0.05 against 0.5*0.5 - 0 = 0.25
    assert numbers(diverse(best, 0.5, 2)) == [1, 3]
    assert numbers(diverse(best, 1.0, 3)) == [1, 2, 3]
    assert numbers(diverse(best, 0.5, 9)) == [1, 3, 2]


def test_vectors_of_two_models_are_not_compared():
    best = [candidate(1, 1.0), candidate(2, 0.9, vector=(1.0, 0.0, 0.0)), candidate(3, 0.8)]
    assert numbers(diverse(best, 0.5, 2)) == [1, 2]
