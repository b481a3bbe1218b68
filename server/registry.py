"""Tables of parts: "name -> module:thing", imported when first used, so that importing a table costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from server.errors import Invalid


def load(table: Mapping[str, str], name: str, what: str) -> Any:
    """The thing that `table[name]` ("package.module:attribute") names.

    Raises Invalid naming the known rows when there is no such row; `what` is the word for the table in that message.
    """
    target = table.get(name)
    if target is None:
        raise Invalid(f"unknown {what} {name!r}; known: {', '.join(sorted(table))}")
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
