"""The contract of SPLITTERS: every splitter on documents of any blocks. Nothing lost, nothing across sections, boxes exact, linear time."""

from __future__ import annotations

import itertools
import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Splitting
from server.errors import Invalid
from server.language import display_width
from server.splitting import SPLITTERS, split
from server.types import Block, Chunk, Document
from tests.splitting import assert_covers, block, document, sized, words

PIECES = st.sampled_from(
    [
        "word",
        "Longer",
        "et al.",
        "Fig. 3",
        "0.5",
        "end. ",
        "Next",
        "中文",
        "句子。",
        "，逗号",
        "(x)",
        "\n",
        "\n\n",
        "https://a.b/c?d=e",
        "字" * 30,
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=30).map(" ".join)
KINDS = st.sampled_from(["paragraph", "caption", "formula", "code", "reference", "footnote"])
ROWS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["b", "长格子" * 4, "c d e f"])), min_size=1, max_size=9)
TABLES = st.builds(
    lambda rows, lines: block("\n".join(f"{first} | {second}" for first, second in rows), "table", header_lines=lines),
    ROWS,
    st.integers(0, 2),
)
SECTIONS = st.lists(st.lists(st.builds(block, TEXTS, KINDS) | TABLES, max_size=4), max_size=3)


def numbered(sections: list[list[Block]]) -> Document:
    """A document whose blocks stand on pages of their own, from 1."""
    pages = itertools.count(1)
    return document(*((f"s{n}", [block(b.text, b.kind, next(pages), b.header_lines) for b in blocks]) for n, blocks in enumerate(sections)))


def bare(text: str) -> str:
    return "".join(text.split())


def size_of(chunk: Chunk, splitting: Splitting) -> int:
    return len(chunk.text) if splitting.splitter == "chinese_recursive" else words(chunk.text)


def assert_boxes_lead_to_the_text(made_from: Document, chunk: Chunk) -> None:
    """Each span's box tells the block (its page) and the place in it (x); that must be the same text."""
    blocks = {b.page: b for section in made_from.sections for b in section.blocks}
    boxed = [False] * len(chunk.text)
    for span in chunk.spans:
        source = blocks[span.page]
        (word,) = (s for s in source.spans if s.x0 <= span.x0 < s.x1)
        at = next(n for n in range(word.start, word.end) if word.x0 + display_width(source.text[word.start : n]) >= span.x0)
        assert chunk.text[span.start : span.end] == source.text[at : at + span.end - span.start]
        boxed[span.start : span.end] = [True] * (span.end - span.start)
    assert all(has_box or char.isspace() for has_box, char in zip(boxed, chunk.text, strict=True))
    assert [span.start for span in chunk.spans] == sorted(span.start for span in chunk.spans)
    assert (chunk.page, chunk.page_end) == (min(s.page for s in chunk.spans), max(s.page for s in chunk.spans))


def repeatable(table: Block) -> set[str]:
    """The header lines of a table, the first cell of each row, and both."""
    lines = table.text.split("\n")
    header = "\n".join(lines[: table.header_lines])
    keys = {line.partition(" | ")[0] for line in lines}
    return {header, *keys, *(f"{header}\n{key}" for key in keys)} if header else keys


def assert_repeats(earlier: list[Chunk], chunk: Chunk, headers: set[str]) -> None:
    """What a chunk repeats is the end of the one before, or the header lines of a table, or the first cell of a row that was cut."""
    if chunk.repeated:
        again = chunk.text[: chunk.repeated]
        assert again in headers or bare(earlier[-1].text).endswith(bare(again))


@pytest.mark.parametrize("splitter", SPLITTERS)
@given(sections=SECTIONS, size=st.integers(1, 60), share=st.integers(0, 2))
def test_splitting_loses_nothing_and_keeps_its_promises(splitter: str, sections: list[list[Block]], size: int, share: int):
    made_from = numbered(sections)
    overlaps = splitter in ("chinese_recursive", "tokens")
    splitting = sized(splitter, size, size * share // 4 if overlaps else 0)
    chunks = split(made_from, splitting, words)
    assert split(made_from, splitting, words) == chunks
    by_section = {number: [c for c in chunks if c.section_number == number] for number in range(len(sections))}
    assert [c for found in by_section.values() for c in found] == chunks
    for number, section in enumerate(made_from.sections):
        found = by_section[number]
        assert bare("".join(c.text[c.repeated :] for c in found)) == bare("".join(b.text for b in section.blocks))
        assert {c.section for c in found} <= {section.path}
        headers = {again for b in section.blocks if b.kind == "table" for again in repeatable(b)}
        for at, chunk in enumerate(found):
            assert size_of(chunk, splitting) <= size or len(chunk.text) == 1
            assert chunk.text == chunk.text.strip() != ""
            assert chunk.repeated < len(chunk.text)
            assert_repeats(found[:at], chunk, headers)
            assert_boxes_lead_to_the_text(made_from, chunk)
            assert_covers(chunk.text, chunk.windows)


@pytest.mark.parametrize("splitter", SPLITTERS)
@given(rows=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30))
def test_table_keeps_its_rows_whole_and_its_header_in_every_chunk(splitter: str, rows: list[tuple[int, int]]):
    header, *lines = made_from = ["a | b", *(f"{first} | {second}" for first, second in rows)]
    splitting = sized(splitter, 30 if splitter == "chinese_recursive" else 12)
    found = [
        chunk.text.split("\n") for chunk in split(document(("s", [block("\n".join(made_from), "table", header_lines=1)])), splitting, words)
    ]
    assert all(part[0] == header for part in found)
    assert [line for part in found for line in part[1:]] == lines


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_a_document_without_text_has_no_chunks(splitter: str):
    assert split(document(), sized(splitter, 50), words) == []
    assert split(document(("s", [Block("paragraph", " \n ", 1)])), sized(splitter, 50), words) == []


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_kind_language_and_pages_are_those_of_the_text(splitter: str):
    parts = [block("An English sentence.", "paragraph", 1), block("一个中文的句子。", "footnote", 2)]
    chunks = split(document(("s", parts), ("r", [block("[1] A reference.", "reference", 3)])), sized(splitter, 100), words)
    assert [(c.kind, c.language, c.page, c.page_end) for c in chunks] == [("paragraph", "zh", 1, 2), ("reference", "en", 3, 3)]


