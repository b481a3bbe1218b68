"""Reading PDFs that the tests make themselves: order, joins, boxes, sections, kinds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf_maker import Put, column, is_printed, make_pdf

from server.errors import Unreadable
from server.readers import read
from server.readers.pdf.page import Line, Page, Word, plain
from server.readers.pdf.text import Vocabulary
from server.types import Block, Document

FILLER = [
    "The first sentence of this column fills its line to the edge",
    "and the second one goes on until nobody can read any further",
    "because the words have been chosen for their length and sound",
    "which makes them useful as filler in a paper made for testing",
]


def blocks(document: Document) -> list[Block]:
    return [block for section in document.sections for block in section.blocks]


def texts(document: Document) -> str:
    return "\n".join(block.text for block in blocks(document))


def paths(document: Document) -> list[tuple[str, ...]]:
    return [section.path for section in document.sections if section.path]


def test_left_column_is_read_before_the_right_one(tmp_path: Path) -> None:
    left = [f"left line {number} has words enough to fill it" for number in range(8)]
    right = [f"right line {number} has words enough to fill" for number in range(8)]
    puts = [Put("A title that stands across both of the columns of the page", 60, 60, 18)]
    for number in range(8):  # interleaved in the file, so that its order says nothing
        puts += [Put(right[number], 320, 120 + 12 * number), Put(left[number], 60, 120 + 12 * number)]
    document = read(make_pdf(tmp_path / "two.pdf", puts))
    assert texts(document) == " ".join(left + right)
    assert document.title == "A title that stands across both of the columns of the page"


def test_word_broken_at_a_line_end_is_joined_and_keeps_two_spans(tmp_path: Path) -> None:
    lines = ["this method retrieves the infor-", "mation that was asked for and a well-", "known result about COVID-", "19 patients too"]
    document = read(make_pdf(tmp_path / "hyphen.pdf", column(lines)))
    (block,) = blocks(document)
    assert block.text == "this method retrieves the information that was asked for and a wellknown result about COVID-19 patients too"
    at = block.text.index("information")
    first, second = (span for span in block.spans if at <= span.start < at + len("information"))
    assert (block.text[first.start : first.end], block.text[second.start : second.end]) == ("infor", "mation")
    assert first.y1 < second.y1
    assert second.x0 == pytest.approx(72, abs=1)


def test_hyphen_stays_where_the_paper_writes_the_word_with_one(tmp_path: Path) -> None:
    lines = ["a well-known result is not a new one, but a well-", "known one, says the text of the data-", "base whose database is here"]
    assert "a well-known one, says the text of the database whose" in texts(read(make_pdf(tmp_path / "kept.pdf", column(lines))))


def test_every_span_holds_its_word_and_covers_ink(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "spans.pdf", [*column(FILLER), *column(["中文的第一行文字写在这里，然后继续", "写到第二行才结束。"], y=200)])
    document = read(path)
    printed = " ".join(FILLER).split()
    (latin, chinese) = blocks(document)
    assert [latin.text[span.start : span.end] for span in latin.spans] == printed
    assert chinese.text == "中文的第一行文字写在这里，然后继续写到第二行才结束。"
    assert [chinese.text[span.start : span.end] for span in chinese.spans] == ["中文的第一行文字写在这里，然后继续", "写到第二行才结束。"]
    assert all(is_printed(path, span.page, span[3:]) for block in (latin, chinese) for span in block.spans)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(("turn", "x", "y", "step"), [(90, 100, 700, 12), (270, 400, 100, -12)])  # upwards and downwards on the sheet
def test_boxes_are_those_of_the_page_as_displayed(tmp_path: Path, rotation: int, turn: int, x: float, y: float, step: float) -> None:
    puts = [Put(line, x + step * number, y, 10, turn=turn) for number, line in enumerate(FILLER)]
    path = make_pdf(tmp_path / "turned.pdf", puts, rotation=rotation)
    (block,) = blocks(read(path))
    assert block.text == " ".join(FILLER)
    assert all(is_printed(path, 1, span[3:]) for span in block.spans)
    wide = [span for span in block.spans if len(block.text[span.start : span.end]) > 4]
    assert all((span.x1 - span.x0 > span.y1 - span.y0) == (rotation in (90, 270)) for span in wide)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_horizontal_text_of_a_turned_page_is_read_too(tmp_path: Path, rotation: int) -> None:
    path = make_pdf(tmp_path / "turned.pdf", column(FILLER), rotation=rotation)
    (block,) = blocks(read(path))
    assert block.text == " ".join(FILLER)
    assert all(is_printed(path, 1, span[3:]) for span in block.spans)


def test_stamp_along_the_margin_is_left_out(tmp_path: Path) -> None:
    puts = [*column(FILLER), Put("arXiv:2101.00001v1 [cs.CL] 1 Jan 2021", 30, 600, 14, turn=90)]
    assert texts(read(make_pdf(tmp_path / "stamp.pdf", puts))) == " ".join(FILLER)


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("turn", [90, 270])
def test_table_set_sideways_on_a_page_of_text_is_read_behind_it(tmp_path: Path, turn: int, rotation: int) -> None:
    puts = column(FILLER * 4)
    order = range(12) if turn == 90 else range(11, -1, -1)
    rows = [f"Row{at} value {at * 3} metric {at * 7} with more words" for at in range(12)]
    puts += [Put(rows[row], 100 + 20 * at, 800 if turn == 90 else 500, 9, turn=turn) for at, row in enumerate(order)]
    puts += [Put("arXiv:2101.00001v1 [cs.CL] 1 Jan 2021", 30, 600, 20, turn=90)]
    path = make_pdf(tmp_path / "table.pdf", puts, rotation=rotation)
    document = read(path)
    text = " ".join(texts(document).split())
    assert text == " ".join([*FILLER * 4, *rows])
    spans = {block.text[span.start : span.end]: span for block in blocks(document) for span in block.spans}
    with pymupdf.open(path) as source:
        for word in ("Row0", "Row11"):
            (place,) = source[0].search_for(word)
            assert spans[word][3:] == pytest.approx(tuple(place * source[0].rotation_matrix), abs=4)
            assert is_printed(path, 1, spans[word][3:])
    assert document.identity.arxiv_id == "2101.00001v1"


def test_labels_along_an_axis_and_a_long_stamp_are_no_text(tmp_path: Path) -> None:
    puts = column(FILLER * 4)
    puts += [Put(f"Model {at} large", 100 + 15 * at, 700, 8, turn=90) for at in range(20)]
    puts += [
        Put("Downloaded from a library by a reader on a day of the year and not to be given away", 585, 700 - at, 6, turn=90)
        for at in (0, 1)
    ]
    document = read(make_pdf(tmp_path / "axis.pdf", puts))
    assert texts(document) == " ".join(FILLER * 4)


def test_korean_keeps_its_spaces(tmp_path: Path) -> None:
    lines = ["우리는 새로운 방법을 제안한다 그리고 BERT를", "사용한 실험을 수행한다"]
    with pymupdf.open() as made:
        page = made.new_page()
        for at, line in enumerate(lines):
            page.insert_text((60, 80 + 16 * at), line, fontname="korea", fontsize=11)
        made.save(tmp_path / "ko.pdf")
    document = read(tmp_path / "ko.pdf")
    assert texts(document) == " ".join(lines)
    spans = [block.text[span.start : span.end] for block in blocks(document) for span in block.spans]
    assert spans == " ".join(lines).split()


def test_a_damaged_file_is_named_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "torn.pdf").write_bytes(b"%PDF-1.7\n1 0 obj")
    with pytest.raises(Unreadable, match=r"Failed to open file 'torn\.pdf'"):
        read(tmp_path / "torn.pdf")


def test_running_heads_page_numbers_and_line_numbers_are_left_out(tmp_path: Path) -> None:
    puts: list[Put] = []
    for page in range(4):
        puts += [Put("A. Author et al.", 72, 40, 8, page=page), Put(f"Journal of Tests 12 ({page}), 2024", 400, 40, 8, page=page)]
        puts += [Put(str(page + 1), 295, 810, 8, page=page)]
        puts += [Put(str(1 + number + 4 * page), 40, 100 + 12 * number, 8, page=page) for number in range(6)]
        puts += column([f"Page {page} begins here and says a thing of its own.", *FILLER, "Here it ends."], page=page)
    text = texts(read(make_pdf(tmp_path / "heads.pdf", puts)))
    assert text.count("ends.") == 4
    assert not any(stray in text for stray in ("Author", "Journal", "1 ", " 7"))


def test_a_sentence_in_the_margin_that_is_said_once_is_kept(tmp_path: Path) -> None:
    puts = [line for page in range(3) for line in column(FILLER, page=page)]
    puts.append(Put("This remark at the foot of page two is text.", 72, 800, page=1))
    assert "This remark at the foot of page two is text." in texts(read(make_pdf(tmp_path / "once.pdf", puts)))


def test_numbered_headings_make_a_tree(tmp_path: Path) -> None:
    puts = [Put("A paper about headings", 150, 60, 20), Put("Abstract", 72, 100, 12, bold=True), *column(FILLER, y=120)]
    puts += [Put("1 Introduction", 72, 200, 12, bold=True), *column(FILLER, y=220)]
    puts += [Put("2 Methods", 72, 300, 12, bold=True), Put("2.1 Data", 72, 325, 11, bold=True), *column(FILLER, y=345)]
    puts += [Put("2.2 Models", 72, 420, 11, bold=True), *column(FILLER, y=440)]
    puts += [Put("References", 72, 520, 12, bold=True), *column(["[1] A. Person. A work.", "Press, 2001.", "[2] B. Person. Other."], y=540)]
    document = read(make_pdf(tmp_path / "tree.pdf", puts))
    assert document.title == "A paper about headings"
    assert paths(document) == [
        ("Abstract",),
        ("1 Introduction",),
        ("2 Methods",),
        ("2 Methods", "2.1 Data"),
        ("2 Methods", "2.2 Models"),
        ("References",),
    ]
    assert [(block.kind, block.text) for block in document.sections[-1].blocks] == [
        ("reference", "[1] A. Person. A work. Press, 2001."),
        ("reference", "[2] B. Person. Other."),
    ]
    assert document.language == "en"


def test_chinese_headings_and_paragraphs(tmp_path: Path) -> None:
    body = ["深度学习方法在自然语言处理领域取得了显著的进展，本文研究其中", "的一个问题，并给出实验结果。"]
    puts = [Put("面向测试的论文题目", 180, 60, 20), Put("摘要", 280, 100, 12), *column(body, y=130, pitch=18)]
    puts += [
        Put("一、引言", 72, 200, 14),
        *column(body, y=230, pitch=18),
        Put("（一）研究背景", 72, 300, 12),
        *column(body, y=330, pitch=18),
    ]
    puts += [Put("参考文献", 72, 400, 14), *column(["[1] 张三. 一篇文章[J]. 2001.", "[2] 李四. 另一篇[J]. 2002."], y=430, pitch=18)]
    document = read(make_pdf(tmp_path / "zh.pdf", puts))
    assert document.language == "zh"
    assert document.title == "面向测试的论文题目"
    assert paths(document) == [("摘要",), ("一、引言",), ("一、引言", "（一）研究背景"), ("参考文献",)]
    assert document.sections[1].blocks[0].text == "".join(body)
    assert [block.kind for block in document.sections[-1].blocks] == ["reference", "reference"]


def test_paragraph_goes_on_over_a_page_end(tmp_path: Path) -> None:
    puts = [
        *column(FILLER, y=700),
        *column(["and still the same sentence goes on here to its very end."], page=1),
        *column(FILLER, y=200, page=1),
    ]
    first = blocks(read(make_pdf(tmp_path / "over.pdf", puts)))[0]
    assert first.text.endswith("made for testing and still the same sentence goes on here to its very end.")
    assert first.page == 1
    assert {span.page for span in first.spans} == {1, 2}


def test_caption_table_and_cells(tmp_path: Path) -> None:
    puts = [*column(FILLER), Put("Table 1: Accuracy of the models on two sets.", 72, 180, 9)]
    for row, cells in enumerate([("Model", "Recall", "F1 score"), ("BM25", "66.0", "54.8"), ("Dense", "71.2", "63.6")]):
        puts += [Put(cell, 72 + 120 * at, 200 + 13 * row) for at, cell in enumerate(cells)]
    puts += [Put("Figure 2. The shape of the thing.", 72, 280, 9), *column(FILLER, y=310)]
    found = [(block.kind, block.text) for block in blocks(read(make_pdf(tmp_path / "table.pdf", puts)))]
    assert found[1:4] == [
        ("caption", "Table 1: Accuracy of the models on two sets."),
        ("table", "Model: BM25 | Recall: 66.0 | F1 score: 54.8\nModel: Dense | Recall: 71.2 | F1 score: 63.6"),
        ("caption", "Figure 2. The shape of the thing."),
    ]


def test_cell_after_a_narrow_gap_is_found_by_the_cells_of_other_rows(tmp_path: Path) -> None:
    puts = [Put("Table 1: Names.", 72, 180, 9)]
    for row, cells in enumerate([("Set", "Size"), ("short", "12"), ("a long name here", "34"), ("mid", "56")]):
        puts += [Put(cells[0], 72, 200 + 13 * row), Put(cells[1], 152, 200 + 13 * row)]
    table = blocks(read(make_pdf(tmp_path / "narrow.pdf", puts)))[-1]
    assert table.text == "Set | Size\nshort | 12\na long name here | 34\nmid | 56"


def test_title_comes_from_the_metadata_when_it_is_printed(tmp_path: Path) -> None:
    puts = [Put("JOURNAL OF EVERYTHING", 72, 50, 24), Put("On small things", 72, 100, 16), *column(FILLER, y=140)]
    assert read(make_pdf(tmp_path / "meta.pdf", puts, title="On small things")).title == "On small things"
    assert read(make_pdf(tmp_path / "word.pdf", puts, title="Microsoft Word - final.docx")).title == "On small things"
    puts[0] = Put("EVERYTHING IS SMALL", 72, 50, 24)
    assert read(make_pdf(tmp_path / "large.pdf", puts)).title == "EVERYTHING IS SMALL"
    assert read(make_pdf(tmp_path / "meant.pdf", puts, title="On small things")).title == "On small things"


def test_german_is_neither_english_nor_chinese(tmp_path: Path) -> None:
    lines = ["Der Hund und die Katze sind nicht auf dem Dach, das ist die", "Wahrheit, und sie wird von den Leuten mit Freude gesagt."]
    assert read(make_pdf(tmp_path / "de.pdf", column(lines))).language == "other"


@pytest.mark.parametrize(
    ("printed", "meant"),
    [
        ("eﬃcient", "efficient"),
        ("ine\x1eciency", "inefficiency"),
        ("Con\x1dating", "Conflating"),
        ("2015\x152023", "2015–2023"),
        ("Ｆ１", "F1"),
        ("⽅法", "方法"),
        ("Poincar´e", "Poincaré"),
        ("，。（）", "，。（）"),
        ("soft\u00adware", "soft-ware"),
    ],
)
def test_word_is_made_plain(printed: str, meant: str) -> None:
    assert plain(printed) == meant


def test_pages_without_text_are_named_in_a_warning(tmp_path: Path) -> None:
    document = read(make_pdf(tmp_path / "part.pdf", column(FILLER), pages=3))
    assert document.warnings == ("2 of 3 pages have no text: 2, 3",)
    assert document.pages == 3


def test_blank_paper_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"no text: 2 pages without a text layer, and OCR finds nothing on them; scan again at 200 dpi"):
        read(make_pdf(tmp_path / "scan.pdf", [], pages=2))


def test_unknown_ligature_is_told_from_the_paper_itself() -> None:
    line = Line(1, 0, 0, 9, 9, 10, False, "F", False, [Word(text, 0, 0, 9, 9, False) for text in ("scientific", "flow", "off", "end")])
    vocabulary = Vocabulary([Page(1, 99, 99, [line])])
    assert [vocabulary.mended(word) for word in ("Scienti\ufffdc,", "\ufffdow", "o\ufffd", "unheard\ufffd")] == [
        "Scientific,",
        "flow",
        "off",
        "unheard\ufffd",
    ]


def test_table_head_at_the_top_of_two_pages_is_no_running_head(tmp_path: Path) -> None:
    puts: list[Put] = []
    for page in range(3):
        puts += [Put("Journal of Tests", 72, 40, 8, page=page), Put(f"Table {page + 1}: {'abc'[page]} of things", 72, 70, 9, page=page)]
        puts += [Put(cell, 72 + 150 * at, 90, page=page) for at, cell in enumerate(("Model", "Recall"))]
        puts += [Put(cell, 72 + 150 * at, 103, page=page) for at, cell in enumerate((f"m{page}", f"0.{page}"))]
        puts += column(FILLER, y=200, page=page)
    text = texts(read(make_pdf(tmp_path / "tables.pdf", puts)))
    assert [text.count(line) for line in ("Model | Recall", "m1 | 0.1", "Journal")] == [3, 1, 0]


WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9)


@given(st.lists(st.lists(WORDS, min_size=1, max_size=9), min_size=1, max_size=25), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_no_word_of_a_column_is_lost_or_moved(rows: list[list[str]], quarter_turns: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = make_pdf(Path(folder) / "any.pdf", column([" ".join(row) for row in rows], y=150), rotation=90 * quarter_turns)
        document = read(path)
    found = [
        word for section in document.sections for text in (*section.path[-1:], *(b.text for b in section.blocks)) for word in text.split()
    ]
    assert found == [word for row in rows for word in row]
    for block in blocks(document):
        assert [block.text[span.start : span.end] for span in block.spans] == block.text.split()


def test_text_that_looks_like_running_heads_is_kept_when_there_is_nothing_else(tmp_path: Path) -> None:
    document = read(make_pdf(tmp_path / "cards.pdf", [Put("The same on each page", 72, 50, page=page) for page in range(3)]))
    assert texts(document).count("The same on each page") == 3


def test_headings_of_nothing_are_text(tmp_path: Path) -> None:
    document = read(
        make_pdf(tmp_path / "bare.pdf", [Put("1 First thing", 72, 150, 14, bold=True), Put("2 Second thing", 72, 400, 14, bold=True)])
    )
    assert texts(document) == "1 First thing\n2 Second thing"


def test_entries_of_a_table_of_contents_are_no_headings(tmp_path: Path) -> None:
    puts = [Put("Contents", 72, 80, 14, bold=True), Put("1 Introduction . . . . . . . . . . . . 1", 72, 110, bold=True)]
    puts += [Put("1 Introduction", 72, 200, 14, bold=True), *column(FILLER, y=230)]
    assert paths(read(make_pdf(tmp_path / "toc.pdf", puts))) == [("Contents",), ("1 Introduction",)]
