"""Markdown: what is code or formula stays as it is written, lists and code that only their indent marks, tables in HTML."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from reading import contents, reading, texts

from server.readers.plain.markdown_marks import without_marks


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("Call `__init__` with `**kwargs` and `<table>`", "Call __init__ with **kwargs and <table>"),
        ("`` a`b ``, `*args` and `*more`", "a`b, *args and *more"),
        (r"Let $\mathbf{x}_{i}$ and $\mathbf{y}_{j}$ be **bold**", r"Let $\mathbf{x}_{i}$ and $\mathbf{y}_{j}$ be bold"),
        (r"snake\_case, 5 \* 3 \* 2 and \[1\]", "snake_case, 5 * 3 * 2 and [1]"),
        (r"of \(x_{i}^{*}\) in \(5\) or \[a_1 = b\]", r"of \(x_{i}^{*}\) in (5) or \[a_1 = b\]"),
        ("($5 *or*/$6)", "($5 or/$6)"),
        ("from $5 to $6 for *all*", "from $5 to $6 for all"),
        (r"a [link \[1\]](http://a.b/c\_d) and `code` in [`x_y_z`](u)", "a link [1] and code in x_y_z"),
        ("` ` and ``  ``", "and"),
        ("**`a_b_c`** and *$x_1$*", "a_b_c and $x_1$"),
        ("<b>a</b>c<br>d<p>e</p>f", "ac d e f"),
    ],
)
def test_marks(source: str, shown: str) -> None:
    assert without_marks(source) == shown


@pytest.mark.parametrize("piece", ["$a", "\\(", "\\[^", "`a", "\\[a ^ ", "$$a", "\\(a^", "**a", "[a", "<p ", "\\"])
def test_unclosed_marks_cost_no_quadratic_time(piece: str) -> None:
    started = time.process_time()
    without_marks(piece * (19_000 // len(piece)))
    assert time.process_time() - started < 1.0  # 0.1 s at most here


def test_code_in_lists_and_code_by_indent(tmp_path: Path) -> None:
    source = (
        "1.  Install:\n\n    ```python\n    if x:\n        y = 1\n    ```\n\n    then go on\n\n        deep = code\n\n"
        "- item\n\n  second part\n\nText\n\n    ~~~\n    c = 3\n    ~~~\n\nText.\n\n"
        "    a = 1\n\n      b = 2\n\nEnd.\n\n[^1]: Note.\n\n    More of it.\n"
    )
    assert [(kind, text) for _, kind, text in contents(reading(tmp_path, "a.md", source))] == [
        ("paragraph", "1. Install:"),
        ("code", "if x:\n    y = 1"),
        ("paragraph", "then go on"),
        ("code", "deep = code"),
        ("paragraph", "- item"),
        ("paragraph", "second part"),
        ("paragraph", "Text"),
        ("code", "c = 3"),
        ("paragraph", "Text."),
        ("code", "a = 1\n\n  b = 2"),
        ("paragraph", "End."),
        ("footnote", "[^1]: Note."),
        ("paragraph", "More of it."),
    ]


def test_what_is_a_heading(tmp_path: Path) -> None:
    source = "- last item\n---\n\n> quote\n---\n\n  ## Methods {#sec:methods .x} \n\na\n\nResults {-}\n===\n\nb\n\n    # comment\n"
    assert contents(reading(tmp_path, "a.md", source)) == [
        ((), "paragraph", "- last item"),
        ((), "paragraph", "quote"),
        (("Methods",), "paragraph", "a"),
        (("Results",), "paragraph", "b"),
        (("Results",), "code", "# comment"),
    ]


def test_tables_in_html(tmp_path: Path) -> None:
    source = (
        "Before.\n<table><tr><th>名称</th><th>F1</th></tr>\n\n<tr><td>甲</td><td>0.5</td></tr></table>\n\n"
        "Inline <td>a</td><td>b</td>\n\n<table>\nnever ends\n"
    )
    assert [(kind, text) for _, kind, text in contents(reading(tmp_path, "a.md", source))] == [
        ("paragraph", "Before."),
        ("table", "名称: 甲 | F1: 0.5"),
        ("paragraph", "Inline a b"),
        ("paragraph", "never ends"),
    ]


def test_comments_go_but_not_out_of_code(tmp_path: Path) -> None:
    source = "a <!-- b\nc --> d `<!-- e -->` f\n\n```\n<!-- g -->\n```\n<!-- h --><!-- i -->\n<!-- j\n"
    assert texts(reading(tmp_path, "a.md", source)) == ["a d <!-- e --> f", "<!-- g -->", "<!-- j"]
