"""Tables that the tests typeset, with and without rules: rows that name their columns, boxes, captions, and the labels of figures."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf_maker import Put, column, is_printed, make_pdf

from server.readers import read
from server.types import Block, Document, Span

FILLER = [
    "The first sentence of this column fills its line to the edge",
    "and the second one goes on until nobody can read any further",
    "because the words have been chosen for their length and sound",
    "which makes them useful as filler in a paper made for testing.",
]
Stroke = tuple[float, float, float, float]  # x0, y0, x1, y1


def blocks(document: Document) -> list[Block]:
    return [block for section in document.sections for block in section.blocks]


def table_in(document: Document) -> Block:
    (found,) = (block for block in blocks(document) if block.kind == "table")
    return found


def row(y: float, *cells: tuple[float, str], size: float = 10, bold: bool = False, page: int = 0) -> list[Put]:
    return [Put(text, x, y, size, bold, page) for x, text in cells]


def ruled_pdf(path: Path, puts: Iterable[Put], strokes: Iterable[Stroke], *, rotation: int = 0, page: int = 0) -> Path:
    """The texts, and lines drawn on one page."""
    plain = make_pdf(path.with_suffix(".plain.pdf"), puts)
    with pymupdf.open(plain) as made:
        for x0, y0, x1, y1 in strokes:
            made[page].draw_line((x0, y0), (x1, y1), width=0.6)
        for each in made:
            each.set_rotation(rotation)
        made.save(path)
    return path


def rules(x0: float, x1: float, *ys: float) -> list[Stroke]:
    return [(x0, y, x1, y) for y in ys]


CAPTION = Put("Table 1: Results of the models.", 72, 180, 9)


def test_each_row_names_its_columns_and_the_heads_above_them(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (150, "Training"), (290, "Test")), *row(220, (72, "Model"), (130, "F1"), (190, "Recall"), (270, "F1"))]
    puts += row(220, (330, "Recall"))
    puts += row(240, (72, "BM25"), (130, "66.0"), (190, "71.2"), (270, "54.8"), (330, "61.0"))
    puts += row(253, (72, "Dense"), (130, "48.1"), (270, "63.6"), (330, "70.5"))
    strokes = [*rules(70, 370, 192, 226, 258), (125, 208, 225, 208), (265, 208, 365, 208)]
    table = table_in(read(ruled_pdf(tmp_path / "two.pdf", [*puts, *column(FILLER, y=300)], strokes)))
    assert table.text.split("\n") == [
        "Model: BM25 | Training / F1: 66.0 | Training / Recall: 71.2 | Test / F1: 54.8 | Test / Recall: 61.0",
        "Model: Dense | Training / F1: 48.1 | Test / F1: 63.6 | Test / Recall: 70.5",
    ]
    assert table.header_lines == 0


def test_words_of_a_repeated_head_point_at_the_one_place_where_it_is_printed(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (72, "Model"), (160, "Recall"))]
    puts += [put for at, name in enumerate(("one", "two", "three")) for put in row(222 + 13 * at, (72, name), (160, f"0.{at}"))]
    path = ruled_pdf(tmp_path / "spans.pdf", puts, rules(70, 220, 192, 210, 256))
    table = table_in(read(path))
    heads = [span for span in table.spans if table.text[span.start : span.end] == "Recall"]
    assert len(heads) == 3
    assert len({span[2:] for span in heads}) == 1
    values = {table.text[span.start : span.end]: span for span in table.spans if table.text[span.start : span.end].startswith("0.")}
    assert [round(values[f"0.{at}"].x0) for at in range(3)] == [160, 160, 160]
    assert values["0.0"].y1 < values["0.1"].y0 + 3
    assert [span.start for span in table.spans] == sorted(span.start for span in table.spans)
    assert all(is_printed(path, span.page, span[3:]) for span in table.spans)


def test_cell_of_several_lines_is_one_cell_of_its_row(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (72, "File"), (200, "Description"))]
    puts += [*row(222, (72, "first.ipynb"), (200, "Plots the measured speeds of")), *row(234, (200, "stars in one galaxy."))]
    puts += [*row(246, (72, "second.ipynb"), (200, "Fits a curve."))]
    puts += [*row(258, (72, "third.ipynb"), (200, "Considers tiny black holes as")), *row(270, (200, "a candidate."))]
    table = table_in(read(ruled_pdf(tmp_path / "wrapped.pdf", puts, rules(70, 340, 192, 210, 276))))
    assert table.text.split("\n") == [
        "File: first.ipynb | Description: Plots the measured speeds of stars in one galaxy.",
        "File: second.ipynb | Description: Fits a curve.",
        "File: third.ipynb | Description: Considers tiny black holes as a candidate.",
    ]


def test_rows_set_apart_by_white_may_have_lines_in_every_column(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (72, "Name"), (160, "What it does"), (300, "Source"))]
    puts += [*row(222, (72, "Direct with"), (160, "Rates are kept in an array")), *row(228, (300, "ours"))]
    puts += [*row(233, (72, "wrapper"), (160, "without any order."))]
    puts += [*row(257, (72, "Sorting"), (160, "Rates are kept in an array")), *row(263, (300, "theirs"))]
    puts += [*row(268, (72, "method"), (160, "that is loosely sorted."))]
    table = table_in(read(ruled_pdf(tmp_path / "white.pdf", puts, rules(70, 340, 192, 210, 276))))
    assert table.text.split("\n") == [
        "Name: Direct with wrapper | What it does: Rates are kept in an array without any order. | Source: ours",
        "Name: Sorting method | What it does: Rates are kept in an array that is loosely sorted. | Source: theirs",
    ]


def test_all_lines_drawn_make_a_row_of_each_box(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (74, "Feature"), (184, "Ours"), (264, "Theirs"))]
    puts += [*row(222, (74, "Several")), *row(234, (184, "Yes"), (264, "No")), *row(246, (74, "authors"))]
    puts += [*row(262, (74, "Comments and notes"), (184, "Yes"), (264, "No"))]
    strokes = [*rules(70, 340, 192, 210, 250, 266), *((x, 192.0, x, 266.0) for x in (70.0, 180.0, 260.0, 340.0))]
    table = table_in(read(ruled_pdf(tmp_path / "grid.pdf", puts, strokes)))
    assert table.text.split("\n") == [
        "Feature: Several authors | Ours: Yes | Theirs: No",
        "Feature: Comments and notes | Ours: Yes | Theirs: No",
    ]


def test_label_of_a_group_stands_in_front_of_each_of_its_rows(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (72, "Method"), (180, "Rate"), (260, "Minutes"))]
    puts += [Put("Runs in the first environment of the two", 110, 220), *row(236, (72, "DQN"), (180, "49.3"), (260, "139"))]
    puts += [Put("Runs in the second environment of the two", 110, 252), *row(268, (72, "DQN"), (180, "32.6"), (260, "161"))]
    table = table_in(read(ruled_pdf(tmp_path / "groups.pdf", puts, rules(70, 320, 192, 209, 224, 241, 256, 273))))
    assert table.text.split("\n") == [
        "Runs in the first environment of the two | Method: DQN | Rate: 49.3 | Minutes: 139",
        "Runs in the second environment of the two | Method: DQN | Rate: 32.6 | Minutes: 161",
    ]


def test_label_in_the_middle_of_its_rows_goes_to_each_of_them(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (72, "K"), (120, "Shape"), (200, "Time"))]
    for group in range(2):
        y = 222 + 30 * group
        puts += [*row(y, (120, "square"), (200, "0.30")), *row(y + 6, (72, str(group + 1))), *row(y + 12, (120, "round"), (200, "0.35"))]
    strokes = [*rules(70, 260, 192, 210, 270), (74, 240, 256, 240)]
    table = table_in(read(ruled_pdf(tmp_path / "middle.pdf", puts, strokes)))
    assert [line.split(" | ")[:2] for line in table.text.split("\n")] == [
        ["K: 1", "Shape: square"],
        ["K: 1", "Shape: round"],
        ["K: 2", "Shape: square"],
        ["K: 2", "Shape: round"],
    ]


def test_table_that_goes_on_without_a_head_keeps_the_names(tmp_path: Path) -> None:
    puts = [Put("Table 1: Results.", 72, 640, 9), *row(664, (72, "Model"), (160, "Recall"))]
    puts += [put for at in range(7) for put in row(682 + 12 * at, (72, f"model {at}"), (160, f"0.{at}1"))]
    puts += [put for at in range(3) for put in row(90 + 12 * at, (72, f"model {7 + at}"), (160, f"0.{7 + at}1"), page=1)]
    puts += column(FILLER, y=180, page=1)
    first = ruled_pdf(tmp_path / "first.pdf", puts, rules(70, 220, 652, 670, 758))
    with pymupdf.open(first) as made:
        for x0, y0, x1, y1 in rules(70, 220, 78, 120):
            made[1].draw_line((x0, y0), (x1, y1), width=0.6)
        made.save(tmp_path / "both.pdf")
    tables = [block for block in blocks(read(tmp_path / "both.pdf")) if block.kind == "table"]
    assert [len(table.text.split("\n")) for table in tables] == [7, 3]
    assert tables[1].text.split("\n")[0] == "Model: model 7 | Recall: 0.71"
    assert {span.page for span in tables[1].spans} == {1, 2}  # the names are printed on page 1


def test_value_that_stands_across_two_columns_leaves_the_table_as_printed(tmp_path: Path) -> None:
    puts = [CAPTION, *row(204, (72, "Model"), (160, "Recall"), (240, "F1"))]
    puts += [*row(222, (72, "one"), (160, "0.1"), (240, "0.2")), *row(235, (72, "two"), (150, "was not measured at all"))]
    puts += [*row(248, (72, "three"), (160, "0.3"), (240, "0.4"))]
    table = table_in(read(ruled_pdf(tmp_path / "across.pdf", puts, rules(70, 290, 192, 210, 254))))
    assert table.text.split("\n")[0] == "Model | Recall | F1"
    assert table.header_lines == 1


def test_chinese_cell_that_ends_with_a_bracket_and_touches_the_next(tmp_path: Path) -> None:
    puts = [Put("表1: 分层结果", 72, 180, 9), *row(204, (72, "层级"), (132, "比例"))]
    puts += [
        put for at, name in enumerate(("高（甲）", "中（乙）", "低（丙）")) for put in row(222 + 13 * at, (92, name), (132, f"{at}1.2%"))
    ]
    table = table_in(read(ruled_pdf(tmp_path / "zh.pdf", puts, rules(70, 200, 192, 210, 254))))
    assert table.text.split("\n")[1] == "层级: 中（乙） | 比例: 11.2%"


def test_table_set_sideways_is_read_as_it_stands(tmp_path: Path) -> None:
    upright = [CAPTION, Put("Test", 190, 204), *row(220, (72, "Model"), (160, "F1"), (230, "Recall"))]
    upright += [
        *row(238, (72, "one"), (160, "0.1"), (230, "0.2")),
        *row(251, (72, "two"), (160, "0.3"), (230, "0.4")),
        *column(FILLER, y=300),
    ]
    puts = [put._replace(x=put.y, y=842 - put.x, turn=90) for put in upright]
    lines = [*rules(70, 280, 192, 226, 256), (155, 208, 270, 208)]
    path = ruled_pdf(tmp_path / "sideways.pdf", puts, [(y, 842 - x0, y, 842 - x1) for x0, y, x1, _ in lines])
    table = table_in(read(path))
    assert table.text == "Model: one | Test / F1: 0.1 | Test / Recall: 0.2\nModel: two | Test / F1: 0.3 | Test / Recall: 0.4"
    assert all(is_printed(path, span.page, span[3:]) for span in table.spans)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_turned_page_gives_the_same_rows_and_boxes_with_ink(tmp_path: Path, rotation: int) -> None:
    puts = [CAPTION, *row(204, (72, "Model"), (160, "Recall")), *row(222, (72, "one"), (160, "0.1")), *row(235, (72, "two"), (160, "0.2"))]
    path = ruled_pdf(tmp_path / "turned.pdf", [*puts, *column(FILLER, y=300)], rules(70, 220, 192, 210, 241), rotation=rotation)
    table = table_in(read(path))
    assert table.text == "Model: one | Recall: 0.1\nModel: two | Recall: 0.2"
    assert all(is_printed(path, span.page, span[3:]) for span in table.spans)


def test_plot_between_even_lines_is_no_table(tmp_path: Path) -> None:
    puts = [*column(FILLER), Put("Table 1 shows the outcome of all runs that were made here.", 72, 160)]
    puts += [Put(str(20 - 5 * at), 60, 203 + 20 * at, 7) for at in range(4)] + [Put("48", 120, 214, 7), Put("46", 180, 234, 7)]
    puts += [Put("Figure 1. Damaged libraries out of all that were tried.", 72, 300, 9), *column(FILLER, y=330)]
    puts += [Put("Table 1: Names.", 72, 420, 9)]
    puts += [
        put for at, name in enumerate(("Set", "short", "long")) for put in row(440 + 13 * at, (72, name), (200, "Size" if not at else "9"))
    ]
    document = read(ruled_pdf(tmp_path / "plot.pdf", puts, rules(75, 290, 200, 220, 240, 260)))
    assert table_in(document).text == "Set: short | Size: 9\nSet: long | Size: 9"


def test_caption_below_its_table_comes_first(tmp_path: Path) -> None:
    puts = [
        *column(FILLER),
        *row(204, (72, "Model"), (160, "Recall")),
        *row(222, (72, "one"), (160, "0.1")),
        *row(235, (72, "two"), (160, "0.2")),
    ]
    puts += [Put("Table 1. Recall of two models, measured on a set", 72, 256, 8), Put("that nobody has seen before.", 72, 266, 8)]
    found = blocks(read(ruled_pdf(tmp_path / "below.pdf", [*puts, *column(FILLER, y=300)], rules(70, 220, 192, 210, 241))))
    assert [block.kind for block in found] == ["paragraph", "caption", "table", "paragraph"]
    assert found[1].text == "Table 1. Recall of two models, measured on a set that nobody has seen before."


def test_number_of_a_table_on_a_line_of_its_own_belongs_to_its_caption(tmp_path: Path) -> None:
    puts = [*column(FILLER), Put("TABLE IV", 200, 172, 9.5), Put("Recall of two models on one set.", 150, 186, 8)]
    puts += [*row(210, (72, "Model"), (160, "Recall")), *row(228, (72, "one"), (160, "0.1")), *row(241, (72, "two"), (160, "0.2"))]
    found = blocks(read(ruled_pdf(tmp_path / "alone.pdf", [*puts, *column(FILLER, y=300)], rules(70, 220, 198, 216, 247))))
    assert [(block.kind, block.text) for block in found[1:2]] == [("caption", "TABLE IV Recall of two models on one set.")]
    assert found[2].kind == "table"


def test_labels_of_a_figure_stand_behind_its_caption_after_the_text(tmp_path: Path) -> None:
    puts = [*column(FILLER[:2], y=100)]
    puts += [Put(str(10 * at), 90, 220 - 15 * at, 6) for at in range(5)] + [Put(str(at), 110 + 40 * at, 232, 6) for at in range(5)]
    puts += [Put("accuracy", 70, 190, 6), Put("epochs", 180, 242, 6), Put("our model", 220, 165, 6), Put("58.9", 150, 180, 6)]
    puts += [Put("Figure 1. Accuracy over the epochs.", 72, 260, 9), *column(FILLER[2:], y=290)]
    found = blocks(read(make_pdf(tmp_path / "figure.pdf", puts)))
    assert [block.kind for block in found] == ["paragraph", "caption", "caption"]
    assert found[0].text == " ".join(FILLER)
    assert found[1].text == "Figure 1. Accuracy over the epochs."
    assert Counter(found[2].text.split()) == Counter(["accuracy", "epochs", "our", "model", "58.9"])


CELLS = st.text("abcdefgh0123456789.,%±-", min_size=1, max_size=7)


@given(
    st.integers(2, 5).flatmap(lambda count: st.lists(st.lists(CELLS, min_size=count, max_size=count), min_size=2, max_size=8)),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_no_character_of_a_cell_is_lost_or_made_up(rows: list[list[str]], drawn: bool) -> None:
    count = len(rows[0])
    puts = [CAPTION, *(put for at in range(count) for put in row(204, (72 + 80 * at, "ABCDE"[at] * 2), bold=True))]
    puts += [put for at, cells in enumerate(rows) for put in row(222 + 14 * at, *((72 + 80 * n, cell) for n, cell in enumerate(cells)))]
    strokes = rules(70, 72 + 80 * count, 192, 210, 228 + 14 * (len(rows) - 1)) if drawn else []
    with tempfile.TemporaryDirectory() as folder:
        document = read(ruled_pdf(Path(folder) / "any.pdf", puts, strokes))
    spans: dict[tuple[float, ...], tuple[Block, Span]] = {}
    for block in blocks(document):
        assert [span.start for span in block.spans] == sorted(span.start for span in block.spans)
        spans |= {span[2:]: (block, span) for span in block.spans if span.y0 > 208}
    found = Counter(char for block, span in spans.values() for char in block.text[span.start : span.end])
    assert found == Counter(char for cells in rows for cell in cells for char in cell)
