"""library.db: one transaction a file, words, spans; and a kill in the middle of a change."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import ROOT
from server.errors import Corrupt, NotFound
from server.stores import schema
from server.stores.catalog import Catalog
from server.stores.rows import Reading, packed_spans, unpacked_spans
from server.stores.where import Where
from server.stores.words import match_expression, question_terms, segment
from server.types import Chunk, Identity, Span


def chunk(text: str, windows: int = 1) -> Chunk:
    """A chunk of one paragraph with so many windows."""
    span = Span(0, len(text), 1, 72, 90, 300, 102)
    return Chunk(text, ("Part", "Sub"), 1, 2, "paragraph", "en", (span,), tuple((0, len(text)) for _ in range(windows)))


def reading(sha: str = "s") -> Reading:
    return Reading("Title", "en", 2, 100, sha, "recipe", ("a warning",))


def vectors(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    raw = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def put(catalog: Catalog, name: str, texts: list[str], seed: int = 0, windows: int = 1) -> None:
    """Replace a file by chunks of these texts."""
    chunks = [chunk(text, windows) for text in texts]
    catalog.queue([name])
    catalog.replace(name, reading(), chunks, vectors(len(chunks) * windows, seed))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """An empty library.db."""
    opened = Catalog(tmp_path / "library.db")
    yield opened
    opened.close()


def test_a_file_comes_back_as_it_was_read(catalog: Catalog):
    put(catalog, "a.pdf", ["first words", "second words"], windows=3)
    (row,) = catalog.files()
    assert (row.name, row.state, row.title, row.pages, row.chunks, row.bytes) == ("a.pdf", "ready", "Title", 2, 2, 100)
    assert (row.sha256, row.recipe, row.warnings, row.reason) == ("s", "recipe", ("a warning",), "")
    first, second = catalog.listing("kb", "a.pdf")
    assert (first.text, second.text) == ("first words", "second words")
    assert (first.kb, first.file, first.title, first.section, first.page, first.page_end) == ("kb", "a.pdf", "Title", ("Part", "Sub"), 1, 2)
    assert first.spans == (Span(0, 11, 1, 72, 90, 300, 102),)
    assert catalog.counts() == (1, 2, 6)


def test_replacing_a_file_leaves_nothing_of_the_old_one(catalog: Catalog):
    put(catalog, "a.pdf", ["zebra stripes", "zebra hooves"])
    put(catalog, "a.pdf", ["lion mane"])
    assert catalog.counts() == (1, 1, 1)
    assert catalog.word_scores(["zebra"], 10) == {}
    assert len(catalog.word_scores(["lion"], 10)) == 1


def test_a_failed_replacement_changes_nothing(catalog: Catalog):
    put(catalog, "a.pdf", ["old text"])
    before = (catalog.generation(), catalog.files(), catalog.counts())
    with pytest.raises(ValueError):
        catalog.replace("a.pdf", reading("new"), [chunk("new text", windows=2)], vectors(1))  # one vector too few
    assert (catalog.generation(), catalog.files(), catalog.counts()) == before
    assert [p.text for p in catalog.listing("kb", "a.pdf")] == ["old text"]


def test_each_change_of_chunks_raises_the_generation_by_one_and_marks_do_not(catalog: Catalog):
    assert catalog.generation() == 0
    put(catalog, "a", ["x y"])
    catalog.mark(["a", "b"], "queued")
    catalog.queue(["a"])
    assert catalog.generation() == 1
    catalog.queue(["b"])
    catalog.fail("b", "why", "sha", "recipe")
    catalog.remove(["a", "b", "never there"])
    assert catalog.generation() == 3
    assert catalog.files() == []


def test_a_failed_file_keeps_its_reason_and_loses_its_chunks(catalog: Catalog):
    put(catalog, "a", ["some words"])
    catalog.queue(["a"])
    catalog.fail("a", "it is damaged", "sha", "recipe")
    (row,) = catalog.files()
    assert (row.state, row.reason, row.chunks, row.sha256) == ("failed", "it is damaged", 0, "sha")
    assert catalog.counts() == (0, 0, 0)


def test_queueing_forgets_the_recipe_and_keeps_the_chunks(catalog: Catalog):
    put(catalog, "a", ["some words"])
    catalog.queue(["a", "new"])
    rows = {row.name: (row.state, row.recipe, row.chunks) for row in catalog.files()}
    assert rows == {"a": ("queued", "", 1), "new": ("queued", "", 0)}


def test_a_listing_of_an_unknown_file_is_not_found(catalog: Catalog):
    with pytest.raises(NotFound, match=r"no file 'x' in the library 'kb'"):
        catalog.listing("kb", "x")


def test_chunks_of_the_same_bytes_may_outlive_a_failure(catalog: Catalog):
    put(catalog, "a", ["some words"])
    (row,) = catalog.files()
    catalog.fail("a", "too slow", row.sha256, "recipe", keep_same=True)
    (kept,) = catalog.files()
    assert (kept.state, kept.reason, kept.recipe, kept.chunks) == ("failed", "too slow", "recipe", 1)
    catalog.fail("a", "too slow", "of other bytes", "recipe", keep_same=True)
    assert catalog.counts() == (0, 0, 0)


def test_vectors_come_back_as_unit_float32_to_a_thousandth(catalog: Catalog):
    put(catalog, "a", ["x y"], windows=2)
    owners, rows = catalog.vectors_of_chunks([p.chunk_id for p in catalog.listing("kb", "a")])
    assert len(owners) == 2
    assert rows.dtype == np.float32
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-6
    nearest = (rows @ vectors(2).T).max(axis=1)
    assert nearest.min() > 0.999999


def test_english_words_are_found_by_their_stem_and_chinese_by_pairs(catalog: Catalog):
    put(catalog, "a", ["Retrieving passages", "字符二元组更适合检索", "Naïve BM25"])
    english, chinese, accent = (p.chunk_id for p in catalog.listing("kb", "a"))
    assert set(catalog.word_scores(question_terms("retrieval passage"), 5)) == {english}
    assert set(catalog.word_scores(question_terms("二元组"), 5)) == {chinese}
    assert set(catalog.word_scores(question_terms("naive"), 5)) == {accent}
    assert catalog.word_scores(question_terms("合适"), 5) == {}  # 适合 is there, 合适 is not
    assert catalog.word_scores([], 5) == {}


def test_terms_worked_out_by_hand():
    assert segment("检索 RAG 系统！") == "检索 rag 系统"
    assert segment("二元组 ＢＭ２５") == "二元 元组 bm25"
    assert question_terms("What is the recall of HNSW?") == ["recall", "hnsw"]
    assert question_terms("什么是向量检索？") == ["是向", "向量", "量检", "检索"]
    assert question_terms("what is it") == ["what", "is", "it"]  # else nothing would be left


def test_chinese_that_follows_a_latin_word_without_a_space_is_found(catalog: Catalog):
    assert segment("使用BM25检索的RAG系统") == "使用 bm25 检索 索的 rag 系统"
    put(catalog, "a", ["我们用BM25检索论文"])
    assert len(catalog.word_scores(question_terms("检索"), 5)) == 1


@pytest.mark.parametrize("evil", ['"', 'a" OR "b', "NEAR(a b)", "a*", "text:a", "(", "-a", "a AND NOT b", "'; DROP TABLE files; --", "^a"])
def test_nothing_in_a_question_is_syntax(catalog: Catalog, evil: str):
    put(catalog, "a", ["plain text without any of it"])
    assert catalog.word_scores([evil], 5) == {}
    assert catalog.word_scores(["plain", evil], 5).keys() == {p.chunk_id for p in catalog.listing("kb", "a")}
    assert catalog.document_frequencies(["plain", evil]) == (1, [1, 0])
    assert match_expression(['a"b']) == '"a""b"'


def test_word_scores_follow_the_formula_of_bm25(catalog: Catalog):
    put(catalog, "a", ["apple pear", "plum pear", "plum fig", "fig pear"])
    scores = catalog.word_scores(["apple"], 5)
    # N 4, n 1: ln(3.5 / 1.5) = 0.8473; tf 1 in a chunk of average length: 0.8473 * 2.2 / (1 + 1.2) = 0.8473
    assert list(scores.values()) == pytest.approx([0.8472979], abs=1e-6)


def test_word_scores_can_be_limited_to_files_and_to_chunks(catalog: Catalog):
    put(catalog, "a", ["common apple"])
    put(catalog, "b", ["common pear"])
    (in_b,) = (p.chunk_id for p in catalog.listing("kb", "b"))
    assert set(catalog.word_scores(["common"], 5, where=Where(files=("b",)))) == {in_b}
    assert set(catalog.word_scores(["common"], 5, among=[in_b])) == {in_b}
    assert len(catalog.word_scores(["common"], 1)) == 1
    assert len(catalog.windows_in(Where(files=("b",)))) == 1


def test_queueing_keeps_how_a_file_is_split_unless_told_and_removing_forgets_it(catalog: Catalog):
    def splitting() -> dict[str, str]:
        return {row.name: row.splitting for row in catalog.files()}

    catalog.queue(["a", "b"], "one")
    catalog.queue(["a", "c"])
    assert splitting() == {"a": "one", "b": "one", "c": ""}
    catalog.fail("a", "why", "sha", "recipe")
    catalog.queue(["b", "c"], "")
    assert splitting() == {"a": "one", "b": "", "c": ""}
    catalog.remove(["a"])
    catalog.queue(["a"])
    assert splitting() == {"a": "", "b": "", "c": ""}


def test_a_failed_file_keeps_nothing_of_what_was_read(catalog: Catalog):
    catalog.queue(["a"])
    read = Reading("T", "en", 2, 9, "s", "r", ("w",), Identity(("A",), "abs", 2020, "10.1/x", "1"), (), (1,))
    catalog.replace("a", read, [chunk("text")], vectors(1))
    catalog.fail("a", "why", "sha", "recipe")
    (row,) = catalog.files()
    assert (row.title, row.identity, row.ocr_pages, row.warnings, row.pages) == ("", Identity(), (), (), 0)


def test_a_section_is_found_from_each_of_its_chunks(catalog: Catalog):
    for name in ("a", "b"):
        chunks = [replace(chunk(f"{name}{n}"), section_number=n // 2) for n in range(5)]
        catalog.queue([name])
        catalog.replace(name, reading(), chunks, vectors(5))
    ids = [p.chunk_id for p in catalog.listing("kb", "a")]
    assert [[p.text for p in catalog.section_of("kb", i)] for i in ids] == [["a0", "a1"]] * 2 + [["a2", "a3"]] * 2 + [["a4"]]
    with pytest.raises(NotFound, match=r"no chunk 1 in the library 'kb'"):
        catalog.section_of("kb", 1)


def test_the_prefix_of_a_chunk_is_searched_and_not_part_of_its_text(catalog: Catalog):
    catalog.queue(["a"])
    catalog.replace("a", reading(), [replace(chunk("正文"), prefix="下文与(检索方法)有关。")], vectors(1))
    assert len(catalog.word_scores(["方法"], 5)) == 1
    assert [p.text for p in catalog.listing("kb", "a")] == ["正文"]


NUMBERS = st.integers(0, 65_535)
TENTHS = st.integers(0, 65_535).map(lambda tenth: tenth / 10)
SPANS = st.lists(st.builds(Span, NUMBERS, NUMBERS, NUMBERS, TENTHS, TENTHS, TENTHS, TENTHS), max_size=30)


@given(spans=SPANS)
def test_spans_come_back_as_they_were_packed(spans: list[Span]):
    assert unpacked_spans(packed_spans(spans)) == tuple(spans)


def test_boxes_are_kept_to_a_tenth_of_a_point_and_cut_to_the_range():
    (span,) = unpacked_spans(packed_spans([Span(0, 5, 1, 72.04, -3.0, 72.06, 99_999.0)]))
    assert span == Span(0, 5, 1, 72.0, 0.0, 72.1, 6553.5)


KILLED = """
import os, signal, sys
from pathlib import Path
from server.stores import catalog as module
from tests.stores.test_catalog import put

