"""Superscripts: powers get "^", footnote marks and ordinals do not."""

from __future__ import annotations

import time

import pytest

from server.readers.raised import raised_text


@pytest.mark.parametrize(
    ("before", "raised", "appended"),
    [
        ("used 10", "5", "^5"),
        ("at 10", "\u22123", "^-3"),
        ("at 10", "–3", "^-3"),
        ("at 10", "-3", "^-3"),
        ("at 10", "+3", "^+3"),
        ("2", "0.5", "^0.5"),
        ("10", " 5 ", "^5"),
        ("(1 + x)", "2", "^2"),
        ("((a)(b + c))", "2", "^2"),
        ("1.2019", "2", "^2"),
    ],
)
def test_powers(before: str, raised: str, appended: str) -> None:
    assert raised_text(before, raised) == appended


@pytest.mark.parametrize(
    ("before", "raised", "appended"),
    [
        ("the 1", "st", "st"),
        ("as shown", "1", "1"),
        ("as shown.", "12", "12"),
        ("", "14", "14"),
        ("5 ", "14", "14"),
        ("Ca", "2+", "2+"),
        ("values 0.93", "a", "a"),
        ("10", "1,2", "1,2"),
        ("10", "[3]", "[3]"),
        ("in 2019", "1", " 1"),
        ("(Curie 1900)", "1", "1"),
        ("(see above)", "2", "2"),
        ("(n = 5)", "2", "2"),
    ],
)
def test_notes_and_ordinals(before: str, raised: str, appended: str) -> None:
    assert raised_text(before, raised) == appended


def test_a_known_mark_is_never_a_power() -> None:
    assert raised_text("scored 42", "1", mark=True) == " 1"
    assert raised_text("(1 + x)", "1", mark=True) == "1"


def test_many_brackets_cost_no_time() -> None:
    began = time.process_time()
    raised_text("(a" * 50_000 + ")", "2")
    raised_text("()" * 50_000, "2")
    assert time.process_time() - began < 0.5
