"""Which paper a PDF is, read from pages typeset after the styles of many publishers."""

from __future__ import annotations

import re
import textwrap
import time
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reading_identity import LIBRARY, longest_common, rouge_l, table, title_form, tokens
from server.readers import read
from server.readers.identifiers import arxiv_in, normal_doi
from server.readers.names import names_in
from server.readers.pdf.identity.metadata import xmp_values
from server.readers.pdf.identity.paper import front_of, identity_of
from server.readers.pdf.page import page_lines
from server.readers.pdf.text import Vocabulary
from tests.readers.front_layouts import ABSTRACT, LAYOUTS, open_access
from tests.readers.front_layouts_more import MORE_LAYOUTS, structured_over_a_page_end
from tests.readers.front_pages import Text, centred, one_column, paragraph, typeset

ALL = {**LAYOUTS, **MORE_LAYOUTS}


@pytest.mark.parametrize("layout", ALL, ids=lambda layout: layout.__name__)
def test_front_page_of_a_publisher_is_understood(layout, tmp_path: Path) -> None:
    title, authors, year, doi, arxiv_id, abstract = ALL[layout]
    document = read(layout(tmp_path / "paper.pdf"))
    identity = document.identity
    assert (document.title, identity.authors, identity.doi, identity.arxiv_id) == (title, authors, doi, arxiv_id)
    if year is not None:
        assert identity.year == year
    if abstract is not None:
        assert identity.abstract.replace(" ", "") == abstract.replace(" ", "")


def test_structured_abstract_is_whole_over_a_page_end(tmp_path: Path) -> None:
    abstract = read(structured_over_a_page_end(tmp_path / "paper.pdf")).identity.abstract
    assert abstract.startswith("Background: The samples")
    assert abstract.endswith("Conclusions: Bark matters most of all.")
    assert "Methods: " in abstract
    assert "Results: " in abstract
    assert "Keywords" not in abstract


def test_structured_abstract_with_headings_of_its_own_keeps_them(tmp_path: Path) -> None:
    abstract = read(open_access(tmp_path / "paper.pdf")).identity.abstract
    assert abstract.startswith("Background: Rivers carry wood")
    assert " Methods and findings: Here we follow" in abstract
    assert " Conclusions: The depth at which" in abstract
    assert abstract.endswith("and it grows with the depth of the water.")
    assert "Introduction" not in abstract


def front(*texts: Text) -> list[Text]:
    """A paper's first page: title, author, abstract, running text, and `texts`."""
    return [
        centred("Logs in the surf of three cold coasts", 90, 16, "tibo"),
        centred("Jane A. Smith and Wei Zhang", 115, 11),
        Text("Abstract", 72, 160, 12, "tibo"),
        *paragraph(ABSTRACT, 72, 178, 523),
        Text("1 Introduction", 72, 260, 12, "tibo"),
        *[text for text in one_column(280) if text.y < 740],
        *texts,
    ]


XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{doctype}
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>Smith, Jane A.</rdf:li><rdf:li>Zhang, Wei</rdf:li></rdf:Seq></dc:creator>
<prism:doi>10.1234/RIVERS.55</prism:doi></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def test_xmp_gives_what_the_page_does_not_print(tmp_path: Path) -> None:
    texts = [text for text in front() if "Jane" not in text.text]
    shown = [*texts, Text("J. A. Smith: Jane A. Smith runs the lab; Wei Zhang counts.", 72, 790, 8)]
    document = read(typeset(tmp_path / "xmp.pdf", shown, xmp=XMP.format(title="Logs in the surf of three cold coasts", doctype="")))
    assert document.identity.doi == "10.1234/rivers.55"
    assert document.identity.authors == ("Jane A. Smith", "Wei Zhang")  # both stand on the page
    hidden = read(typeset(tmp_path / "unseen.pdf", texts, xmp=XMP.format(title="Quite another thing", doctype="")))
    assert hidden.identity.authors == ()
    assert hidden.title == "Logs in the surf of three cold coasts"


