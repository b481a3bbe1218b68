"""Settings: every source, who wins, what is refused and in which words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.profiles import PROFILES
from configs.settings import ROOT, Settings, SettingsError, is_loopback, load_settings

KEY = "a-long-secret-of-24-char"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("PAPERPROOF_"):
            monkeypatch.delenv(name)
    (tmp_path / "settings.yaml").write_text("", encoding="utf-8")
    monkeypatch.setenv("PAPERPROOF_SETTINGS", str(tmp_path / "settings.yaml"))


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    """The settings file that is read."""
    return tmp_path / "settings.yaml"


def refused(overrides: dict[str, Any] | None = None) -> str:
    """The sentence with which the settings are refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides)
    return str(caught.value)


def test_without_any_source_the_embedded_profile_and_the_defaults_hold():
    settings = load_settings()
    assert (settings.profile, settings.llm.default, settings.embedding.model) == (
        "embedded",
        "smollm2-135m-instruct",
        "multilingual-e5-small",
    )
    assert (settings.server.gateway_port, settings.server.api_port, settings.server.ui_port) == (20000, 7861, 8501)
    assert (settings.retrieval.top_k, settings.retrieval.dense_weight) == (5, 0.5)
    assert settings.paths.knowledge_base == ROOT / "knowledge_base"


@pytest.mark.parametrize(
    ("profile", "llm", "embedding"),
    [
        ("embedded", "smollm2-135m-instruct", "multilingual-e5-small"),
        ("gpu", "chatglm2-6b", "m3e-base"),
        ("online", "gpt-4o-mini", "multilingual-e5-small"),
    ],
)
def test_a_profile_is_a_set_of_defaults(profile: str, llm: str, embedding: str):
    settings = load_settings({"profile": profile})
    assert (settings.llm.default, settings.embedding.model) == (llm, embedding)


def test_every_profile_has_a_row_and_a_name_in_the_settings():
    assert set(PROFILES) == set(Settings.model_fields["profile"].annotation.__args__)


def test_arguments_win_over_the_environment_which_wins_over_yaml(yaml_file: Path, monkeypatch: pytest.MonkeyPatch):
    yaml_file.write_text("retrieval: {top_k: 2, pool: 20, dense_weight: 0.1}", encoding="utf-8")
    monkeypatch.setenv("PAPERPROOF_RETRIEVAL__TOP_K", "3")
    monkeypatch.setenv("PAPERPROOF_RETRIEVAL__POOL", "30")
    retrieval = load_settings({"retrieval": {"top_k": 4}}).retrieval
    assert (retrieval.top_k, retrieval.pool, retrieval.dense_weight) == (4, 30, 0.1)


def test_what_the_user_sets_wins_over_the_profile(yaml_file: Path):
    yaml_file.write_text("profile: gpu\nembedding: {model: multilingual-e5-small}", encoding="utf-8")
    settings = load_settings()
    assert (settings.llm.default, settings.embedding.model) == ("chatglm2-6b", "multilingual-e5-small")


def test_the_yaml_file_keeps_the_models_of_the_profile_beside_its_own(yaml_file: Path):
    yaml_file.write_text("llm: {default: mine, local: {mine: {source: /models/mine, parameters_m: 7000}}}", encoding="utf-8")
    llm = load_settings().llm
    assert llm.default == "mine"
    assert set(llm.local) == {"mine", "smollm2-135m-instruct", "chatglm2-6b"}


