"""Which files are the same paper: reasons, false friends, and that the fast way finds what comparing all pairs finds."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.identity import Known, copies, same_paper, title_key
from server.types import Identity

TITLE = "Where the logs go: bark, depth and time"


def known(title: str = TITLE, sha256: str = "", **fields: object) -> Known:
    return Known(sha256, title, Identity(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (known("a", "00"), known("b", "00"), "content"),
        (known("a", "00", doi="10.1/x"), known("b", "01", doi="10.1/x"), "doi"),
        (known("a", arxiv_id="2101.00001v1"), known("b", arxiv_id="2101.00001v3"), "arxiv"),
        (known("a", arxiv_id="2101.00001v1"), known("b", doi="10.48550/arxiv.2101.00001"), "arxiv"),
        (known(), known("Where the Logs Go – Bark, Depth, and Time".replace(", and", " and")), "title"),
        (known("Über Poincaré und die Rinde"), known("Uber Poincare und die Rinde"), "title"),
        (known("A pre-trained model of bark"), known("A pretrained model of bark"), "title"),
        (known("树皮厚度对漂木沉降的影响"), known("树皮厚度对漂木沉降的影响"), "title"),
        (
            known(doi="10.48550/arxiv.2101.00001", year=2019, authors=("Jane A. Smith", "Wei Zhang")),
            known(doi="10.1016/j.logs.2021.1", year=2021, authors=("J. Smith",)),
            "title",
        ),
        (known(authors=("Wei Zhang",)), known(authors=("ZHANG Wei",)), "title"),
        (known(authors=("张伟",)), known(authors=("Wei Zhang",)), "title"),
        (known(doi="10.5281/zenodo.1"), known(doi="10.5281/zenodo.2"), "title"),
    ],
)
def test_same_paper_and_why(one: Known, other: Known, reason: str) -> None:
    assert same_paper(one, other) == reason
    assert same_paper(other, one) == reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (known("Introduction"), known("Introduction")),
        (known("Introduction to the special issue on rivers and wood"), known("Introduction to the special issue on rivers and wood")),
        (known("Deep learning"), known("Deep learning")),
        (known("深度学习综述"), known("深度学习综述")),
        (known(), known(f"Erratum: {TITLE}")),
        (known(doi="10.1/x"), known(f"Supplementary material for: {TITLE}", doi="10.1/x")),
        (known(doi="10.1/x"), known(f"{TITLE}: Supplementary Information", doi="10.1/x")),
        (known("漂木沉降的观测与模拟研究", doi="10.1/x"), known("补充材料 漂木沉降的观测与模拟研究", doi="10.1/x")),
        (known("The fate of logs at sea, part I"), known("The fate of logs at sea, part II")),
        (known("Reviews of river physics 2019: wood"), known("Reviews of river physics 2020: wood")),
        (known("Lecture 3: Rivers and their wood"), known("Lecture 4: Rivers and their wood")),
        (known("Lecture 3: Rivers and their wood"), known("Lecture 3: Rivers and their wood")),
        (known(authors=("Jane Smith",)), known(authors=("Wei Zhang",))),
        (known(authors=("Wei Zhang",)), known(authors=("Wei Li",))),
        (known(year=2010), known(year=2014)),
        (known(doi="10.1016/j.logs.2021.1"), known(doi="10.1016/j.logs.2021.2")),
        (known(arxiv_id="2101.00001"), known(arxiv_id="2101.00002")),
        (
            known("Counting the rings of old trees in cold bogs", doi="10.1/journal"),
            known("A language model that reads invoices aloud", doi="10.1/journal"),
        ),
        (known("", ""), known("", "")),
    ],
)
def test_false_friends_are_two_papers(one: Known, other: Known) -> None:
    assert same_paper(one, other) is None
    assert same_paper(other, one) is None


def test_doi_joins_a_title_in_two_languages() -> None:
    assert same_paper(known("树皮厚度对漂木沉降的影响", doi="10.1/x"), known(TITLE, doi="10.1/x")) == "doi"


def test_each_copy_names_the_first_file_of_its_paper() -> None:
    rows = {
        "a.pdf": known("A", "1"),
        "b.pdf": known(TITLE, "2", doi="10.1/x"),
        "a2.pdf": known("A", "1"),
        "b2.pdf": known("other words", "3", doi="10.1/x"),
        "b3.pdf": known(TITLE, "4"),
        "a3.pdf": known("A", "1"),
    }
    assert copies(rows) == {
        "a2.pdf": ("a.pdf", "content"),
        "b2.pdf": ("b.pdf", "doi"),
        "b3.pdf": ("b.pdf", "title"),
        "a3.pdf": ("a.pdf", "content"),
    }


def test_no_files_have_no_copies() -> None:
    assert copies({}) == {}


FIELDS = st.builds(
    Identity,
    authors=st.sampled_from([(), ("Jane Smith",), ("Wei Zhang",)]),
    year=st.sampled_from([None, 2010, 2020]),
    doi=st.sampled_from(["", "10.1/x", "10.1/y", "10.48550/arxiv.2101.00001"]),
    arxiv_id=st.sampled_from(["", "2101.00001v1", "2101.00001v2", "2101.00002"]),
)
FILES = st.builds(
    Known, st.sampled_from(["", "1", "2"]), st.sampled_from(["", "short", TITLE, f"Erratum: {TITLE}", "Four other words here"]), FIELDS
)


@given(st.lists(FILES, max_size=12))
def test_copies_are_those_that_comparing_all_pairs_finds(files: list[Known]) -> None:
    rows = [(str(at), file) for at, file in enumerate(files)]
    wanted = {}
    for at, (name, file) in enumerate(rows):
        pairs = ((other, same_paper(before, file)) for other, before in rows[:at])
        if first := next(((other, reason) for other, reason in pairs if reason), None):
            wanted[name] = first
    assert copies(rows) == wanted


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_titles_can_be_compared(one: str, other: str) -> None:
    assert same_paper(known(one), known(other)) == same_paper(known(other), known(one))
    assert title_key(one) == title_key(f"  {one} ")


def test_time_grows_with_the_files_also_when_all_share_a_title() -> None:
    def seconds(count: int) -> float:
        rows = [
            (str(at), known(TITLE, str(at), authors=(f"Jane Smith{chr(97 + at % 26)}{chr(97 + at // 26 % 26)}",))) for at in range(count)
        ]
        started = time.process_time()
        copies(rows)
        return time.process_time() - started

    assert seconds(4000) < 20 * max(seconds(400), 0.002)  # pairs would take a hundred times as long