catalog = module.Catalog(Path(sys.argv[1]))
texts = iter(range(400))
class Texts(list):
    def __iter__(self):  # the writer is killed while it inserts chunk 200 of 400
        for number, text in enumerate(super().__iter__()):
            if number == 200:
                os.kill(os.getpid(), signal.SIGKILL)
            yield text
chunks = Texts(__import__("tests.stores.test_catalog", fromlist=["chunk"]).chunk(f"new text {i}") for i in texts)
from tests.stores.test_catalog import reading, vectors
catalog.replace("a.pdf", reading("new"), chunks, vectors(400))
"""


def test_a_kill_in_the_middle_of_a_replacement_leaves_the_old_version(tmp_path: Path):
    catalog = Catalog(tmp_path / "library.db")
    put(catalog, "a.pdf", ["old text one", "old text two"])
    before = (catalog.generation(), catalog.counts())
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "library.db")], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert (catalog.generation(), catalog.counts()) == before
    catalog.close()
    again = Catalog(tmp_path / "library.db")
    assert [p.text for p in again.listing("kb", "a.pdf")] == ["old text one", "old text two"]
    assert again.word_scores(["new"], 5) == {}
    again.close()


def test_two_processes_write_the_same_library_and_lose_nothing(tmp_path: Path):
    path = tmp_path / "library.db"
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from server.stores.catalog import Catalog
        from tests.stores.test_catalog import put
        catalog = Catalog(Path(sys.argv[1]))
        for i in range(25):
            put(catalog, f"{sys.argv[2]}-{i}", ["some words"])
            put(catalog, "shared", [f"by {sys.argv[2]}"])
        """
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), who], cwd=ROOT, stderr=subprocess.PIPE) for who in ("x", "y")]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    catalog = Catalog(path)
    assert catalog.counts() == (51, 51, 51)
    assert catalog.generation() == 100
    catalog.close()


def test_a_new_library_waits_for_the_process_that_is_making_the_same_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        other.rollback()

    monkeypatch.setattr(schema.time, "sleep", wait)
    Catalog(tmp_path / "library.db").close()
    assert len(waits) == 1
    other.close()


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\0" + b"\1" * 200])
def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path, content: bytes):
    (tmp_path / "library.db").write_bytes(content)
    with pytest.raises(Corrupt, match=r"init_database\.py --recreate-vs"):
        Catalog(tmp_path / "library.db")


def test_damage_that_is_met_later_is_corrupt_too(tmp_path: Path):
    catalog = Catalog(tmp_path / "library.db")
    put(catalog, "a", [f"words {i} " * 50 for i in range(40)])
    catalog.close()
    raw = bytearray((tmp_path / "library.db").read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    (tmp_path / "library.db").write_bytes(raw)
    with pytest.raises(Corrupt):
        Catalog(tmp_path / "library.db").files()