def test_lists_and_numbers_in_the_environment_are_read_as_yaml(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PAPERPROOF_SERVER__API_KEYS", f'["{KEY}"]')
    monkeypatch.setenv("PAPERPROOF_SERVER__HOST", "0.0.0.0")  # noqa: S104 - not bound
    monkeypatch.setenv("PAPERPROOF_RETRIEVAL__DENSE_WEIGHT", "0.5")
    settings = load_settings()
    assert [key.get_secret_value() for key in settings.server.api_keys] == [KEY]
    assert (settings.server.host, settings.retrieval.dense_weight) == ("0.0.0.0", 0.5)  # noqa: S104 - compared


def test_secrets_are_not_printed():
    assert KEY not in repr(load_settings({"server": {"api_keys": [KEY]}}))


def test_dot_env_lies_between_yaml_and_the_environment(tmp_path: Path):
    shutil.copytree(ROOT / "configs", tmp_path / "project" / "configs", ignore=shutil.ignore_patterns("settings*.yaml", "__pycache__"))
    project = tmp_path / "project"
    (project / "configs" / "settings.yaml").write_text("retrieval: {top_k: 2, pool: 20, dense_weight: 0.1}", encoding="utf-8")
    (project / ".env").write_text(
        "PAPERPROOF_RETRIEVAL__TOP_K=3\nPAPERPROOF_RETRIEVAL__POOL=30\nOPENAI_API_KEY=from-the-file\n", encoding="utf-8"
    )
    script = (
        "import json, sys; from configs.settings import load_settings, SettingsError\n"
        "try: s = load_settings(); print(json.dumps([s.retrieval.top_k, s.retrieval.pool, s.retrieval.dense_weight, "
        "str(s.paths.models), s.secret('OPENAI_API_KEY')]))\n"
        "except SettingsError as e: print(json.dumps(str(e)))"
    )

    def loaded(**variables: str) -> Any:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PAPERPROOF_", "OPENAI_"))}
        ended = subprocess.run(
            [sys.executable, "-c", script], cwd=project, env=environment | variables, capture_output=True, text=True, check=True, timeout=60
        )
        return json.loads(ended.stdout)

    assert loaded() == [3, 30, 0.1, str(project / "models"), "from-the-file"]
    assert loaded(PAPERPROOF_RETRIEVAL__TOP_K="4", OPENAI_API_KEY="from-outside") == [
        *(4, 30, 0.1, str(project / "models")),
        "from-outside",
    ]
    (project / ".env").write_text("PAPERPROOF_RETRIEVAL__TOPK=3", encoding="utf-8")
    assert loaded() == f"unknown setting retrieval.topk in {project / '.env'}; did you mean retrieval.top_k?"


def test_an_unknown_key_of_the_yaml_file_names_the_nearest_and_the_file(yaml_file: Path):
    yaml_file.write_text("server: {api_prot: 7862}", encoding="utf-8")
    assert refused() == f"unknown setting server.api_prot in {yaml_file}; did you mean server.api_port?"


def test_an_unknown_key_of_the_environment_names_the_nearest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PAPERPROOF_RETREIVAL__TOP_K", "3")
    assert refused() == "unknown setting retreival in the environment; did you mean retrieval?"


def test_an_unknown_key_that_is_near_nothing_names_all(yaml_file: Path):
    yaml_file.write_text("splitting: {zzzz: 1}", encoding="utf-8")
    assert (
        refused()
        == f"unknown setting splitting.zzzz in {yaml_file}; known: splitter, chunk_tokens, chunk_size, chunk_overlap, zh_title_enhance"
    )


@pytest.mark.parametrize("overrides", [{"llm": {"local": {"m": {"source": "x", "enginee": "llama_cpp"}}}}, {"retrieval": {"topk": 3}}])
def test_an_unknown_key_deeper_down_or_in_the_arguments_names_the_nearest_too(overrides: dict[str, Any]):
    assert "did you mean" in refused(overrides)


@pytest.mark.parametrize("text", ["server: [", "- a\n- b", "just words", "3"])
def test_a_file_that_holds_no_settings_is_refused(yaml_file: Path, text: str):
    yaml_file.write_text(text, encoding="utf-8")
    assert str(yaml_file) in refused()


def test_a_file_that_is_named_but_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PAPERPROOF_SETTINGS", str(tmp_path / "gone.yaml"))
    assert refused() == f"PAPERPROOF_SETTINGS names {tmp_path / 'gone.yaml'}, which does not exist"


def test_an_unknown_profile_is_refused_with_the_known_ones():
    assert refused({"profile": "cloud"}) == "unknown profile 'cloud'; known: embedded, gpu, online"


def test_a_default_model_that_nobody_serves_is_refused_with_the_known_ones():
    assert refused({"llm": {"default": "gpt-9"}}) == (
        "llm.default or llm.run names 'gpt-9', which no local model or endpoint serves; known: chatglm2-6b, smollm2-135m-instruct"
    )


def test_another_host_without_a_key_is_refused_and_with_one_allowed():
    assert refused({"server": {"host": "0.0.0.0"}}).startswith("server: host '0.0.0.0' is reachable by other machines, and no API key")  # noqa: S104 - refused
    assert load_settings({"server": {"host": "192.168.1.5", "api_keys": [KEY]}}).server.host == "192.168.1.5"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_key(host: str):
    assert is_loopback(host)
    assert load_settings({"server": {"host": host}}).server.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""])  # noqa: S104 - compared
