"""Running heads, feet and page numbers go; headings, captions and titles of slides that repeat in a margin stay."""

from __future__ import annotations

from pathlib import Path

import pymupdf
import pytest
from pdf_maker import Put, column, make_pdf

from server.readers import read
from server.types import Document

LINE = "which has been set so that it fills the line from one edge of the page to the other one"


def texts(document: Document) -> list[str]:
    return [block.text for section in document.sections for block in section.blocks]


def paths(document: Document) -> list[tuple[str, ...]]:
    return [section.path for section in document.sections if section.path]


def page_of(number: int, *heads: Put) -> list[Put]:
    """A page, counted from 0, of running text with `heads` above it."""
    lines = [f"page {number} line {at} {LINE}" for at in range(20)]
    return [*(head._replace(page=number) for head in heads), *column([*lines, "and ends."], 60, 130, page=number)]


def read_pages(path: Path, *pages: list[Put]) -> Document:
    return read(make_pdf(path, [put for page in pages for put in page]))


def test_labels_of_tables_at_the_top_of_two_pages_stay(tmp_path: Path) -> None:
    pages = []
    for number in range(6):
        head = [Put("A. Author et al. / Journal of Frogs 12 (2021) 1-6", 60, 45, 8), Put(str(number + 1), 500, 45, 8)]
        if number in (2, 4):
            title = "Counts of frogs by pond." if number == 2 else "Song length by species."
            head += [Put(f"Table {number // 2}", 60, 70, 8, True), Put(title, 60, 80, 8)]
            head += [
                Put(cell, 60 + 100 * at, 92 + 10 * row, 8) for row in range(3) for at, cell in enumerate(("Pond", f"{row}1", f"{row}2"))
            ]
        pages.append(page_of(number, *head))
    found = texts(read_pages(tmp_path / "tables.pdf", *pages))
    assert [text for text in found if text.startswith("Table")] == ["Table 1 Counts of frogs by pond.", "Table 2 Song length by species."]
    assert not any("Journal of Frogs" in text for text in found)


def test_labels_of_tables_that_count_with_the_pages_stay(tmp_path: Path) -> None:
    pages = [page_of(at, Put(f"Table {at + 1}: Counts of frogs", 60, 75, 9)) for at in range(3)]
    found = texts(read_pages(tmp_path / "tables.pdf", *pages))
    assert [text for text in found if text.startswith("Table")] == [f"Table {at}: Counts of frogs" for at in (1, 2, 3)]


def test_chapters_that_count_with_the_pages_stay(tmp_path: Path) -> None:
    names = ["Frogs", "Ponds", "Herons", "Reeds"]
    pages = [page_of(at, Put(f"Chapter {at + 1}", 60, 70, 16, True), Put(name, 60, 95, 20, True)) for at, name in enumerate(names)]
    assert paths(read_pages(tmp_path / "chapters.pdf", *pages)) == [(f"Chapter {at + 1} {name}",) for at, name in enumerate(names)]


@pytest.mark.parametrize(("size", "bold"), [(12, True), (12, False), (10, True)])
def test_numbered_headings_that_count_with_the_pages_stay(tmp_path: Path, size: float, bold: bool) -> None:
    pages = [page_of(at, Put(f"5.{at + 1} Results for data set {at + 1}", 60, 80, size, bold)) for at in range(3)]
    assert paths(read_pages(tmp_path / "results.pdf", *pages)) == [(f"5.{at} Results for data set {at}",) for at in (1, 2, 3)]


def test_problems_of_an_exercise_sheet_stay(tmp_path: Path) -> None:
    pages = [page_of(at, Put(f"Problem {at + 1}", 60, 80, 10, True)) for at in range(8)]
    document = read_pages(tmp_path / "sheet.pdf", *pages)
    found = " ".join([*(part for path in paths(document) for part in path), *texts(document)])
    assert [number for number in range(1, 9) if f"Problem {number}" in found] == list(range(1, 9))


def test_titles_of_slides_stay_and_their_feet_go(tmp_path: Path) -> None:
    titles = ["Motivation", "Why frogs sing", "The data set", "Method overview", "Loss function", "Training setup", "Ablation study"]
    with pymupdf.open() as made:
        for at, title in enumerate([*titles, *["Ablation study"] * 2, "End"]):
            page = made.new_page(width=362.8, height=272.1)
            page.insert_text((12, 25), title, fontsize=14.3)
            for row in range(5):
                page.insert_text((30, 70 + 30 * row), f"- point {row} of slide {at} with some words of the talk", fontsize=11)
            page.insert_text((12, 265), "A. Author (Pond University)", fontsize=6)
            page.insert_text((330, 265), f"{at + 1}/10", fontsize=6)
        made.save(tmp_path / "slides.pdf")
    document = read(tmp_path / "slides.pdf")
    assert [path[-1] for path in paths(document)] == [*titles, *["Ablation study"] * 2, "End"]
    assert not any("Pond University" in text or "/10" in text for text in texts(document))


@pytest.mark.parametrize(
    "head", ["Journal of Frogs 12 (2021), page {page}", "A. Author | {page}", "{page} of 40 Pages", "2021 {roman} Preface", "Vol. 3 No. 7"]
)
def test_heads_with_a_page_number_go(tmp_path: Path, head: str) -> None:
    roman = ["v", "vi", "vii", "viii", "ix", "x"]
    pages = [page_of(at, Put(head.format(page=at + 11, roman=roman[at]), 60, 45, 8)) for at in range(6)]
    found = texts(read_pages(tmp_path / "heads.pdf", *pages))
    assert all(text.startswith("page ") or text == "and ends." for text in found), found


@pytest.mark.parametrize("count", [2, 3, 6])
def test_name_of_the_journal_in_large_print_on_every_page_goes(tmp_path: Path, count: int) -> None:
    pages = [page_of(at, Put("THE JOURNAL", 60, 45, 18, True), Put("of Frogs", 300, 45, 12)) for at in range(count)]
    document = read_pages(tmp_path / "journal.pdf", *pages)
    assert paths(document) == []
    assert not any("JOURNAL" in text or "Frogs" in text for text in texts(document))


@pytest.mark.parametrize("bold", [False, True])
def test_heads_that_name_the_section_go_where_the_sections_are_there(tmp_path: Path, bold: bool) -> None:
    names = [f"{number}. {name}" for number, name in enumerate(("Frogs", "Ponds", "Herons", "Reeds", "Water", "Songs", "Nights"), 1)]
    pages = [page_of(at, Put(name.upper(), 60, 45, 9, bold), Put(name, 60, 110, 14, True)) for at, name in enumerate(names)]
    document = read_pages(tmp_path / "sections.pdf", *pages)
    assert paths(document) == [(name,) for name in names]
    assert not any(name.upper() in text for name in names for text in texts(document))


def test_lines_that_begin_every_page_and_are_found_nowhere_else_stay(tmp_path: Path) -> None:
    names = ["Frogs sing", "Ponds freeze", "Herons watch", "Reeds grow", "Water falls", "Songs end", "Nights pass"]
    pages = [page_of(at, Put(name, 60, 80)) for at, name in enumerate(names)]
    found = " ".join(texts(read_pages(tmp_path / "tops.pdf", *pages)))
    assert [name for name in names if name in found] == names
