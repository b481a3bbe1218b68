"""Tables name things that exist, and each error carries the status that its docstring draws."""

from __future__ import annotations

import re

import pytest

from server import errors, registry
from server.errors import Invalid, PaperError, RateLimited
from server.readers import READERS
from server.stores import VECTOR_STORES

CLASSES = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, PaperError)]


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in (READERS, VECTOR_STORES) for name in table])
def test_every_row_of_every_table_names_something_that_can_be_called(table: dict[str, str], name: str):
    assert callable(registry.load(table, name, "part"))


def test_an_unknown_row_is_refused_with_the_known_ones_in_order():
    with pytest.raises(Invalid) as caught:
        registry.load({"b": "x:y", "a": "x:y"}, "c", "vector store")
    assert str(caught.value) == "unknown vector store 'c'; known: a, b"


def test_the_drawn_tree_holds_every_class_with_its_status():
    drawn = dict(re.findall(r"(\w+)  .*\((\d{3})\)", errors.__doc__ or ""))
    assert {name: int(status) for name, status in drawn.items()} == {c.__name__: c.status for c in CLASSES if c is not PaperError}


def test_the_drawn_tree_has_the_shape_of_the_classes():
    lines = re.findall(r"^    ([│├└─ ]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    above: dict[int, str] = {}
    for branch, name in lines:
        depth = len(branch) // 4
        above[depth] = name
        if depth:
            assert getattr(errors, name).__base__.__name__ == above[depth - 1], name
    assert len(lines) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_says_its_message_and_nothing_more(kind: type[PaperError]):
    assert str(kind("why")) == "why"
    assert kind.type.endswith("_error")


def test_rate_limited_says_how_long_to_rest():
    assert RateLimited("slow down", 30).retry_after_s == 30
    assert RateLimited("slow down").retry_after_s == 1
