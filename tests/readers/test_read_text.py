"""Plain text and Markdown: encodings, headings, paragraphs, code, tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.readers import read
from server.types import Document

CHINESE = "本文研究中文文本的编码识别问题，并给出实验结果。"


def write(tmp_path: Path, name: str, text: str, encoding: str = "utf-8") -> Document:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read(path)


def contents(document: Document) -> list[tuple[tuple[str, ...], str, str]]:
    return [(section.path, block.kind, block.text) for section in document.sections for block in section.blocks]


@pytest.mark.parametrize(
    ("encoding", "warning"),
    [("utf-8", ()), ("utf-8-sig", ()), ("utf-16", ()), ("utf-32", ()), ("gb18030", ("encoding guessed as gb18030",))],
)
def test_chinese_is_read_in_every_encoding(tmp_path: Path, encoding: str, warning: tuple[str, ...]) -> None:
    document = write(tmp_path, "zh.txt", CHINESE, encoding)
    assert contents(document) == [((), "paragraph", CHINESE)]
    assert document.language == "zh"
    assert document.warnings == warning


@pytest.mark.parametrize(
    "text", ["Le café est déjà prêt; l'été à la plage.", "Préparation générale des élèves"]
)  # the second is valid GB 18030
def test_western_text_is_not_taken_for_chinese(tmp_path: Path, text: str) -> None:
    document = write(tmp_path, "fr.txt", text, "cp1252")
    assert contents(document)[0][2] == text
    assert document.warnings == ("encoding guessed as windows-1252",)


def test_lines_broken_to_a_width_are_joined(tmp_path: Path) -> None:
    text = "A paragraph that was broken\nto a width of some letters.\n\nAnother one.\n\n中文文本的第一行在这里，\n第二行在这里，没有空格。"
    assert [text for _, _, text in contents(write(tmp_path, "wrapped.txt", text))] == [
        "A paragraph that was broken to a width of some letters.",
        "Another one.",
        "中文文本的第一行在这里，第二行在这里，没有空格。",
    ]


def test_headings_of_plain_text(tmp_path: Path) -> None:
    text = "Abstract\n\nWhat it says.\n\n1 Introduction\n\nOnce.\n\n1.1 Aims\n\nTwice.\n\n一、方法\n\n三次。"
    assert [path for path, _, _ in contents(write(tmp_path, "plain.txt", text))] == [
        ("Abstract",),
        ("1 Introduction",),
        ("1 Introduction", "1.1 Aims"),
        ("一、方法",),
    ]


def test_markdown(tmp_path: Path) -> None:
    text = (
        "---\ntitle: The front\n---\n# One\nSome **bold** words and a [link](http://a.b/c).\n\nTwo\n---\n- first\n- second\n\n"
        "```python\nif x:\n    # no heading\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n### Three\nEnd of *it*, with snake_case_name."
    )
    document = write(tmp_path, "paper.md", text)
    assert document.title == "The front"
    assert contents(document) == [
        (("One",), "paragraph", "Some bold words and a link."),
        (("One", "Two"), "paragraph", "- first"),
        (("One", "Two"), "paragraph", "- second"),
        (("One", "Two"), "code", "if x:\n    # no heading"),
        (("One", "Two"), "table", "a: 1 | b: 2"),
        (("One", "Two", "Three"), "paragraph", "End of it, with snake_case_name."),
    ]


def test_csv_rows_carry_their_header(tmp_path: Path) -> None:
    document = write(tmp_path, "data.csv", 'name,size,note\nalpha,1,"a, b"\nbeta,,x\n')
    assert [text for _, _, text in contents(document)] == ["name: alpha | size: 1 | note: a, b", "name: beta | note: x"]
    assert {kind for _, kind, _ in contents(document)} == {"table"}


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.csv", "\t"), ("a.csv", "|"), ("a.tsv", "\t")])
def test_delimiter_is_found(tmp_path: Path, name: str, mark: str) -> None:
    document = write(tmp_path, name, "\n".join(mark.join(row) for row in (("名称", "数值"), ("甲", "1,5"), ("乙", "2,5"))), "gb18030")
    assert [text for _, _, text in contents(document)] == ["名称: 甲 | 数值: 1,5", "名称: 乙 | 数值: 2,5"]
    assert document.language == "zh"


def test_table_with_a_header_only_keeps_it(tmp_path: Path) -> None:
    assert [text for _, _, text in contents(write(tmp_path, "head.csv", "a,b\n"))] == ["a | b"]


def test_a_numbered_heading_without_text_before_the_references(tmp_path: Path):
    (tmp_path / "a.txt").write_text("1 Introduction\n\nReferences\n\n[1] A\n[2] B\n", encoding="utf-8")
    document = read(tmp_path / "a.txt")
    assert [block.text for section in document.sections for block in section.blocks] == ["1 Introduction", "[1] A", "[2] B"]
