"""Prompts by route and name: read for each question, a library's own first, wrong ones named, what is filled in stays data."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import Invalid, NotFound
from server.llm import prompts
from server.types import Message, Passage

OWN = "knowledge_base_chat: {default: {user: 'Only: {passages} // {question}'}, mine: {system: Be brief., user: '{question} {passages}'}}"


def passage(text: str) -> Passage:
    return Passage(1, "kb", "a.pdf", "A", (), 3, 3, "paragraph", "en", text, (), 1.0, 1.0)


def asked(prompt: prompts.Prompt, question: str, *texts: str, budget: int = 10_000) -> list[Message]:
    found = [passage(text) for text in texts]
    return prompts.library_messages(prompt, question, [], found, "en", budget_tokens=budget, count=lambda text: len(text.split()))[0]


def test_the_prompts_that_are_shipped_fill_their_places_in_both_languages() -> None:
    for kind in prompts.FILLED:
        prompt = prompts.named(kind, "default")
        for language in ("en", "zh"):
            text = prompt.asked(language, {"question": "Q?", "passages": "P."})
            assert "Q?" in text
            assert ("P." in text) is (kind == "knowledge_base_chat")
    assert prompts.named("knowledge_base_chat", "default").told("zh").startswith("只根据")
    assert [m.role for m in prompts.chat_messages(prompts.named("llm_chat", "default"), "Q?", [], "en")] == ["user"]


def test_a_change_of_the_file_is_seen_at_the_next_question_and_a_library_has_its_own(tmp_path: Path) -> None:
    file = tmp_path / "prompts.yaml"
    assert "Answer the question only" in prompts.named("knowledge_base_chat", "default", file).told("en")
    file.write_text(OWN, encoding="utf-8")
    assert (
        asked(prompts.named("knowledge_base_chat", "default", file), "why?", "because")[-1].content == "Only: [1] A, p. 3: because // why?"
    )
    mine = prompts.named("knowledge_base_chat", "mine", file)
    assert (mine.told("zh"), mine.told("en")) == ("Be brief.", "Be brief.")
    assert prompts.named("knowledge_base_chat", "text", file).told("en").startswith("Answer the question with the help")  # the others stay


def test_what_is_filled_in_is_data() -> None:
    prompt = prompts.named("knowledge_base_chat", "default")
    last = asked(prompt, "what is {passages} and {0} and {question}?", "a {question} {x.__class__}")[-1].content
    assert last == "[1] A, p. 3: a {question} {x.__class__}\n\nwhat is {passages} and {0} and {question}?"


def test_the_budget_counts_the_prompt_itself() -> None:
    prompt = prompts.Prompt({"en": "one two three", "zh": ""}, {"en": "{passages} {question}", "zh": "{passages} {question}"})
    messages = asked(prompt, "q", "w " * 10, "w " * 10, "w " * 10, budget=35)
    assert "[2]" in messages[-1].content
    assert "[3]" not in messages[-1].content


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "cannot be read as YAML, line 1"),
        ("[]", "must hold prompts by route and name"),
        ("chat: {default: {user: x}}", "no route 'chat'; known: llm_chat, knowledge_base_chat"),
        ("llm_chat: {default: {system: x}}", "the prompt 'default' of llm_chat needs `user`"),
        ("llm_chat: {default: {user: hello}}", r"lacks the place \{question\}"),
        ("llm_chat: {default: {user: {en: '{question}'}}}", "llm_chat.default.user must be a text, or one for each of en and zh"),
        ("llm_chat: {default: {user: 3}}", "llm_chat.default.user must be a text"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "prompts.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid, match=words):
        prompts.named("llm_chat", "default", file)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(NotFound, match="no prompt 'nope' for llm_chat; known: default, concise"):
        prompts.named("llm_chat", "nope")
