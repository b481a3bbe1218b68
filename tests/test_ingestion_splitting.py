"""How each file is split: by the settings, or as somebody chose for it; what a run remembers, and what the rows hold of a document."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.settings import Splitting
from server.errors import Corrupt
from server.ingestion import ingest, recipe
from server.knowledge_base import KnowledgeBase
from server.stores.catalog import Catalog
from tests.hash_embedder import HashEmbedder

DEFAULT = Splitting()
SMALL = Splitting(splitter="chinese_recursive", chunk_size=20)
TEXT = "第一句话说明背景。第二句话给出方法。第三句话报告结果。第四句话是结论。"


@pytest.fixture
def two(kb: KnowledgeBase) -> KnowledgeBase:
    """A library with two files, not ingested."""
    for name in ("a.txt", "b.txt"):
        (kb.content / name).write_text(f"{TEXT}{name}", encoding="utf-8")
    return kb


def chunks(kb: KnowledgeBase) -> dict[str, int]:
    return {row.name: row.chunks for row in kb.catalog.files()}


@pytest.mark.parametrize(
    ("splitting", "expected"),
    [
        (DEFAULT, "v4 hash sections 400"),
        (Splitting(chunk_tokens=64, zh_title_enhance=True), "v4 hash sections 64 titles"),
        (Splitting(splitter="tokens", chunk_overlap=40), "v4 hash tokens 400/40"),
        (Splitting(splitter="markdown_headers"), "v4 hash markdown_headers 400"),
        (SMALL, "v4 hash chinese_recursive 20/0"),
    ],
)
def test_the_recipe_names_the_splitter_and_the_sizes_it_uses(splitting: Splitting, expected: str):
    assert recipe(HashEmbedder(), splitting) == expected


def test_another_splitter_in_the_settings_splits_every_file_again(two: KnowledgeBase, hashing: HashEmbedder):
    ingest(two, hashing, DEFAULT)
    assert chunks(two) == {"a.txt": 1, "b.txt": 1}
    assert ingest(two, hashing, SMALL).read == 2
    assert chunks(two) == {"a.txt": 3, "b.txt": 3}
    assert ingest(two, hashing, SMALL).unchanged == 2


def test_what_was_chosen_for_a_file_stays_with_it(two: KnowledgeBase, hashing: HashEmbedder):
    ingest(two, hashing, DEFAULT)
    assert ingest(two, hashing, DEFAULT, files=["a.txt"], chosen=SMALL).read == 1
    assert ingest(two, hashing, DEFAULT).unchanged == 2
    assert ingest(two, hashing, DEFAULT, force=True).read == 2
    assert chunks(two) == {"a.txt": 3, "b.txt": 1}
    (two.content / "a.txt").write_text(f"{TEXT}changed", encoding="utf-8")
    ingest(two, hashing, Splitting(chunk_tokens=64))  # other settings: they are for b.txt
    rows = {row.name: (row.recipe, row.splitting) for row in two.catalog.files()}
    assert rows == {"a.txt": ("v4 hash chinese_recursive 20/0", SMALL.model_dump_json()), "b.txt": ("v4 hash sections 64", "")}
    two.catalog.close()
    again = Catalog(two.folder / "library.db")
    assert again.files()[0].splitting == SMALL.model_dump_json()
    again.close()


def test_choosing_what_the_settings_say_ends_a_choice(two: KnowledgeBase, hashing: HashEmbedder):
    ingest(two, hashing, DEFAULT, chosen=SMALL)
    assert ingest(two, hashing, DEFAULT, files=["a.txt"], chosen=DEFAULT).read == 1
    assert chunks(two) == {"a.txt": 1, "b.txt": 3}
    assert [row.splitting for row in two.catalog.files()] == ["", SMALL.model_dump_json()]
    assert ingest(two, hashing, SMALL, files=["b.txt"], chosen=SMALL).read == 1  # same chunks, but it follows the settings from now on
    assert [row.splitting for row in two.catalog.files()] == ["", ""]


def test_a_choice_survives_a_run_that_was_killed(two: KnowledgeBase, hashing: HashEmbedder):
    two.catalog.queue(["a.txt"], SMALL.model_dump_json())  # what a run leaves that was killed before it read
    ingest(two, hashing, DEFAULT)
    assert chunks(two) == {"a.txt": 3, "b.txt": 1}


def test_a_row_that_says_nothing_sensible_is_corrupt_and_says_which_file(two: KnowledgeBase, hashing: HashEmbedder):
    two.catalog.queue(["a.txt"], '{"splitter": "magic"}')
    with pytest.raises(Corrupt, match=r"does not say how a\.txt is to be split: .*; upload the file again"):
        ingest(two, hashing, DEFAULT)
    assert ingest(two, hashing, DEFAULT, files=["a.txt"], chosen=DEFAULT).read == 1


class Listening(HashEmbedder):
    """Remembers what it embedded."""

    def embed_documents(self, texts, done=lambda finished: None):  # type: ignore[no-untyped-def]  # as HashEmbedder's
        self.heard = list(texts)
        return super().embed_documents(texts, done)


def test_titles_are_embedded_and_indexed_and_never_in_the_text(kb: KnowledgeBase):
    (kb.content / "a.md").write_text("# 检索方法\n\n第一段正文在这里。\n", encoding="utf-8")
    embedder = Listening()
    ingest(kb, embedder, Splitting(zh_title_enhance=True))
    assert embedder.heard == ["下文与(检索方法)有关。第一段正文在这里。"]
    assert [p.text for p in kb.catalog.listing("papers", "a.md")] == ["第一段正文在这里。"]
    assert len(kb.catalog.word_scores(["有关"], 5)) == 1
    ingest(kb, embedder, DEFAULT)
    assert embedder.heard == ["第一段正文在这里。"]
    assert kb.catalog.word_scores(["有关"], 5) == {}


def test_sections_are_numbered_as_in_the_document(kb: KnowledgeBase, hashing: HashEmbedder, tmp_path: Path):
    (kb.content / "a.md").write_text("# A\n\none\n\n## B\n\n# A\n\ntwo\n\n## C\n\nthree\n", encoding="utf-8")
    ingest(kb, hashing, DEFAULT)
    listed = kb.catalog.listing("papers", "a.md")
    assert [(p.text, p.section[-1]) for p in listed] == [("one", "A"), ("B", "B"), ("two", "A"), ("three", "C")]
    numbers = [p.section_number for p in listed]
    assert numbers == sorted(set(numbers))
    assert [[p.text for p in kb.catalog.section_of("papers", x.chunk_id)] for x in listed] == [["one"], ["B"], ["two"], ["three"]]
