"""Prefixes and pooling: the settings win over the folder, the folder over the name, and an unknown model says that it is one."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from configs.settings import Embedding, SettingsError, Splitting, load_settings
from server import embedding
from server.embedding.families import Folder, family_of, usage_of
from server.embedding.local import longest_input
from server.errors import Invalid
from server.ingestion import check_embedding, ingest
from server.knowledge_base import Facts, KnowledgeBase, read_facts, write_facts
from server.retrieval import retrieve
from server.shelf import Shelf

ZH = "为这个句子生成表示以用于检索相关文章："
EN = "Represent this sentence for searching relevant passages: "
NOTHING = Folder({})


@pytest.mark.parametrize(
    ("name", "family", "query", "passage", "pooling"),
    [
        ("m3e-base", "m3e", "", "", "mean"),
        ("moka-ai--m3e-small", "m3e", "", "", "mean"),
        ("bge-small-zh-v1.5", "bge-*-zh", ZH, "", "cls"),
        ("BAAI/bge-large-zh", "bge-*-zh", ZH, "", "cls"),
        ("BAAI_bge-base-en-v1.5", "bge-*-en", EN, "", "cls"),
        ("lab-bge-base-zh-tuned", "bge-*-zh", ZH, "", "cls"),
        ("bge-m3", "bge-m3", "", "", "cls"),
        ("e5-large-v2", "e5", "query: ", "passage: ", "mean"),
        ("multilingual-e5-small", "e5", "query: ", "passage: ", "mean"),
        ("gte-large-zh", "gte-zh", "", "", "cls"),
        ("gte-base", "gte", "", "", "mean"),
        ("all-MiniLM-L6-v2", "all-MiniLM-L6", "", "", "mean"),
        ("piccolo-base-zh", "piccolo", "查询：", "结果：", "mean"),
    ],
)
def test_a_name_tells_the_family(name: str, family: str, query: str, passage: str, pooling: str):
    assert family_of([name]).name == family  # type: ignore[union-attr]
    usage = usage_of([name], NOTHING, None, None)
    assert (usage.query, usage.passage, usage.pooling) == (query, passage, pooling)
    assert family in usage.source


def test_the_instruct_model_of_e5_asks_by_an_instruction():
    usage = usage_of(["multilingual-e5-large-instruct"], NOTHING, None, None)
    assert usage.query.startswith("Instruct: ")
    assert usage.query.endswith("\nQuery: ")
    assert usage.passage == ""


@pytest.mark.parametrize("name", ["bert-base-chinese", "m3easy", "e55", "large-e5x", "forge-small-zhang"])
def test_an_unknown_model_is_used_without_prefixes_and_says_so(name: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        usage = usage_of([name], NOTHING, None, None)
    assert (usage.query, usage.passage, usage.pooling) == ("", "", "mean")
    assert "unknown model, used without prefixes" in usage.source
    assert f"embedding={name}" in caplog.text
    assert "embedding.query_prefix" in caplog.text


def test_the_folder_wins_over_the_name_and_a_disagreement_is_logged(caplog: pytest.LogCaptureFixture):
    usage = usage_of(["bge-small-zh"], Folder({"query": "q: ", "document": "d: "}, pooling="mean"), None, None)
    assert (usage.query, usage.passage, usage.pooling, usage.source) == ("q: ", "d: ", "mean", "the model's folder")
    assert "pools by mean" in caplog.text
    assert usage_of(["x"], Folder({"search_query": "a", "passage": "b"}), None, None).query == "a"
    assert usage_of(["x"], Folder({"all": "t: "}, "all"), None, None).passage == "t: "  # its default prompt


def test_empty_prompts_as_sentence_transformers_saves_them_say_nothing():
    assert usage_of(["e5-base"], Folder({"query": "", "document": ""}), None, None).passage == "passage: "


def test_prompts_for_other_tasks_are_named_in_the_warning(caplog: pytest.LogCaptureFixture):
    usage = usage_of(["thing"], Folder({"sts": "Compare: "}), None, None)
    assert (usage.query, usage.passage) == ("", "")
    assert "only prompts for sts" in usage.source


def test_the_settings_win_and_what_is_delivered_stays_known():
    usage = usage_of(["e5-base"], NOTHING, None, "")
    assert (usage.query, usage.passage, usage.delivered) == ("query: ", "", "passage: ")
    assert usage.source == "setting passage_prefix; the rest: family e5, by name"
    assert usage_of(["e5-base"], NOTHING, "a", "b").source == "setting query_prefix and passage_prefix"
    assert (usage.form, usage.delivered_form) == ("mean ''", "mean 'passage: '")


def test_wrong_keys_and_values_of_these_settings_are_refused():
    with pytest.raises(SettingsError, match=r"did you mean embedding\.query_prefix"):
        load_settings({"embedding": {"query_prefx": "q: "}})
    for wrong in ({"query_prefix": 5}, {"passage_prefix": "x" * 1001}, {"max_tokens": 3}):
        with pytest.raises(ValidationError):
            Embedding.model_validate(wrong)


# --- with a real folder ---


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model whose folder says nothing of prefixes."""
    copy = tmp_path / "thing"
    shutil.copytree(tiny_model, copy)
    (copy / "config_sentence_transformers.json").unlink()
    return copy