def test_publishers_entries_in_the_info_dictionary_are_heard(tmp_path: Path) -> None:
    own = {"arXivID": "https://arxiv.org/abs/2101.01234v2", "DOI": "https://doi.org/10.48550/arXiv.2101.01234"}
    identity = read(typeset(tmp_path / "own.pdf", front(), own=own)).identity
    assert (identity.arxiv_id, identity.doi) == ("2101.01234v2", "10.48550/arxiv.2101.01234")


@pytest.mark.parametrize(
    "packet",
    [
        XMP.format(title="&lol;", doctype='<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY lol "&a;&a;&a;&a;">]>'),
        XMP.format(title="x", doctype="")[:300],
        "<" * 1000,
        "no XML at all",
    ],
    ids=["entities", "cut off", "brackets", "text"],
)
def test_xmp_that_is_hostile_or_broken_is_as_good_as_none(tmp_path: Path, packet: str) -> None:
    document = read(typeset(tmp_path / "bad.pdf", front(), xmp=packet))
    assert document.title == "Logs in the surf of three cold coasts"
    assert document.identity.doi == ""
    assert xmp_values(packet) == {}


@pytest.mark.parametrize(
    ("line", "doi"),
    [
        ("https://doi.org/10.1000/own.7.", "10.1000/own.7"),
        ("DOI: 10.1016/S0140-6736(20)30183-5", "10.1016/s0140-6736(20)30183-5"),
        ("The data are archived at https://doi.org/10.5061/dryad.1234.", ""),
        ("Code is available at https://example.org - DOI 10.5281/zenodo.99.", ""),
        ("[3] W. Zhang. Wood. Rivers 2011. doi:10.1000/other.1", ""),
        ("This article is a comment on https://doi.org/10.1000/other.2", ""),
    ],
)
def test_doi_is_the_papers_own(tmp_path: Path, line: str, doi: str) -> None:
    assert read(typeset(tmp_path / "doi.pdf", front(Text(line, 72, 800, 8)))).identity.doi == doi


def test_doi_broken_at_a_line_end_is_whole(tmp_path: Path) -> None:
    foot = (
        Text("Smith and Zhang (2021). Logs in the surf. Rivers, 7(76), 239. https://doi.org/10.1000/", 72, 795, 8),
        Text("rivers.00239.", 72, 805, 8),
    )
    identity = read(typeset(tmp_path / "broken.pdf", front(*foot))).identity
    assert identity.doi == "10.1000/rivers.00239"
    assert identity.year == 2021


@pytest.mark.parametrize(
    ("lines", "year"),
    [
        (["Received 3 May 2017; accepted 2 June 2018", "Published: 14 July 2019"], 2019),
        (["Received 3 May 2017; accepted 2 June 2018"], 2018),
        (["Submitted: 3 May 2017"], 2017),
        (["© 2016 The Authors"], 2016),
        (["收稿日期：2014-03-01", "出版日期：2015年3月"], 2015),
        (["Smith and Zhang, Rivers 12 (3), 1-9 (2013)"], 2013),
        (["1 See also the Journal of Logs 12(3), 1998."], 2020),
        (["In this we follow Zhang (1998), as does Hansen (2001)."], 2020),  # cited; the file's own date is left
    ],
)
def test_year_is_that_of_publication(tmp_path: Path, lines: list[str], year: int) -> None:
    foot = [Text(line, 72, 790 + 10 * at, 8) for at, line in enumerate(lines)]
    info = {"creationDate": "D:20200102030405Z"}
    assert read(typeset(tmp_path / "year.pdf", front(*foot), info=info)).identity.year == year


def test_mark_of_a_footnote_is_no_part_of_the_title(tmp_path: Path) -> None:
    texts = [text._replace(text="Logs in the surf of three cold coasts^1^") if text.size == 16 else text for text in front()]
    note = Text("^1^ We thank the crew.", 72, 790, 8)
    assert read(typeset(tmp_path / "note.pdf", [*texts, note])).title == "Logs in the surf of three cold coasts"
    texts = [text._replace(text="Counting logs with bark2vec and wood2") if text.size == 16 else text for text in front()]
    assert read(typeset(tmp_path / "name.pdf", texts)).title == "Counting logs with bark2vec and wood2"


