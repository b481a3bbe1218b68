"""CSV and TSV: stray quotation marks, told delimiters, files without a header."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import contents, reading, texts

UNCLOSED = "a quotation mark in the table is never closed; each of its lines was read as a row"


def test_a_stray_quotation_mark_swallows_no_rows_of_a_tsv(tmp_path: Path) -> None:
    source = 'id\ttext\tn\n1\t"An open mark\t5\n2\tsecond\t6\n3\tthe "third" row\t7\n4\t"all of it"\t8\n'
    document = reading(tmp_path, "a.tsv", source)
    assert texts(document) == [
        'id: 1 | text: "An open mark | n: 5',
        "id: 2 | text: second | n: 6",
        'id: 3 | text: the "third" row | n: 7',
        "id: 4 | text: all of it | n: 8",
    ]
    assert document.warnings == (UNCLOSED,)


@pytest.mark.parametrize(
    ("last", "said"), [("third", "third"), ('"third, row"', "third, row")], ids=["open to the end", "closed by a later mark"]
)
def test_a_stray_quotation_mark_swallows_no_rows_of_a_csv(tmp_path: Path, last: str, said: str) -> None:
    document = reading(tmp_path, "a.csv", f'id,text,n\r\n1,"An open mark,5\r\n2,second,6\r\n3,{last},7\r\n')
    assert texts(document) == ['id: 1 | text: "An open mark | n: 5', "id: 2 | text: second | n: 6", f"id: 3 | text: {said} | n: 7"]
    assert document.warnings == (UNCLOSED,)


def test_quoted_cells_of_several_lines_stay_whole(tmp_path: Path) -> None:
    document = reading(tmp_path, "a.csv", 'id,text,n\n1,"one\ntwo,\tthree",3\n2,"x ""y"" z",4\n3,"a"b,5\n4,"p\nq" ,6\n')
    assert texts(document) == [
        "id: 1 | text: one two, three | n: 3",
        'id: 2 | text: x "y" z | n: 4',
        "id: 3 | text: ab | n: 5",
        "id: 4 | text: p q | n: 6",
    ]
    assert document.warnings == ()
    assert texts(reading(tmp_path, "a.tsv", 'id\ttext\tn\n1\t"one\ntwo"\t3\n')) == ["id: 1 | text: one two | n: 3"]


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "SEP=; \n"])
def test_the_first_line_may_tell_the_delimiter(tmp_path: Path, line: str) -> None:
    source = line + "Name;Wert;Menge\nA;1,5;2,3\nB;2,5;3,3\n"
    document = reading(tmp_path, "a.csv", b"\xef\xbb\xbf" + source.encode())
    assert contents(document) == [
        (("a",), "table", "Name: A | Wert: 1,5 | Menge: 2,3"),
        (("a",), "table", "Name: B | Wert: 2,5 | Menge: 3,3"),
    ]


def test_rows_without_a_header_are_all_there(tmp_path: Path) -> None:
    assert texts(reading(tmp_path, "a.csv", "Alice,30,5.2\nBob,31,4.8\n")) == ["Alice | 30 | 5.2", "Bob | 31 | 4.8"]