def load(folder: Path, **settings: object) -> embedding.Embedder:
    return embedding.load(Embedding.model_validate({"model": str(folder), "dtype": "float32", "device": "cpu", **settings}), folder)


def test_a_folder_without_modules_is_pooled_as_its_family_is(folder: Path, caplog: pytest.LogCaptureFixture):
    texts = ["apple pie", "检索 a b c"]
    mean = load(folder).embed_documents(texts)
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    with caplog.at_level(logging.WARNING):
        assert np.allclose(load(folder).embed_documents(texts), mean, atol=1e-5)
    assert "pooled by mean" in caplog.text
    named = folder.rename(folder.with_name("bge-small-en"))
    cls = load(named)
    assert cls.usage.pooling == "cls"
    assert np.abs(cls.embed_documents(texts) - mean).max() > 0.01


def test_a_pooling_config_without_modules_is_believed(folder: Path):
    (folder / "modules.json").unlink()
    (folder / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 32, "pooling_mode_cls_token": true}')
    assert load(folder).usage.pooling == "cls"


def test_the_name_that_config_json_remembers_tells_the_family(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": "intfloat/e5-small"}))
    assert load(folder).usage.passage == "passage: "


def test_a_prefix_stands_before_the_text(folder: Path):
    plain, prefixed = load(folder), load(folder, query_prefix="q: ", passage_prefix="p: ")
    assert np.allclose(prefixed.embed_documents(["abc"]), plain.embed_documents(["p: abc"]), atol=1e-5)
    assert np.allclose(prefixed.embed_query("abc"), plain.embed_query("q: abc"), atol=1e-5)


def test_the_longest_input_is_known_cut_by_a_setting_and_not_stretched(folder: Path):
    assert load(folder).max_tokens == 512
    short = load(folder, max_tokens=16)
    a, b = short.embed_documents(["a b c d e f g h i j k l m n o p q r s t", "a b c d e f g z z z z z z z z z z z z"])
    assert np.allclose(a, b, atol=1e-5)  # the same first 14 tokens
    with pytest.raises(Invalid, match="at most 512"):
        load(folder, max_tokens=1024)
    (folder / "sentence_bert_config.json").unlink()
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    del tokenizer["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    assert load(folder).max_tokens == 512  # its positions, not the 10^30 of a tokenizer without a limit


def test_a_library_refuses_the_same_model_with_another_passage_prefix(folder: Path, shelf: Shelf):
    plain, prefixed = load(folder), load(folder, passage_prefix="p: ")
    kb = shelf.create("mine", embedding=plain.name, dimension=32, passages=plain.usage.form)
    (kb.content / "a.txt").write_text("apple pie")
    assert ingest(kb, plain, Splitting()).read == 1
    with pytest.raises(Invalid, match=r"mean '' .* mean 'p: '.*passage_prefix.*--recreate-vs --kb-name mine"):
        retrieve([(kb, prefixed)], "apple", load_settings().retrieval)
    check_embedding(kb, load(folder, query_prefix="q: "))  # stored vectors do not depend on it
    assert shelf.reset("mine", embedding=prefixed.name, dimension=32, passages=prefixed.usage.form).facts.passages == "mean 'p: '"


def test_a_library_from_before_prefixes_were_kept_takes_the_model_as_delivered(folder: Path, shelf: Shelf):
    kb = shelf.create("old", embedding="thing", dimension=32)
    facts = json.loads((kb.folder / "kb.json").read_text())
    del facts["passages"]
    (kb.folder / "kb.json").write_text(json.dumps(facts))
    old = KnowledgeBase(kb.folder, read_facts(kb.folder))
    check_embedding(old, load(folder))
    with pytest.raises(Invalid, match="passage_prefix"):
        check_embedding(old, load(folder, passage_prefix="p: "))
    old.close()
    write_facts(kb.folder, Facts("thing", 32, passages="mean 'p: '"))
    assert read_facts(kb.folder).passages == "mean 'p: '"


@pytest.mark.parametrize(("kind", "positions", "longest"), [("xlm-roberta", 514, 512), ("bert", 512, 512), ("mpnet", 514, 512)])
def test_positions_that_a_model_keeps_for_padding_are_not_input(kind: str, positions: int, longest: int):
    class Model(list):  # type: ignore[type-arg]  # a SentenceTransformer, as far as this looks at it
        max_seq_length = 10**30

    model = Model([SimpleNamespace(config=SimpleNamespace(model_type=kind, max_position_embeddings=positions))])
    assert longest_input(model, None) == longest
