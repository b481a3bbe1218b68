"""Both languages say the same things."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webui.i18n import WORDS, duration, from_locale, say, say_or

WEBUI = Path(__file__).resolve().parents[2] / "webui"


@pytest.mark.parametrize("key", WORDS)
def test_both_languages_fill_in_the_same_names(key: str) -> None:
    english, chinese = (sorted(re.findall(r"{(\w+)}", text)) for text in WORDS[key])
    assert english == chinese


def test_every_key_that_a_page_names_exists_and_every_key_is_used() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in WEBUI.glob("*.py") if path.name != "i18n.py")
    named = set(re.findall(r"""\bt\(\s*["']([a-z_.]+)["']""", source))
    assert named <= set(WORDS)
    families = ("problem.", "state.", "lang.", "page.", "job.", "library.", "time.")  # some of these are put together by code
    unused = {key for key in WORDS if not re.search(f"[\"']{key}[\"']", source) and not key.startswith(families)}
    assert unused == set()


@pytest.mark.parametrize(("locale", "language"), [("zh-CN", "zh"), ("zh", "zh"), ("en-GB", "en"), ("de-DE", "en"), (None, "en")])
def test_the_browsers_language_decides(locale: str | None, language: str) -> None:
    assert from_locale(locale) == language


def test_values_with_braces_are_not_read_again() -> None:
    assert say("en", "problem.failed", detail="{url}") == "The server failed at this: {url}"


def test_an_unknown_state_is_shown_as_it_is() -> None:
    assert say_or("zh", "state.ready", "ready") == "可用"
    assert say_or("zh", "state.dreaming", "dreaming") == "dreaming"


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (12, "12 s"), (150, "2 min"), (7000, "1.9 h")])
def test_durations_are_rounded_to_what_a_person_needs(seconds: float, words: str) -> None:
    assert duration("en", seconds) == words
