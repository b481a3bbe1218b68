"""Passages and a question -> the messages for the model, within its context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.settings import ROOT
from server.types import Language, Message, Passage

PROMPTS = ROOT / "configs" / "prompts.yaml"


def load(path: Path = PROMPTS) -> dict[str, Any]:
    """The templates of prompts.yaml."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def library_messages(
    templates: dict[str, Any],
    question: str,
    history: Sequence[Message],
    passages: Sequence[Passage],
    language: Language,
    *,
    budget_tokens: int,
    count: Callable[[str], int],
) -> tuple[list[Message], list[Passage]]:
    """The messages, and the passages that fit into `budget_tokens` of them, best first; at least one, cut if it must be."""
    system = str(templates["library"]["zh" if language == "zh" else "en"])
    left = budget_tokens - count(system) - count(question) - sum(count(m.content) for m in history)
    kept: list[Passage] = []
    lines: list[str] = []
    for passage in passages:
        line = f"[{len(kept) + 1}] {passage.title}, p. {passage.page}: {passage.text}"
        cost = count(line)
        if cost > left and kept:
            break
        if cost > left:
            line = line[: max(200, int(len(line) * left / cost))]
        kept.append(passage)
        lines.append(line)
        left -= cost
    asked = str(templates["library"]["question"]).format(passages="\n\n".join(lines), question=question)
    return [Message("system", system), *history, Message("user", asked)], kept
