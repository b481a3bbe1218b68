"""Web pages: what must not be lost in headers and asides, powers, notes, formulas without TeX, buttons, gutters, text that fades in."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import contents, reading, texts

LINKS = '<p><a href="a">Anna Lee and some more</a>, <a href="b">Bo Wu of the institute</a></p>'


def test_a_header_keeps_its_title_beside_links(tmp_path: Path) -> None:
    page = '<header><h1>How GANs work</h1>Posted on <a href="d">March 3, 2020</a> by <a href="a">Alice Admin</a></header><p>Text.'
    assert contents(reading(tmp_path, "h.html", page)) == [
        (("How GANs work",), "paragraph", "Posted on March 3, 2020 by Alice Admin"),
        (("How GANs work",), "paragraph", "Text."),
    ]


def test_a_header_keeps_its_headings_where_its_links_go(tmp_path: Path) -> None:
    page = f"<header><h1>Title</h1>{LINKS}<h2>Abstract</h2></header><p>Text."
    assert contents(reading(tmp_path, "h.html", page)) == [(("Title", "Abstract"), "paragraph", "Text.")]
    authors = '<header><h1>Paper title</h1><p><a href="a">Anna Lee</a>,\n\n\n <a href="b">Bo Wu</a></p><h2>Abstract</h2></header><p>Text.'
    assert texts(reading(tmp_path, "a.html", authors)) == ["Anna Lee, Bo Wu", "Text."]


def test_an_aside_keeps_its_table_code_and_caption(tmp_path: Path) -> None:
    box = "<h2>Box 1</h2><table><caption>T</caption><tr><th>a<th>b<tr><td>1<td>2</table><pre>x = 1</pre>"
    page = f"<h1>T</h1><p>Text.</p><aside>{box}{LINKS}{LINKS}<h2>More posts</h2>{LINKS}</aside><p>More."
    assert contents(reading(tmp_path, "a.html", page)) == [
        (("T",), "paragraph", "Text."),
        (("T", "Box 1"), "caption", "T"),
        (("T", "Box 1"), "table", "a: 1 | b: 2"),
        (("T", "Box 1"), "code", "x = 1"),
        (("T", "Box 1"), "paragraph", "More."),
    ]


def test_text_of_tables_and_headings_counts_but_white_space_does_not(tmp_path: Path) -> None:
    table = "<table><tr><th>Model<th>Score<tr><td>first<td>0.5</table>"
    assert texts(reading(tmp_path, "t.html", f'<aside>{table}<p><a href="x">See more facts</a></p></aside>')) == [
        "Model: first | Score: 0.5",
        "See more facts",
    ]
    page = f'<header><h1>GANs</h1>by <a href="a">{" " * 40}Anna Lee</a></header><p>Text.'
    assert texts(reading(tmp_path, "w.html", page)) == ["by Anna Lee", "Text."]


def test_links_that_are_gone_do_not_count_again(tmp_path: Path) -> None:
    page = f'<header><div class="menu">{LINKS * 5}</div><p>A subtitle by <a href="a">Anna Lee</a></p></header><p>Text.'
    assert texts(reading(tmp_path, "m.html", page)) == ["A subtitle by Anna Lee", "Text."]


def test_related_work_is_no_menu(tmp_path: Path) -> None:
    page = '<section id="related_work"><h2>Related Work</h2><ul><li><a href="1">Smith, A paper, 2020</a></ul></section>'
    assert texts(reading(tmp_path, "r.html", page)) == ["Smith, A paper, 2020"]
    assert texts(reading(tmp_path, "s.html", page.replace("related_work", "related_posts") + "<p>Text.")) == ["Text."]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("10<sup>5</sup> cells at 10<sup>−3</sup> mol", "10^5 cells at 10^-3 mol"),
        ("(1 + x)<sup>2</sup>", "(1 + x)^2"),
        ("the 1<sup>st</sup> word<sup>2</sup> of <sup>14</sup>C", "the 1st word2 of 14C"),
        ('rose to 42<sup><a href="#n">3</a></sup>', "rose to 42 3"),
        ('rose to 42<a href="#n"><sup>3</sup></a>', "rose to 42 3"),
        ('rose to 42<sup class="reference">3</sup>', "rose to 42 3"),
        ("10<sup><b>5</b></sup>", "10^5"),
    ],
)
def test_powers_are_not_digits(tmp_path: Path, markup: str, text: str) -> None:
    assert texts(reading(tmp_path, "p.html", f"<p>{markup}</p><table><tr><td>{markup}<td>x</table>")) == [text, f"{text} | x"]


MARK = '<sup class="ltx_note_mark">1</sup>'
TAG = '<span class="ltx_tag ltx_tag_note">1</span>'
CONTENT = f'<span class="ltx_note_outer"><span class="ltx_note_content">{MARK}{TAG}Code is there.</span></span>'
NOTE = f'<span class="ltx_note ltx_role_footnote">{MARK}{CONTENT}</span>'


def test_notes_of_latexml_follow_their_paragraph(tmp_path: Path) -> None:
    plain = NOTE.replace(' class="ltx_note_mark"', "").replace(TAG, "")
    page = f"<h1>T{NOTE}</h1><p>We train the model{NOTE} on GPUs.</p><p>Again{plain}.</p><table><tr><td>a{NOTE}<td>b</table>"
    assert contents(reading(tmp_path, "n.html", page)) == [
        (("T",), "footnote", "1 Code is there."),
        (("T",), "paragraph", "We train the model on GPUs."),
        (("T",), "footnote", "1 Code is there."),
        (("T",), "paragraph", "Again."),
        (("T",), "footnote", "1 Code is there."),
        (("T",), "table", "a | b"),
        (("T",), "footnote", "1 Code is there."),
    ]


def test_marks_behind_headings_are_left_out(tmp_path: Path) -> None:
    edit = '<span class="mw-editsection">[<a href="e">edit</a>]</span>'
    page = f'<h2><span class="mw-headline">History</span>{edit}</h2><p>x</p><h2>Use<a class="headerlink" href="#u">¶</a></h2><p>y</p>'
    assert [section.path for section in reading(tmp_path, "w.html", page).sections] == [("History",), ("Use",)]


def test_parts_of_a_reference_of_latexml_are_apart(tmp_path: Path) -> None:
    item = '<li class="ltx_bibitem"><span class="ltx_tag">[1]</span>'
    item += '<span class="ltx_bibblock">Ba.</span><span class="ltx_bibblock">Norm.</span>'
    assert contents(reading(tmp_path, "b.html", f"<ul>{item}</ul>")) == [((), "reference", "[1] Ba. Norm.")]


@pytest.mark.parametrize(
    ("mathml", "text"),
    [
        (
            "<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac><mo>=</mo><msup><mi>x</mi><mn>2</mn></msup>",
            "a/(b+1)=x^2",
        ),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup><mi>y</mi><msub><mi>z</mi><mn>10</mn></msub>", "x_i^2 yz_10"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt><mroot><mi>y</mi><mn>3</mn></mroot>", "√(x+1)3√y"),
        (
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>sin</mi><mi>x</mi>",
            "∑_(i=1)^n sin x",
        ),
        ("<mover><mi>x</mi><mo>¯</mo></mover><msup><mi>f</mi><mo>′</mo></msup>", "x̄f′"),
        ("<mtable>\n<mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mi>a</mi></mtd><mtd/></mtr></mtable>", "1, 2; a"),
        ("<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mo>=</mo><mi>b</mi></mtd></mtr></mtable>", "a=b"),
        ("<mfenced open='['><mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac></mfenced>", "[(n; k))"),
        ("<mmultiscripts><mi>C</mi><mprescripts/><mn>6</mn><mn>14</mn></mmultiscripts>", "_6^14C"),
        ("<mrow>" * 1500 + "<mi>x</mi>" + "</mrow>" * 1500, "x"),
    ],
)
def test_formulas_without_tex_keep_their_structure(tmp_path: Path, mathml: str, text: str) -> None:
    assert texts(reading(tmp_path, "f.html", f"<p><math>{mathml}</math></p>")) == [text]


def test_buttons_are_read_in_headings_and_sentences_only(tmp_path: Path) -> None:
    page = (
        "<h3><button>How do I cite?</button><button>Copy link</button></h3><p>Use the DOI.</p><button>Like</button>"
        "<p>Authors: <button>Ann Lee</button>, <button>Bo Wu</button> <button>Show more</button></p>"
    )
    assert contents(reading(tmp_path, "b.html", page)) == [
        (("How do I cite?",), "paragraph", "Use the DOI."),
        (("How do I cite?",), "paragraph", "Authors: Ann Lee, Bo Wu"),
    ]


@pytest.mark.parametrize(
    "code",
    [
        '<pre><span class="lineno">1</span>code();<button>Copy</button></pre>',
        '<pre><span style="user-select: none">$ </span>code();</pre>',
        "<style>.no {-webkit-user-select: none}</style><pre><span class=no>12</span>code();</pre>",
        '<table><tr><td class="linenos"><pre>1\n2</pre></td><td><pre>code();</pre></td></table>',
        '<pre><code style="user-select: none">code();</code></pre>',
        '<pre><b class="gutter">code();</b></pre>',
        '<pre>code();<i style="display:none">seen by machines</i></pre>',
    ],
)
def test_code_is_read_without_gutters_and_buttons(tmp_path: Path, code: str) -> None:
    document = reading(tmp_path, "c.html", code)
    assert contents(document) == [((), "code", "code();")]
    assert [text.text for text in document.hidden] == (["seen by machines"] if "machines" in code else [])


def test_an_article_that_fades_in_is_read(tmp_path: Path) -> None:
    article = "<h1>Title</h1><p>The whole article, which a script lets appear.</p><p hidden>never</p>"
    page = f'<p>Menu</p><article style="opacity:0">{article}</article>'
    document = reading(tmp_path, "f.html", page)
    assert texts(document) == ["Menu", "The whole article, which a script lets appear."]
    assert [text.text for text in document.hidden] == ["never"]
    assert "nearly all text of the page is transparent" in document.warnings[0]


def test_chinese_in_gbk_behind_a_long_head(tmp_path: Path) -> None:
    page = f"<html><head><title>深度</title><script>{'var x = 1; ' * 8000}</script></head><body><p>深度学习是机器学习的一个分支。</p>"
    document = reading(tmp_path, "g.html", page.encode("gbk"))
    assert (document.title, texts(document)) == ("深度", ["深度学习是机器学习的一个分支。"])
