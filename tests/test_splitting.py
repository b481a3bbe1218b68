"""Documents -> chunks: nothing lost, nothing across sections, spans and windows exact."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.language import language_of
from server.splitting import split
from server.splitting.counting import LONGEST_CHUNK, estimate_tokens
from server.splitting.sentences import sentences
from server.splitting.windows import window_bounds
from server.types import Block, Chunk, Span
from tests.splitting import assert_covers, block, document, sized, words


def cut(blocks: list[Block], budget: int) -> list[Chunk]:
    return split(document(("s", blocks)), sized("sections", budget), words)


def test_paragraphs_share_a_chunk_up_to_the_budget() -> None:
    chunks = cut([block("one two three."), block("four five."), block("six seven eight nine.")], 5)
    assert [chunk.text for chunk in chunks] == ["one two three.\nfour five.", "six seven eight nine."]
    assert chunks[0].section == ("s",)


def test_chunk_never_crosses_a_section() -> None:
    chunks = split(document(("a", [block("one.")]), ("c", []), ("b", [block("two.")])), sized("sections", 99), words)
    assert [(chunk.section, chunk.section_number, chunk.text) for chunk in chunks] == [(("a",), 0, "one."), (("b",), 2, "two.")]


def test_long_paragraph_is_cut_at_sentences_then_clauses_then_words() -> None:
    assert [chunk.text for chunk in cut([block("One two three. Four five. Six seven eight, nine ten eleven twelve thirteen.")], 5)] == [
        "One two three. Four five.",
        "Six seven eight,",
        "nine ten eleven twelve thirteen.",
    ]
    assert [chunk.text for chunk in cut([block("一二三。四五六七，八九十")], 5)] == ["一二三。", "四五六七，", "八九十"]
    assert [chunk.text for chunk in cut([block("a b c d e f")], 4)] == ["a b c d", "e f"]


def test_spans_move_with_their_words() -> None:
    first, second = cut([block("one two."), block("Three four. Five six seven.", page=2)], 4)
    assert first.text == "one two.\nThree four."
    assert [(first.text[span.start : span.end], span.x0) for span in first.spans] == [("one", 0), ("two.", 8), ("Three", 0), ("four.", 12)]
    assert (first.page, first.page_end, second.page, second.page_end) == (1, 2, 2, 2)
    assert [second.text[span.start : span.end] for span in second.spans] == ["Five", "six", "seven."]


def test_line_of_chinese_that_is_cut_keeps_its_share_of_the_box() -> None:
    line = Block("paragraph", "一二三。四五六。", 3, (Span(0, 8, 3, 100, 50, 180, 60),))
    first, second = cut([line], 4)
    assert first.spans == (Span(0, 4, 3, 100, 50, 140, 60),)
    assert second.spans == (Span(0, 4, 3, 140, 50, 180, 60),)


def test_table_keeps_rows_whole_and_repeats_its_header() -> None:
    table = block("name | size\nalpha | 1\nbeta | 2\ngamma | 3", "table", header_lines=1)
    chunks = cut([block("Table 1: sizes", "caption"), table], 9)
    assert [chunk.text for chunk in chunks] == [
        "Table 1: sizes",
        "name | size\nalpha | 1\nbeta | 2",
        "name | size\ngamma | 3",
    ]
    assert [chunk.kind for chunk in chunks] == ["caption", "table", "table"]
    assert [chunk.repeated for chunk in chunks] == [0, 0, len("name | size")]
    assert [chunks[2].text[span.start : span.end] for span in chunks[2].spans][:3] == ["name", "|", "size"]


def test_header_of_two_lines_is_repeated_and_one_above_a_third_of_a_chunk_is_not() -> None:
    text = "a | b\nc | d\n1 | 2\n3 | 4\n5 | 6\n7 | 8"
    assert [chunk.text for chunk in cut([block(text, "table", header_lines=2)], 18)] == [text]
    parts = cut([block(text + "\n9 | 9", "table", header_lines=2)], 18)
    assert [(chunk.text, chunk.repeated) for chunk in parts] == [(text, 0), ("a | b\nc | d\n9 | 9", len("a | b\nc | d"))]
    assert [chunk.text for chunk in cut([block("a | b\nc | d\n1 | 2", "table", header_lines=2)], 8)] == ["a | b\nc | d", "1 | 2"]


def test_rows_that_name_their_columns_are_not_headed_by_the_first_one() -> None:
    chunks = cut([block("name: a | n: 1\nname: b | n: 2\nname: c | n: 3", "table")], 11)
    assert [(chunk.text, chunk.repeated) for chunk in chunks] == [("name: a | n: 1\nname: b | n: 2", 0), ("name: c | n: 3", 0)]


def test_a_row_above_the_budget_is_cut_between_its_cells_and_repeats_its_first_one() -> None:
    chunks = cut([block("id: x | a: 1 | b: 2 | c: 3 | d: 4 | e: 5", "table"), block("id: y | a: 6", "table")], 9)
    assert [(chunk.text, chunk.repeated) for chunk in chunks] == [
        ("id: x | a: 1 | b: 2 |", 0),
        ("id: x\nc: 3 | d: 4 |", len("id: x")),
        ("id: x\ne: 5\nid: y | a: 6", len("id: x")),
    ]
    assert [chunks[1].text[span.start : span.end] for span in chunks[1].spans] == ["id:", "x", "c:", "3", "|", "d:", "4", "|"]
    assert [span.x0 for span in chunks[1].spans][:3] == [0, 2 * 4, 2 * len("id: x | a: 1 | b: 2 | ")]


def test_a_row_that_is_cut_keeps_the_header_of_its_table_too() -> None:
    text = "k | l | m\nr1 | aa bb | cc dd | ee ff | gg hh\nr2 | z"
    chunks = cut([block(text, "table", header_lines=1)], 15)
    assert [(chunk.text, chunk.repeated) for chunk in chunks] == [
        ("k | l | m\nr1 | aa bb | cc dd |", 0),
        ("k | l | m\nr1\nee ff | gg hh\nr2 | z", len("k | l | m\nr1")),
    ]


def test_a_cell_above_the_budget_is_cut_at_words_below_the_key_of_its_row() -> None:
    chunks = cut([block("id: x | text: " + " ".join("abcdefghijklmnopqrstuv") + " | n: 1", "table")], 10)
    assert [chunk.text for chunk in chunks] == [
        "id: x |",
        "id: x\ntext: a b c d e f g",
        "id: x\nh i j k l m n",
        "id: x\no p q r s t u",
        "id: x\nv |\nn: 1",
    ]
    long = cut([block("one long first cell of many words | a: 1 | b: 2 | c: 3", "table")], 9)  # too long to be repeated
    assert [(chunk.text, chunk.repeated) for chunk in long] == [("one long first cell of many words |", 0), ("a: 1 | b: 2 | c: 3", 0)]


def test_a_row_of_megabytes_is_cut_in_linear_time() -> None:
    text = "id: x | " + " | ".join(f"col{number}: {number}" for number in range(50_000))
    started = time.process_time()
    chunks = split(document(("s", [Block("table", text, 1)])), sized("sections", 400), estimate_tokens)
    assert time.process_time() - started < 12  # 3 s here
    assert all(chunk.text.startswith("id: x") for chunk in chunks)
    assert "".join(chunk.text[chunk.repeated :] for chunk in chunks).replace("\n", " ") == text


def test_a_word_of_any_length_that_is_one_token_does_not_give_an_endless_chunk() -> None:
    chunks = split(document(("s", [Block("paragraph", "x" * 200_000, 1)])), sized("sections", 400), lambda text: 1)
    assert max(len(chunk.text) for chunk in chunks) == LONGEST_CHUNK
    assert sum(len(chunk.text) for chunk in chunks) == 200_000


def test_references_and_tables_do_not_share_chunks_with_text() -> None:
    chunks = cut([block("text."), block("a | b\nc | d", "table"), block("[1] Ref.", "reference"), block("[2] Ref.", "reference")], 50)
    assert [(chunk.kind, chunk.text) for chunk in chunks] == [
        ("paragraph", "text."),
        ("table", "a | b\nc | d"),
        ("reference", "[1] Ref.\n[2] Ref."),
    ]


def test_short_table_stays_with_its_caption() -> None:
    (chunk,) = cut([block("Table 1: sizes", "caption"), block("a | b\nc | d", "table")], 50)
    assert (chunk.kind, chunk.text) == ("table", "Table 1: sizes\na | b\nc | d")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One is. Two is! Three?", ["One is.", "Two is!", "Three?"]),
        (
            "As Smith et al. (2019) said in Fig. 3, e.g. 0.5 of it. Next.",
            ["As Smith et al. (2019) said in Fig. 3, e.g. 0.5 of it.", "Next."],
        ),
        ("Shown by Smith et al. The method works.", ["Shown by Smith et al.", "The method works."]),
        ("See Eq. (4) vs. J. K. Rowling, i.e. Dr. X. It ends.", ["See Eq. (4) vs. J. K. Rowling, i.e. Dr. X. It ends."]),
        ("It was found [12]. Later work.12 Then more.[3] End", ["It was found [12].", "Later work.12", "Then more.[3]", "End"]),
        ("He said “it is.” Then “no.”", ["He said “it is.”", "Then “no.”"]),
        ("甲说：“好。”乙走了！真的？是；对", ["甲说：“好。”", "乙走了！", "真的？", "是；", "对"]),
        ("准确率为3.5。See 图2.1 here. 中文", ["准确率为3.5。", "See 图2.1 here.", "中文"]),
        ("first line\nsecond line", ["first line", "second line"]),
        ("", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == parts


def test_windows_of_english() -> None:
    text = " ".join(f"w{number}" for number in range(150))
    found = [text[start:end].split() for start, end in window_bounds(text)]
    assert [(part[0], part[-1], len(part)) for part in found] == [("w0", "w59", 60), ("w50", "w109", 60), ("w100", "w149", 50)]


def test_windows_of_chinese() -> None:
    assert window_bounds("字" * 500) == [(0, 200), (150, 350), (300, 500)]
    assert window_bounds("字" * 240) == [(0, 240)]  # a tail of 40 is merged


def test_window_of_mixed_text_counts_words_and_characters_by_their_share() -> None:
    text = "字" * 100 + " " + " ".join(["word"] * 60)
    assert window_bounds(text)[0] == (0, 100 + 30 * 5)  # half a window of each


@pytest.mark.parametrize("text", ["", "   ", "a", "字"])
def test_windows_are_never_empty(text: str) -> None:
    assert len(window_bounds(text)) == 1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The cat is on the mat and it is happy.", "en"),
        ("我们使用 BERT 和 GPT 模型进行实验", "zh"),
        ("We call it 注意力 in this paper, for want of a better word.", "en"),
        ("Der Hund und die Katze sind nicht auf dem Dach.", "other"),
        ("これは日本語の文章です。", "other"),
        ("Это русский текст.", "other"),
        ("Transformer", "en"),
        ("", "en"),
    ],
)
def test_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_estimate_is_on_the_safe_side() -> None:
    # XLM-R's own counts, without the two special tokens (SentencePiece of multilingual-e5-small)
    assert 13 <= estimate_tokens("Retrieval-augmented generation reduces hallucination.") <= 20
    assert 9 <= estimate_tokens("检索增强生成可以减少幻觉。") <= 16
    assert estimate_tokens("") == 0


@given(st.text(max_size=2000))
def test_windows_cover_any_text(text: str) -> None:
    stripped = text.strip()
    if stripped:
        assert_covers(stripped, tuple(window_bounds(stripped)))


@given(st.text(max_size=300))
def test_sentences_hold_every_character(text: str) -> None:
    bounds = sentences(text)
    assert "".join("".join(text[start:end].split()) for start, end in bounds) == "".join(text.split())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(bounds))


def test_huge_paragraph_is_cut_in_linear_time() -> None:
    for unit in ("An ordinary sentence of eight words stands here. ", "no-spaces-and-no-sentences", "长句子没有标点", "......"):
        text = (unit * 40_000)[:200_000].strip()
        started = time.process_time()
        chunks = split(document(("s", [Block("paragraph", text, 1)])), sized("sections", 400), estimate_tokens)
        assert time.process_time() - started < 5
        assert sum(len("".join(chunk.text.split())) for chunk in chunks) == len("".join(text.split()))
        assert max(estimate_tokens(chunk.text) for chunk in chunks) <= 400
