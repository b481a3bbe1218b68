"""What a model or a paper may and may not make the page do."""

from __future__ import annotations

import re

import pytest

from tests.webui.fake_api import HOSTILE
from webui.safe_markdown import plain, safe_markdown, visible

# Marks that begin something in Markdown unless a backslash stands before them.
LIVE = re.compile(r"(?<!\\)(?:\\\\)*([\[\]<>!:@$&_~])")


def outside_code(markdown: str) -> str:
    """`markdown` without its code spans, whose content is inert."""
    return re.sub(r"(?<!\\)(`+)(?:(?!\1).)+\1", "", markdown)


@pytest.mark.parametrize(
    "attack",
    [
        "![a](http://evil.test/x.png)",
        "![a][ref]\n\n[ref]: http://evil.test/x.png",
        "![ref]\n\n[ref]: <http://evil.test/x.png> 'title'",
        "[a](http://evil.test)",
        "[a](javascript:alert(1))",
        "[a]( data:text/html;base64,AAAA )",
        "<http://evil.test>",
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "<a href='http://evil.test'>x</a>",
        "http://evil.test/?q=secret",
        "HTTPS://evil.test",
        "see:http://evil.test",
        "中文http://evil.test/中文",
        "www.evil.test/a",
        "WWW.evil.test",
        "mail spy@evil.test now",
        "$\\href{http://evil.test}{x}$",
        "$\\url{http://evil.test}$",
        "$\\includegraphics{x}$",
        "$\\htmlStyle{position:fixed}{x}$",
        "$\\def\\a{\\a\\a}\\a$",
        "$$\\href{javascript:alert(1)}{x}$$",
        "&lt;img src=x&gt; &#60;b&#62;",
        ":material/delete: :red[x] :streamlit:",
        "[^1]\n\n[^1]: http://evil.test",
        "\\[a](http://evil.test)",
        "\\\\[a](http://evil.test)",
        "**[a](http://evil.test)**",
        "*![a](http://evil.test/x.png)*",
        "# [a](http://evil.test)",
        "> ![a](http://evil.test/x.png)",
        "- ![a](http://evil.test/x.png)",
        "| ![a](http://evil.test/x.png) | b |\n|---|---|\n| <img src=x> | http://evil.test |",
        "`a` ![b](http://evil.test/x.png) `c`",
        "``a` ![b](http://evil.test/x.png)",
        "```\nx\n```\n![b](http://evil.test/x.png)",
        "~~~~\n```\n~~~~\n![b](http://evil.test/x.png)",
        "    ![b](http://evil.test/x.png)",
        HOSTILE,
    ],
)
@pytest.mark.parametrize("make", [plain, safe_markdown])
def test_nothing_that_loads_or_leads_away_is_left(attack: str, make: object) -> None:
    out = make(attack)  # type: ignore[operator]  # both take and give a string
    lines = outside_code(re.sub(r"(?ms)^(`{3,}|~{3,})[A-Za-z]*\n.*?^\1$", "", out)).split("\n")
    for line in lines:
        assert not LIVE.search(re.sub(r"^> ", "", line)), line
        assert "://" not in line.replace("\\", "")
        assert not re.search(r"www\.", line.replace("\\", ""), re.IGNORECASE)
        assert not re.search(r"\w@\w", line.replace("\\", ""))


def test_citation_marks_are_shown() -> None:
    assert safe_markdown("Scale them first [1][2].") == r"Scale them first \[1\]\[2\]\."


def test_emphasis_code_and_lists_stay() -> None:
    text = "Use **min-max** and *weights*:\n\n1. `a*b`\n2. two\n   - deeper"
    assert safe_markdown(text) == "Use **min\\-max** and *weights*\\:\n\n1. `a*b`\n2. two\n   - deeper"


def test_a_heading_becomes_bold() -> None:
    assert safe_markdown("## What **we** found") == "**What we found**"


def test_a_table_stays_a_table() -> None:
    assert safe_markdown("| a | b |\n|---|:-:|\n| 1 | 2_0 |") == "| a | b |\n|---|:-:|\n| 1 | 2\\_0 |"


def test_pipes_without_a_ruler_are_text() -> None:
    assert safe_markdown("| a | b |") == r"\| a \| b \|"


def test_a_code_block_that_is_still_streaming_is_closed() -> None:
    assert safe_markdown("```python\nprint('<b>')") == "```python\nprint('<b>')\n```"


def test_a_plain_formula_stays_and_money_is_no_formula() -> None:
    assert safe_markdown(r"$\frac{a_1}{b^2}$") == r"$\frac{a_1}{b^2}$"
    assert safe_markdown("from $5 to $6") == r"from \$5 to \$6"


def test_a_line_cannot_become_a_heading_a_rule_or_a_code_block() -> None:
    assert safe_markdown("a\n===\n---\n    b") == "a\n\\=\\=\\=\n\\-\\-\\-\nb"


def test_plain_shows_every_mark_on_one_line() -> None:
    assert plain("a*b_c\n# d") == r"a\*b\_c \# d"


def test_characters_that_hide_or_turn_text_around_are_gone() -> None:
    assert visible("in\u202evoice\u200b.pdf\x07") == "invoice.pdf"
    assert plain("a\u2066b") == "ab"
