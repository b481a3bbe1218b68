"""XML of articles: texts that must not be glued or torn, formulas in titles and captions, sets of articles, TEI, DocBook."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import contents, reading, texts

from server.types import Identity

TEX = (
    "<inline-formula><alternatives><tex-math>\\documentclass[12pt]{minimal} \\begin{document}$$x_1$$\\end{document}</tex-math>"
    "<math><mi>x</mi></math></alternatives></inline-formula>"
)
META = (
    f"<front><article-meta><title-group><article-title>Effects at {TEX}<xref ref-type='fn'>*</xref></article-title></title-group>"
    "<abstract><sec><title>Aim</title><p>We studied it.</p></sec><sec><title>Way</title><p>We used 10<sup>5</sup> cells.</p></sec>"
    "</abstract></article-meta><notes><title>Data availability</title><p>On request.</p></notes></front>"
)


def article(body: str, back: str = "", meta: str = META) -> str:
    return f"<article>{meta}<body>{body}</body><back>{back}</back></article>"


def test_title_and_abstract_of_an_article(tmp_path: Path) -> None:
    document = reading(tmp_path, "a.xml", article("<sec><title>See <xref ref-type='fig'>Fig 1</xref></title><p>Text.</p></sec>"))
    assert document.title == "Effects at x_1"
    assert document.identity.abstract == "We studied it. We used 10^5 cells."
    assert contents(document) == [
        (("Abstract", "Aim"), "paragraph", "We studied it."),
        (("Abstract", "Way"), "paragraph", "We used 10^5 cells."),
        (("See Fig 1",), "paragraph", "Text."),
        (("Data availability",), "paragraph", "On request."),
    ]


def test_captions_cells_and_notes(tmp_path: Path) -> None:
    caption = f"<caption><title>Curves.</title><p>Of {TEX} (see <xref>Table 2</xref>).</p></caption>"
    rows = f"<tr><th>Arm</th><th>n</th></tr><tr><td>A<break/>B</td><td>{TEX} &lt; 10<sup>-2</sup><fn><p>Inner.</p></fn></td></tr>"
    foot = "<table-wrap-foot><p>All.</p><fn><label>a</label><p>Note one.</p></fn><fn><label>b</label>Note two.</fn></table-wrap-foot>"
    body = f"<fig><label>Fig 1</label>{caption}</fig><table-wrap><label>Table 1</label><table>{rows}</table>{foot}</table-wrap>"
    document = reading(tmp_path, "a.xml", article(body, "<fn-group><fn><label>1</label><p>Footnote.</p></fn></fn-group>", ""))
    assert [text[1:] for text in contents(document)] == [
        ("caption", "Fig 1 Curves. Of x_1 (see Table 2)."),
        ("caption", "Table 1"),
        ("table", "Arm: A B | n: x_1 < 10^-2"),
        ("footnote", "Inner."),
        ("paragraph", "All."),
        ("footnote", "a Note one."),
        ("footnote", "b Note two."),
        ("footnote", "1 Footnote."),
    ]


def test_paragraphs_of_an_article(tmp_path: Path) -> None:
    body = (
        f"<p>We used<fn><p>From A.</p></fn> 10<sup>5</sup> in 2019<sup><xref>3</xref></sup> with {TEX}.<break/>Next.</p>"
        "<list><list-item><label>1.</label><p>first</p></list-item></list>"
    )
    assert [text[1:] for text in contents(reading(tmp_path, "a.xml", article(body, "", "")))] == [
        ("paragraph", "We used 10^5 in 2019 3 with x_1. Next."),
        ("footnote", "From A."),
        ("paragraph", "1. first"),
    ]


def test_display_formula_without_tex_has_its_number_once(tmp_path: Path) -> None:
    formula = "<disp-formula><label>(1)</label><math><mfrac><mi>a</mi><mi>b</mi></mfrac></math></disp-formula>"
    assert texts(reading(tmp_path, "a.xml", article(f"<p>So{formula}</p>", "", ""))) == ["So", "a/b (1)"]


def test_references_as_printed_or_field_by_field(tmp_path: Path) -> None:
    mixed = (
        f"<mixed-citation><name><surname>Foo</surname>, <given-names>B</given-names></name>. On {TEX}, <year>1899</year>.</mixed-citation>"
    )
    fields = f"<element-citation><name><surname>Foo</surname><given-names>B</given-names></name><article-title>On {TEX}</article-title>"
    back = (
        f"<ref-list><ref>{mixed}</ref><ref>{fields}<year>1899</year></element-citation></ref>"
        f"<ref><citation-alternatives>{fields}</element-citation>{mixed}</citation-alternatives></ref></ref-list>"
    )
    assert texts(reading(tmp_path, "a.xml", article("", back, ""))) == [
        "Foo, B. On x_1, 1899.",
        "Foo B On x_1 1899",
        "Foo, B. On x_1, 1899.",
    ]


def test_every_article_of_a_set_is_read(tmp_path: Path) -> None:
    plain = META.replace("Effects at", "Another study of").replace("<notes>", "<notes hidden='1'>")
    source = f"<pmc-articleset>{article('<sec><title>Intro</title><p>One.</p></sec>')}{article('<p>Two.</p>', '', plain)}</pmc-articleset>"
    document = reading(tmp_path, "set.xml", source)
    assert [(path, text) for path, _, text in contents(document) if text in ("One.", "Two.")] == [
        (("Effects at x_1", "Intro"), "One."),
        (("Another study of x_1", "Abstract", "Way"), "Two."),
    ]
    assert document.title == "set"
    assert document.identity == Identity(abstract="2 articles: Effects at x_1; Another study of x_1")


TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt><title>论文 title</title></titleStmt><sourceDesc>
<biblStruct><analytic><author><persName><forename>Marie</forename><surname>Curie</surname></persName></author>
<idno type="DOI">10.5555/X</idno></analytic>
<monogr><imprint><date type="published" when="2019-03"/></imprint></monogr></biblStruct></sourceDesc></fileDesc>
<profileDesc><abstract><p>We study it.</p></abstract></profileDesc></teiHeader><text><body>
<div><head n="1">Introduction</head><p>First <ref>[1]</ref> of <title>Nature</title>,<lb/>10<hi
rend="superscript">5</hi>.<note n="2">A note.</note></p>
<p>Second.</p><div><head>1.1 Data</head><formula>a = b<label>(1)</label></formula><p>With <formula>x</formula> in it.</p></div></div>
<figure><head>Fig. 1</head><figDesc>A curve.</figDesc></figure>
<figure type="table"><head>Table 1</head><table><row role="label"><cell>10</cell><cell>20</cell></row>
<row><cell rows="1">1</cell><cell>2</cell></row></table></figure></body>
<back><div type="acknowledgement"><p>Thanks.</p></div><div type="references"><listBibl><biblStruct><analytic>
<title>On radium</title></analytic>
<monogr><imprint><date when="1900"/></imprint></monogr></biblStruct><bibl>Foo, B. 1899.</bibl></listBibl></div></back></text></TEI>"""


