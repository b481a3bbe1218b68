"""The keys file: what it may hold, what it says when it is wrong, and how soon a change is seen."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import pytest

from configs.settings import Settings
from server.errors import Invalid, NotFound
from server.llm.keys.key_file import LOOK_S, KeyFile, fingerprint
from server.llm.keys.of_settings import Keys
from tests.llm.pools import Time, secret
from tests.stack import until

A, B = secret("a"), secret("b")
YAML = f"""# two keys
cloud:
  - key: {A}
    rpm: 60
    tpm: 1000
  - key: {B}
    base_url: https://other.example/v1
    organization: org-1
"""


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def opened(path: Path, clock: Time | None = None) -> KeyFile:
    return KeyFile(path, ["cloud", "azure"], clock or Time())


@pytest.mark.parametrize("name", ["keys.yaml", "keys.json"])
def test_yaml_and_json_hold_the_same(tmp_path: Path, name: str):
    first, second = {"key": A, "rpm": 60, "tpm": 1000}, {"key": B, "base_url": "https://other.example/v1", "organization": "org-1"}
    text = YAML if name.endswith("yaml") else json.dumps({"cloud": [first, second]}, indent="\t")
    found = opened(written(tmp_path / name, text)).entries("cloud")
    assert [(e.key.get_secret_value(), e.base_url, e.organization, e.rpm, e.tpm) for e in found] == [
        (A, None, None, 60, 1000),
        (B, "https://other.example/v1", "org-1", None, None),
    ]
    assert [e.name for e in found] == ["…aaaa", "…bbbb"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cloud: [", "not valid YAML, line 1"),
        ("- a\n", "names of endpoints"),
        ("", "names of endpoints"),
        (f"{A}: []\n", "name number 1 is not one of llm.endpoints; known: cloud, azure"),
        (f"cloud: {A}\n", "cloud: Input should be a valid tuple"),
        (f"cloud: [{A}]\n", r"cloud\[0\]: Input should be a valid dictionary"),
        (f"cloud:\n  - key: {A}\n    rpm: 0\n", r"cloud\[0\]\.rpm: Input should be greater than or equal to 1"),
        (f"cloud:\n  - key: {A}\n    {B}: 1\n", r"cloud\[0\] has a field that is not known; known: key, base_url, organization, rpm, tpm"),
        (f"cloud:\n  - key: 'sk {A}'\n", r"cloud\[0\]\.key: a key is of printable ASCII"),
        ("cloud:\n  - key: 12345\n", r"cloud\[0\]\.key: Input should be a valid string"),
        (f"cloud:\n  - key: {A}\n    base_url: https://user:{B}@x.example/v1\n", r"cloud\[0\]\.base_url: String should match"),
        (f"cloud:\n  - key: {A}\n    base_url: file:///etc/passwd\n", r"cloud\[0\]\.base_url: String should match"),
        (f"cloud:\n  - key: {A}\n  - key: {A}\n", "cloud names a key twice"),
        (f"cloud:\n  - key: {A}\n    rpm: 2024-13-45\n", "a value that YAML cannot read"),
    ],
)
def test_a_wrong_file_is_named_without_a_word_of_its_secrets(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, words: str):
    made = opened(written(tmp_path / "keys.yaml", text))
    assert made.entries("cloud") == ()
    assert re.search(words, made.problem)
    for place in (made.problem, caplog.text):
        assert A not in place
        assert B not in place


def test_a_missing_file_is_named_and_taken_when_it_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    clock = Time()
    made = opened(tmp_path / "keys.yaml", clock)
    assert "cannot be read (No such file or directory)" in made.problem
    assert "its keys are not used" in caplog.text
    written(tmp_path / "keys.yaml", YAML)
    for _ in range(2):
        clock.rest(LOOK_S)
        made.entries("cloud")
    assert ([e.name for e in made.entries("cloud")], made.problem) == (["…aaaa", "…bbbb"], "")


def test_a_change_is_taken_at_the_second_look_that_finds_it_and_a_broken_file_keeps_the_old_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    clock, path = Time(), written(tmp_path / "keys.yaml", YAML)
    made = opened(path, clock)
    caplog.clear()
    names: list[list[str]] = []
    for text in (f"cloud:\n  - key: {secret('c')}\n", "cloud: [", "cloud: [[", f"cloud:\n  - key: {secret('d')}\n"):
        written(path, text)
        for _ in range(4):
            clock.rest(LOOK_S / 2)
            names.append([e.name for e in made.entries("cloud")])
    old, c, d = ["…aaaa", "…bbbb"], ["…cccc"], ["…dddd"]
    assert names == [old, old, old, c, c, c, c, c, c, c, c, c, c, c, c, d]  # half a second after the change, in looks of a quarter
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [line.partition(": ")[2] for line in said] == ["it is not valid YAML, line 1; the keys from before stay"]  # once, not twice


def test_a_file_that_others_can_read_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    clock, path = Time(), written(tmp_path / "keys.yaml", YAML, 0o604)
    made = opened(path, clock)
    written(path, f"cloud:\n  - key: {A}\n", 0o604)
    for _ in range(2):
        clock.rest(LOOK_S)
        assert made.entries("cloud")
    assert caplog.text.count("can be read by every user of this machine: chmod 600 it") == 1
    caplog.clear()
    opened(written(tmp_path / "other.yaml", YAML, 0o640))
    assert "chmod" not in caplog.text


def test_a_name_tells_four_characters_of_a_long_key_and_none_of_a_short_one():
    assert fingerprint(A) == "…aaaa"
    assert fingerprint("sk-short") == "#fb55d7"
    assert "short" not in fingerprint("sk-short")


def with_keys(settings: Settings, path: Path | str) -> Settings:
    """An endpoint `cloud` whose keys lie in that file."""
    endpoints = {"cloud": {"models": ["m"], "api_key_env": "CLOUD_KEY"}}
    llm = {**settings.llm.model_dump(), "endpoints": endpoints, "keys_file": str(path)}
    return Settings.model_validate({**settings.model_dump(), "llm": llm})


def names(keys: Keys) -> list[str]:
    return [key.name for key in keys.pool("cloud").state()]


def test_the_file_wins_over_the_environment_which_is_read_again_too(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock, path = Time(), written(tmp_path / "keys.yaml", "cloud: []\n")
    monkeypatch.setenv("CLOUD_KEY", secret("e"))
    keys = Keys(with_keys(settings, path), clock)
    assert names(keys) == ["…eeee"]
    monkeypatch.setenv("CLOUD_KEY", secret("f"))
    clock.rest(LOOK_S)
    assert names(keys) == ["…ffff"]
    written(path, YAML)
    clock.rest(LOOK_S)
    names(keys)
    clock.rest(LOOK_S)
    assert names(keys) == ["…aaaa", "…bbbb"]
    assert names(Keys(with_keys(settings, ""))) == ["…ffff"]


def test_no_key_a_wrong_key_and_an_unknown_endpoint_say_what_would_work(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    keys = Keys(with_keys(settings, ""))
    with pytest.raises(Invalid, match=r"set CLOUD_KEY in the environment or in \.env, or list keys in a file that llm.keys_file names"):
        keys.checked("cloud")
    assert (names(keys), keys.pool("cloud").usable()) == (["no key"], False)
    with pytest.raises(NotFound, match=r"no endpoint .clod. in llm\.endpoints; known: cloud"):
        keys.pool("clod")
    monkeypatch.setenv("CLOUD_KEY", f"{A} {B}")
    with pytest.raises(Invalid, match="the key in CLOUD_KEY holds a space") as caught:
        Keys(with_keys(settings, "")).checked("cloud")
    assert A not in str(caught.value)
    monkeypatch.setenv("CLOUD_KEY", f"{A}\n")
    assert names(Keys(with_keys(settings, ""))) == ["…aaaa"]


def test_a_real_change_is_seen_within_a_second(settings: Settings, tmp_path: Path):
    path = written(tmp_path / "keys.yaml", YAML)
    keys = Keys(with_keys(settings, path))
    assert names(keys) == ["…aaaa", "…bbbb"]
    fresh = written(tmp_path / "fresh.yaml", f"cloud:\n  - key: {secret('c')}\n")
    os.replace(fresh, path)
    took_s = until(lambda: names(keys) == ["…cccc"], "the new key is used", 5.0)
    assert took_s <= 1.0
