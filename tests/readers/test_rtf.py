"""Rich Text: what nobody sees, notes, fonts with encodings of their own, styles, lists, tables, formulas; nothing takes long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from reading import contents, reading, texts

from server.errors import Unreadable
from server.readers.office.rtf_source import RtfText
from server.types import Document

FONTS = (
    r"{\fonttbl{\f0\froman Times;}{\f1\fnil\fcharset134 SimSun;}{\f2\fcharset204 Arial;}{\f3\fcharset2 Wingdings;}{\f4\fcharset2 Symbol;}}"
)
COLOURS = r"{\colortbl;\red255\green255\blue255;\red0\green0\blue0;}"
STYLES = r"{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}{\s2 heading 2;}{\s3 Title;}{\s4 toc 1;}{\s5 Plain Text;}}"
HEAD = rf"{{\rtf1\ansi\ansicpg1252\deff0{FONTS}{COLOURS}{STYLES}"


def rtf(tmp_path: Path, body: str) -> Document:
    return reading(tmp_path, "a.rtf", HEAD + body + "}")


@pytest.mark.parametrize(
    ("concealed", "reason"),
    [
        (r"{\v secret}", "invisible"),
        (r"\v secret\v0 ", "invisible"),
        (r"{\deleted secret}", "invisible"),
        (r"{\cf1 secret}", "background colour"),
        (r"{\fs2 secret}", "tiny"),
    ],
)
def test_what_nobody_sees_is_reported(tmp_path: Path, concealed: str, reason: str) -> None:
    document = rtf(tmp_path, rf"Seen {concealed}and {{\v more}} kept.\par")
    assert texts(document) == ["Seen and kept."]
    assert [(each.text, each.reason) for each in document.hidden] == [("secret", reason), ("more", "invisible")]


@pytest.mark.parametrize(
    "ground", [r"{\chcbpat2\cf1 white}", r"\pard\cbpat2 {\cf1 white}", r"\trowd\cellx1\cellx2\intbl{\cf1 white}\cell x\cell\row"]
)
def test_white_text_on_a_dark_ground_is_seen(tmp_path: Path, ground: str) -> None:
    document = rtf(tmp_path, ground + r"\pard\par")
    assert document.hidden == ()
    assert "white" in texts(document)[0]


def test_notes_and_boxes_stand_after_their_paragraph(tmp_path: Path) -> None:
    box = r"{\shp{\*\shpinst{\sp{\sn name}{\sv value}}{\shptxt Boxed.\par}}{\shprslt Boxed.\par}}"
    body = rf"Before{{\footnote\pard A \b note\b0.\par Its end.}}{{\*\footnote Two.}} {box}after.\par{{\header Top}}Next.\par"
    assert [(kind, text) for _, kind, text in contents(rtf(tmp_path, body))] == [
        ("paragraph", "Before after."),
        ("footnote", "A note. Its end."),
        ("footnote", "Two."),
        ("paragraph", "Boxed."),
        ("paragraph", "Next."),
    ]


def test_each_font_in_its_own_encoding(tmp_path: Path) -> None:
    body = r"{\f1 \'d6\'d0\'ce\'c4} caf\'e9 {\f2\'cc\'e8\'f0} {\f3\'e0} {\f4 a\'b3b \u-3999?} \'93q\'94 {\f1\'81A}\par"
    assert texts(rtf(tmp_path, body)) == ["中文 café Мир → α≥β α “q” " + b"\x81A".decode("gb18030")]


def test_characters_by_number_skip_what_stands_for_them(tmp_path: Path) -> None:
    assert texts(rtf(tmp_path, r"\uc2\u20013\'d6\'d0{\uc1\u25991?}\uc0\u-10179\u-8704 \uc1\u8212\bin3 xyz-x\par")) == ["中文😀—x"]


def test_styles_and_lists(tmp_path: Path) -> None:
    body = (
        r"\pard\s3 A title\par\pard\s1 Introduction to it\par\pard Text.\par\pard\s2{\listtext\pard 1.1\tab}Deep\par"
        r"\pard{\listtext\pard 1.\tab}\ls1 Buy milk\par\pard{\pntext\f4\'b7\tab}Dot\par"
        r"\pard\s4 Introduction 3\par\pard{\field{\*\fldinst TOC \\o}{\fldrslt Deep 4\par}}\pard\outlinelevel0 Last\par\pard x "
        r'{\field{\*\fldinst HYPERLINK "u"}{\fldrslt link}}\par'
    )
    document = rtf(tmp_path, body)
    assert contents(document) == [
        ((), "paragraph", "A title"),
        (("Introduction to it",), "paragraph", "Text."),
        (("Introduction to it", "1.1 Deep"), "paragraph", "1. Buy milk"),
        (("Introduction to it", "1.1 Deep"), "paragraph", "• Dot"),
        (("Last",), "paragraph", "x link"),
    ]
    assert document.title == "A title"


def test_an_item_that_a_list_numbers_is_no_heading(tmp_path: Path) -> None:
    source = r"{\rtf1\ansi{\listtext 1.\tab}Buy milk\par It is out.\par 1. Aims\par Text.\par}"
    assert contents(reading(tmp_path, "a.rtf", source)) == [
        ((), "paragraph", "1. Buy milk"),
        ((), "paragraph", "It is out."),
        (("1. Aims",), "paragraph", "Text."),
    ]


def test_tables(tmp_path: Path) -> None:
    row = r"\trowd\cellx1{}\cellx2\pard\intbl {}\cell {}\cell\row "
    body = row.format("", "Group", "Sex") + row.format(r"\clvmgf", r"Treated\par twice", "m") + row.format(r"", "", "f")
    body = body.replace(r"\trowd\cellx1\cellx2\pard\intbl \cell f", r"\trowd\clvmrg\cellx1\cellx2\pard\intbl \cell f")
    body += r"\pard The probability is |x|\par |y|\par\trowd\cellx1\intbl One column\par only.\cell\row"
    assert [(kind, text) for _, kind, text in contents(rtf(tmp_path, body))] == [
        ("table", "Group: Treated twice | Sex: m\nGroup: Treated twice | Sex: f"),
        ("paragraph", "The probability is |x|"),
        ("paragraph", "|y|"),
        ("paragraph", "One column"),
        ("paragraph", "only."),
    ]


def test_formulas(tmp_path: Path) -> None:
    fraction = r"{\mf{\mfPr{\mctrlPr}}{\mnum{\mr\mscr0 a+b}}{\mden{\mr c}}}"
    total = r"{\mnary{\mnaryPr{\mchr \u8721?}}{\msub{\mr i}}{\msup{\mr n}}{\me{\mr x}}}"
    body = rf"{{\mmath{{\*\moMath{{\mr y=}}{fraction}}}}}\par sum {{\mmath{{\*\moMath{total}}}}}\par"
    assert [(kind, text) for _, kind, text in contents(rtf(tmp_path, body))] == [("formula", "y=(a+b)/c"), ("paragraph", "sum ∑_i^n x")]


def test_groups_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="more than 1000 groups in each other"):
        rtf(tmp_path, "{" * 5000)


@pytest.mark.parametrize(
    "body", [r"\v a\b b" * 20_000, r"\super a\b b" * 20_000, r"{\info{\title " + r"a\b b" * 20_000 + "}}", r"\intbl a\cell " * 20_000]
)
def test_time_is_linear(body: str) -> None:
    started = time.process_time()
    RtfText(HEAD + body)
    assert time.process_time() - started < 3  # 0.3 s here
