"""Workbooks: merged cells, hidden rows and columns, numbers shown with zeros in front."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest
from reading import texts

from server.errors import Unreadable
from server.readers import read
from server.readers.office import sheet_merges
from tests.readers.office_maker import with_part

SHEET = "xl/worksheets/sheet1.xml"


def workbook(path: Path, rows: Sequence[Sequence[object]], *ranges: str) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for each in ranges:
        book.active.merge_cells(each)
    book.save(path)
    return path


def test_merged_cells_are_in_every_row_and_say_how_deep_the_header_is(tmp_path: Path) -> None:
    rows = (
        ("Region", "City", "Sales", None),
        (None, None, 2019, 2020),
        ("North", "Berlin", 1, 2),
        (None, "Hamburg", 3, 4),
        ("South", "Munich", 5, 6),
    )
    path = workbook(tmp_path / "m.xlsx", rows, "A1:A2", "B1:B2", "C1:D1", "A3:A4")
    assert texts(read(path)) == [
        "Region: North | City: Berlin | Sales / 2019: 1 | Sales / 2020: 2",
        "Region: North | City: Hamburg | Sales / 2019: 3 | Sales / 2020: 4",
        "Region: South | City: Munich | Sales / 2019: 5 | Sales / 2020: 6",
    ]


def test_headers_of_three_merged_rows(tmp_path: Path) -> None:
    rows = (
        ("Yields", None, None, None, None),
        ("Field", "Oats", None, "Rye", None),
        (None, "dry", "wet", "dry", "wet"),
        (None, "t/ha", "t/ha", "t/ha", "t/ha"),
        ("A", 1, 2, 3, 4),
        ("all of the south", None, None, None, None),
        ("B", 5, 6, 7, 8),
    )
    path = workbook(tmp_path / "m.xlsx", rows, "A1:E1", "A2:A4", "B2:C2", "D2:E2", "A6:E6")
    assert texts(read(path)) == [
        "Yields",
        "Field: A | Oats / dry / t/ha: 1 | Oats / wet / t/ha: 2 | Rye / dry / t/ha: 3 | Rye / wet / t/ha: 4",
        "all of the south",
        "Field: B | Oats / dry / t/ha: 5 | Oats / wet / t/ha: 6 | Rye / dry / t/ha: 7 | Rye / wet / t/ha: 8",
    ]


def with_ranges(path: Path, *ranges: str) -> Path:
    inside = "".join(f'<x:mergeCell ref="{each}"/>' for each in ranges)
    merged = f'</sheetData><x:mergeCells xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{inside}</x:mergeCells>'
    return with_part(path, SHEET, lambda data: data.replace(b"</sheetData>", merged.encode()))


def test_ranges_of_a_whole_sheet_cost_no_time(tmp_path: Path) -> None:
    rows = [("a", "b"), *(("x", number) for number in range(3000))]
    path = with_ranges(workbook(tmp_path / "m.xlsx", rows), *(f"A{row}:XFD1048576" for row in range(1, 20_001)), "A3:XFD1048576")
    started = time.process_time()
    assert len(texts(read(path))) == 3000
    assert time.process_time() - started < 3


def test_only_so_many_cells_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", "b"), ("x", 0), *((None, number) for number in range(1, 6))]
    path = with_ranges(workbook(tmp_path / "m.xlsx", rows), "A2:A7")
    assert texts(read(path)) == [f"a: x | b: {number}" for number in range(6)]
    monkeypatch.setattr(sheet_merges, "MOST_REPEATED", 3)
    assert texts(read(path))[3:] == ["a: x | b: 3", "b: 4", "b: 5"]
    monkeypatch.setattr(sheet_merges, "LONGEST_REPEATED", 0)
    assert texts(read(path))[1:] == [f"b: {number}" for number in range(1, 6)]


def test_ranges_are_found_where_the_pieces_of_a_part_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_merges, "_BLOCK", 7)  # bytes
    path = with_ranges(workbook(tmp_path / "m.xlsx", (("a", "b"), ("x", 1), (None, 2))), "A2:A3")
    assert texts(read(path)) == ["a: x | b: 1", "a: x | b: 2"]


def test_hidden_rows_and_columns_are_left_out_and_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Data"
    for row in (("a", "b", "secret"), ("x", 1, "s1"), ("y", 2, "s2"), ("z", 3, "s3")):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    book.active.row_dimensions[99].hidden = True  # an empty one needs no word
    book.active.column_dimensions["C"].hidden = True
    book.save(tmp_path / "h.xlsx")
    document = read(tmp_path / "h.xlsx")
    assert texts(document) == ["a: x | b: 1", "a: z | b: 3"]
    assert document.warnings == ("sheet 'Data': hidden rows (1) and columns (1) were left out",)


def test_a_workbook_of_hidden_rows_says_so(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(("a", "b"))
    book.active.row_dimensions[1].hidden = True
    book.save(tmp_path / "h.xlsx")
    with pytest.raises(Unreadable, match="holds no text but in hidden rows and columns; show them and save it again"):
        read(tmp_path / "h.xlsx")


@pytest.mark.parametrize(
    ("number_format", "value", "shown"),
    [("000000", 1, "000001"), ("000;-000", 7, "007"), ("000", 12345, "12345"), ("000", 1.5, "1.5"), ("0", 7, "7"), ("00", -3, "-3")],
)
def test_zeros_in_front_stay(tmp_path: Path, number_format: str, value: float, shown: str) -> None:
    path = workbook(tmp_path / "z.xlsx", (("Name", "Stock"), ("A", value)))
    book = openpyxl.load_workbook(path)
    book.active["B2"].number_format = number_format
    book.save(path)
    assert texts(read(path)) == [f"Name: A | Stock: {shown}"]
