"""Libraries whose vectors lie in Milvus (milvus-lite, the real client): followed, shared by processes, lost, unreachable, deleted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Stores
from server.errors import Invalid, Unavailable
from server.knowledge_base import KnowledgeBase
from server.shelf import Shelf
from server.stores import Home
from server.stores.milvus import MilvusStore
from server.stores.where import Where
from tests.hash_embedder import HashEmbedder
from tests.stores.stores import milvus_file
from tests.stores.test_vector_stores import DIMENSION, unit
from tests.test_knowledge_base import fill, found


def stores() -> Stores:
    return Stores(milvus_uri=milvus_file())


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "knowledge_base", stores())


@pytest.fixture
def kb(shelf: Shelf) -> KnowledgeBase:
    return shelf.create("papers", embedding="hash", dimension=32, store="milvus")


def collection(kb: KnowledgeBase) -> str:
    return f"paperproof_{kb._own_name()}"


def client():
    from pymilvus import MilvusClient

    return MilvusClient(uri=milvus_file())


def test_a_library_in_milvus_is_filled_changed_and_searched(kb: KnowledgeBase):
    fill(kb, "a", ["apple tree"])
    fill(kb, "b", ["banana split"])
    assert found(kb, "banana", 1) == ["banana split"]
    fill(kb, "b", ["berry jam"])
    kb.catalog.remove(["a"])
    assert found(kb, "apple banana", 5) == ["berry jam"]
    only = kb.catalog.windows_in(Where(files=("b",)))
    assert [i for i, _ in kb.search(HashEmbedder().embed_query("berry"), 5, only)] == only.tolist()


def test_after_a_restart_it_follows_and_is_not_built_again(shelf: Shelf, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch):
    fill(kb, "a", ["apple tree"])
    kb.save_index()
    fill(kb, "b", ["banana split"])
    assert found(kb, "banana", 1) == ["banana split"]  # on the server, but not written down
    shelf.close()
    again = Shelf(shelf.root, stores()).open("papers")
    monkeypatch.setattr(MilvusStore, "build", None)  # would fail
    assert found(again, "banana apple", 5) in (["banana split", "apple tree"], ["apple tree", "banana split"])
    assert len(again._store) == 2


@pytest.mark.parametrize("what", ["the collection", "rows", "milvus.json", "all of milvus.json's words"])
def test_what_was_lost_is_built_from_the_rows(shelf: Shelf, kb: KnowledgeBase, what: str):
    fill(kb, "a", ["apple tree"])
    fill(kb, "b", ["banana split"])
    kb.save_index()
    shelf.close()
    if what == "the collection":
        client().drop_collection(collection(kb))
    elif what == "rows":
        client().delete(collection(kb), ids=kb.catalog.windows_in(Where(files=("a",))).tolist())
    elif what == "milvus.json":
        (kb.vectors_folder / "milvus.json").unlink()
    else:
        (kb.vectors_folder / "milvus.json").write_text("{")
    again = Shelf(shelf.root, stores()).open("papers")
    assert sorted(found(again, "apple banana", 5)) == ["apple tree", "banana split"]
    assert len(again._store) == 2


def test_a_collection_lost_while_the_library_is_open_is_built_again(kb: KnowledgeBase):
    fill(kb, "a", ["apple tree"])
    assert found(kb, "apple") == ["apple tree"]
    client().drop_collection(collection(kb))
    assert found(kb, "apple") == ["apple tree"]
    client().drop_collection(collection(kb))
    fill(kb, "b", ["banana split"])
    assert sorted(found(kb, "apple banana", 5)) == ["apple tree", "banana split"]


def test_deleting_a_library_drops_its_collection_and_no_other(shelf: Shelf, kb: KnowledgeBase):
    other = shelf.create("other", embedding="hash", dimension=32, store="milvus")
    for library in (kb, other):
        fill(library, "a", ["apple tree"])
        library.save_index()
    name = collection(kb)
    assert client().has_collection(name)
    shelf.delete("papers")
    assert not client().has_collection(name)
    assert found(other, "apple") == ["apple tree"]


def test_two_stores_over_one_collection_may_follow_the_same_changes():
    home = Home(lambda: "twice", stores())
    one, two = MilvusStore(DIMENSION, home), MilvusStore(DIMENSION, home)
    one.build(0, [])
    for store in (one, two, one):
        store.remove([1, 2])
        store.add(np.array([2, 3]), np.stack([unit(2), unit(3)]))
        store.remove([3])
    assert len(one) == len(two) == 1
    assert [i for i, _ in two.search(unit(2), 5)] == [2]


def test_a_server_that_is_away_is_named(tmp_path: Path):
    shelf = Shelf(tmp_path, Stores(milvus_uri="http://127.0.0.1:1"))
    kb = shelf.create("papers", embedding="hash", dimension=32, store="milvus")
    fill(kb, "a", ["apple tree"])
    with pytest.raises(Unavailable, match=r"Milvus at http://127.0.0.1:1: .*the rows of library.db are whole"):
        found(kb, "apple")
    shelf.delete("papers")
    assert shelf.names() == []


def test_a_missing_client_says_what_to_install(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(Unavailable, match=r"pip install 'pymilvus>=3\.0,<4'"):
        kb.search(np.ones(32, np.float32), 1)


def test_without_an_address_no_library_is_made(tmp_path: Path):
    shelf = Shelf(tmp_path)
    with pytest.raises(Invalid, match=r"set stores.milvus_uri to http://host:19530"):
        shelf.create("papers", embedding="hash", dimension=32, store="milvus")
    assert shelf.names() == []


@pytest.mark.parametrize("wrong", ["milvus", "http://user:secret@host:19530", "ftp://host/x.db", "http://host:19530/path"])
def test_an_address_that_cannot_be_one_is_refused(wrong: str):
    with pytest.raises(ValueError, match="is no address of Milvus"):
        Stores(milvus_uri=wrong)
