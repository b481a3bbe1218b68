"""Displayed equations that the tests typeset, and those of the sample papers: kind, number, order of reading; prose stays prose."""

from __future__ import annotations

from pathlib import Path

import pymupdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf_maker import Put, column, is_printed, make_pdf

from server.readers import read
from server.readers.pdf.formula_order import in_order
from server.readers.pdf.page import Line, Word
from server.types import Block, Document

SAMPLES = Path(__file__).resolve().parents[2] / "knowledge_base" / "samples" / "content"
ABOVE = [
    "The first sentence of this column fills its line to the edge, and",
    "the second one goes on until nobody can read it any further, for",
    "its words have been chosen for their length, and the result is then",
]
BELOW = [
    "where x is the number of words that a column holds, and the rest of",
    "this sentence fills the line so that its edge can be seen by anyone",
    "who reads the test that has been written for the reader of papers.",
]
RIGHT = 372  # where the lines above end, nearly


def blocks(document: Document) -> list[Block]:
    return [block for section in document.sections for block in section.blocks]


def paper(path: Path, formula: list[Put], symbols: list[Put] = (), *, below: float = 200) -> Path:  # type: ignore[assignment]
    """Text, an equation, text; `symbols` are set in the Symbol font."""
    plain = make_pdf(path.with_suffix(".plain.pdf"), [*column(ABOVE), *formula, *column(BELOW, y=below)])
    with pymupdf.open(plain) as made:
        for put in symbols:
            made[0].insert_text((put.x, put.y), put.text, fontsize=put.size, fontname="symb")
        made.save(path)
    return path


def test_equation_with_a_number_is_a_formula_between_two_paragraphs(tmp_path: Path) -> None:
    path = paper(tmp_path / "one.pdf", [Put("E = m + 2.5 c", 180, 156), Put("(3)", RIGHT - 12, 156)])
    found = blocks(read(path))
    assert [block.kind for block in found] == ["paragraph", "formula", "paragraph"]
    assert found[1].text == "E = m + 2.5 c (3)"
    assert found[2].text == " ".join(BELOW)
    assert [found[1].text[span.start : span.end] for span in found[1].spans] == ["E", "=", "m", "+", "2.5", "c", "(3)"]
    assert all(is_printed(path, span.page, span[3:]) for span in found[1].spans)


def test_each_number_has_a_formula_of_its_own(tmp_path: Path) -> None:
    formula = [Put("a = b + 1", 180, 156), Put("(1)", RIGHT - 12, 156), Put("c = d + 2", 180, 174), Put("(2)", RIGHT - 12, 174)]
    found = blocks(read(paper(tmp_path / "two.pdf", formula, below=210)))
    assert [block.text for block in found if block.kind == "formula"] == ["a = b + 1 (1)", "c = d + 2 (2)"]


def test_fraction_is_read_from_above_and_the_number_comes_last(tmp_path: Path) -> None:
    formula = [Put("T =", 150, 160), Put("a + b", 172, 153), Put("c + d + e", 166, 166), Put("+ 1", 214, 160), Put("(7)", RIGHT - 12, 160)]
    found = blocks(read(paper(tmp_path / "fraction.pdf", formula)))
    assert [block.text for block in found if block.kind == "formula"] == ["T = a + b c + d + e + 1 (7)"]


def test_limits_stand_behind_their_sum(tmp_path: Path) -> None:
    formula = [Put("y =", 150, 160), Put("n", 171, 150, 6), Put("i=1", 168, 171, 6), Put("f(i) + 2", 184, 160), Put("(8)", RIGHT - 12, 160)]
    found = blocks(read(paper(tmp_path / "sum.pdf", formula, [Put("S", 170, 161, 12)])))
    assert [block.text for block in found if block.kind == "formula"] == ["y = S n i=1 f(i) + 2 (8)"]  # S is the letter of the sign


def test_equation_without_a_number_is_told_by_its_signs(tmp_path: Path) -> None:
    found = blocks(read(paper(tmp_path / "signs.pdf", [], [Put("a = b + g - d", 180, 156)])))
    assert [(block.kind, block.text) for block in found[1:2]] == [("formula", "a = b + g - d")]


@pytest.mark.parametrize(
    "line",
    [
        "we see that the result of the second run is better than (3)",
        "x = 3 is what the second of the three runs has given us then",
        "    for all runs, the best value is then x = 3",
    ],
)
def test_prose_with_a_relation_is_no_formula(tmp_path: Path, line: str) -> None:
    lines = [*ABOVE, line, *BELOW]
    found = blocks(read(make_pdf(tmp_path / "prose.pdf", column(lines))))
    assert {block.kind for block in found} == {"paragraph"}


def test_inline_exponents_and_indices_do_not_break_their_paragraph(tmp_path: Path) -> None:
    end = 72 + pymupdf.get_text_length("the partial effect size h", fontsize=10)
    puts = [*column(ABOVE), Put("the partial effect size h", 72, 136), Put("that was measured on the second set", end + 7, 136)]
    puts += [*column(BELOW, y=148), Put("p", end, 138.6, 6), Put("2", end, 132, 6)]
    (block,) = blocks(read(make_pdf(tmp_path / "inline.pdf", puts)))
    assert block.kind == "paragraph"
    assert "the partial effect size h2p that was measured" in block.text


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("hybrid-retrieval-fusion.pdf", ["(1)", "(2)", "(3)"]),
        ("chinese-passage-retrieval.pdf", ["(1)", "(2)", "(3)", "(4)"]),
        ("local-llm-serving-zh.pdf", ["(1)", "(2)"]),
        ("crash-safe-ingestion.pdf", ["(1)", "(2)"]),
        ("proved-citations.pdf", ["(1)"]),
    ],
)
def test_equations_of_the_sample_papers(name: str, numbers: list[str]) -> None:
    found = [block for block in blocks(read(SAMPLES / name)) if block.kind == "formula"]
    assert [block.text.split()[-1] for block in found] == numbers


WORDS = st.tuples(st.floats(0, 300), st.floats(0, 60), st.sampled_from(["x", "=", "+", "12", "(3)", "∑", "i=1"]), st.sampled_from([6, 10]))


@given(st.lists(WORDS, min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_word_of_an_equation_is_lost(made: list[tuple[float, float, str, int]]) -> None:
    words = [Word(text, x, y, x + 5 * len(text), y + size, False) for x, y, text, size in made]
    lines = [Line(1, word.x0, word.y0, word.x1, word.y1, 10, False, "F", False, [word]) for word in words]
    ordered = [word for line in in_order(lines) for word in line.words]
    assert sorted(word[:5] for word in ordered) == sorted(word[:5] for word in words)
