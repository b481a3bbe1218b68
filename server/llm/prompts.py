"""Prompts of prompts.yaml, by route and name; in: passages and a question; out: the messages for the model, within its context."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from configs.settings import ROOT
from server.errors import Invalid, NotFound
from server.types import Language, Message, Passage

PROMPTS = ROOT / "configs" / "prompts.yaml"

Kind = Literal["llm_chat", "knowledge_base_chat"]
FILLED: dict[Kind, tuple[str, ...]] = {"llm_chat": ("question",), "knowledge_base_chat": ("passages", "question")}
_PARTS = ("system", "user")
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is told; texts by language ("en", "zh"), the same twice when there is one for all. `system` may be empty."""

    system: Mapping[str, str]
    user: Mapping[str, str]

    def told(self, language: Language) -> str:
        """The system message, "" for none."""
        return self.system["zh" if language == "zh" else "en"]

    def asked(self, language: Language, values: Mapping[str, str]) -> str:
        """The user's message. What is filled in is not looked through for places again."""
        return _PLACE.sub(lambda place: values.get(place[1], place[0]), self.user["zh" if language == "zh" else "en"])


def named(kind: Kind, name: str, own: Path | None = None, path: Path = PROMPTS) -> Prompt:
    """A prompt; `own` is a library's file, which wins where it has that name. Raises NotFound naming those there are, Invalid."""
    known: dict[str, Any] = {}
    for file in (path, own):
        if file is not None and file.is_file():
            known |= _read(file).get(kind) or {}
    if name not in known:
        raise NotFound(f"no prompt {name!r} for {kind}; known: {', '.join(known)}")
    return _prompt(kind, name, known[name])


def chat_messages(prompt: Prompt, question: str, history: Sequence[Message], language: Language) -> list[Message]:
    """What a model without a library is asked."""
    system = prompt.told(language)
    told = [Message("system", system)] if system else []
    return [*told, *history, Message("user", prompt.asked(language, {"question": question}))]


def library_messages(
    prompt: Prompt,
    question: str,
    history: Sequence[Message],
    passages: Sequence[Passage],
    language: Language,
    *,
    budget_tokens: int,
    count: Callable[[str], int],
) -> tuple[list[Message], list[Passage]]:
    """The messages, and the passages that fit into `budget_tokens` of them, best first; at least one, cut if it must be."""
    left = budget_tokens - sum(count(message.content) for message in chat_messages(prompt, question, history, language))
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
    system = prompt.told(language)
    told = [Message("system", system)] if system else []
    asked = prompt.asked(language, {"passages": "\n\n".join(lines), "question": question})
    return [*told, *history, Message("user", asked)], kept


def _read(file: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as exc:
        place = getattr(exc, "problem_mark", None)
        raise Invalid(f"{file} cannot be read as YAML{f', line {place.line + 1}' if place else ''}; mend it, no restart is needed") from exc
    loaded = {} if loaded is None else loaded
    if not isinstance(loaded, dict) or not all(isinstance(names, dict) for names in loaded.values()):
        raise Invalid(f"{file} must hold prompts by route and name, as configs/prompts.yaml does")
    if unknown := sorted(set(loaded) - set(FILLED)):
        raise Invalid(f"{file}: no route {unknown[0]!r}; known: {', '.join(FILLED)}")
    return loaded


def _prompt(kind: Kind, name: str, value: Any) -> Prompt:
    if not isinstance(value, dict) or "user" not in value or set(value) - set(_PARTS):
        raise Invalid(f"the prompt {name!r} of {kind} needs `user`, and may have `system`")
    texts = {part: _texts(f"{kind}.{name}.{part}", value.get(part, "")) for part in _PARTS}
    for text in texts["user"].values():
        if missing := [place for place in FILLED[kind] if f"{{{place}}}" not in text]:
            raise Invalid(f"the prompt {name!r} of {kind} lacks the place {{{missing[0]}}}")
    return Prompt(**texts)


def _texts(where: str, value: Any) -> dict[str, str]:
    if isinstance(value, str):
        return {"en": value, "zh": value}
    if isinstance(value, dict) and set(value) == {"en", "zh"} and all(isinstance(text, str) for text in value.values()):
        return dict(value)
    raise Invalid(f"{where} must be a text, or one for each of en and zh")
