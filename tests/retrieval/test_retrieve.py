"""Retrieval: what comes first in small libraries, in one and in several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Retrieval
from server.errors import Invalid
from server.knowledge_base import KnowledgeBase
from server.retrieval import retrieve
from server.retrieval.fusion import ideal_word_score, term_weights
from server.shelf import Shelf
from server.stores.rows import Reading
from server.stores.where import Where
from server.types import BlockKind, Chunk, Identity, Language
from tests.hash_embedder import HashEmbedder

DEFAULTS = Retrieval()


def fill(kb: KnowledgeBase, file: str, texts: list[str], kind: BlockKind = "paragraph", language: Language = "en") -> None:
    """A file of these chunks."""
    chunks = [Chunk(text, (), 1, 1, kind, language, (), ((0, len(text)),)) for text in texts]
    kb.catalog.queue([file])
    kb.catalog.replace(file, Reading(file, language, 1, 1, "sha", "recipe", ()), chunks, HashEmbedder().embed_documents(texts))


def texts_of(kb: KnowledgeBase, question: str, **more: object) -> list[str]:
    return [p.text for p in retrieve([(kb, HashEmbedder())], question, DEFAULTS, **more)]  # type: ignore[arg-type]  # keyword arguments


def test_the_ideal_word_score_is_what_fts5_gives_an_average_chunk_with_all_terms(kb: KnowledgeBase):
    fill(kb, "a", ["apple pear", "plum pear", "plum fig", "fig kiwi", "kiwi date", "date lime"])
    scores = kb.catalog.word_scores(["apple", "pear"], 9)
    ideal = ideal_word_score(term_weights(*kb.catalog.document_frequencies(["apple", "pear"])))
    assert ideal == pytest.approx(math.log(5.5 / 1.5) + math.log(4.5 / 2.5))
    assert max(scores.values()) == pytest.approx(ideal)


def test_the_passage_that_shares_the_rare_word_comes_first(kb: KnowledgeBase):
    fill(kb, "a", ["the index holds vectors of pages", "the zebra index is striped", "the rows hold pages and vectors"])
    found = retrieve([(kb, HashEmbedder())], "what about the zebra?", DEFAULTS)
    assert found[0].text == "the zebra index is striped"
    assert len(found) == 3
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    own = HashEmbedder().embed_query("what about the zebra?") @ HashEmbedder().embed_query(found[0].text)
    assert found[0].similarity == pytest.approx(float(own), abs=1e-3)


def test_an_entry_of_a_bibliography_comes_after_the_text_that_says_the_same(kb: KnowledgeBase):
    fill(kb, "r", ["zebra fusion of ranks"], kind="reference")
    fill(kb, "a", ["zebra fusion of ranks", "nothing of the kind"])
    found = retrieve([(kb, HashEmbedder())], "zebra fusion", DEFAULTS)
    assert [(p.file, p.kind) for p in found[:2]] == [("a", "paragraph"), ("r", "reference")]
    assert found[1].score == pytest.approx(0.6 * found[0].score)


def test_only_the_named_files_are_searched(kb: KnowledgeBase):
    fill(kb, "a", ["zebra one", "zebra two"])
    fill(kb, "b", ["zebra three"])
    fill(kb, "c", ["lion"])
    assert texts_of(kb, "zebra", where=Where(files=("b", "c"))) == ["zebra three", "lion"]
    assert texts_of(kb, "zebra", where=Where(files=("nowhere",))) == []


def test_copies_of_a_paper_do_not_take_the_places_of_other_papers(kb: KnowledgeBase):
    for file in ("a.md", "copy.md", "copy2.md"):
        fill(kb, file, ["kiwis grow in gardens", "melons grow in fields"])
    fill(kb, "other.md", ["kiwis are green"])
    assert texts_of(kb, "kiwis", top_k=3) == ["kiwis grow in gardens", "kiwis are green", "melons grow in fields"]
    assert {p.file for p in retrieve([(kb, HashEmbedder())], "kiwis", DEFAULTS, where=Where(files=("copy.md",)))} == {"copy.md"}


def test_top_k_counts_passages_not_windows(kb: KnowledgeBase):
    text = "zebra " * 30
    chunk = Chunk(text, (), 1, 1, "paragraph", "en", (), ((0, 60), (30, 90), (60, 120)))
    vectors = np.repeat(HashEmbedder().embed_documents(["zebra"]), 3, axis=0)
    kb.catalog.queue(["a"])
    kb.catalog.replace("a", Reading("a", "en", 1, 1, "sha", "recipe", ()), [chunk], vectors)
    fill(kb, "b", ["lion zebra", "lion"])
    found = retrieve([(kb, HashEmbedder())], "zebra", DEFAULTS, top_k=2)
    assert [(p.file, p.text) for p in found] == [("a", text), ("b", "lion zebra")]
    assert len(retrieve([(kb, HashEmbedder())], "zebra", DEFAULTS)) == 3


@pytest.mark.parametrize("question", ["", "???", "的", "what is", '"', "zebra OR lion", "\u200b"])
def test_any_question_can_be_asked(kb: KnowledgeBase, question: str):
    assert texts_of(kb, question) == []
    fill(kb, "a", ["the zebra"])
    assert texts_of(kb, question) == ["the zebra"]


def test_a_library_of_another_embedding_model_is_refused(kb: KnowledgeBase):
    with pytest.raises(Invalid, match="was built with hash"):
        retrieve([(kb, HashEmbedder("other"))], "zebra", DEFAULTS)


class Deleting(HashEmbedder):
    """While the question is embedded, somebody deletes the file."""

    def __init__(self, kb: KnowledgeBase) -> None:
        super().__init__()
        self._kb = kb

    def embed_query(self, text: str):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        self._kb.catalog.remove(["a"])
        return super().embed_query(text)


def test_a_file_that_goes_while_it_is_asked_for_is_not_found_any_more(kb: KnowledgeBase):
    fill(kb, "a", ["zebra"])
    fill(kb, "b", ["zebra too"])
    assert [p.file for p in retrieve([(kb, Deleting(kb))], "zebra", DEFAULTS)] == ["b"]


def described(kb: KnowledgeBase, file: str, text: str, year: int | None, authors: tuple[str, ...], section: tuple[str, ...] = ()) -> None:
    """A file of one chunk, by these authors."""
    chunk = Chunk(text, section, 1, 1, "paragraph", "en", (), ((0, len(text)),))
    reading = Reading(file, "en", 1, 1, "sha", "recipe", (), Identity(authors=authors, year=year))
    kb.catalog.queue([file])
    kb.catalog.replace(file, reading, [chunk], HashEmbedder().embed_documents([text]))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where(), {"a", "b", "c"}),
        (Where(year_from=2010), {"b"}),
        (Where(year_to=2010), {"a", "b"}),
        (Where(year_from=1999, year_to=1999), {"a"}),
        (Where(authors=("erdős",)), {"a"}),
        (Where(authors=("ERDŐS", "张")), {"a", "c"}),
        (Where(authors=("%",)), set()),
        (Where(sections=("method",)), {"a", "c"}),
        (Where(sections=("2 methods", "results")), {"a", "b"}),
        (Where(sections=("methods",), year_from=1990), {"a"}),
        (Where(files=("a", "b"), sections=("results",)), {"b"}),
        (Where(files=("*",)), set()),
    ],
)
def test_a_search_keeps_to_years_authors_and_sections(kb: KnowledgeBase, where: Where, expected: set[str]):
    described(kb, "a", "zebra one", 1999, ("Paul Erdős", "Ann Lee"), ("2 Methods", "Data"))
    described(kb, "b", "zebra two", 2010, ("Bo Chen",), ("Results",))
    described(kb, "c", "zebra three", None, ("张伟",), ("The Methodology",))
    assert {p.file for p in retrieve([(kb, HashEmbedder())], "zebra", DEFAULTS, where=where)} == expected


def test_a_part_that_cannot_be_is_refused_in_words():
    with pytest.raises(Invalid, match="year_from 2020 is after year_to 2010"):
        Where(year_from=2020, year_to=2010)
    with pytest.raises(Invalid, match="authors holds an empty one"):
        Where(authors=(" ",))


def test_no_passage_is_less_similar_than_asked_for(kb: KnowledgeBase):
    fill(kb, "a", ["zebra stripes", "zebra lion tiger", "nothing of the kind"])
    found = retrieve([(kb, HashEmbedder())], "zebra stripes", DEFAULTS)
    similarities = [p.similarity for p in found]
    assert similarities[0] == pytest.approx(1, abs=1e-3)
    least = (similarities[0] + similarities[1]) / 2
    assert [p.text for p in retrieve([(kb, HashEmbedder())], "zebra stripes", DEFAULTS, min_similarity=least)] == ["zebra stripes"]
    setting = DEFAULTS.model_copy(update={"min_similarity": least})
    assert [p.text for p in retrieve([(kb, HashEmbedder())], "zebra stripes", setting)] == ["zebra stripes"]
    assert len(retrieve([(kb, HashEmbedder())], "zebra stripes", setting, min_similarity=-1)) == 3


def test_several_libraries_are_searched_as_one(tmp_path: Path):
    shelf = Shelf(tmp_path)
    one, two = (shelf.create(name, embedding="hash", dimension=32) for name in ("one", "二"))
    fill(one, "a", ["zebra stripes", "lion"])
    fill(two, "a", ["zebra stripes", "zebra zebra stripes and hooves", "melons"])
    together = retrieve([(one, HashEmbedder()), (two, HashEmbedder())], "zebra stripes", DEFAULTS)
    assert {p.text for p in together[:2]} == {"zebra stripes", "zebra zebra stripes and hooves"}
    assert {p.kb for p in together} == {"one", "二"}
    assert len(together) == 4  # the same text once
    assert together[0].score > together[1].score > together[-1].score
    shelf.close()


def test_libraries_of_different_models_are_searched_together(tmp_path: Path):
    shelf = Shelf(tmp_path)
    one = shelf.create("one", embedding="hash", dimension=32)
    two = shelf.create("two", embedding="other", dimension=32)
    fill(one, "a", ["zebra stripes", "lion"])
    fill(two, "b", ["zebra hooves", "melons"])
    found = retrieve([(one, HashEmbedder()), (two, HashEmbedder("other"))], "zebra", DEFAULTS)
    assert {p.text for p in found[:2]} == {"zebra stripes", "zebra hooves"}
    with pytest.raises(Invalid, match="'two' was built with other"):
        retrieve([(one, HashEmbedder()), (two, HashEmbedder())], "zebra", DEFAULTS)
    shelf.close()


def test_few_passages_of_each_paper_when_the_question_is_about_several(kb: KnowledgeBase):
    fill(kb, "a", [f"zebra number {number}" for number in range(6)])
    fill(kb, "b", ["a zebra in a long text about very many other animals of the plains"])
    assert [p.file for p in retrieve([(kb, HashEmbedder())], "zebra number", DEFAULTS)] == ["a"] * 5
    files = [p.file for p in retrieve([(kb, HashEmbedder())], "Which papers mention a zebra number?", DEFAULTS)]
    assert sorted(files[:3]) == ["a", "a", "b"]
    assert files[3:] == ["a", "a"]  # filled up


class Backwards:
    """A reranker that likes short texts."""

    name = "backwards"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.asked.append((question, len(texts)))
        return [1 / len(text) for text in texts]


def test_a_reranker_orders_the_best_anew(kb: KnowledgeBase):
    fill(kb, "a", ["zebra", "zebra stripes", "zebra stripes and hooves", *(f"other {number}" for number in range(30))])
    reranker = Backwards()
    settings = DEFAULTS.model_copy(update={"rerank_pool": 3})
    found = retrieve([(kb, HashEmbedder())], "zebra stripes and hooves", settings, top_k=2, reranker=reranker)
    assert [p.text for p in found] == ["zebra", "zebra stripes"]
    assert found[0].score == pytest.approx(1 / 5)
    assert reranker.asked == [("zebra stripes and hooves", 3)]
