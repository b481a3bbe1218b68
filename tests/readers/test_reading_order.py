"""The reading order of PDFs: columns, halves of paragraphs joined over what stands between, notes and side matter kept apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pdf_maker import Put, column, make_pdf

from benchmarks.reading_headings import order_faults
from server.readers import read
from server.types import Block, Document

LIBRARY = Path(os.environ.get("PAPERPROOF_LIBRARY") or Path(__file__).resolve().parents[3] / "shared" / "library")
FULL = "which has been set so that it fills the line"  # 44 characters, about 195 points in Helvetica 10


def blocks(document: Document) -> list[Block]:
    return [block for section in document.sections for block in section.blocks]


def kinds(document: Document) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in blocks(document)]


def holding(document: Document, words: str) -> Block:
    (block,) = (block for block in blocks(document) if words in block.text)
    return block


def lines(name: str, count: int) -> list[str]:
    """Lines of one sentence that has no end."""
    return [f"{name} {number} {FULL}" for number in range(count)]


def test_three_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    puts = []
    for number in range(12):  # interleaved in the file, so that its order says nothing
        puts += [
            Put(f"{name} {number} with words to fill it up", x, 120 + 12 * number, 9)
            for x, name in ((400, "right"), (60, "left"), (230, "mid"))
        ]
    text = " ".join(block.text for block in blocks(read(make_pdf(tmp_path / "three.pdf", puts))))
    assert [text.index(f"{name} {number} ") for name in ("left", "mid", "right") for number in (0, 11)] == sorted(
        text.index(f"{name} {number} ") for name in ("left", "mid", "right") for number in (0, 11)
    )
    assert text.count("with words") == 36


def test_columns_of_unequal_height_below_an_abstract_over_both(tmp_path: Path) -> None:
    puts = [Put("Abstract", 60, 60, 12, True)]
    puts += column(
        [f"abstract {number} that stands over both of the columns of this page and fills them up to its right edge" for number in range(3)],
        60,
        80,
    )
    puts.append(Put("and here the abstract ends.", 60, 116))
    puts += [*column(lines("left", 20), 60, 140), *column([*lines("right", 5), "and here it ends."], 320, 140)]
    document = read(make_pdf(tmp_path / "uneven.pdf", puts))
    assert [block.text.split()[0] for block in blocks(document)] == ["abstract", "left"]
    assert blocks(document)[-1].text == " ".join([*lines("left", 20), *lines("right", 5), "and here it ends."])


def test_figure_over_both_columns_parts_them_in_two_bands(tmp_path: Path) -> None:
    puts = [*column(lines("one", 8), 60, 60), *column([*lines("two", 7), "the end of it."], 320, 60)]
    puts += [Put("Figure 1: A thing that is so wide that its caption stands over both columns of the page", 60, 200, 8)]
    puts += [Put("and ends in a short line", 60, 210, 8)]
    puts += [*column([f"Three 0 {FULL}", *lines("three", 8)[1:]], 60, 240), *column(lines("four", 8), 320, 240)]
    document = read(make_pdf(tmp_path / "bands.pdf", puts))
    assert [(kind, text.split()[0]) for kind, text in kinds(document)] == [
        ("paragraph", "one"),
        ("caption", "Figure"),
        ("paragraph", "Three"),
    ]
    assert blocks(document)[1].text.endswith("its caption stands over both columns of the page and ends in a short line")


def test_punctuation_in_the_gutter_does_not_join_the_columns(tmp_path: Path) -> None:
    left = ["深度学习方法在自然语言处理领域取得了进展，"[:20]] * 14
    right = ["蜂窝话务预测服务可以支持前瞻性的资源配置和"[:20]] * 14
    puts = [*column(left, 60, 100, pitch=16), *column(right, 275, 100, pitch=16)]
    puts[20] = Put("（括号悬挂在栏间的空白之中而不算跨栏的一行", 263, 100 + 16 * 6, 10)
    text = "".join(block.text for block in blocks(read(make_pdf(tmp_path / "gutter.pdf", puts))))
    assert text == "".join([*left, *right[:6], "（括号悬挂在栏间的空白之中而不算跨栏的一行", *right[7:]])


@pytest.mark.parametrize("over", ["figure", "table", "labels", "note"])
def test_sentence_goes_on_behind_what_stands_at_the_page_end(tmp_path: Path, over: str) -> None:
    puts = column([f"and {number} {FULL} {FULL[:20]}" for number in range(9)], y=600)
    if over == "note":
        puts += [Put("1 A note that is set in small print below", 72, 760, 8)]
    elif over == "table":
        puts += [Put("Table 1: Accuracy of the models.", 72, 72, 9, page=1)]
        puts += [
            Put(cell, 72 + 120 * at, 90 + 13 * row, page=1)
            for row in range(3)
            for at, cell in enumerate((f"m{row}", f"{row}.1", f"{row}.2"))
        ]
    else:
        labels = [("Input layer", 100), ("Output", 300)] if over == "labels" else []
        puts += [Put(label, x, 80, page=1) for label, x in labels]
        puts += [Put("Figure 1: The shape of the thing.", 72, 130, 9, page=1)]
    puts += column(["carries on over there to where it ends at last. Then another", "sentence of this paragraph follows."], y=170, page=1)
    document = read(make_pdf(tmp_path / "over.pdf", puts))
    whole = holding(document, "and 0 which")
    assert whole.text.endswith(
        f"{FULL[:20]} carries on over there to where it ends at last. Then another sentence of this paragraph follows."
    )
    assert whole.kind == "paragraph"
    assert {span.page for span in whole.spans} == {1, 2}
    if over == "note":
        assert kinds(document)[1:] == [("footnote", "1 A note that is set in small print below")]


@pytest.mark.parametrize(
    ("end", "start"),
    [
        ("and here the sentence ends with the line, as many others.", "carries on"),  # it has ended
        ("and this one ends", "Another sentence begins"),  # the line is short
        (f"and {FULL} {FULL[:20]}", "1) the first of some items"),  # a list
    ],
)
def test_paragraph_that_has_ended_is_not_joined_to_the_next(tmp_path: Path, end: str, start: str) -> None:
    puts = [*column([*(f"and {number} {FULL} {FULL[:20]}" for number in range(8)), end], y=640)]
    puts += [Put("Figure 1: The shape of the thing.", 72, 100, 9, page=1)]
    puts += column([f"{start} on this page with words enough for a line of text", "and a second line of it."], y=140, page=1)
    document = read(make_pdf(tmp_path / "ended.pdf", puts))
    assert holding(document, start).page == 2
    assert not holding(document, start).text.startswith("and 0")


def test_formula_at_a_page_end_is_not_passed_as_the_label_of_a_figure(tmp_path: Path) -> None:
    puts = [*column([f"and {number} {FULL} {FULL[:20]}" for number in range(8)], y=600), Put("y = a + b", 200, 720)]
    puts += column(["where a is the one and b is the other of the two things, which", "have been named before."], y=100, page=1)
    document = read(make_pdf(tmp_path / "formula.pdf", puts))
    assert [text.split()[0] for _, text in kinds(document)] == ["and", "y", "where"]


def test_heading_between_two_halves_keeps_them_apart(tmp_path: Path) -> None:
    puts = [Put("1 One", 72, 60, 12, True), *column([f"and {number} {FULL} {FULL[:20]}" for number in range(8)], y=80)]
    puts += [
        Put("2 Two", 72, 60, 12, True, page=1),
        *column(["goes on in small letters under a heading of its own, as a", "quotation may."], y=80, page=1),
    ]
    document = read(make_pdf(tmp_path / "heading.pdf", puts))
    assert [(section.path[-1], len(section.blocks)) for section in document.sections] == [("1 One", 1), ("2 Two", 1)]


def test_line_of_function_names_is_text_of_its_paragraph(tmp_path: Path) -> None:
    import pymupdf

    path = tmp_path / "code.pdf"
    width = pymupdf.get_text_length("x" * 50, "cour", 10)
    with pymupdf.open() as made:
        page = made.new_page()
        for number in range(9):
            font, text = ("cour", "Alpha.beta Gamma.delta Epsilon.zeta and also Eta.t") if number == 4 else ("helv", "line of words")
            if font == "helv":
                text += " word" * 10
                size = 10 * width / pymupdf.get_text_length(text, "helv", 10)
                page.insert_text((72, 100 + 12 * number), text, fontsize=size, fontname="helv")
            else:
                page.insert_text((72, 100 + 12 * number), text, fontsize=10, fontname="cour")
        made.save(path)
    ((kind, text),) = kinds(read(path))
    assert kind == "paragraph"
    assert "word Alpha.beta Gamma.delta Epsilon.zeta and also Eta.t line" in text


def test_notes_come_after_the_text_of_their_column_and_are_no_paragraphs(tmp_path: Path) -> None:
    puts = [
        *column(lines("left", 30), 60, 60),
        *column(
            ["1 The first note of this page is set small and fills its line up to", "the right edge of its column"],
            60,
            440,
            size=8,
            pitch=9,
        ),
    ]
    puts += [Put("2 https://example.org/second", 60, 470, 8), *column([*lines("right", 30), "and so it ends."], 320, 60)]
    assert [(kind, text.split()[0]) for kind, text in kinds(read(make_pdf(tmp_path / "notes.pdf", puts)))] == [
        ("paragraph", "left"),
        ("footnote", "1"),
        ("footnote", "2"),
    ]


def test_notes_at_the_side_stand_apart_from_the_text(tmp_path: Path) -> None:
    text = [f"line {number} {FULL} {FULL}" for number in range(20)]
    side = ["Edited by", "Konrad Person", "Received", "4 May 2019", "Published", "22 May 2019"]
    puts = [*column(text, 170, 100), *column(side, 40, 103, size=7, pitch=25)]
    document = read(make_pdf(tmp_path / "side.pdf", puts))
    assert holding(document, "line 0").text == " ".join(text)
    assert "4 May 2019" in " ".join(block.text for block in blocks(document))


def test_foot_of_the_first_page_that_names_the_journal_is_left_out(tmp_path: Path) -> None:
    text = [f"line {number} {FULL} {FULL}" for number in range(40)]
    puts = [
        *column(text, 72, 60),
        Put("Sensors 2024, 24. https://doi.org/10.3390/s24", 72, 810, 8),
        Put("https://example.org/journal", 430, 810, 8),
    ]
    puts += column(["Page two says a thing of its own here."], page=1)
    document = read(make_pdf(tmp_path / "foot.pdf", puts))
    assert "Sensors" not in " ".join(block.text for block in blocks(document))
    assert "https" not in " ".join(block.text for block in blocks(document))
    assert "line 39" in blocks(document)[0].text


def test_reference_goes_on_over_a_page_end_and_a_new_one_does_not(tmp_path: Path) -> None:
    puts = [*column([f"line {number} {FULL} {FULL}" for number in range(10)], y=500), Put("References", 72, 650, 12, True)]
    entries = [
        "Adams, A. (2001). A work of which the title is so long that",
        "    it takes two lines of print. Press, London.",
        "Baker, B. (2002). A work",
    ]
    puts += [Put(entry.strip(), 86 if entry.startswith(" ") else 72, 680 + 12 * number) for number, entry in enumerate(entries)]
    puts += [
        Put("Davis, D. (2004). The last work, to be found at that", 72, 720, page=1),
        Put("place, https://doi.org/10.1000/182", 86, 732, page=1),
    ]
    puts += [Put("Evans, E. (2005). One more.", 72, 60, page=2)]
    puts += [Put("about the rest of the world. Press.", 86, 60, page=1), Put("Clark, C. (2003). Another work that has", 72, 72, page=1)]
    puts += [Put("two lines too. Press.", 86, 84, page=1)]
    found = [text for kind, text in kinds(read(make_pdf(tmp_path / "refs.pdf", puts))) if kind == "reference"]
    assert found == [
        "Adams, A. (2001). A work of which the title is so long that it takes two lines of print. Press, London.",
        "Baker, B. (2002). A work about the rest of the world. Press.",
        "Clark, C. (2003). Another work that has two lines too. Press.",
        "Davis, D. (2004). The last work, to be found at that place, https://doi.org/10.1000/182",
        "Evans, E. (2005). One more.",
    ]


def test_references_in_two_columns_of_a_balanced_last_page(tmp_path: Path) -> None:
    puts = [*column([*lines("left", 6), "and so it ends."], 60, 60), Put("References", 60, 170, 12, True)]
    for number in range(1, 9):
        x, y = (60, 190 + 30 * (number - 1)) if number < 4 else (320, 60 + 30 * (number - 4))
        puts += [
            Put(f"[{number}] A. Person. A work of {number} pages in which much", x, y),
            Put(f"is said of the number {number}. Press, 2001.", x + 16, y + 12),
        ]
    found = [text for kind, text in kinds(read(make_pdf(tmp_path / "balanced.pdf", puts))) if kind == "reference"]
    assert found == [f"[{n}] A. Person. A work of {n} pages in which much is said of the number {n}. Press, 2001." for n in range(1, 9)]


@pytest.mark.skipif(not (LIBRARY / "papers").is_dir(), reason="no library of papers; PAPERPROOF_LIBRARY names one")
def test_sentences_of_real_papers_go_on_over_columns_pages_and_floats() -> None:
    faults = order_faults(LIBRARY, {})
    assert sum("before" in row for _, row, _ in faults) == 76
    assert [(asked, row["file"], row["page"]) for asked, row, right in faults if not right] == []
