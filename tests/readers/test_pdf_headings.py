"""The heading tree of PDFs: numbering of all kinds, headings without numbers, and what only looks like one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from pdf_maker import Put, column, make_pdf

from benchmarks.reading_headings import heading_scores
from server.readers import read
from server.readers.headings import is_known, number_level
from server.types import Document

FILLER = [
    "The first sentence of this column fills its line to the edge",
    "and the second one goes on until nobody can read any further",
    "because the words have been chosen for their length and sound",
    "which makes them useful as filler in a paper made for testing.",
]
CHINESE = [
    "深度学习方法在自然语言处理领域取得了显著的进展，本文研究其中的",
    "一个问题，并给出实验结果，说明方法在多个数据集上均优于已有工作，",
    "并且在计算量上没有明显的增加，适合在普通的机器上运行和使用。",
]
LIBRARY = Path(os.environ.get("PAPERPROOF_LIBRARY") or Path(__file__).resolve().parents[3] / "shared" / "library")


def paper(path: Path, lines: Sequence[str | tuple[str, float] | tuple[str, float, bool] | tuple[str, float, bool, float]]) -> Document:
    """A paper of (text, size, bold, x) lines; "" stands for a paragraph of text, "zh" for a Chinese one."""
    puts: list[Put] = []
    y, page = 60.0, 0
    for line in lines:
        if y > 720:
            page, y = page + 1, 80.0
        if isinstance(line, str):
            body, pitch = (CHINESE, 16) if line == "zh" else (FILLER, 12)
            puts += column(body, y=y, pitch=pitch, page=page)
            y += pitch * len(body) + 14
        else:
            text, size, bold, x = (*line, False, 72.0)[:4] if len(line) < 4 else line
            if len(line) == 3:
                bold, x = line[2], 72.0
            puts.append(Put(text, x, y, size, bold, page))
            y += 1.3 * size + 6
    return read(make_pdf(path, puts))


def tree(document: Document) -> list[tuple[int, str]]:
    return [(section.level, section.path[-1]) for section in document.sections if section.path]


def test_letters_stand_below_roman_numbers(tmp_path: Path) -> None:
    lines = [("A Paper in Two Kinds of Numbers", 18, False, 120), ("I. INTRODUCTION", 9, False, 180), ""]
    lines += [("II. METHODS", 9, False, 190), ("A. Collecting the data", 10), "", ("B. Training", 10), "", ("REFERENCES", 9, False, 190)]
    lines += [("[1] A. Person. A work. Press, 2001.", 8)]
    assert tree(paper(tmp_path / "roman.pdf", lines)) == [
        (1, "I. INTRODUCTION"),
        (1, "II. METHODS"),
        (2, "A. Collecting the data"),
        (2, "B. Training"),
        (1, "REFERENCES"),
    ]


def test_kinds_of_chinese_numbers_stand_below_each_other(tmp_path: Path) -> None:
    lines = [("面向测试的学位论文题目", 20, False, 150), ("摘 要", 14, False, 250), "zh", ("第一章 绪论", 16, False, 220), "zh"]
    lines += [("第一节 研究背景", 14), "zh", ("一、问题的提出", 12), "zh", ("（一）已有方法", 11), "zh", ("1．数据来源", 10), "zh"]
    lines += [("2．评价指标", 10), "zh", ("第二章 方法", 16, False, 220), "zh"]
    assert tree(paper(tmp_path / "thesis.pdf", lines)) == [
        (1, "摘 要"),
        (1, "第一章 绪论"),
        (2, "第一节 研究背景"),
        (3, "一、问题的提出"),
        (4, "（一）已有方法"),
        (5, "1．数据来源"),
        (5, "2．评价指标"),
        (1, "第二章 方法"),
    ]


def test_appendices_are_headings_and_theorems_are_not(tmp_path: Path) -> None:
    lines = [("A Paper with an Appendix", 18, False, 120), ("1 Introduction", 12, True), "", ("1.1 Main result", 11, True)]
    lines += [
        ("Theorem 1.", 10, True),
        "",
        ("Definition 2 (Space)", 10, True),
        "",
        ("Proof", 10, True),
        "",
        ("Satz 3 (Heine-Borel)", 10, True),
        "",
    ]
    lines += [("Appendix A Proofs", 12, True), "", ("A.1 Proof of Theorem 1", 11, True), "", ("B Further experiments", 12, True), ""]
    assert tree(paper(tmp_path / "appendix.pdf", lines)) == [
        (1, "1 Introduction"),
        (2, "1.1 Main result"),
        (1, "Appendix A Proofs"),
        (2, "A.1 Proof of Theorem 1"),
        (1, "B Further experiments"),
    ]


def test_chapter_number_and_name_on_two_lines_are_one_heading(tmp_path: Path) -> None:
    lines = [
        ("A Book of Chapters", 24, False, 120),
        ("Preface", 16, True),
        "",
        ("Kapitel 1", 16, True),
        ("The Beginning of Things", 20, True),
    ]
    lines += ["", ("1.1 Why", 13, True), "", ("Chapter 2", 16, True), ("The End", 20, True), "", ("2.1 When", 13, True), ""]
    assert tree(paper(tmp_path / "book.pdf", lines)) == [
        (1, "Preface"),
        (1, "Kapitel 1 The Beginning of Things"),
        (2, "1.1 Why"),
        (1, "Chapter 2 The End"),
        (2, "2.1 When"),
    ]


def test_heading_broken_over_two_lines_is_one(tmp_path: Path) -> None:
    puts = [Put("1 A Heading That Is Much Too Long to Stand on One", 72, 80, 12, True), Put("Line of Text", 86, 95, 12, True)]
    puts += [*column(FILLER, y=120), Put("A Long Heading without a Number That Goes On and", 72, 200, 12, True)]
    puts += [Put("Ends Here", 72, 215, 12, True), *column(FILLER, y=240), Put("2 Conclusion", 72, 320, 12, True), *column(FILLER, y=345)]
    assert tree(read(make_pdf(tmp_path / "two.pdf", puts))) == [
        (1, "1 A Heading That Is Much Too Long to Stand on One Line of Text"),
        (1, "A Long Heading without a Number That Goes On and Ends Here"),
        (1, "2 Conclusion"),
    ]


def test_number_in_the_margin_belongs_to_its_heading(tmp_path: Path) -> None:
    puts: list[Put] = []
    for number, (label, name, size) in enumerate((("1", "Introduction", 14), ("2", "Background", 14), ("2.1", "Solvers", 12))):
        y = 80 + 100 * number
        puts += [Put(label, 66, y, size), Put(name, 100, y, size, True), *column(FILLER, x=100, y=y + 25)]
    assert tree(read(make_pdf(tmp_path / "margin.pdf", puts))) == [(1, "1 Introduction"), (1, "2 Background"), (2, "2.1 Solvers")]


def test_headings_without_numbers_are_ranked_by_size_and_may_ask(tmp_path: Path) -> None:
    lines = [
        ("A Paper of the Life Sciences", 18, False, 140),
        ("Abstract", 12, True),
        "",
        ("Results", 12, True),
        "",
        ("Cells grow in the dark", 10, True),
    ]
    lines += ["", ("Does light matter?", 10, True), "", ("Discussion", 12, True), "", ("Note:", 10, True), ""]
    assert tree(paper(tmp_path / "life.pdf", lines)) == [
        (1, "Abstract"),
        (1, "Results"),
        (2, "Cells grow in the dark"),
        (2, "Does light matter?"),
        (1, "Discussion"),
    ]


def test_centred_line_is_a_heading_where_the_numbered_ones_are_centred_too(tmp_path: Path) -> None:
    lines = [("I. INTRODUCTION", 10, False, 170), "", ("II. METHODS", 10, False, 180), "", ("Availability of the code", 10, False, 165), ""]
    assert tree(paper(tmp_path / "centred.pdf", lines))[-1] == (1, "Availability of the code")
    lines = [("1 Introduction", 12, True), "", ("2 Methods", 12, True), "", ("Availability of the code", 10, False, 165), ""]
    assert tree(paper(tmp_path / "left.pdf", lines))[-1] == (1, "2 Methods")


def test_numbered_heading_may_run_into_its_paragraph(tmp_path: Path) -> None:
    puts = [Put("1 Introduction", 72, 60, 12, True), *column(FILLER, y=80), Put("1.1 Data", 72, 150, 11, True)]
    for number, start in enumerate(
        ("1.1.1 Public Sources. We took all of them from the web,", "1.1.2 Cleaning. We cleaned all of them of dirt")
    ):
        puts += column([start, *FILLER], y=170 + 80 * number)
    puts += column(["7.5 Times faster. This is how much faster it is, and a sentence", *FILLER], y=340)
    document = read(make_pdf(tmp_path / "runin.pdf", puts))
    assert tree(document) == [(1, "1 Introduction"), (2, "1.1 Data"), (3, "1.1.1 Public Sources"), (3, "1.1.2 Cleaning")]
    assert document.sections[2].blocks[0].text.startswith("1.1.1 Public Sources. We took")
    assert len(document.sections[3].blocks) == 2


def test_bold_words_that_head_no_text_are_no_headings(tmp_path: Path) -> None:
    puts = [Put("Abstract", 72, 60, 12, True), *column(FILLER, y=80), Put("Introduction", 72, 150, 12, True), *column(FILLER, y=170)]
    puts += [Put("Jump types", 300, 240, 10, True), *column(FILLER, y=260)]
    puts += [Put("Step one:", 72, 330, 10, True), *column(FILLER, y=350), Put("train.py", 72, 420, 10, True), *column(FILLER, y=440)]
    assert tree(read(make_pdf(tmp_path / "bold.pdf", puts))) == [(1, "Abstract"), (1, "Introduction")]


def test_entries_of_contents_without_dots_are_no_headings(tmp_path: Path) -> None:
    puts = [Put("Contents", 72, 80, 14, True), Put("1 Introduction 2", 72, 110, 12, True), Put("2 Methods 5", 72, 130, 12, True)]
    puts += [Put("1 Introduction", 72, 60, 12, True, page=1), *column(FILLER, y=80, page=1)]
    puts += [Put("2 Methods", 72, 160, 12, True, page=1), *column(FILLER, y=180, page=1)]
    assert tree(read(make_pdf(tmp_path / "contents.pdf", puts))) == [(1, "Contents"), (1, "1 Introduction"), (1, "2 Methods")]


def test_names_of_authors_are_no_headings(tmp_path: Path) -> None:
    lines = [("A Paper of Many Hands", 20, True), ("Authors", 14, True), ("Ann Author", 10, True), "", ("Bob Builder", 10, True), ""]
    lines += [("Abstract", 14, True), "", ("Introduction", 14, True), "", ("A smaller one", 12, True), ""]
    assert tree(paper(tmp_path / "authors.pdf", lines)) == [(1, "Authors"), (1, "Abstract"), (1, "Introduction"), (2, "A smaller one")]


def test_no_level_is_left_out(tmp_path: Path) -> None:
    lines = [("1 Numbered", 16, True), "", ("1.1 Below", 14, True), "", ("Exercise one", 12, True), "", ("2 Other", 16, True), ""]
    lines += [("Answers", 16, True), "", ("Answer to exercise one", 12, True), "", ("Answer to exercise two", 12, True), ""]
    assert [level for level, _ in tree(paper(tmp_path / "levels.pdf", lines))] == [1, 2, 3, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("1 Introduction", 1),
        ("2.1. Data", 2),
        ("2.1.3 Cleaning", 3),
        ("A.1 Proofs", 2),
        ("S2.1 变量", 2),
        ("IV. Results", 1),
        ("Chapter 3", 1),
        ("Anhang B", 1),
        ("第三章 方法", 1),
        ("第二节 数据", 2),
        ("一、引言", 1),
        ("（二）背景", 2),
        ("1．数据", 1),
        ("Definition 1", 0),
        ("0.5 percent", 0),
        ("Introduction", 0),
        ("A paper", 0),
    ],
)
def test_number_says_the_level(text: str, level: int) -> None:
    assert number_level(text) == level


@pytest.mark.parametrize("text", ["Abstract", "摘 要", "Stichwortverzeichnis", "Code and data availability", "数据可用性声明", "ANNEX"])
def test_heading_is_known_by_its_name(text: str) -> None:
    assert is_known(text)
    assert not is_known(f"{text} of the thing")


@pytest.mark.skipif(not (LIBRARY / "papers").is_dir(), reason="no library of papers; PAPERPROOF_LIBRARY names one")
def test_headings_of_real_papers_are_those_found_by_hand() -> None:
    scores = heading_scores(LIBRARY, {})
    assert {name: score for name, score in scores.items() if score.f1 < 0.9 or score.f1_level < 0.9} == {}
    assert sum(score.f1_level for score in scores.values()) / len(scores) > 0.97  # 0.997 measured
