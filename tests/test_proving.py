"""Proving: what a reader sees of a model's words, piece by piece, and where its marks lead."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.proving import Proof
from server.types import Citation, Passage


def passage(text: str, number: int = 1) -> Passage:
    """A passage of page 3."""
    return Passage(number, "kb", f"{number}.pdf", "Title", (), 3, 3, "paragraph", "en", text, (), 0.5, 0.9)


def support(answer: str, passages: Sequence[Passage], sizes: Sequence[int] = (10_000,)) -> tuple[str, tuple[Citation, ...]]:
    """The answer fed in pieces of those sizes, the last size again and again."""
    proof, shown, at = Proof(passages), "", 0
    for number in range(len(answer) + 1):
        size = sizes[min(number, len(sizes) - 1)]
        shown += proof.feed(answer[at : at + size])
        at += size
        if at >= len(answer):
            break
    shown += proof.finish()
    assert shown == proof.text
    return shown, proof.citations


ONE = passage("Cats sleep most of the day. Dogs run in the park.", number=1)
TWO = passage("Whales sing under water. Birds sing in trees.", number=2)


def test_marks_are_renumbered_in_the_order_of_their_citations():
    text, cited = support("Birds sing in trees [2]. Cats sleep most of the day [1].", [ONE, TWO])
    assert text == "Birds sing in trees [1]. Cats sleep most of the day [2]."
    assert [(c.index, c.file, c.quote) for c in cited] == [
        (1, "2.pdf", "Birds sing in trees."),
        (2, "1.pdf", "Cats sleep most of the day."),
    ]


@pytest.mark.parametrize("mark", ["[0]", "[7]", "[99]"])
def test_marks_that_point_nowhere_are_removed(mark: str):
    text, cited = support(f"Quantum gravity is unrelated {mark}.", [ONE, TWO])
    assert (text.replace(" .", "."), cited) == ("Quantum gravity is unrelated.", ())


@pytest.mark.parametrize("marks", ["[2, 1]", "[1-2]", "[100]", "【2】"])
def test_other_ways_to_write_marks_do_not_stay_in_the_text_as_they_were(marks: str):
    text, cited = support(f"Birds sing in trees {marks}.", [ONE, TWO])
    numbers = {int(n) for n in re.findall(r"\d+", text)}
    assert numbers <= {c.index for c in cited}
    assert marks not in text or marks == "[1]"


def test_a_sentence_without_a_mark_gets_one_where_half_its_terms_are_shared():
    text, cited = support("Cats sleep all day. Penguins compute eigenvalues quickly.", [ONE, TWO])
    assert text == "Cats sleep all day [1]. Penguins compute eigenvalues quickly."
    assert [c.quote for c in cited] == ["Cats sleep most of the day."]


def test_the_same_sentence_is_cited_once():
    text, cited = support("Birds sing in trees [2]. Birds sing in trees [2].", [ONE, TWO])
    assert text == "Birds sing in trees [1]. Birds sing in trees [1]."
    assert len(cited) == 1


def test_there_are_never_more_than_five_citations_and_no_mark_beyond_them():
    passages = [passage(f"Subject{i} does thing{i} well.", number=i) for i in range(1, 9)]
    text, cited = support(" ".join(f"Subject{i} does thing{i} well [{i}]." for i in range(1, 9)), passages)
    assert [c.index for c in cited] == [1, 2, 3, 4, 5]
    assert {int(n) for n in re.findall(r"\[(\d+)\]", text)} == {1, 2, 3, 4, 5}


@given(answer=st.text(st.sampled_from("Cats sng[]0123. 检\n"), max_size=80))
def test_every_mark_that_is_left_points_at_a_citation(answer: str):
    text, cited = support(answer, [ONE, TWO])
    left = {int(n) for n in re.findall(r"\[(\d{1,2})\]", text)}
    assert left <= {c.index for c in cited}
    assert [c.index for c in cited] == list(range(1, len(cited) + 1))
    for c in cited:
        assert c.quote in {ONE.text[:27], ONE.text[28:], TWO.text[:24], TWO.text[25:]}


def test_words_are_shown_before_their_sentence_has_ended():
    proof = Proof([ONE, TWO])
    assert [proof.feed(piece) for piece in ("Birds ", "sing in", " trees [", "2]", ". Cats")] == [
        "Birds",
        " sing in",
        " trees",
        "",
        " [1]. Cats",
    ]


def test_a_mark_after_the_stop_belongs_to_the_sentence_before_it():
    text, cited = support("Birds sing in trees. [2] Nothing else is known here.", [ONE, TWO])
    assert text == "Birds sing in trees [1].  Nothing else is known here."
    assert [c.file for c in cited] == ["2.pdf"]


def test_words_that_the_model_quotes_are_cited_to_the_letter():
    text, cited = support("It says “most part of the day” there [1].", [passage("Cats sleep most part of the day and night.")])
    assert [c.quote for c in cited] == ["most part of the day"]
    assert text == "It says “most part of the day” there [1]."


@given(answer=st.text(st.sampled_from("Cats sng[]012. 检。\n"), max_size=60), sizes=st.lists(st.integers(1, 7), min_size=1, max_size=20))
def test_how_the_model_cuts_its_words_changes_nothing(answer: str, sizes: list[int]):
    assert support(answer, [ONE, TWO], sizes) == support(answer, [ONE, TWO])
