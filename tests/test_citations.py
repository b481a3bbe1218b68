"""Citations: a quote is found where it stands, its boxes enclose it, and it is at most 60 words long."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.citations import boxes_of, cite, locate, word_count
from server.types import Box, Passage, Span

TEXT = "The eﬀect of re-\nranking is small. 全文检索（ＢＭ２５）的召回率为９５％。 It’s “fine”."


def passage(text: str, spans: tuple[Span, ...] = (), number: int = 1) -> Passage:
    """A passage of page 3."""
    return Passage(number, "kb", f"{number}.pdf", "Title", (), 3, 3, "paragraph", "en", text, spans, 0.5, 0.9)


def line(text: str, start: int, end: int, y: float, x0: float = 72, x1: float = 300, page: int = 3) -> Span:
    return Span(start, end, page, x0, y, x1, y + 10)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("effect", "eﬀect"),
        ("EFFECT OF RERANKING", "eﬀect of re-\nranking"),
        ("re-ranking is", "re-\nranking is"),
        ("re–ranking", "re-\nranking"),
        ("(BM25)的召回率", "（ＢＭ２５）的召回率"),
        ("召回率为 95%", "召回率为９５％"),
        ('It\'s "fine".', "It’s “fine”."),
        ("small.全文", "small. 全文"),
        ("re\u00adranking", "re-\nranking"),
    ],
)
def test_a_quote_is_found_whatever_its_hyphens_ligatures_and_widths(quote: str, found: str):
    place = locate(quote, TEXT)
    assert place is not None
    assert TEXT[place[0] : place[1]] == found


@pytest.mark.parametrize("quote", ["", "   ", "-", "effects", "the effect of ranking", "召回率为96％"])
def test_what_does_not_stand_there_is_not_found(quote: str):
    assert locate(quote, TEXT) is None


TEXTS = st.text(st.sampled_from("abcAB ﬁﬀ-–\u00ad\n 检索ＡＢ１２％.,“”'"), min_size=1, max_size=60)


def folded(text: str) -> str:
    """The same folding, written another way."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = text.translate(str.maketrans("“”’‘，。", "\"\"'',."))
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in ("Pd", "Cf"))


@given(text=TEXTS, data=st.data())
def test_every_stretch_of_a_text_is_found_in_it(text: str, data: st.DataObject):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    quote = text[start:end]
    place = locate(quote, text)
    if not folded(quote):
        assert place is None
        return
    assert place is not None
    assert folded(quote) in folded(text[place[0] : place[1]])
    assert len(folded(text[: place[0]])) <= len(folded(text[:start]))  # the first place where it stands


@given(text=TEXTS, quote=TEXTS)
def test_a_quote_is_found_exactly_when_the_folded_text_holds_it(text: str, quote: str):
    assert (locate(quote, text) is not None) == bool(folded(quote) and folded(quote) in folded(text))


def test_a_part_of_a_line_gets_its_share_of_the_width():
    text = "abcdefghij"
    spans = (Span(0, 10, 3, 100, 50, 200, 60),)
    assert boxes_of(spans, text, 2, 5) == (Box(3, 120, 50, 150, 60),)
    assert boxes_of(spans, text, 0, 10) == (Box(3, 100, 50, 200, 60),)
    assert boxes_of(spans, text, 10, 12) == ()


def test_a_chinese_character_is_twice_as_wide_as_a_letter():
    assert boxes_of((Span(0, 4, 1, 0, 0, 60, 10),), "检ab索", 1, 3) == (Box(1, 20, 0, 40, 10),)


def test_words_of_a_line_share_a_box_and_lines_have_their_own():
    text = "one two\nthree"
    spans = (Span(0, 3, 3, 72, 90, 90, 100), Span(4, 7, 3, 93, 91, 110, 101), Span(8, 13, 3, 72, 104, 100, 114))
    assert boxes_of(spans, text, 0, 13) == (Box(3, 72, 90, 110, 101), Box(3, 72, 104, 100, 114))


def test_two_columns_and_two_pages_are_not_one_box():
    spans = (Span(0, 3, 3, 72, 90, 200, 100), Span(4, 7, 3, 320, 90, 400, 100), Span(8, 11, 4, 72, 90, 100, 100))
    assert [box[:2] for box in boxes_of(spans, "one two six", 0, 11)] == [(3, 72), (3, 320), (4, 72)]


SPANS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 50), st.integers(0, 70)), min_size=1, max_size=8)


@given(shapes=SPANS, data=st.data())
def test_boxes_enclose_what_they_cite_and_nothing_outside_the_spans(shapes: list[tuple[int, int, int, int]], data: st.DataObject):
    spans, at = [], 0
    for length, page, x, y in shapes:
        spans.append(Span(at, at + length, page, x, y, x + 10 * length, y + 10))
        at += length + 1
    text = "x" * at
    start = data.draw(st.integers(0, at - 1))
    end = data.draw(st.integers(start + 1, at))
    boxes = boxes_of(spans, text, start, end)
    for span in spans:
        touched = span.start < end and span.end > start
        inside = [b for b in boxes if b.page == span.page and b.y0 <= span.y0 and span.y1 <= b.y1 and b.x0 <= span.x1 and span.x0 <= b.x1]
        assert inside or not touched
    for box in boxes:
        pages = [span for span in spans if span.page == box.page]
        assert min(s.x0 for s in pages) <= box.x0 < box.x1 <= max(s.x1 for s in pages)


def test_a_citation_carries_the_page_where_the_quote_begins():
    text = "first line\nsecond line"
    spans = (line(text, 0, 10, 700, page=3), line(text, 11, 22, 80, page=4))
    whole = cite(passage(text, spans), 0, 22, 1, 0.7)
    assert (whole.page, whole.quote, whole.verified, whole.index, whole.score) == (3, "first line second line", True, 1, 0.7)
    assert [box.page for box in whole.boxes] == [3, 4]
    assert cite(passage(text, spans), 11, 22, 2, 0.7).page == 4
    assert (cite(passage(text), 0, 5, 1, 0.7).page, cite(passage(text), 0, 5, 1, 0.7).boxes) == (3, ())


def words(text: str) -> float:
    """Words of a quote, counted another way: tokens without Chinese, and 1.5 Chinese characters a word."""
    wide = re.findall(r"[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60\uffe0-\uffe6]", text)
    return (
        len(re.sub(r"[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60\uffe0-\uffe6]", " ", text).split())
        + len(wide) / 1.5
    )


def test_words_worked_out_by_hand():
    assert word_count("three little words") == 3
    assert word_count("检索论文库") == pytest.approx(5 / 1.5)
    assert word_count("用BM25检索") == pytest.approx(1 + 3 / 1.5)
    assert word_count("") == 0


@given(text=st.text(st.sampled_from("ab  \n检索，。"), min_size=1, max_size=600))
def test_no_quote_is_longer_than_60_words_and_each_begins_the_stretch(text: str):
    quote = cite(passage(text), 0, len(text), 1, 0).quote
    assert words(quote) <= 60
    assert text.replace("\n", " ").startswith(quote)
    if words(text) <= 60:
        assert quote == text.replace("\n", " ")
    else:
        assert words(quote) > 50 or len(text.split()[0]) > 1  # not cut shorter than it must be


def test_a_long_quote_is_cut_after_a_whole_word():
    text = " ".join(f"word{i}" for i in range(100))
    assert cite(passage(text), 0, len(text), 1, 0).quote == " ".join(f"word{i}" for i in range(60))
    assert len(cite(passage("检" * 200), 0, 200, 1, 0).quote) == 90
