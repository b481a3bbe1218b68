"""What notebooks print, JSON of one value a line, the order of a list, files that reStructuredText includes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import contents, reading, texts

from server.errors import Unreadable


def notebook(tmp_path: Path, *outputs: dict[str, object]) -> list[tuple[str, str]]:
    cells = [{"cell_type": "markdown", "source": "# Head"}, {"cell_type": "code", "source": "x", "outputs": list(outputs)}]
    document = reading(tmp_path, "n.ipynb", json.dumps({"nbformat": 4, "cells": cells}))
    assert {path for path, _, _ in contents(document)} == {("Head",)}
    return [(kind, text) for _, kind, text in contents(document)][1:]


def test_codes_of_terminals_and_progress_bars(tmp_path: Path) -> None:
    coloured = {
        "output_type": "stream",
        "text": "\x1b[1m782/782\x1b[0m \x1b[38;5;2m━━\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 acc 0.5\n",
    }
    bar = {"output_type": "stream", "text": ["  0%|  | 0/3\r", " 50%|█ | 1/3\r100%|██| 3/3\r\n", "done\r\n"]}
    assert notebook(tmp_path, coloured, bar) == [("code", "782/782 ━━ link acc 0.5"), ("code", "100%|██| 3/3\ndone")]


def test_outputs_in_markdown_and_of_pictures(tmp_path: Path) -> None:
    markdown = {
        "data": {
            "text/markdown": ["# Result\n", "**42**\n\n| a | b |\n|---|---|\n| 1 | 2 |"],
            "text/plain": "<IPython.core.display.Markdown object>",
        }
    }
    picture = {"data": {"image/png": "AAAA", "text/plain": ["<Figure size 640x480 with 1 Axes>"]}}
    page = {"data": {"text/html": "<b>x</b>", "text/plain": "<IPython.core.display.HTML object>"}}
    assert notebook(tmp_path, markdown, picture, page, {"data": {"text/plain": "<Figure 1> of 2"}}) == [
        ("paragraph", "Result"),
        ("paragraph", "42"),
        ("table", "a: 1 | b: 2"),
        ("code", "<Figure 1> of 2"),
    ]


def test_json_with_a_value_on_each_line(tmp_path: Path) -> None:
    document = reading(tmp_path, "log.json", '\n{"文": 1}\n\n{"文": 2}\nbroken\n')
    assert contents(document) == [(("log",), "table", "文: 1"), (("log",), "table", "文: 2")]
    (warning,) = document.warnings
    assert warning.startswith("1 of 3 lines are no valid JSON and were left out: line 5")


@pytest.mark.parametrize("source", ['{"a": 1}\nnot json\n', '{"a":\n1}}', "1\n2\n"])
def test_json_that_is_no_json_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(Unreadable, match="no valid JSON"):
        reading(tmp_path, "bad.json", source)


def test_the_order_of_a_list_is_kept(tmp_path: Path) -> None:
    source = json.dumps({"messages": ["a", "b", {"role": "x"}, "c", [1, 2], "d" * 301, "e"]})
    assert texts(reading(tmp_path, "a.json", source)) == ["a, b", "role: x", "c", "1, 2", "d" * 301, "e"]


def test_files_that_rst_includes_are_named(tmp_path: Path) -> None:
    source = "文。\n\n.. include:: other.rst\n\n.. note::\n\n   .. literalinclude:: code.py\n\n.. csv-table:: T\n   :file: data.csv\n"
    document = reading(tmp_path, "a.rst", source)
    assert document.warnings == ("files that it includes were not read: other.rst, code.py, data.csv; add them as files of their own",)
    many = "文。\n\n" + "".join(f".. include:: {number}.rst\n\n" for number in range(7))
    assert "3.rst, 4.rst and 2 more; add" in reading(tmp_path, "b.rst", many).warnings[0]


def test_sessions_of_python_in_rst_keep_their_lines(tmp_path: Path) -> None:
    document = reading(tmp_path, "a.rst", "As here:\n\n>>> x = 1\n>>> for y in x:\n...     y\n2\n\n文。\n")
    assert [(kind, text) for _, kind, text in contents(document)] == [
        ("paragraph", "As here:"),
        ("code", ">>> x = 1\n>>> for y in x:\n...     y\n2"),
        ("paragraph", "文。"),
    ]
