"""Which rows of a table name its columns: data is never taken for names, forms read "name: value", titles stand alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.readers.rows import row_blocks, table_block
from server.readers.table_header import Merged


def sheet(*rows: Sequence[str]) -> list[str]:
    return [block.text for block in row_blocks(rows)]


def table(*rows: Sequence[str], header: int = 0) -> tuple[list[str], int]:
    """(lines, how many of them to repeat)"""
    block = table_block(rows, header=header)
    assert block is not None
    return block.text.split("\n"), block.header_lines


@pytest.mark.parametrize(
    "rows",
    [
        (("Alice", "30", "5.2"), ("Bob", "31", "4.8"), ("Carol", "29", "5.0")),
        (("2020-01-01", "Berlin", "3.4"), ("2020-01-02", "Berlin", "3.5")),
        (("Berlin", "2019", "x"), ("Ulm", "2020", "y")),
        (("Alice", "Berlin", "chemist"), ("Bob", "Berlin", "baker"), ("Cid", "Ulm", "cook")),
        (("A", "30 (5%)", "x"), ("B", "31 (6%)", "y")),
        (("k", "1", "5"), ("BM25", "0.5", "0.6")),
        (("North", "same", "same"), ("South", "x", "y")),
        (("A", "7", "x"), ("B", "few", "3"), ("C", "none", "4")),
    ],
    ids=["numbers", "dates", "years", "word comes again", "spreads", "numbered columns", "same word twice", "number above words"],
)
def test_a_first_row_that_may_be_data_is_data(rows: Sequence[Sequence[str]]) -> None:
    assert sheet(*rows) == [" | ".join(row) for row in rows]
    assert table(*rows) == ([" | ".join(row) for row in rows], 1)


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ((("Country", "2019", "2020"), ("China", "5", "6")), ["Country: China | 2019: 5 | 2020: 6"]),
        ((("", "2019", "2020"), ("China", "5", "6")), ["China | 2019: 5 | 2020: 6"]),
        ((("Country", "2019"), ("China", "5"), ("India", "6")), ["Country: China | 2019: 5", "Country: India | 2019: 6"]),
        ((("Name", "Score"), ("A", "1")), ["Name: A | Score: 1"]),
        (
            (("Variable", "N (%)"), ("Age", "30 (5%)"), ("Sex", "12 ± 4")),
            ["Variable: Age | N (%): 30 (5%)", "Variable: Sex | N (%): 12 ± 4"],
        ),
        ((("Year", "Value"), ("2019", "-"), ("2020", "7")), ["Year: 2019 | Value: -", "Year: 2020 | Value: 7"]),
        ((("a", "b", "c"), ("x", "y", "z")), ["a: x | b: y | c: z"]),
    ],
)
def test_names_differ_from_what_stands_below_them(rows: Sequence[Sequence[str]], lines: list[str]) -> None:
    assert sheet(*rows) == lines
    assert table(*rows) == (lines, 0)


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ((("Name", "Alice Lee"), ("Age", "30")), ["Name: Alice Lee", "Age: 30"]),
        ((("Name", "Alice Lee"), ("City", "Berlin"), ("Job", "")), ["Name: Alice Lee", "City: Berlin", "Job"]),
        ((("申请人：", "李雷"), ("收入:", "5000"), ("费用：", "300")), ["申请人: 李雷", "收入: 5000", "费用: 300"]),
        ((("GAN", "a net"), ("VAE", "a coder")), ["GAN: a net", "VAE: a coder"]),
        ((("epochs", "10"), ("batch", "64")), ["epochs: 10", "batch: 64"]),
        ((("", "Name", "Alice"), ("", "Age", "30")), ["Name: Alice", "Age: 30"]),
    ],
)
def test_two_columns_without_names_are_names_and_values(rows: Sequence[Sequence[str]], lines: list[str]) -> None:
    assert sheet(*rows) == lines
    assert table(*rows) == (lines, 0)


def test_labels_that_come_again_are_a_column() -> None:
    rows = (("Author", "Work"), ("Lee", "First"), ("Lee", "Second"))
    assert sheet(*rows) == ["Author: Lee | Work: First", "Author: Lee | Work: Second"]


def test_headers_of_three_rows_and_units() -> None:
    rows = (
        ("", "Accuracy", "", "F1", ""),
        ("", "dev", "test", "dev", "test"),
        ("", "n=5", "n=6", "n=5", "n=6"),
        ("BERT", "1", "2", "3", "4"),
        ("GPT", "5", "6", "7", "8"),
    )
    first = "BERT | Accuracy / dev / n=5: 1 | Accuracy / test / n=6: 2 | F1 / dev / n=5: 3 | F1 / test / n=6: 4"
    assert sheet(*rows)[0] == table(*rows)[0][0] == first
    assert sheet(("Model", "Time", "Size"), ("", "ms", "MB"), ("A", "1", "2")) == ["Model: A | Time / ms: 1 | Size / MB: 2"]


def test_second_table_with_words_only_does_not_take_the_names_of_the_first() -> None:
    first = (("Name", "Score"), ("A", "1"), ())
    assert sheet(*first, ("Term", "Definition"), ("GAN", "net"), ("VAE", "coder")) == [
        "Name: A | Score: 1",
        "Term: Definition",
        "GAN: net",
        "VAE: coder",
    ]
    assert sheet(*first, ("Term", "Definition", "Use"), ("GAN", "net", "x"), ("VAE", "coder", "y"))[1:] == [
        "Term: GAN | Definition: net | Use: x",
        "Term: VAE | Definition: coder | Use: y",
    ]
    assert sheet(*first, ("Source", "WHO"))[1:] == ["Source | WHO"]
    assert sheet(*first, ("B", "2"), ("C", "3"))[1:] == ["Name: B | Score: 2", "Name: C | Score: 3"]


def test_words_below_words_go_on_under_their_names() -> None:
    rows = (("Name", "City", "Job"), ("A", "Ulm", "cook"), (), ("B", "Bonn", "baker"), ("C", "Köln", "smith"))
    assert sheet(*rows)[1:] == ["Name: B | City: Bonn | Job: baker", "Name: C | City: Köln | Job: smith"]


def test_a_header_apart_from_its_rows_names_them() -> None:
    assert sheet(("Name", "Score"), (), ("A", "1"), ("B", "2")) == ["Name | Score", "Name: A | Score: 1", "Name: B | Score: 2"]


def test_a_list_below_a_table_is_a_list_to_its_end() -> None:
    items = [(f"item {number}",) for number in range(33)]
    found = list(row_blocks((("name", "n"), ("a", "1"), (), *items)))
    assert [(block.kind, block.text) for block in found[1:]] == [("paragraph", f"item {number}") for number in range(33)]


def test_a_name_above_the_limit_stands_once_in_full() -> None:
    question = "why " * 60 + "indeed"
    for said in (sheet((question, "id"), ("x", "1")), table((question, "id"), ("x", "1"))[0]):
        assert said == [f"{question} | id", f"{question[:200]}: x | id: 1"]


def test_names_of_empty_columns_are_said_once() -> None:
    assert table(("Model", "Acc", "Notes"), ("A", "1", "")) == (["Model | Acc | Notes", "Model: A | Acc: 1"], 0)


def banner(text: str) -> Merged:
    return Merged((text, "", ""), {0: 3})


def test_titles_and_labels_across_the_table_are_lines_of_their_own() -> None:
    rows = (banner("Table of scores"), ("Model", "Acc", "F1"), banner("Small models"), ("A", "1", "2"))
    lines = ["Table of scores", "Small models", "Model: A | Acc: 1 | F1: 2"]
    assert table(*rows) == (lines, 1)
    assert table(*rows, header=2) == (lines, 1)
    assert table(*rows, header=3) == (lines, 1)
    assert sheet(*rows) == lines


def test_groups_by_merged_cells() -> None:
    rows = (Merged(("Model", "Score", ""), {1: 2}), Merged(("Model", "2019", "2020"), {}, [0]), ("A", "1", "2"), ("B", "3", "4"))
    lines = ["Model: A | Score / 2019: 1 | Score / 2020: 2", "Model: B | Score / 2019: 3 | Score / 2020: 4"]
    assert table(*rows) == (lines, 0)
    assert sheet(*rows) == lines
    only = (Merged(("", "Score", ""), {1: 2}), ("Model", "P", "R"), ("A", "1", "2"))
    assert table(*only, header=2) == (["Model: A | Score / P: 1 | Score / R: 2"], 0)


def test_cells_that_hang_into_data_make_no_header_of_it() -> None:
    rows = (("North", "Berlin", "x"), Merged(("North", "Hamburg", "y"), {}, [0]), ("South", "Ulm", "z"))
    assert table(*rows) == (["North | Berlin | x", "North | Hamburg | y", "South | Ulm | z"], 1)


def test_marked_rows_are_believed() -> None:
    assert table(("k", "1", "5"), ("BM25", "0.5", "0.6"), header=1) == (["k: BM25 | 1: 0.5 | 5: 0.6"], 0)
    assert table(("Name", "Alice"), ("Age", "30"), header=1) == (["Name: Age | Alice: 30"], 0)


CELL = st.sampled_from(("", "a", "b", "Name", "Age", "名:", "1", "2.5", "2019", "2024-01-31", "30 (5%)", "n/a"))
ROW = st.lists(CELL, max_size=4) | st.builds(
    lambda cells, wide, hung: Merged(cells, wide, hung),
    st.lists(CELL, max_size=4),
    st.dictionaries(st.integers(0, 4), st.integers(2, 5), max_size=2),
    st.sets(st.integers(0, 4), max_size=2),
)


@given(st.lists(ROW, max_size=12), st.integers(0, 4))
def test_no_cell_is_lost_and_no_line_is_empty(rows: list[Sequence[str]], header: int) -> None:
    said = [block.text for block in row_blocks(rows)]
    block = table_block(rows, header=header)
    assert (block is None) == (not said) == (not any(map(any, rows)))
    assert all(said)
    for cell in {cell.rstrip(":") for row in rows for cell in row}:
        assert cell in "\n".join(said)
        assert block is None or cell in block.text


def test_long_cells_cost_linear_time() -> None:
    started = time.process_time()
    cell = "#" + "a" * 40_000 + "--"
    assert table((cell, "1"), (cell, "2"))[1] == 1
    assert time.process_time() - started < 1  # 20 s when such a cell is matched as a value
