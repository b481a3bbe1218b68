"""chinese_recursive against Langchain-Chatchat's own rules on LangChain's splitter; zh_title_enhance; sizes in characters."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_text_splitters import RecursiveCharacterTextSplitter

from server.splitting import split
from server.splitting.titles import is_title
from server.types import Block, Chunk, Document, Section
from tests.splitting import block, document, sized, words

SEPARATORS = ["\n\n", "\n", "。|！|？", r"\.\s|\!\s|\?\s", r"；|;\s", r"，|,\s"]


def chatchat(text: str, size: int, overlap: int) -> list[str]:
    """ChineseRecursiveTextSplitter(chunk_size=size, chunk_overlap=overlap).split_text(text)."""
    splitter = RecursiveCharacterTextSplitter(
        separators=SEPARATORS, keep_separator="end", is_separator_regex=True, chunk_size=size, chunk_overlap=overlap
    )
    return [re.sub(r"\n{2,}", "\n", chunk.strip()) for chunk in splitter.split_text(text) if chunk.strip()]


def ours(blocks: list[Block], size: int, overlap: int = 0) -> list[str]:
    found = split(document(("s", blocks)), sized("chinese_recursive", size, overlap), words)
    return [re.sub(r"\n{2,}", "\n", chunk.text) for chunk in found]


def tidy(text: str) -> str:
    """Without parts of white space alone: LangChain gives the overlap before one as a chunk of its own, we leave it out."""
    text = re.sub(r"([。！？；，.!?;,])\s*\n\s*", r"\1", text)
    return re.sub(r"\s*\n\s*", lambda space: "\n\n" if space[0].count("\n") > 1 else "\n", text).strip()


PIECES = st.sampled_from(
    ["检索", "增强", "生成。", "它有效！", "为什么？", "第一；", "第二，", "It works. ", "Yes! ", "a, b; c ", "词", "\n", "\n\n"]
)


@given(st.lists(PIECES, min_size=15, max_size=60).map("".join).map(tidy), st.integers(12, 60), st.integers(0, 4))
def test_chunks_are_those_of_chatchat(text: str, size: int, share: int):
    overlap = size * share // 8
    expected = chatchat(text, size, overlap)
    assume(max(map(len, re.split("[。！？；，\n]|[.!?;,]\\s", text))) + 2 < size)  # what Chatchat leaves too long, we cut
    assert ours([Block("paragraph", text, 1)], size, overlap) == expected


def test_paragraphs_share_a_chunk_up_to_the_size_and_long_ones_are_cut_at_the_highest_mark_that_helps():
    parts = [block("短段落。"), block("另一个短段落。"), block("一二三四，五六七八；九十一二。三四五六")]
    assert ours(parts, 15) == ["短段落。\n另一个短段落。", "一二三四，五六七八；九十一二。", "三四五六"]
    assert ours(parts, 11) == ["短段落。", "另一个短段落。", "一二三四，五六七八；", "九十一二。", "三四五六"]


def test_overlap_is_made_of_whole_parts_and_counted():
    (first, second, third) = split(document(("s", [block("一二三。四五。六七八。九十。")])), sized("chinese_recursive", 8, 4), words)
    assert [first.text, second.text, third.text] == ["一二三。四五。", "四五。六七八。", "六七八。九十。"]
    assert [first.repeated, second.repeated, third.repeated] == [0, 3, 4]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("字" * 25, ["字" * 10, "字" * 10, "字" * 9]),
        ("one two three four five six", ["one two", "two three", "four five", "six"]),
    ],
)
def test_what_has_no_mark_is_cut_at_white_space_and_else_after_so_many_characters(text: str, parts: list[str]):
    assert ours([block(text)], 10, 4 if " " in text else 2) == parts


def test_sections_are_not_crossed_where_chatchat_would():
    chunks = split(document(("甲", [block("短。")]), ("乙", [block("也短。")])), sized("chinese_recursive", 50), words)
    assert [(chunk.section, chunk.text) for chunk in chunks] == [(("甲",), "短。"), (("乙",), "也短。")]


# ---- zh_title_enhance


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("检索增强生成", True),
        ("我们的方法 RAG", True),
        ("实验结果。", False),  # ends with a mark
        ("实验结果：", False),
        ("3 实验结果", False),  # a number among the first five
        ("第二章 方法", False),  # 二 is numeric, as in Chatchat
        ("检索增强生成之后第二章", True),
        ("字" * 20, True),
        ("字" * 21, False),
        ("方—————法", False),  # under half letters
        ("Methods", False),  # not Chinese
        ("", False),
    ],
)
def test_what_looks_like_a_title(text: str, expected: bool):
    assert is_title(text) == expected


def prefixes(made_from: Document, size: int) -> list[tuple[str, str]]:
    return [(chunk.prefix, chunk.text) for chunk in split(made_from, sized("sections", size, titles=True), words)]


def test_the_heading_goes_in_front_of_what_is_embedded_until_a_paragraph_looks_like_a_title():
    blocks = [block("第一段在这里。"), block("系统结构", page=2), block("第二段在这里。"), block("第三段也在这里。")]
    assert prefixes(document(("3.1 方法", blocks)), 8) == [
        ("下文与(3.1 方法)有关。", "第一段在这里。"),
        ("", "系统结构"),
        ("下文与(系统结构)有关。", "第二段在这里。"),
        ("下文与(系统结构)有关。", "第三段也在这里。"),
    ]


def test_the_nearest_chinese_heading_counts_and_a_title_ends_with_its_section():
    sections = (
        Section(1, ("研究方法", "Details"), 1, (block("正文一。"), block("小标题"), block("正文二。"))),
        Section(1, ("Results",), 1, (block("正文三。"),)),
    )
    assert prefixes(Document("t", 1, "zh", sections), 9) == [
        ("下文与(研究方法)有关。", "正文一。\n小标题"),
        ("下文与(小标题)有关。", "正文二。"),
        ("", "正文三。"),
    ]


def test_the_tail_of_a_cut_paragraph_is_no_title():
    chunks = prefixes(document(("方法", [block("一二三四五六七八九十 甲乙丙丁戊己"), block("下一段。")])), 10)
    assert [text for _, text in chunks] == ["一二三四五六七八九十", "甲乙丙丁戊己\n下一段。"]
    assert {prefix for prefix, _ in chunks} == {"下文与(方法)有关。"}


@pytest.mark.parametrize("splitter", ["sections", "chinese_recursive", "markdown_headers", "tokens"])
def test_titles_change_nothing_but_the_prefix(splitter: str):
    made_from = document(("方法", [block("第一段在这里。"), block("小标题"), block("第二段在这里。")]))
    plain, titled = (split(made_from, sized(splitter, 8, titles=wish), words) for wish in (False, True))

    def without(chunk: Chunk) -> Chunk:
        return replace(chunk, prefix="")

    assert {chunk.prefix for chunk in plain} == {""}
    assert any(chunk.prefix for chunk in titled)
    assert [without(chunk) for chunk in titled] == plain
