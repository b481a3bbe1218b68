"""Small office files with Chinese content, made with the libraries that write them: folder -> path."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import openpyxl
import pptx
import xlwt
from odf import opendocument, text

RTF = (
    r"{\rtf1\ansi\ansicpg936\deff0{\fonttbl{\f0\fnil\fcharset134 \'cb\'ce\'cc\'e5;}}\uc1\f0 1 \'d2\'fd\'d1\'d4\par"
    "\n"
    r"\'d6\'d0\'ce\'c4\'c4\'da\'c8\'dd\par}"
)


def make_docx(folder: Path) -> Path:
    document = docx.Document()
    document.add_heading("引言", 1)
    document.add_paragraph("正文内容。")
    table = document.add_table(2, 2)
    for place, content in enumerate(("名称", "数值", "甲", "1")):
        table.cell(place // 2, place % 2).text = content
    document.save(str(folder / "file.docx"))
    return folder / "file.docx"


def make_pptx(folder: Path) -> Path:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[0])
    slide.shapes.title.text = "标题页"
    slide.placeholders[1].text = "正文内容"
    presentation.save(str(folder / "file.pptx"))
    return folder / "file.pptx"


def make_xlsx(folder: Path) -> Path:
    workbook = openpyxl.Workbook()
    for row in (("名称", "数值"), ("甲", 1.5), ("乙", 2)):
        workbook.active.append(row)
    workbook.save(folder / "file.xlsx")
    return folder / "file.xlsx"


def make_xls(folder: Path) -> Path:
    workbook = xlwt.Workbook(encoding="utf-8")
    sheet = workbook.add_sheet("数据")
    for number, row in enumerate((("名称", "数值"), ("甲", 1.5), ("乙", 2))):
        for column, value in enumerate(row):
            sheet.write(number, column, value)
    workbook.save(str(folder / "file.xls"))
    return folder / "file.xls"


def make_odt(folder: Path) -> Path:
    document = opendocument.OpenDocumentText()
    document.text.addElement(text.H(outlinelevel=1, text="引言"))
    document.text.addElement(text.P(text="正文内容。"))
    document.save(str(folder / "file.odt"))
    return folder / "file.odt"


def make_rtf(folder: Path) -> Path:
    (folder / "file.rtf").write_text(RTF, encoding="ascii")
    return folder / "file.rtf"


MAKERS: dict[str, Callable[[Path], Path]] = {
    ".docx": make_docx,
    ".pptx": make_pptx,
    ".xlsx": make_xlsx,
    ".xls": make_xls,
    ".odt": make_odt,
    ".rtf": make_rtf,
}
MAIN_PARTS = {".docx": "word/document.xml", ".pptx": "ppt/slides/slide1.xml", ".xlsx": "xl/worksheets/sheet1.xml", ".odt": "content.xml"}


def with_part(path: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """The same container with one part changed, in place."""
    with zipfile.ZipFile(path) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    parts[name] = change(parts.get(name, b""))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in parts.items():
            archive.writestr(each, data)
    return path
