"""JSON, JSON lines, TOML and subtitles: what each part of their structure becomes, and what bad files are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import contents, reading, texts

from server.errors import Unreadable


def test_json(tmp_path: Path) -> None:
    value = {
        "title": "数据集",
        "size": 1.10,
        "open": True,
        "none": None,
        "meta": {"maker": {"name": "李雷"}, "tags": ["a", "b"], "runs": [{"f1": 0.5}]},
        "rows": [{"名称": "甲", "v": {"x": 1}}, {"名称": "乙", "v": {"x": 2}}],
        "words": ["one", "two"],
        "text": "long " * 80,
    }
    document = reading(tmp_path, "data.json", json.dumps(value, ensure_ascii=False).replace("1.1", "1.10"))
    assert contents(document) == [
        ((), "paragraph", "text: " + ("long " * 80).strip()),
        ((), "paragraph", "title: 数据集\nsize: 1.10\nopen: true"),
        (("meta",), "paragraph", "maker.name: 李雷\ntags: a, b"),
        (("meta", "runs"), "table", "f1: 0.5"),
        (("rows",), "table", "名称: 甲 | v.x: 1"),
        (("rows",), "table", "名称: 乙 | v.x: 2"),
        (("words",), "paragraph", "one, two"),
    ]
    assert document.title == "数据集"


def test_json_list_and_plain_value(tmp_path: Path) -> None:
    assert contents(reading(tmp_path, "liste.json", '[{"a": 1}, {"a": 2}]')) == [
        (("liste",), "table", "a: 1"),
        (("liste",), "table", "a: 2"),
    ]
    assert contents(reading(tmp_path, "one.json", '"文"')) == [((), "paragraph", "文")]


def test_long_paths_show_their_end(tmp_path: Path) -> None:
    key = "k" * 500
    inner = "".join(f'{{"{key}":' for _ in range(300)) + "[" + ",".join(['{"z": 1}'] * 2000) + "]" + "}" * 300
    assert max(map(len, texts(reading(tmp_path, "p.json", inner)))) < 1_200_000  # 340 MB with whole paths


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('{"a": 1,}', "no valid JSON: .*line 1 column"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("{}", "holds no text"),
        ("[" + "1," * 200_001 + "1]", "more than 200000 entries"),
    ],
)
def test_bad_json(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(tmp_path, "bad.json", source)


def test_halves_of_characters_and_controls_do_not_pass(tmp_path: Path) -> None:
    (text,) = texts(reading(tmp_path, "s.json", '{"文": "a\\ud800\\u0000b"}'))
    assert text == "文: ab"
    text.encode()


def test_jsonl_leaves_bad_lines_out_and_names_them(tmp_path: Path) -> None:
    document = reading(tmp_path, "log.jsonl", '{"问": "甲", "n": 1}\n\nbad\n{"问": "乙"}\n' + "[" * 5000 + "\n")
    assert contents(document) == [(("log",), "table", "问: 甲 | n: 1"), (("log",), "table", "问: 乙")]
    (warning,) = document.warnings
    assert warning.startswith("2 of 4 lines are no valid JSON and were left out: line 3: Expecting value")
    assert warning.endswith("line 5: nested too deeply")


def test_jsonl_without_a_good_line(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"no line of the file is valid JSON \(line 1: Expecting property name"):
        reading(tmp_path, "bad.jsonl", "{\n中文\n")


def test_toml(tmp_path: Path) -> None:
    source = 'title = "配置"\ndate = 2021-03-04\n[owner]\nname = "李雷"\n[owner.home]\ncity = "北京"\n'
    source += "[[run]]\nid = 1\nf1 = 0.5\n[[run]]\nid = 2\n"
    assert contents(reading(tmp_path, "conf.toml", source)) == [
        ((), "paragraph", "title: 配置\ndate: 2021-03-04"),
        (("owner",), "paragraph", "name: 李雷"),
        (("owner", "home"), "paragraph", "city: 北京"),
        (("run",), "table", "id: 1 | f1: 0.5"),
        (("run",), "table", "id: 2"),
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("a = \nb = 1", "no valid TOML: .*line 1"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a" + ".a" * 20_000 + " = 1", "key of more than 200 parts"),
        ("a" + '."文"' * 20_000 + " = 1", "key of more than 200 parts"),
        ("[a]", "holds no text"),
    ],
)
def test_bad_toml(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(tmp_path, "bad.toml", source)


def test_subtitles_are_joined_to_sentences_with_their_time(tmp_path: Path) -> None:
    cues = [
        ("00:00:01,000 --> 00:00:02,000", "<i>We study the"),
        ("00:00:02,100 --> 00:00:04,000", "problem</i> of subtitles,\n" + "word " * 40 + "and that is all."),
        ("00:00:04,100 --> 00:00:05,000", "{\\an8}下一句从这里开始，"),
        ("00:00:05,000 --> 00:00:06,000", "到这里结束。"),
        ("01:02:03,000 --> 01:02:04,000", "After a pause."),
    ]
    source = "\r\n\r\n".join(f"{number}\r\n{times}\r\n{text}" for number, (times, text) in enumerate(cues, 1))
    assert texts(reading(tmp_path, "talk.srt", source)) == [
        "00:00:01 We study the problem of subtitles, " + "word " * 40 + "and that is all.",
        "00:00:04 下一句从这里开始，到这里结束。",
        "01:02:03 After a pause.",
    ]


def test_subtitles_without_times(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no subtitles in this file"):
        reading(tmp_path, "no.srt", "1\n只有文字\n")
