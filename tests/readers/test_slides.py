"""PowerPoint files: slides as sections, reading order, tables, charts, diagrams, notes, what is off or hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from server.errors import Unreadable
from server.readers import read
from server.types import Box, Document
from tests.readers.office_maker import make_pptx, with_part

TITLE_ONLY = 5


def contents(document: Document) -> list[tuple[str, int, str, str]]:
    return [(section.path[-1], block.page, block.kind, block.text) for section in document.sections for block in section.blocks]


def add_slide(presentation: Any, title: str) -> Any:
    slide = presentation.slides.add_slide(presentation.slide_layouts[TITLE_ONLY])
    slide.shapes.title.text = title
    return slide


def add_box(shapes: Any, left: float, top: float, text: str) -> Any:
    box = shapes.add_textbox(Inches(left), Inches(top), Inches(2), Inches(0.5))
    box.text_frame.text = text
    return box


def saved(tmp_path: Path, presentation: Any) -> Document:
    presentation.save(str(tmp_path / "talk.pptx"))
    return read(tmp_path / "talk.pptx")


def test_texts_in_reading_order_and_notes(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    slide = add_slide(presentation, "结果")
    add_box(slide.shapes, 5, 2, "右")
    add_box(slide.shapes, 1, 4, "下\n第二段")
    add_box(slide.shapes, 1, 2.05, "左\v换行")
    group = slide.shapes.add_group_shape()
    add_box(group.shapes, 6, 5, "组右")
    add_box(group.shapes, 1, 5, "组左")
    slide.notes_slide.notes_text_frame.text = "演讲备注"
    add_slide(presentation, "只有标题")
    document = saved(tmp_path, presentation)
    assert contents(document) == [
        ("结果", 1, "paragraph", "左换行"),
        ("结果", 1, "paragraph", "右"),
        ("结果", 1, "paragraph", "下"),
        ("结果", 1, "paragraph", "第二段"),
        ("结果", 1, "paragraph", "组左"),
        ("结果", 1, "paragraph", "组右"),
        ("结果", 1, "footnote", "演讲备注"),
        ("只有标题", 2, "paragraph", "只有标题"),
    ]
    assert (document.title, document.pages, document.language) == ("结果", 2, "zh")


def test_tables_and_charts(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    slide = add_slide(presentation, "数据")
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for place, text in enumerate(("方法", "F1", "甲", "0.5")):
        table.cell(place // 2, place % 2).text = text
    data = CategoryChartData()
    data.categories = ["一月", "二月"]
    data.add_series("销量", (0.1 + 0.2, 2))
    data.add_series("成本", (None, 1))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(4), Inches(4), Inches(2), data)
    assert contents(saved(tmp_path, presentation)) == [
        ("数据", 1, "table", "方法: 甲 | F1: 0.5"),
        ("数据", 1, "table", "一月 | 销量: 0.3\n二月 | 销量: 2 | 成本: 1"),
    ]


def test_hidden_slides_keep_their_numbers(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    for title in ("一", "二", "三", ""):
        add_slide(presentation, title)
    presentation.slides[1].element.set("show", "0")
    document = saved(tmp_path, presentation)
    assert [(section.path[-1], section.page) for section in document.sections] == [("一", 1), ("三", 3), ("Slide 4", 4)]
    assert document.pages == 4
    assert document.warnings == ("hidden slides were left out: 2", "slides without text: 4")


def test_what_is_off_the_slide_or_hidden_is_reported(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    slide = add_slide(presentation, "题")
    add_box(slide.shapes, 1, -3, "上面")
    add_box(slide.shapes, 1, 3, "隐形").element.nvSpPr.cNvPr.set("hidden", "1")
    add_box(slide.shapes, 1, 2, "可见")
    document = saved(tmp_path, presentation)
    assert contents(document) == [("题", 1, "paragraph", "可见")]
    assert [(each.text, each.reason, each.box) for each in document.hidden] == [
        ("上面", "off the page", Box(1, 72, -216, 216, -180)),
        ("隐形", "invisible", Box(1, 72, 216, 216, 252)),
    ]


def test_diagrams_and_shapes_in_newer_markup(tmp_path: Path) -> None:
    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    frame = (
        f'<p:graphicFrame xmlns:d="{drawing}/diagram">'
        '<p:nvGraphicFramePr><p:cNvPr id="9" name="d"/><p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr>'
        '<p:xfrm><a:off x="0" y="3000000"/><a:ext cx="1" cy="1"/></p:xfrm>'
        f'<a:graphic><a:graphicData uri="{drawing}/diagram"><d:relIds r:dm="rD"/></a:graphicData></a:graphic></p:graphicFrame>'
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><mc:Choice Requires="a14">'
        "<p:sp><p:txBody>"
        "<a:p><a:r><a:t>公式 x</a:t></a:r></a:p></p:txBody></p:sp></mc:Choice></mc:AlternateContent></p:spTree>"
    )
    points = f'<m xmlns="{drawing}/diagram" xmlns:a="{drawing}/main"><pt><t><a:p><a:r><a:t>步骤一</a:t></a:r></a:p></t></pt></m>'
    link = b'<Relationship Id="rD" Type="http://x/diagramData" Target="../diagrams/data1.xml"/></Relationships>'
    path = make_pptx(tmp_path)
    with_part(path, "ppt/slides/slide1.xml", lambda data: data.replace(b"</p:spTree>", frame.encode()))
    with_part(path, "ppt/slides/_rels/slide1.xml.rels", lambda data: data.replace(b"</Relationships>", link))
    with_part(path, "ppt/diagrams/data1.xml", lambda _: points.encode())
    assert [text for _, _, _, text in contents(read(path))] == ["步骤一", "正文内容", "公式 x"]


@pytest.mark.parametrize(
    ("title", "author", "authors"),
    [("A talk", "Grace Hopper", ("Grace Hopper",)), ("PowerPoint Presentation", "Grace Hopper", ()), ("A talk", "Steve Canny", ())],
)
def test_authors(tmp_path: Path, title: str, author: str, authors: tuple[str, ...]) -> None:
    presentation = pptx.Presentation()
    add_slide(presentation, "题")
    presentation.core_properties.title, presentation.core_properties.author = title, author
    assert saved(tmp_path, presentation).identity.authors == authors


def test_references_slide(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    add_box(add_slide(presentation, "参考文献").shapes, 1, 2, "[1] 张三. 2020.")
    assert contents(saved(tmp_path, presentation)) == [("参考文献", 1, "reference", "[1] 张三. 2020.")]


def test_presentation_without_text(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    add_slide(presentation, "")
    with pytest.raises(Unreadable, match="holds no text"):
        saved(tmp_path, presentation)