def test_other_hosts_are_not_loopback(host: str):
    assert not is_loopback(host)


def test_a_short_key_is_refused_without_being_repeated():
    message = refused({"server": {"api_keys": ["fifteen-chars-x"]}})
    assert message.startswith("server.api_keys: an API key needs at least 16 characters")
    assert "fifteen-chars-x" not in message
    assert load_settings({"server": {"api_keys": ["sixteen-chars-xx"]}}).server.api_keys


@pytest.mark.parametrize(
    "overrides",
    [
        {"server": {"api_port": 0}},
        {"server": {"api_port": 65536}},
        {"retrieval": {"top_k": 51}},
        {"retrieval": {"dense_weight": 1.5}},
        {"llm": {"endpoints": {"a": {"models": []}}}},
        {"llm": {"endpoints": {"a": {"models": ["m"], "base_url": "ftp://x"}}}},
        {"embedding": {"device": "tpu"}},
    ],
)
def test_a_value_out_of_range_is_refused_by_its_whole_name(overrides: dict[str, Any]):
    (block,) = overrides
    assert refused(overrides).startswith(f"{block}.")


def test_settings_are_frozen_and_relative_paths_count_from_the_project():
    settings = load_settings({"paths": {"models": "weights", "logs": "/var/log/paperproof"}})
    assert (settings.paths.models, settings.paths.logs) == (ROOT / "weights", Path("/var/log/paperproof"))
    with pytest.raises(ValueError, match="frozen"):
        settings.profile = "gpu"


def test_a_block_that_is_set_as_a_whole_and_in_part_is_refused_not_a_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PAPERPROOF_SERVER", "5")
    monkeypatch.setenv("PAPERPROOF_SERVER__API_PORT", "7862")
    assert "PAPERPROOF_SERVER" in refused()


@pytest.mark.parametrize(
    ("splitting", "reason"),
    [
        ({"chunk_overlap": 50}, "chunk_overlap does nothing for the splitter sections, which uses chunk_tokens; leave it at 0"),
        (
            {"splitter": "markdown_headers", "chunk_size": 300},
            "chunk_size does nothing for the splitter markdown_headers, which uses chunk_tokens; leave it at 250",
        ),
        ({"splitter": "tokens", "chunk_size": 300}, "chunk_size does nothing for the splitter tokens, which uses chunk_tokens and"),
        (
            {"splitter": "chinese_recursive", "chunk_tokens": 300},
            "chunk_tokens does nothing for the splitter chinese_recursive, which uses chunk_size and chunk_overlap; leave it at 400",
        ),
        ({"splitter": "tokens", "chunk_overlap": 201}, "chunk_overlap is 201, but at most half a chunk may be repeated: 200"),
        ({"splitter": "chinese_recursive", "chunk_overlap": 126}, "chunk_overlap is 126, but at most half a chunk may be repeated: 125"),
        ({"splitter": "magic"}, "splitting.splitter: Input should be 'sections', 'chinese_recursive', 'markdown_headers' or 'tokens'"),
    ],
)
def test_a_size_that_the_splitter_does_not_use_is_refused_and_so_is_one_that_does_not_fit(splitting: dict[str, Any], reason: str):
    assert reason in refused({"splitting": splitting})


@pytest.mark.parametrize(
    ("splitting", "sizes"),
    [
        ({}, {"chunk_tokens": 400}),
        ({"splitter": "markdown_headers", "chunk_tokens": 2000}, {"chunk_tokens": 2000}),
        ({"splitter": "tokens", "chunk_overlap": 200}, {"chunk_tokens": 400, "chunk_overlap": 200}),
        ({"splitter": "chinese_recursive", "chunk_size": 100, "chunk_overlap": 50}, {"chunk_size": 100, "chunk_overlap": 50}),
    ],
)
def test_a_splitter_takes_its_own_sizes(splitting: dict[str, Any], sizes: dict[str, int]):
    assert load_settings({"splitting": splitting}).splitting.sizes() == sizes
