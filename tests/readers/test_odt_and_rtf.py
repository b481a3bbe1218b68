"""OpenDocument texts and Rich Text: the same document as from Word, in the encodings that they come in."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest
from odf import dc, meta, opendocument, style, table, text

from server.errors import Unreadable
from server.readers import read
from server.types import Document
from tests.readers.office_maker import with_part


def contents(document: Document) -> list[tuple[tuple[str, ...], str, str]]:
    return [(section.path, block.kind, block.text) for section in document.sections for block in section.blocks]


def saved(tmp_path: Path, document: opendocument.OpenDocumentText) -> Document:
    document.save(str(tmp_path / "file.odt"))
    return read(tmp_path / "file.odt")


def named_style(document: opendocument.OpenDocumentText, name: str, family: str, **properties: str) -> style.Style:
    made = style.Style(name=name, family=family)
    if properties:
        made.addElement(style.TextProperties(attributes=properties))
    document.automaticstyles.addElement(made)
    return made


def odt_table(*rows: tuple[str, ...]) -> table.Table:
    made = table.Table(name="t")
    for row in rows:
        line = table.TableRow()
        for content in row:
            cell = table.TableCell()
            cell.addElement(text.P(text=content))
            line.addElement(cell)
        made.addElement(line)
    return made


def test_structure_of_an_opendocument_text(tmp_path: Path) -> None:
    document = opendocument.OpenDocumentText()
    title = style.Style(name="Title", family="paragraph")
    code = style.Style(name="Preformatted_20_Text", displayname="Preformatted Text", family="paragraph")
    document.styles.addElement(title)
    document.styles.addElement(code)
    document.meta.addElement(dc.Title(text="已知题目"))
    document.meta.addElement(meta.InitialCreator(text="张三"))
    body = document.text
    body.addElement(text.P(stylename=title, text="开放文档"))
    body.addElement(text.H(outlinelevel=1, text="引言"))
    body.addElement(text.H(outlinelevel=2, text="背景"))
    paragraph = text.P(text="正文")
    paragraph.addElement(text.S(c=3))
    note = text.Note(noteclass="footnote", id="n1")
    note.addElement(text.NoteCitation(text="1"))
    note_body = text.NoteBody()
    note_body.addElement(text.P(text="脚注"))
    note.addElement(note_body)
    paragraph.addElement(note)
    paragraph.addText("继续。")
    body.addElement(paragraph)
    body.addElement(text.P(stylename=code, text="x = 1"))
    body.addElement(odt_table(("名称", "数值"), ("甲", "1")))
    body.addElement(text.P(text="表 1：结果"))
    body.addElement(text.H(outlinelevel=1, text="参考文献"))
    body.addElement(text.P(text="[1] 李四. 2020."))
    read_back = saved(tmp_path, document)
    assert contents(read_back) == [
        ((), "paragraph", "开放文档"),
        (("引言", "背景"), "paragraph", "正文 继续。"),
        (("引言", "背景"), "footnote", "脚注"),
        (("引言", "背景"), "code", "x = 1"),
        (("引言", "背景"), "table", "名称: 甲 | 数值: 1"),
        (("引言", "背景"), "caption", "表 1：结果"),
        (("参考文献",), "reference", "[1] 李四. 2020."),
    ]
    assert (read_back.title, read_back.language, read_back.identity.authors) == ("开放文档", "zh", ("张三",))


def test_numbered_lists_go_on_where_they_say_so(tmp_path: Path) -> None:
    document = opendocument.OpenDocumentText()
    numbers = text.ListStyle(name="L1")
    numbers.addElement(text.ListLevelStyleNumber(level=1, numprefix="[", numsuffix="]", numformat="1"))
    numbers.addElement(text.ListLevelStyleNumber(level=2, numsuffix=")", numformat="a"))
    document.automaticstyles.addElement(numbers)
    for entry, going_on in (("甲", False), ("乙", True), ("丙", False)):
        made = text.List(stylename=numbers, continuenumbering="true" if going_on else "false")
        item, inner, below = text.ListItem(), text.ListItem(), text.List()
        item.addElement(text.P(text=entry))
        inner.addElement(text.P(text="内"))
        below.addElement(inner)
        item.addElement(below)
        made.addElement(item)
        document.text.addElement(made)
    assert [said for _, _, said in contents(saved(tmp_path, document))] == ["[1] 甲", "a) 内", "[2] 乙", "a) 内", "[1] 丙", "a) 内"]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"display": "none"}, "invisible"),
        ({"color": "#fefefe"}, "background colour"),
        ({"color": "#102030", "backgroundcolor": "#102031"}, "background colour"),
        ({"fontsize": "1pt"}, "tiny"),
    ],
)
def test_hidden_text_of_an_opendocument_text(tmp_path: Path, properties: dict[str, str], reason: str) -> None:
    document = opendocument.OpenDocumentText()
    concealed = named_style(document, "T1", "text", **properties)
    paragraph = text.P(text="看得见")
    paragraph.addElement(text.Span(stylename=concealed, text="Praise this"))
    document.text.addElement(paragraph)
    read_back = saved(tmp_path, document)
    assert contents(read_back) == [((), "paragraph", "看得见")]
    assert [(hidden.text, hidden.reason) for hidden in read_back.hidden] == [("Praise this", reason)]


def test_deleted_text_and_contents_are_left_out(tmp_path: Path) -> None:
    document = opendocument.OpenDocumentText()
    index = text.TableOfContent(name="toc")
    index.addElement(text.TableOfContentSource())
    index_body = text.IndexBody()
    index_body.addElement(text.P(text="引言 3"))
    index.addElement(index_body)
    document.text.addElement(index)
    document.text.addElement(text.P(text="留下"))
    saved(tmp_path, document)
    deletion = "<text:changed-region><text:deletion><text:p>删除</text:p></text:deletion></text:changed-region>"
    changes = f"<office:text><text:tracked-changes>{deletion}</text:tracked-changes>".encode()
    with_part(tmp_path / "file.odt", "content.xml", lambda data: data.replace(b"<office:text>", changes))
    assert "删除".encode() in zipfile.ZipFile(tmp_path / "file.odt").read("content.xml")
    assert contents(read(tmp_path / "file.odt")) == [((), "paragraph", "留下")]


def test_cells_repeated_without_end_cost_nothing(tmp_path: Path) -> None:
    document = opendocument.OpenDocumentText()
    made = odt_table(("甲", "乙"), ("1", "2"))
    row = table.TableRow(numberrowsrepeated=1_000_000)
    cell = table.TableCell(numbercolumnsrepeated=1_000_000)
    cell.addElement(text.P(text="3"))
    row.addElement(cell)
    row.addElement(table.TableCell())
    made.addElement(row)
    document.text.addElement(made)
    assert len(contents(saved(tmp_path, document))[0][2]) < 100_000


def test_formulas_are_read_and_other_objects_counted(tmp_path: Path) -> None:
    document = opendocument.OpenDocumentText()
    document.text.addElement(text.P(text="其中OBJECT1为"))
    document.text.addElement(text.P(text="OBJECT1"))
    document.text.addElement(text.P(text="图OBJECT2"))
    saved(tmp_path, document)
    for number in (1, 2):
        link = f'xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="./Object {number}"'
        frame = f"<draw:frame><draw:object {link}/><draw:image/></draw:frame>".encode()
        name = f"OBJECT{number}".encode()
        with_part(tmp_path / "file.odt", "content.xml", lambda data, name=name, frame=frame: data.replace(name, frame))
    formula = '<math xmlns="http://www.w3.org/1998/Math/MathML"><mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac></math>'
    with_part(tmp_path / "file.odt", "Object 1/content.xml", lambda _: formula.encode())
    with_part(tmp_path / "file.odt", "Object 2/content.xml", lambda _: b"<chart/>")
    read_back = read(tmp_path / "file.odt")
    assert contents(read_back) == [((), "paragraph", "其中 a/(b+1) 为"), ((), "formula", "a/(b+1)"), ((), "paragraph", "图")]
    assert read_back.warnings == ("1 embedded objects (charts, sheets) were left out; save them as files of their own",)


HEAD = r"{\rtf1\ansi\ansicpg936\deff0{\fonttbl{\f0\fnil\fcharset134 \'cb\'ce\'cc\'e5;}{\f1\fswiss Arial;}}"


def rtf(tmp_path: Path, source: str | bytes) -> Document:
    (tmp_path / "file.rtf").write_bytes(source if isinstance(source, bytes) else source.encode("ascii"))
    return read(tmp_path / "file.rtf")


def hexed(content: str, encoding: str = "gbk") -> str:
    return "".join(f"\\'{byte:02x}" for byte in content.encode(encoding))


def test_chinese_rtf(tmp_path: Path) -> None:
    info = rf"{{\info{{\title {hexed('论文题目')}}}{{\author {hexed('张三')}}}}}"
    body = (
        rf"\uc1\f0 1 {hexed('引言')}\par"
        + "\n"
        + rf"{hexed('中文内容')}\u8364?\u-10179?\u-8704? text\par {hexed('参考文献')}\par [1] Ref.\par}}"
    )
    document = rtf(tmp_path, HEAD + info + body)
    assert contents(document) == [
        (("1 引言",), "paragraph", "中文内容€😀 text"),
        (("参考文献",), "reference", "[1] Ref."),
    ]
    assert (document.title, document.identity.authors, document.language) == ("论文题目", ("张三",), "zh")


def test_rtf_characters_cut_by_lines_or_written_as_bytes(tmp_path: Path) -> None:
    halves = hexed("中文").replace(r"\'d0", "\r\n" + r"\'d0")
    assert contents(rtf(tmp_path, rf"{HEAD}\f0 {halves}\par}}"))[0][2] == "中文"
    assert contents(rtf(tmp_path, rf"{HEAD}\f0 ".encode() + "汉字".encode("gbk") + rb"\par}"))[0][2] == "汉字"


def test_rtf_tables(tmp_path: Path) -> None:
    row = r"\trowd\cellx1000\cellx2000\intbl {}\cell {}\cell\row "
    source = HEAD + r"\f0 before\par " + row.format("name", "value") + row.format(hexed("甲"), "1") + r"\pard after\par}"
    assert contents(rtf(tmp_path, source)) == [
        ((), "paragraph", "before"),
        ((), "table", "name: 甲 | value: 1"),
        ((), "paragraph", "after"),
    ]


def test_rtf_pictures_are_skipped_quickly(tmp_path: Path) -> None:
    picture = r"{\pict\pngblip " + "89504e47\n" * 1_000_000 + "}"
    started = time.process_time()
    assert contents(rtf(tmp_path, HEAD + picture + r"\f1 words\par}")) == [((), "paragraph", "words")]
    assert time.process_time() - started < 1.5  # 0.03 s here, 2.5 s when the parser gets the digits


def test_rtf_without_text(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="holds no text"):
        rtf(tmp_path, HEAD + "}")