def test_title_broken_by_a_hyphen_is_joined_and_subtitle_belongs_to_it(tmp_path: Path) -> None:
    texts = [
        centred("Multilevel settling of wood in strati-", 80, 18, "tibo"),
        centred("fied water:", 100, 18, "tibo"),
        centred("Observations From Three Winters", 118, 13),
        centred("Jane A. Smith", 150, 11),
        *[text._replace(y=text.y + 30) for text in front() if 120 < text.y < 700],
        Text("In stratified water the winters and the observations differ.", 72, 770),
    ]
    document = read(typeset(tmp_path / "title.pdf", texts))
    assert document.title == "Multilevel settling of wood in stratified water: Observations From Three Winters"
    assert document.identity.authors == ("Jane A. Smith",)


def test_file_without_a_title_is_named_by_its_file(tmp_path: Path) -> None:
    document = read(typeset(tmp_path / "scribble.pdf", one_column(72)))
    assert document.title == "scribble"
    assert document.identity.authors == ()
    assert document.identity.abstract == ""


@pytest.mark.parametrize(
    ("printed", "names"),
    [
        ("Jane A. Smith1,*, Ole Sørensen2 and María García-López1,2", ("Jane A. Smith", "Ole Sørensen", "María García-López")),
        ("Jane Smitha,b,*, John Doeb", ("Jane Smith", "John Doe")),
        ("Jane Smith, Senior Member, IEEE, and J.-P. d’Alembert, PhD", ("Jane Smith", "J.-P. d’Alembert")),
        ("Ludwig van der Berg, Martin King, Jr.", ("Ludwig van der Berg", "Martin King Jr.")),
        ("Prof. Dr. Jana Müller und Dr. Ole Hansen", ("Jana Müller", "Ole Hansen")),
        ("Jane Smith (jane@example.org), 0000-0002-1825-0097, Wei Zhang", ("Jane Smith", "Wei Zhang")),
        ("张 伟1)，李晓明1),2)，欧阳静2)", ("张伟", "李晓明", "欧阳静")),
        ("吴荣华∗", ("吴荣华",)),
        ("崔青松 (Qingsong Cui)", ("崔青松",)),
        ("University of the North, Oulu, Finland", ()),
        ("Department of Hydrology", ()),
        ("TODO: Author names", ()),
        ("匿名作者", ()),
        ("独立研究员", ()),
        ("项目组", ()),
        ("The project team", ()),
        ("July 28, 2023", ()),
        ("", ()),
    ],
)
def test_names_are_split_and_bare(printed: str, names: tuple[str, ...]) -> None:
    assert names_in(printed) == names


@given(st.text(max_size=300))
def test_any_text_gives_clean_names_or_none(text: str) -> None:
    for name in names_in(text):
        assert name == " ".join(name.split())
        assert len(name) <= 80
        assert not any(char.isdigit() or char in ",;@*†‡§()[]" for char in name)


@given(st.text(max_size=200) | st.builds("{}10.1234/{}{}".format, st.text(max_size=20), st.text(max_size=40), st.text(max_size=20)))
def test_any_text_gives_a_normal_doi_or_none(text: str) -> None:
    doi = normal_doi(text)
    assert normal_doi(doi) == doi
    if doi:
        assert doi == doi.lower()
        assert doi.startswith("10.1234/") or "10." in text
        assert doi.isascii()
        assert doi[-1] not in ".,;:'\"!?>}]|"


@given(st.text(max_size=400))
def test_any_text_gives_an_arxiv_identifier_or_none(text: str) -> None:
    for arxiv_id in (arxiv_in(text), arxiv_in(f"{text} arXiv:2101.01234v2 [cs.LG]")):
        assert arxiv_id == "" or arxiv_in(f"arXiv:{arxiv_id}") == arxiv_id


