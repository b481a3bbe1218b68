"""Word files: columns made of tables, linked lists, signs of symbol fonts, accents in formulas, boxes in boxes, charts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from reading import contents, texts

from server.readers import read
from server.readers.office.symbols import symbol_text
from server.types import Document
from tests.readers.office_maker import with_part

W = nsdecls("w")
MATH = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def made(tmp_path: Path, fill: Callable[[Any], None]) -> Document:
    document = docx.Document()
    fill(document)
    document.save(str(tmp_path / "a.docx"))
    return read(tmp_path / "a.docx")


def add(document: Any, xml: str) -> None:
    document.element.body.insert(len(document.element.body) - 1, parse_xml(xml))


def test_columns_of_a_page_made_of_a_table_are_running_text(tmp_path: Path) -> None:
    def fill(document: Any) -> None:
        left, right = document.add_table(1, 2).rows[0].cells
        left.text = "左栏"
        left.add_paragraph("方法部分", style="Heading 2")
        left.add_paragraph("更多。")
        right.text = "右栏"

    assert contents(made(tmp_path, fill)) == [
        ((), "paragraph", "左栏"),
        (("方法部分",), "paragraph", "更多。"),
        (("方法部分",), "paragraph", "右栏"),
    ]


def test_a_framed_table_with_headings_in_its_cells_stays_a_table(tmp_path: Path) -> None:
    def fill(document: Any) -> None:
        table = document.add_table(2, 2, style="Table Grid")
        for at, content in enumerate(("a", "b", "1", "2")):
            table.cell(at // 2, at % 2).text = content
        table.cell(0, 0).paragraphs[0].style = "Heading 2"
        table.cell(0, 0).add_paragraph("unit")

    assert contents(made(tmp_path, fill)) == [((), "table", "a unit: 1 | b: 2")]


def test_lists_that_take_their_numbers_from_a_list_style(tmp_path: Path) -> None:
    def fill(document: Any) -> None:
        numbering = document.part.numbering_part.element
        level = '<w:lvl w:ilvl="0"><w:start w:val="4"/><w:numFmt w:val="decimal"/><w:lvlText w:val="(%1)"/></w:lvl>'
        numbering.insert(0, parse_xml(f'<w:abstractNum {W} w:abstractNumId="90"><w:numStyleLink w:val="My"/></w:abstractNum>'))
        numbering.insert(0, parse_xml(f'<w:abstractNum {W} w:abstractNumId="91"><w:styleLink w:val="My"/>{level}</w:abstractNum>'))
        numbering.append(parse_xml(f'<w:num {W} w:numId="90"><w:abstractNumId w:val="90"/></w:num>'))
        for content in "甲乙":
            properties = document.add_paragraph(content)._p.get_or_add_pPr()
            properties.append(parse_xml(f'<w:numPr {W}><w:ilvl w:val="0"/><w:numId w:val="90"/></w:numPr>'))

    assert texts(made(tmp_path, fill)) == ["(4) 甲", "(5) 乙"]


def test_signs_of_symbol_fonts(tmp_path: Path) -> None:
    def fill(document: Any) -> None:
        add(
            document,
            f"""<w:p {W}><w:r><w:sym w:font="Wingdings" w:char="F0E0"/><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>
            <w:r><w:rPr><w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/></w:rPr><w:t>\uf0a3\uf0de</w:t></w:r>
            <w:r><w:t>\uf0a3</w:t><w:sym w:font="My Own" w:char="F041"/><w:sym w:font="Arial" w:char="0416"/></w:r></w:p>""",
        )

    assert texts(made(tmp_path, fill)) == ["→✓≤⇒\uf0a3\ufffdЖ"]


@pytest.mark.parametrize(
    ("code", "font", "shown"),
    [(0xF044, "Symbol", "Δ"), (0x6D, "Symbol", "μ"), (0xF02D, "symbol", "−"), (0xF0A8, "Wingdings", "◻"), (0xF0E0, "Webdings", "\ufffd")],
)
def test_symbols(code: int, font: str, shown: str) -> None:
    assert symbol_text(code, font) == shown


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("<m:acc><m:e>{x}</m:e></m:acc>", "x\u0302"),
        ('<m:acc><m:accPr><m:chr m:val="\u20d7"/></m:accPr><m:e>{x}{y}</m:e></m:acc>', "(xy)\u20d7"),
        ('<m:bar><m:barPr><m:pos m:val="top"/></m:barPr><m:e>{x}</m:e></m:bar>', "x\u0304"),
        ("<m:limLow><m:e>{x}</m:e><m:lim>{y}{x}</m:lim></m:limLow>", "x_yx"),
        ("<m:limUpp><m:e>{x}</m:e><m:lim>{y}</m:lim></m:limUpp>", "x^y"),
        ("<m:sPre><m:sub>{x}</m:sub><m:sup>{y}</m:sup><m:e>{x}</m:e></m:sPre>", "_x^yx"),
        ("<m:func><m:fName>{x}</m:fName><m:e>{y}</m:e></m:func>", "x y"),
    ],
)
def test_what_stands_above_and_below_in_formulas(tmp_path: Path, formula: str, said: str) -> None:
    inner = formula.format(x="<m:r><m:t>x</m:t></m:r>", y="<m:r><m:t>y</m:t></m:r>")
    document = made(tmp_path, lambda document: add(document, f"<w:p {W} {MATH}><m:oMath>{inner}</m:oMath></w:p>"))
    assert contents(document) == [((), "formula", said)]


def test_a_box_in_a_box_is_read_once(tmp_path: Path) -> None:
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    inner = "<w:drawing><w:txbxContent><w:p><w:r><w:t>内</w:t></w:r></w:p></w:txbxContent></w:drawing>"
    either = f"<mc:AlternateContent><mc:Choice>{inner}</mc:Choice><mc:Fallback>{inner}</mc:Fallback></mc:AlternateContent>"
    outer = f"<w:drawing><w:txbxContent><w:p><w:r><w:t>外</w:t>{inner}</w:r></w:p></w:txbxContent>{either}</w:drawing>"
    assert texts(made(tmp_path, lambda document: add(document, f"<w:p {W} {mc}><w:r>{outer}</w:r></w:p>"))) == ["外", "内", "内"]


def test_charts_show_their_values(tmp_path: Path) -> None:
    c = 'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    drawing = f'<w:drawing><c:chart {c} xmlns:r="{rel}" r:id="rC"/></w:drawing>'
    made(tmp_path, lambda document: add(document, f"<w:p {W}><w:r><w:t>见图。</w:t>{drawing}</w:r></w:p>"))
    points = "".join(f'<c:pt idx="{at}"><c:v>{{}}</c:v></c:pt>' for at in (0, 1))
    series = (
        "<c:ser><c:tx><c:v>销量</c:v></c:tx><c:cat><c:strCache>" + points.format("一月", "二月") + "</c:strCache></c:cat>"
        "<c:val><c:numCache>" + points.format("0.30000000000000004", "2") + "</c:numCache></c:val></c:ser>"
    )
    title = "<c:title><c:tx><c:rich><a:p><a:r><a:t>图 1 销量</a:t></a:r></a:p></c:rich></c:tx></c:title>"
    chart = f"<c:chartSpace {c}><c:chart>{title}<c:plotArea>{series}</c:plotArea></c:chart></c:chartSpace>"
    link = f'<Relationship Id="rC" Type="{rel}/chart" Target="charts/chart1.xml"/></Relationships>'
    path = with_part(tmp_path / "a.docx", "word/charts/chart1.xml", lambda _: chart.encode())
    with_part(path, "word/_rels/document.xml.rels", lambda data: data.replace(b"</Relationships>", link.encode()))
    assert contents(read(path)) == [
        ((), "paragraph", "见图。"),
        ((), "caption", "图 1 销量"),
        ((), "table", "一月 | 销量: 0.3\n二月 | 销量: 2"),
    ]