UNITS = (  # (what the paragraph repeats, its megabytes)
    *(("An ordinary sentence of eight words stands here. ", 5), ("长句子没有标点", 1), ("......", 1)),
    *(("no-spaces-and-no-sentences", 1), ("甲，乙\n", 1), ("a b\n\n", 1)),
)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize(("unit", "megabytes"), UNITS)
def test_a_paragraph_of_megabytes_is_counted_a_fixed_number_of_times(splitter: str, unit: str, megabytes: int):
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return (len(text) + 3) // 4

    text = (unit * (megabytes * 1_000_000 // len(unit))).strip()
    splitting = Splitting(splitter=splitter, chunk_overlap=100 if splitter in ("chinese_recursive", "tokens") else 0)
    chunks = split(document(("s", [Block("paragraph", text, 1)])), splitting, count)
    assert counted <= 25 * len(text)
    assert sum(len(bare(chunk.text[chunk.repeated :])) for chunk in chunks) == len(bare(text))


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_time_grows_as_the_paragraph_does(splitter: str):
    def seconds(megabytes: float) -> float:
        part = block("An ordinary sentence, of eight words, stands here. 一句中文，有逗号。 " * int(megabytes * 1e6 / 64))
        started = time.process_time()
        split(document(("s", [part])), Splitting(splitter=splitter), lambda text: len(text) // 4)
        return time.process_time() - started

    assert seconds(1.6) < 9 * seconds(0.4)  # linear: 4; quadratic: 16


def test_the_setting_offers_every_splitter_and_no_other():
    assert list(get_args(Splitting.model_fields["splitter"].annotation)) == list(SPLITTERS)
    with pytest.raises(Invalid, match=r"unknown splitter 'none'; known: chinese_recursive, markdown_headers, sections, tokens"):
        split(document(), sized("none", 5), words)


# ---- markdown_headers


def test_a_section_is_one_chunk_with_all_its_blocks():
    parts = [block("One two."), block("a | b\nc | d", "table"), block("[1] Ref.", "reference"), block("x = 1", "code")]
    (chunk,) = split(document(("Methods", parts)), sized("markdown_headers", 50), words)
    assert (chunk.section, chunk.kind) == (("Methods",), "paragraph")
    assert chunk.text == "One two.\na | b\nc | d\n[1] Ref.\nx = 1"


def test_a_section_above_the_budget_is_cut_as_sections_does():
    made_from = document(("m", [block("One two three. Four five six."), block("seven eight.", "reference")]))
    found = [split(made_from, sized(splitter, 4), words) for splitter in ("markdown_headers", "sections")]
    assert found[0] == found[1]
    assert len(found[0]) == 3


# ---- tokens


def test_token_windows_have_a_fixed_size_and_overlap_and_cross_paragraphs():
    parts = [block("one two three four. five"), block("six seven eight nine ten eleven.")]
    chunks = split(document(("s", parts)), sized("tokens", 5, 2), words)
    assert [chunk.text for chunk in chunks] == [
        "one two three four. five",
        "four. five\nsix seven eight",
        "seven eight nine ten eleven.",
    ]
    assert [chunk.text[: chunk.repeated] for chunk in chunks] == ["", "four. five", "seven eight"]


def test_a_word_is_cut_only_when_it_is_above_the_budget_by_itself():
    def letters(text: str) -> int:
        return len(text.replace(" ", ""))

    chunks = split(document(("s", [block("aaa bbb ccccccc d")])), sized("tokens", 4, 1), letters)
    assert [chunk.text for chunk in chunks] == ["aaa", "bbb", "cccc", "ccc d"]


def test_an_overlap_gives_way_to_a_word_that_needs_the_room():
    chunks = split(document(("s", [block("a b c 一二三四五 d")])), sized("tokens", 5, 2), words)
    assert [chunk.text for chunk in chunks] == ["a b c 一二", "一二三四五", "四五 d"]
    chunks = split(document(("s", [block("aa b c dddd e")])), sized("tokens", 5, 2), lambda text: len(text.replace(" ", "")))
    assert [chunk.text for chunk in chunks] == ["aa b c", "dddd e"]


def test_chinese_is_cut_between_characters_and_marks_stay_with_them():
    chunks = split(document(("s", [block("一二三。四五六。七八")])), sized("tokens", 5), lambda text: len(text.replace("。", "")))
    assert [chunk.text for chunk in chunks] == ["一二三。四五", "六。七八"]