@pytest.mark.parametrize(
    ("text", "arxiv_id"),
    [
        ("arXiv:2101.01234v2 [cs.LG] 3 Jan 2021", "2101.01234v2"),
        ("arXiv:hep-th/9901001v1 5 Jan 1999", "hep-th/9901001v1"),
        ("https://arxiv.org/abs/0704.0001", "0704.0001"),
        ("10.48550/arXiv.2101.01234", "2101.01234"),
        ("the repository 0807.4260", ""),
    ],
)
def test_arxiv_identifier_is_found(text: str, arxiv_id: str) -> None:
    assert arxiv_in(text) == arxiv_id


MANY = (
    "Jane A. Smith^1^, Wei Zhang^2^, Ole B. Hansen^1^, Kari Nieminen^3^, Ana García^4^, Jana Müller^2^, Grace Long^1^, Will Young^3^, "
    "Xiaoming Li^4^, Martin King^2^, Pedro de la Cruz^1,5^, Mary O'Neil^2^ and Hans van der Berg^1^"
)


def plain_front(title: str, authors: list[str], *, subtitle: str = "") -> list[Text]:
    """A title of one line, lines of authors close below it, an introduction."""
    texts = [centred(title, 90, 16, "tibo"), *([centred(subtitle, 108, 13)] if subtitle else [])]
    texts += [centred(line, texts[-1].y + 27 + 13 * at, 11) for at, line in enumerate(authors)]
    return [*texts, Text("1 Introduction", 72, 260, 12, "tibo"), *one_column(280), *one_column(72, page=1)]


def test_long_list_of_authors_is_read_over_its_line_ends(tmp_path: Path) -> None:
    document = read(typeset(tmp_path / "many.pdf", plain_front("Logs in the surf", textwrap.wrap(MANY, 80))))
    assert document.title == "Logs in the surf"
    assert len(document.identity.authors) == 13
    assert document.identity.authors[5:8] == (
        "Jana Müller",
        "Grace Long",
        "Will Young",
    )  # "Jana" ends a line; will, long and young are words
    assert document.identity.authors[10:] == ("Pedro de la Cruz", "Mary O'Neil", "Hans van der Berg")


def test_title_of_one_word_and_authors_before_their_addresses(tmp_path: Path) -> None:
    rows = ["Jane Smith, University of the North", "Wei Zhang, River College"]
    document = read(typeset(tmp_path / "word.pdf", plain_front("Driftwood", rows)))
    assert document.title == "Driftwood"
    assert document.identity.authors == ("Jane Smith", "Wei Zhang")


def test_one_large_word_and_its_subtitle_are_one_title(tmp_path: Path) -> None:
    document = read(typeset(tmp_path / "sub.pdf", plain_front("Logs", ["Jane A. Smith"], subtitle="A cultural history of driftwood")))
    assert document.title == "Logs A cultural history of driftwood"
    assert document.identity.authors == ("Jane A. Smith",)


def test_chinese_subtitle_after_a_dash_belongs_to_the_title(tmp_path: Path) -> None:
    texts = plain_front("基于树皮图像的漂木识别方法", ["王小红，李建国"], subtitle="——以北方河流为例")
    document = read(typeset(tmp_path / "zh.pdf", texts))
    assert document.title == "基于树皮图像的漂木识别方法——以北方河流为例"
    assert document.identity.authors == ("王小红", "李建国")


def test_groups_places_and_words_of_the_text_are_no_authors(tmp_path: Path) -> None:
    rows = ["The Driftwood Collaboration", "Older Model and Small Effect", "Central Valley, California", "(Dated: May 4, 2019)"]
    identity = read(typeset(tmp_path / "group.pdf", plain_front("Logs in the surf of three cold coasts", rows))).identity
    assert identity.authors == ()
    assert identity.year == 2019


