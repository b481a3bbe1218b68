"""XML: journal articles, other vocabularies, attacks; e-books."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from reading import contents, reading, texts

from server.errors import Unreadable
from server.readers.web import epub
from server.types import Identity

ARTICLE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) 1.2//EN" "JATS.dtd" [<!ENTITY own "a ]] b">]>
<article xmlns:mml="http://www.w3.org/1998/Math/MathML" xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>
<article-id pub-id-type="pmid">123</article-id><article-id pub-id-type="doi">10.5555/XYZ</article-id>
<title-group><article-title>镭 &alpha; rays<xref>*</xref></article-title></title-group>
<contrib-group><contrib contrib-type="author"><name><surname>Curie</surname><given-names>Marie</given-names></name></contrib>
<contrib contrib-type="author"><name><surname>李</surname><given-names>雷</given-names></name></contrib>
<contrib contrib-type="editor"><name><surname>Ed</surname><given-names>I</given-names></name></contrib></contrib-group>
<pub-date><year>1901</year></pub-date><pub-date><month>12</month><year>1900</year></pub-date>
<abstract><p>We study 镭.</p></abstract><kwd-group><kwd>radium</kwd><kwd>镭</kwd></kwd-group></article-meta></front>
<body><sec><label>1</label><title>Intro</title>
<p>Text <xref>[1]</xref> with <inline-formula><mml:math><mml:mi>x</mml:mi></mml:math></inline-formula> &own;.</p>
<sec><title>Sub</title><p>Deep.</p>
<disp-formula><label>(1)</label><tex-math>\\begin{document}$$E=mc^2$$\\end{document}</tex-math></disp-formula></sec></sec>
<sec><title>Results</title><fig><label>Fig 1</label><caption><p>图。</p></caption></fig>
<table-wrap><label>Table 1</label><caption><p>Cap</p></caption>
<table><thead><tr><th>A</th><th>值</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>
<table-wrap-foot><p>note</p></table-wrap-foot></table-wrap></sec></body>
<back><ack><p>Thanks.</p></ack><fn-group><fn><p>A footnote.</p></fn></fn-group><ref-list><ref><label>1</label><element-citation>
<person-group><name><surname>Foo</surname> <given-names>B</given-names></name></person-group><year>1899</year></element-citation></ref>
<ref><mixed-citation>李雷。<italic>论文</italic>, 2001.</mixed-citation></ref></ref-list></back>
<sub-article><body><p>Review.</p></body></sub-article></article>"""


def test_journal_article(tmp_path: Path) -> None:
    document = reading(tmp_path, "article.xml", ARTICLE)
    assert contents(document) == [
        (("Abstract",), "paragraph", "We study 镭."),
        (("Abstract",), "paragraph", "Keywords: radium, 镭"),
        (("1 Intro",), "paragraph", "Text [1] with x own."),
        (("1 Intro", "Sub"), "paragraph", "Deep."),
        (("1 Intro", "Sub"), "formula", "E=mc^2 (1)"),
        (("Results",), "caption", "Fig 1 图。"),
        (("Results",), "caption", "Table 1 Cap"),
        (("Results",), "table", "A: 1 | 值: 2"),
        (("Results",), "paragraph", "note"),
        (("Acknowledgements",), "paragraph", "Thanks."),
        (("Acknowledgements",), "footnote", "A footnote."),
        (("References",), "reference", "1 Foo B 1899"),
        (("References",), "reference", "李雷。论文, 2001."),
    ]
    assert document.title == "镭 α rays"
    assert document.identity == Identity(("Marie Curie", "李雷"), "We study 镭.", 1900, "10.5555/xyz")
    assert document.warnings == ("reviews and replies printed with the article were left out",)


def test_other_xml_is_texts_with_paths_and_rows(tmp_path: Path) -> None:
    source = (
        '<lib 名="x"><book id="1"><title>甲</title><year>2001</year></book><note>mixed <b>text</b> here</note><a><b><c>深</c></b></a></lib>'
    )
    assert contents(reading(tmp_path, "lib.xml", source)) == [
        (("lib",), "paragraph", "lib: 名: x"),
        (("lib",), "table", "id: 1 | title: 甲 | year: 2001"),
        (("lib",), "paragraph", "note: mixed text here"),
        (("lib",), "paragraph", "a/b/c: 深"),
    ]


def test_xhtml_is_a_web_page(tmp_path: Path) -> None:
    source = '<?xml version="1.0" encoding="gbk"?><html xmlns="http://www.w3.org/1999/xhtml"><body><h1>中文</h1><p>text</p></body></html>'
    assert contents(reading(tmp_path, "page.xml", source.encode("gbk"))) == [(("中文",), "paragraph", "text")]