def test_tei(tmp_path: Path) -> None:
    document = reading(tmp_path, "tei.xml", TEI)
    assert contents(document) == [
        (("Abstract",), "paragraph", "We study it."),
        (("1 Introduction",), "paragraph", "First [1] of Nature, 10^5."),
        (("1 Introduction",), "footnote", "2 A note."),
        (("1 Introduction",), "paragraph", "Second."),
        (("1 Introduction", "1.1 Data"), "formula", "a = b (1)"),
        (("1 Introduction", "1.1 Data"), "paragraph", "With x in it."),
        (("1 Introduction", "1.1 Data"), "caption", "Fig. 1 A curve."),
        (("1 Introduction", "1.1 Data"), "caption", "Table 1"),
        (("1 Introduction", "1.1 Data"), "table", "10: 1 | 20: 2"),
        (("Acknowledgements",), "paragraph", "Thanks."),
        (("References",), "reference", "On radium 1900"),
        (("References",), "reference", "Foo, B. 1899."),
    ]
    assert document.title == "论文 title"
    assert document.identity == Identity(("Marie Curie",), "We study it.", 2019, "10.5555/x")


DOCBOOK = """<book xmlns="http://docbook.org/ns/docbook"><info><title>Manual</title><author><personname><firstname>Marie</firstname>
<surname>Curie</surname></personname></author><pubdate>2001</pubdate></info><chapter><title>Start</title><para>Type <command>make</command>.
<footnote><para>Or not.</para></footnote></para><section><info><title>Deep</title></info><para>A <citetitle>book</citetitle>.</para>
<itemizedlist><listitem><para>one</para></listitem><listitem><para>two</para></listitem></itemizedlist>
<programlisting>x = 1
  y</programlisting><note><title>Note</title><para>Careful.</para></note>
<table><title>Values</title><tgroup cols="3"><thead><row><entry>A</entry><entry namest="c2" nameend="c3">B</entry></row></thead>
<tbody><row><entry>1</entry><entry>2</entry><entry>3</entry></row></tbody></tgroup></table></section></chapter></book>"""


def test_docbook(tmp_path: Path) -> None:
    document = reading(tmp_path, "book.xml", DOCBOOK)
    assert contents(document) == [
        (("Start",), "paragraph", "Type make."),
        (("Start",), "footnote", "Or not."),
        (("Start", "Deep"), "paragraph", "A book."),
        (("Start", "Deep"), "paragraph", "one"),
        (("Start", "Deep"), "paragraph", "two"),
        (("Start", "Deep"), "code", "x = 1\n  y"),
        (("Start", "Deep"), "paragraph", "Note"),
        (("Start", "Deep"), "paragraph", "Careful."),
        (("Start", "Deep"), "caption", "Values"),
        (("Start", "Deep"), "table", "A: 1 | B: 2 | B: 3"),
    ]
    assert (document.title, document.identity) == ("Manual", Identity(("Marie Curie",), year=2001))


@pytest.mark.parametrize("source", ["<article><title>T</title><a>中</a></article>", "<TEIX><p>中</p></TEIX>"])
def test_other_vocabularies_stay_texts_with_paths(tmp_path: Path, source: str) -> None:
    assert texts(reading(tmp_path, "x.xml", source))[0].endswith("中")