def test_page_turned_for_display_is_read_alike(tmp_path: Path) -> None:
    path = typeset(tmp_path / "upright.pdf", front())
    with pymupdf.open(path) as source:
        for page in source:
            page.set_rotation(90)
        source.save(tmp_path / "turned.pdf")
    turned, upright = read(tmp_path / "turned.pdf"), read(path)
    assert turned.title == upright.title == "Logs in the surf of three cold coasts"
    assert turned.identity == upright.identity
    assert turned.identity.abstract == ABSTRACT


def test_running_text_without_headings_costs_no_more_than_a_moment(tmp_path: Path) -> None:
    path = typeset(
        tmp_path / "text.pdf", [centred("Logs in the surf of three cold coasts", 60, 16), *one_column(80), *one_column(60, page=1)]
    )
    with pymupdf.open(path) as source:
        pages = [page_lines(page, number) for number, page in enumerate(source, 1)]
        started = time.process_time()
        identity_of(front_of(source, pages, Vocabulary(pages)), (), "en")
        assert time.process_time() - started < 0.2  # 0.01 measured


def test_samples_of_this_repository_are_understood() -> None:
    folder = Path(__file__).resolve().parents[2] / "knowledge_base" / "samples" / "content"
    papers = {path.stem: read(path) for path in folder.glob("*.pdf")}
    assert {name: paper.title for name, paper in papers.items()} == {
        "chinese-passage-retrieval": "中文论文段落检索：字符二元组、重叠窗口与中英混合库的加权",
        "crash-safe-ingestion": "Crash-Safe Ingestion: One Transaction a File and Vectors That Can Be Thrown Away",
        "hybrid-retrieval-fusion": "Fusing Words and Vectors: Hybrid Retrieval over Research Papers on Two CPU Cores",
        "local-llm-serving-zh": "在两个 CPU 核上提供本地大语言模型服务：首字延迟、解码速度与 FastChat 的行为",
        "proved-citations": "Proved Citations: Accepting a Quote Only When Code Finds It on the Page",
    }
    for paper in papers.values():
        assert (paper.identity.authors, paper.identity.year, paper.identity.doi) == ((), 2026, "")  # "The project team" is no person
    assert papers["proved-citations"].identity.abstract.startswith("A language model that cites its sources cites from memory")
    assert papers["proved-citations"].identity.abstract.endswith("one of the altered quotes, at 0.1 ms a quote.")
    assert papers["chinese-passage-retrieval"].identity.abstract.startswith("面向论文问答的检索要在没有 GPU 的机器上")
    assert papers["chinese-passage-retrieval"].identity.abstract.endswith("其效果尚待验证。")


def test_rouge_l_is_that_of_a_worked_example() -> None:
    reference, first, second = ("police killed the gunman", "police kill the gunman", "the gunman kill police")
    assert longest_common(reference.split(), first.split()) == 3  # Lin 2004, section 3.1
    assert rouge_l(first.split(), reference.split()) == 0.75
    assert rouge_l(second.split(), reference.split()) == 0.5
    assert rouge_l([], []) == 0
    assert tokens("Struc-ture-based, ine\x1eciency!", "en") == ["structurebased", "ineciency"]
    assert tokens("树皮 A1。", "zh") == ["树", "皮", "a", "1"]
    assert title_form("钽的 bcc  研究") == "钽的bcc研究"
    assert title_form("H2–CO ’x’") == title_form("H2-CO 'x'") != title_form("h2-co 'x'")


@pytest.mark.skipif(not (LIBRARY / "papers").is_dir(), reason="no library of papers; PAPERPROOF_LIBRARY names one")
def test_real_papers_are_understood() -> None:
    shown = table(scans=False)
    shares = {name: float(share) for name, share in re.findall(r"^\| (\w+) \| \d+ of \d+ \| ([\d.]+)%", shown, re.MULTILINE)}
    assert shares["title"] >= 90
    assert shares["authors"] >= 90
    assert min(shares["doi"], shares["year"], shares["language"], shares["arxiv_id"]) >= 90
    assert float(re.findall(r"mean ([\d.]+) over 15 papers", shown)[0]) >= 0.95