LAUGHS = "".join(f'<!ENTITY l{number} "{f"&l{number - 1};" * 10}">' for number in range(1, 10))


@pytest.mark.parametrize(
    "doctype",
    [
        f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>',
        '<!DOCTYPE a [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x; ]>',
        "",
    ],
)
def test_no_entity_is_expanded_or_fetched(tmp_path: Path, doctype: str) -> None:
    document = reading(tmp_path, "attack.xml", f'{doctype}<a><b c="&l9;">中</b><d>&l9; &eacute;&amp;</d></a>')
    assert texts(document) == ["b: 中 | b c: l9 | d: l9 é&"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<a><b></a>", "no well-formed XML: .*line 1"),
        ("just text 文", "no well-formed XML"),
        ("<a/>", "holds no text"),
        ("<a>" * 5000, "no well-formed XML"),
        ("<a " + " ".join(f"a{number}='1'" for number in range(5000)) + "/>", "more than 1000 attributes"),
        ('<!DOCTYPE a [<!ENTITY x "]>', "no well-formed XML"),
    ],
)
def test_bad_xml(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(tmp_path, "bad.xml", source)


CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
PACKAGE = """<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>书名</dc:title><dc:creator>Li, Lei</dc:creator>
<dc:date>2001-05-06</dc:date><dc:identifier>urn:doi:10.5555/Book</dc:identifier>
<dc:description>&lt;p&gt;About 书&lt;/p&gt;</dc:description></metadata>
<manifest><item id="a" href="a%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="b" href="text/b.xhtml" media-type="application/xhtml+xml"/>
<item id="i" href="i.png" media-type="image/png"/><item id="m" href="missing.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="b"/><itemref idref="a"/><itemref idref="m"/><itemref idref="b"/></spine></package>"""
CHAPTERS = {
    "META-INF/container.xml": CONTAINER,
    "OEBPS/content.opf": PACKAGE,
    "OEBPS/a b.xhtml": "<html><body><h1>第二章</h1><h2>节</h2><p>Second 二.</p></body></html>",
    "OEBPS/text/b.xhtml": "<html><head><title>Preface</title></head><body><p>First 一.</p><p hidden>secret</p></body></html>",
}


def book(parts: Mapping[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_book(tmp_path: Path) -> None:
    document = reading(tmp_path, "book.epub", book(CHAPTERS))
    assert contents(document) == [(("Preface",), "paragraph", "First 一."), (("第二章", "节"), "paragraph", "Second 二.")]
    assert (document.title, document.identity) == ("书名", Identity(("Lei Li",), "About 书", 2001, "10.5555/book"))
    assert document.warnings == ("1 chapters are missing in the file: missing.xhtml",)
    assert [text.text for text in document.hidden] == ["secret"]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({}, "no META-INF/container.xml"),
        ({"META-INF/container.xml": "<a>"}, "no well-formed XML"),
        ({"META-INF/container.xml": CONTAINER}, "does not say where its contents are"),
        ({**CHAPTERS, "META-INF/encryption.xml": "<encryption><EncryptedKey/></encryption>"}, "DRM"),
        ({**CHAPTERS, "OEBPS/a b.xhtml": b" " * (epub.MAX_CHAPTER + 1)}, "unpacks to more than"),
    ],
)
def test_bad_book(tmp_path: Path, parts: Mapping[str, str | bytes], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(tmp_path, "bad.epub", book(parts))


def test_notes_and_contents_of_a_book(tmp_path: Path) -> None:
    contents_page = '<section epub:type="toc"><h1>Contents</h1><a href="a.xhtml">Chapter one of the book</a></section>'
    chapter = (
        '<h1>一</h1><p>Text.<a epub:type="noteref" href="#n">1</a></p>'
        '<aside epub:type="footnote"><p>1 Note <a href="#r">back</a></p></aside>'
        '<nav epub:type="landmarks"><ol><li><a href="a.xhtml">Begin</a></li></ol></nav>'
    )
    parts = {
        **CHAPTERS,
        "OEBPS/text/b.xhtml": f"<html><body>{contents_page}</body></html>",
        "OEBPS/a b.xhtml": f"<html><body>{chapter}</body></html>",
    }
    found = contents(reading(tmp_path, "notes.epub", book(parts)))
    assert [text for text in found if text[0] == ("一",)] == [(("一",), "paragraph", "Text.1"), (("一",), "footnote", "1 Note back")]
    assert "Chapter one of the book" not in [text for _, _, text in found]


def test_no_zip_is_no_book(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no e-book although it is named"):
        reading(tmp_path, "bad.epub", book(CHAPTERS)[:300])
