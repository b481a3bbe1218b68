"""Headings with nothing below them: items of numbered lists are text, and real headings can be found."""

from __future__ import annotations

from pathlib import Path

import docx
import pytest
from odf import opendocument, text
from reading import contents, reading, texts

from configs.settings import Splitting
from server.errors import Unreadable
from server.readers import read
from server.readers.headings import Outline
from server.splitting import split
from server.splitting.counting import estimate_tokens
from server.types import Block, Document

ITEMS = ["1. Buy milk", "2. Call Bob", "3. Write the paper"]


def bold_docx(tmp_path: Path, lines: list[str]) -> Document:
    document = docx.Document()
    for line in lines:
        document.add_paragraph().add_run(line).bold = True
    document.save(str(tmp_path / "list.docx"))
    return read(tmp_path / "list.docx")


def rtf(tmp_path: Path, lines: list[str]) -> Document:
    return reading(tmp_path, "list.rtf", r"{\rtf1\ansi " + "".join(f"{line}\\par " for line in lines) + "}")


def txt(tmp_path: Path, lines: list[str]) -> Document:
    return reading(tmp_path, "list.txt", "\n\n".join(lines))


@pytest.mark.parametrize("made", [txt, bold_docx, rtf])
def test_a_numbered_list_is_text(tmp_path: Path, made) -> None:
    document = made(tmp_path, ITEMS)
    assert contents(document) == [((), "paragraph", item) for item in ITEMS]
    (chunk,) = split(document, Splitting(), estimate_tokens)
    assert chunk.text == "\n".join(ITEMS)


@pytest.mark.parametrize("made", [txt, rtf])
def test_text_after_a_list_does_not_make_its_last_item_a_heading(tmp_path: Path, made) -> None:
    document = made(tmp_path, ["Shopping for today", *ITEMS, "This is the end."])
    assert contents(document) == [((), "paragraph", item) for item in ["Shopping for today", *ITEMS, "This is the end."]]


def test_numbered_sections_stay_sections(tmp_path: Path) -> None:
    source = "一、引言\n\n文。\n\n二、买牛奶\n\n三、打电话\n\n结束。\n\n四、方法\n\n五、结果\n\n（一）数据\n\n多。\n\n（二）更多\n"
    assert contents(reading(tmp_path, "a.txt", source)) == [
        (("一、引言",), "paragraph", "文。"),
        (("一、引言",), "paragraph", "二、买牛奶"),
        (("三、打电话",), "paragraph", "结束。"),  # 四 counts on: a section, of which the one before is empty
        (("三、打电话",), "paragraph", "四、方法"),
        (("五、结果", "（一）数据"), "paragraph", "多。"),
        (("五、结果", "（一）数据"), "paragraph", "（二）更多"),
    ]


def test_a_table_of_contents_does_not_swallow_the_first_section(tmp_path: Path) -> None:
    source = "Contents\n\n1 Aims\n\n2 Means\n\n1 Aims\n\nText.\n\n2 Means\n\nMore."
    assert contents(reading(tmp_path, "a.txt", source)) == [
        (("Contents",), "paragraph", "1 Aims"),
        (("Contents",), "paragraph", "2 Means"),
        (("1 Aims",), "paragraph", "Text."),
        (("2 Means",), "paragraph", "More."),
    ]
    assert contents(reading(tmp_path, "b.txt", "1 Aims\n\n2 Means\n\n1 Aims\n\nText."))[2:] == [(("1 Aims",), "paragraph", "Text.")]


def test_numbered_references_are_entries(tmp_path: Path) -> None:
    source = "1 Aims\n\nText.\n\nReferences\n\n1. Curie M, Radium, 1900\n\n2. Li L, Paper, 2020"
    assert contents(reading(tmp_path, "a.txt", source))[1:] == [
        (("References",), "reference", "1. Curie M, Radium, 1900"),
        (("References",), "reference", "2. Li L, Paper, 2020"),
    ]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.md", "# Top\n\nText.\n\n## About zebras\n\n## References\n"),
        ("a.rst", "Top\n===\n\nText.\n\nAbout zebras\n------------\n\nReferences\n----------\n"),
        ("a.html", "<h1>Top</h1><p>Text.</p><h2>About zebras</h2><h2>References</h2>"),
    ],
)
def test_a_printed_heading_without_text_can_be_found(tmp_path: Path, name: str, source: str) -> None:
    document = reading(tmp_path, name, source)
    assert contents(document) == [(("Top",), "paragraph", "Text."), (("Top", "About zebras"), "paragraph", "About zebras")]
    assert [chunk.text for chunk in split(document, Splitting(), estimate_tokens)] == ["Text.", "About zebras"]


def test_printed_headings_of_office_texts(tmp_path: Path) -> None:
    word, odt = docx.Document(), opendocument.OpenDocumentText()
    for line in ("甲", "乙"):
        word.add_heading(line, 1)
        odt.text.addElement(text.H(outlinelevel=1, text=line))
    word.save(str(tmp_path / "a.docx"))
    odt.save(str(tmp_path / "a.odt"))
    for name in ("a.docx", "a.odt"):
        assert contents(read(tmp_path / name)) == [(("甲",), "paragraph", "甲"), (("乙",), "paragraph", "乙")]


@pytest.mark.parametrize(
    ("name", "source"), [("a.jsonl", "null\n"), ("a.json", '{"a": [], "b": {}}'), ("a.xml", "<r/>"), ("a.toml", "[a]\n")]
)
def test_names_that_no_text_stands_below_are_no_text(tmp_path: Path, name: str, source: str) -> None:
    with pytest.raises(Unreadable, match="holds no text"):
        reading(tmp_path, name, source)


def test_a_heading_above_headings_is_no_text_of_its_own() -> None:
    outline = Outline()
    outline.open(1, "Top", 1)
    outline.open(2, "Below", 1)
    outline.add(Block("paragraph", "x", 1))
    outline.open(2, "Leaf", 1)
    outline.open(1, "made", 1, "made up")
    assert outline.leaves() == [2]


def test_lines_of_a_file_without_blank_lines(tmp_path: Path) -> None:
    source = (
        "深度学习综述\n摘要\n本文综述了深度学习。\n1 引言\n神经网络在图像识别中得到了应用并且在\n"
        "2 个数据集上的实验中表现稳定而且领先\n其他方法。\n"
        "2 方法\n我们训练模型。\n"
    )
    document = reading(tmp_path, "a.txt", source)
    assert contents(document) == [
        ((), "paragraph", "深度学习综述"),
        (("摘要",), "paragraph", "本文综述了深度学习。"),
        (("1 引言",), "paragraph", "神经网络在图像识别中得到了应用并且在 2 个数据集上的实验中表现稳定而且领先其他方法。"),
        (("2 方法",), "paragraph", "我们训练模型。"),
    ]
    assert document.identity.abstract == "本文综述了深度学习。"


def test_blank_lines_part_paragraphs_where_there_are_some(tmp_path: Path) -> None:
    source = "Once upon a time there\n3 Bears and a girl ate\ntheir porridge.\n\nThe end of it came\n2 Days later at home.\n"
    assert texts(reading(tmp_path, "a.txt", source)) == [
        "Once upon a time there 3 Bears and a girl ate their porridge.",
        "The end of it came 2 Days later at home.",
    ]
