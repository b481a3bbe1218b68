"""10⁵ is not read as 105: superscripts of PDF, Word, OpenDocument, Rich Text and PowerPoint."""

from __future__ import annotations

from pathlib import Path

import docx
import pptx
import pymupdf
import pytest
from docx.enum.style import WD_STYLE_TYPE
from odf import opendocument, style, text
from pdf_maker import Put, make_pdf
from pptx.util import Inches
from reading import reading, texts

from server.readers import read

SAID = ["10^-3 of 10^5 cells, CO2, 1st, see3"]


def test_word(tmp_path: Path) -> None:
    document = docx.Document()
    named = document.styles.add_style("Power", WD_STYLE_TYPE.CHARACTER)
    named.font.superscript = True
    paragraph = document.add_paragraph("10")
    for sign in ("−", "3"):  # one superscript in two runs
        paragraph.add_run(sign).font.superscript = True
    paragraph.add_run(" of 10")
    paragraph.add_run("5", style=named)
    paragraph.add_run(" cells, CO")
    paragraph.add_run("2").font.subscript = True
    paragraph.add_run(", 1")
    paragraph.add_run("st").font.superscript = True
    paragraph.add_run(", see")
    paragraph.add_run("3").font.superscript = True
    document.save(str(tmp_path / "a.docx"))
    assert texts(read(tmp_path / "a.docx")) == SAID


@pytest.mark.parametrize(("up", "down"), [("super 58%", "sub 58%"), ("33% 58%", "-33% 58%")])
def test_opendocument(tmp_path: Path, up: str, down: str) -> None:
    document = opendocument.OpenDocumentText()
    for name, place in (("up", up), ("down", down)):
        made = style.Style(name=name, family="text")
        made.addElement(style.TextProperties(textposition=place))
        document.automaticstyles.addElement(made)
    paragraph = text.P(text="10")
    for name, content in (("up", "−"), ("up", "3"), ("", " of 10"), ("up", "5"), ("", " cells, CO"), ("down", "2"), ("", ", 1")):
        paragraph.addElement(text.Span(stylename=name, text=content) if name else text.Span(text=content))
    for name, content in (("up", "st"), ("", ", see"), ("up", "3")):
        paragraph.addElement(text.Span(stylename=name, text=content) if name else text.Span(text=content))
    document.text.addElement(paragraph)
    document.save(str(tmp_path / "a.odt"))
    assert texts(read(tmp_path / "a.odt")) == SAID


def test_rich_text(tmp_path: Path) -> None:
    source = r"{\rtf1\ansi 10{\super \u8722?}{\super 3} of 10\super 5\nosupersub  cells, CO{\sub 2}, 1{\super st}, see{\up6 3}\par}"
    assert texts(reading(tmp_path, "a.rtf", source)) == SAID


def test_powerpoint(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    frames = [slide.shapes.add_textbox(0, 0, Inches(3), Inches(1)).text_frame]
    frames.append(slide.shapes.add_table(1, 1, 0, Inches(3), Inches(3), Inches(1)).table.cell(0, 0).text_frame)
    pieces = (("10", 0), ("−", 30000), ("3", 30000), (" of 10", 0), ("5", 30000), (" cells, CO", 0), ("2", -25000), (", 1", 0))
    for frame in frames:
        for content, baseline in (*pieces, ("st", 30000), (", see", 0), ("3", 30000)):
            run = frame.paragraphs[0].add_run()
            run.text = content
            run.font._element.set("baseline", str(baseline))
    presentation.save(str(tmp_path / "a.pptx"))
    assert texts(read(tmp_path / "a.pptx")) == SAID * 2


def printed(pieces: list[tuple[str, float]]) -> list[Put]:
    """Pieces of one line side by side, each so many points above the baseline; raised and lowered ones are smaller."""
    puts, x = [], 72.0
    for piece, rise in pieces:
        size = 7 if rise else 10
        puts.append(Put(piece, x, 100 - rise, size))
        x += pymupdf.get_text_length(piece, fontname="helv", fontsize=size)
    return puts


@pytest.mark.parametrize("drawn", ["in place", "last"])  # those drawn last come as lines of their own
@pytest.mark.parametrize("rise", [3.3, 4.5])
def test_pdf(tmp_path: Path, rise: float, drawn: str) -> None:
    sample = [
        ("About 10", 0),
        ("-", rise),
        ("34", rise),
        (" of 10", 0),
        ("5", rise),
        (" cells, CO", 0),
        ("2", -2),
        (", 1", 0),
        ("st", rise),
    ]
    sample += [(", seen", 0), ("3", rise), (", in 2019", 0), ("1", rise), (" (see it)", 0), ("1", rise), (" and (a + b)", 0), ("2", rise)]
    puts = printed(sample)
    make_pdf(tmp_path / "a.pdf", sorted(puts, key=lambda put: put.size == 7) if drawn == "last" else puts)
    (block,) = [block for section in read(tmp_path / "a.pdf").sections for block in section.blocks]
    assert block.text == "About 10^-34 of 10^5 cells, CO2, 1st, seen3, in 2019^1 (see it)1 and (a + b)^2"
    with pymupdf.open(tmp_path / "a.pdf") as source:
        for span in block.spans:
            shown = source[0].get_textbox(pymupdf.Rect(span.x0, span.y0, span.x1, span.y1))
            assert block.text[span.start : span.end].replace("^", "") in "".join(shown.split())
