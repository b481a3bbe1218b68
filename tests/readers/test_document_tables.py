"""Tables of Word, OpenDocument, PowerPoint and web pages: marked headers, titles, forms, merged cells, what is repeated in a cut."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.util import Inches
from reading import reading, texts

from configs.settings import Splitting
from server.readers import read
from server.splitting import split
from server.types import Block, Document

W = nsdecls("w")
Rows = tuple[tuple[str, ...], ...]
YEARS: Rows = (("Country", "2019", "2020"), ("China", "5", "6"))
CUTOFFS: Rows = (("k", "1", "5"), ("BM25", "0.5", "0.6"))
PEOPLE: Rows = (("Alice", "30", "5.2"), ("Bob", "31", "4.8"))
FORM: Rows = (("Name", "Alice Lee"), ("Age", "30"))


def table_of(document: Document) -> Block:
    (found,) = (block for section in document.sections for block in section.blocks if block.kind == "table")
    return found


def filled(table: Any, rows: Rows) -> Any:
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    return table


def word_table(folder: Path, rows: Rows, *, header: int = 0, change: Callable[[Any], None] | None = None) -> Block:
    document = docx.Document()
    table = filled(document.add_table(len(rows), len(rows[0])), rows)
    for row in table.rows[:header]:
        row._tr.get_or_add_trPr().append(parse_xml(f"<w:tblHeader {W}/>"))
    if change:
        change(table)
    document.save(str(folder / "t.docx"))
    return table_of(read(folder / "t.docx"))


def odt_table(folder: Path, header: str, body: str) -> Document:
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table"))
    head = f"<table:table-header-rows>{header}</table:table-header-rows>" if header else ""
    content = f"<office:body><office:text><table:table>{head}{body}</table:table></office:text></office:body>"
    with zipfile.ZipFile(folder / "t.odt", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", f"<office:document-content {spaces}>{content}</office:document-content>")
    return read(folder / "t.odt")


def odt_row(*cells: str) -> str:
    """Cells as texts, as ready elements, or "" for one that is covered."""
    elements = (
        cell if cell.startswith("<") else f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" if cell else COVERED
        for cell in cells
    )
    return f"<table:table-row>{''.join(elements)}</table:table-row>"


COVERED = "<table:covered-table-cell/>"


def spanning(text: str, columns: int = 1, rows: int = 1) -> str:
    spans = f'table:number-columns-spanned="{columns}" table:number-rows-spanned="{rows}"'
    return f"<table:table-cell {spans}><text:p>{text}</text:p></table:table-cell>"


def slide_table(folder: Path, rows: Rows, *, first_row: bool = True, change: Callable[[Any], None] | None = None) -> Block:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = filled(slide.shapes.add_table(len(rows), len(rows[0]), 0, 0, Inches(4), Inches(1)).table, rows)
    table.first_row = first_row
    if change:
        change(table)
    presentation.save(str(folder / "t.pptx"))
    return table_of(read(folder / "t.pptx"))


def test_word_says_which_rows_are_the_header(tmp_path: Path) -> None:
    assert word_table(tmp_path, YEARS).text == "Country: China | 2019: 5 | 2020: 6"
    assert word_table(tmp_path, CUTOFFS, header=1).text == "k: BM25 | 1: 0.5 | 5: 0.6"
    unmarked = word_table(tmp_path, CUTOFFS)
    assert (unmarked.text, unmarked.header_lines) == ("k | 1 | 5\nBM25 | 0.5 | 0.6", 1)
    assert word_table(tmp_path, PEOPLE).text == "Alice | 30 | 5.2\nBob | 31 | 4.8"
    assert word_table(tmp_path, FORM).text == "Name: Alice Lee\nAge: 30"


def test_a_mark_that_is_switched_off_is_none(tmp_path: Path) -> None:
    def switch_off(table: Any) -> None:
        table.rows[0]._tr.get_or_add_trPr().append(parse_xml(f'<w:tblHeader {W} w:val="0"/>'))

    assert word_table(tmp_path, CUTOFFS, change=switch_off).text == "k | 1 | 5\nBM25 | 0.5 | 0.6"


@pytest.mark.parametrize("header", [0, 1, 2])
def test_titles_across_a_word_table_do_not_hide_its_header(tmp_path: Path, header: int) -> None:
    rows: Rows = (("Baseline table", "", ""), ("Model", "Acc", "F1"), *((f"m{number}", f"0.{number}", "1") for number in range(200)))
    block = word_table(tmp_path, rows, header=header, change=lambda table: table.cell(0, 0).merge(table.cell(0, 2)))
    assert block.text.split("\n")[:2] == ["Baseline table", "Model: m0 | Acc: 0.0 | F1: 1"]
    chunks = split(read(tmp_path / "t.docx"), Splitting(), lambda text: len(text.split()))
    assert len(chunks) > 2
    assert all(chunk.text.startswith("Baseline table\nModel: m") for chunk in chunks)


def test_word_cells_that_a_row_leaves_out_in_front(tmp_path: Path) -> None:
    def leave_out(table: Any) -> None:
        row = table.rows[2]._tr
        row.remove(row.tc_lst[0])
        row.get_or_add_trPr().append(parse_xml(f'<w:gridBefore {W} w:val="1"/>'))

    rows: Rows = (("Group", "Sex", "N"), ("Treated", "m", "5"), ("", "f", "6"))
    assert word_table(tmp_path, rows, change=leave_out).text == "Group: Treated | Sex: m | N: 5\nSex: f | N: 6"


def test_word_names_that_hang_beside_a_unit(tmp_path: Path) -> None:
    def merge(table: Any) -> None:
        table.cell(0, 0).merge(table.cell(1, 0))
        table.cell(0, 1).merge(table.cell(1, 1))

    rows: Rows = (("Region", "City", "Sales"), ("", "", "EUR"), ("North", "Bonn", "1"), ("South", "Ulm", "2"))
    assert word_table(tmp_path, rows, change=merge).text.split("\n")[0] == "Region: North | City: Bonn | Sales / EUR: 1"


def test_opendocument_says_which_rows_are_the_header(tmp_path: Path) -> None:
    head, body = (odt_row(*row) for row in CUTOFFS)
    assert texts(odt_table(tmp_path, head, body)) == ["k: BM25 | 1: 0.5 | 5: 0.6"]
    assert table_of(odt_table(tmp_path, "", head + body)).header_lines == 1
    titled = odt_row(spanning("Scores", 3), "", "") + head
    assert texts(odt_table(tmp_path, titled, body)) == ["Scores\nk: BM25 | 1: 0.5 | 5: 0.6"]


def test_opendocument_cells_that_span_rows_and_columns(tmp_path: Path) -> None:
    rows = (
        odt_row(spanning("Group", rows=2), spanning("Cases", columns=2), ""),
        odt_row("", "2019", "2020"),
        odt_row(spanning("Treated", rows=2), "5", "6"),
        odt_row("<table:covered-table-cell><text:p>unseen</text:p></table:covered-table-cell>", "7", "8"),
        odt_row(spanning("Control", columns=1, rows=1), "9", "10"),
    )
    document = odt_table(tmp_path, "", "".join(rows))
    assert texts(document) == [
        "Group: Treated | Cases / 2019: 5 | Cases / 2020: 6\n"
        "Group: Treated | Cases / 2019: 7 | Cases / 2020: 8\n"
        "Group: Control | Cases / 2019: 9 | Cases / 2020: 10"
    ]
    assert [(hidden.text, hidden.reason) for hidden in document.hidden] == [("unseen", "invisible")]


def test_slides_say_that_the_first_row_is_the_header(tmp_path: Path) -> None:
    assert slide_table(tmp_path, CUTOFFS).text == "k: BM25 | 1: 0.5 | 5: 0.6"
    assert slide_table(tmp_path, CUTOFFS, first_row=False).text == "k | 1 | 5\nBM25 | 0.5 | 0.6"
    assert slide_table(tmp_path, FORM).text == "Name: Alice Lee\nAge: 30"


def test_merged_cells_of_a_slide(tmp_path: Path) -> None:
    def merge(table: Any) -> None:
        table.cell(0, 0).merge(table.cell(0, 2))
        table.cell(2, 0).merge(table.cell(3, 0))

    rows: Rows = (("Scores", "", ""), ("Set", "Model", "F1"), ("dev", "A", "1"), ("", "B", "2"))
    assert slide_table(tmp_path, rows, change=merge).text == "Scores\nSet: dev | Model: A | F1: 1\nSet: dev | Model: B | F1: 2"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            "<thead><tr><th>Model<th>Acc<th>F1</thead><tr><td colspan=3>Small models<tr><td>A<td>1<td>2",
            "Small models\nModel: A | Acc: 1 | F1: 2",
        ),
        ("<tr><th colspan=2>GAN<tr><th>Year<td>2014<tr><th>Author<td>Ian", "GAN\nYear: 2014\nAuthor: Ian"),
        ("<tr><td colspan=9>All of it<tr><th>k<th>5<tr><td>x<td>1", "All of it\nk: x | 5: 1"),
        ("<thead><tr><th colspan=2>Title<tr><th>a<th>b</thead><tr><td>x<td>1", "Title\na: x | b: 1"),
        ("<thead><tr><th colspan=2>Title</thead><tr><td>a<td>b<tr><td>x<td>1", "Title\na: x | b: 1"),
        ("<tr><td><th colspan=2>Score<tr><th>Model<th>P<th>R<tr><td>A<td>1<td>2", "Model: A | Score / P: 1 | Score / R: 2"),
        ("<tr><td colspan=3>one<tr><td colspan=3>two", "one\ntwo"),
        ("<tr><td>Name<td>Alice<tr><td>City<td>Berlin", "Name: Alice\nCity: Berlin"),
        ("<tr><td>Name<td>Alice<tr><td colspan=2>Work<tr><td>Job<td>Chemist", "Name: Alice\nWork\nJob: Chemist"),
    ],
)
def test_cells_across_a_table_of_a_page_are_lines(tmp_path: Path, rows: str, text: str) -> None:
    assert table_of(reading(tmp_path, "t.html", f"<table>{rows}</table>")).text == text


def test_a_table_of_a_page_without_names_repeats_its_first_line(tmp_path: Path) -> None:
    block = table_of(reading(tmp_path, "t.html", "<table><tr><td>k<td>1<td>5<tr><td>BM25<td>0.5<td>0.6</table>"))
    assert (block.text, block.header_lines) == ("k | 1 | 5\nBM25 | 0.5 | 0.6", 1)


def test_a_cell_across_a_grid_of_rst_is_a_line(tmp_path: Path) -> None:
    source = (
        "+-------+------+\n| Small models |\n+-------+------+\n| Model | F1   |\n+=======+======+\n| A     | 0.1  |\n+-------+------+\n"
    )
    assert texts(reading(tmp_path, "t.rst", source)) == ["Small models\nModel: A | F1: 0.1"]
