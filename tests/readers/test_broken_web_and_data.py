"""Damaged, hostile and random files of the web, mail, data and source formats: a document or an error of ours, soon, and nothing left."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msg_maker import make_msg
from test_html import MHTML, PAPER
from test_source_files import RST, SOURCE
from test_xml_and_books import ARTICLE, CHAPTERS, book

from server.errors import PaperError
from server.readers import read

SECONDS = 8.0  # of processor time; the slowest bomb here takes about 1.5 on an idle core
SIZE = 300_000  # characters of each bomb

MAIL = (
    "From: 李 <l@x>\nSubject: =?utf-8?b?5p2O?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>中\n--b--\n"
)
VALID: dict[str, bytes] = {
    ".html": PAPER.encode(),
    ".mhtml": MHTML.encode(),
    ".epub": book(CHAPTERS),
    ".xml": ARTICLE.encode(),
    ".eml": MAIL.encode(),
    ".msg": make_msg(subject="会议", body="text 文", html=b"<p>x", sender="l@x", to=("Wu", "w@x"), attached="a.pdf"),
    ".json": '{"标题": [{"a": 1, "b": [1, {"c": "d"}]}], "e": {"f": "g"}}'.encode(),
    ".jsonl": '{"a": "文"}\n[1, 2]\n"x"\n'.encode(),
    ".toml": 'a = "文"\n[b.c]\nd = [1, {e = 2}]\n[[f]]\ng = 2021-01-01\n'.encode(),
    ".srt": "1\n00:00:01,000 --> 00:00:02,000\n文字 text.\n\n2\n00:00:03,000 --> 00:00:04,000\nmore\n".encode(),
    ".ipynb": '{"cells": [{"cell_type": "markdown", "source": ["# 文"]}, {"cell_type": "code", "source": "x", "outputs": []}]}'.encode(),
    ".py": SOURCE.encode(),
    ".rst": RST.encode(),
    ".md": b"---\ntitle: a\n---\n# H\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n$$ x $$\n\n```py\ny\n```\n\n[^1]: note\n",
    ".txt": "1 Intro\n\nText 文.\n\nReferences\n\n[1] A\n[2] B\n".encode("gb18030"),
}
TOKENS = (
    *(
        b"<",
        b">",
        b'"',
        b"'",
        b"&",
        b"]]>",
        b"<table>",
        b"<td rowspan=99999 colspan=999>",
        b"<math>",
        b"<div hidden>",
        b"<!--",
        b"&#xd800;",
    ),
    *(b"<style>p{color:", b"[", b"{", b"}", b"\\ud800", b"\\u0000", b"=", b"=?", b"--b", b"Content-Type: ", b"charset=utf-7", b"\n\n"),
    *(
        b"```",
        b"$$",
        b"|",
        b"::",
        b".. ",
        b"+--+",
        b"==== ====",
        b"\n    ",
        b"\x00",
        b"\xff\xfe",
        b"\x1b$B",
        b"\xb0\xa1",
        b"-->",
        b"99:99:99",
    ),
)
EDIT = st.tuples(
    st.floats(0, 1),
    st.sampled_from(("put", "over", "cut", "twice")),
    st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=12)),
)


def edited(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    for place, what, junk in edits:
        at = int(place * len(data))
        if what == "put":
            data = data[:at] + junk + data[at:]
        elif what == "over":
            data = data[:at] + junk + data[at + len(junk) :]
        elif what == "cut":
            data = data[:at] + data[at + 3 * len(junk) :]
        else:
            data = data[:at] + data[max(0, at - 40) : at] * len(junk) + data[at:]
    return data


def outcome(suffix: str, data: bytes) -> str:
    """What the owner is told, "" for a document; checks the rest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(data)
        began = time.process_time()
        try:
            document = read(path)
        except PaperError as exc:
            told = str(exc)
            assert len(told) > 10
            assert "\n" not in told
        else:
            told = ""
            texts = [block.text for section in document.sections for block in section.blocks]
            assert any(text.strip() for text in texts)
            "".join([*texts, document.title, *document.warnings, *document.identity.authors]).encode()  # no halves of characters
        assert time.process_time() - began < SECONDS
        assert [entry.name for entry in Path(folder).iterdir()] == [path.name]
    return told


@pytest.mark.parametrize("suffix", VALID)
def test_the_undamaged_file_is_read(suffix: str) -> None:
    assert outcome(suffix, VALID[suffix]) == ""


@pytest.mark.parametrize("suffix", VALID)
@given(edits=st.lists(EDIT, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files(suffix: str, edits: list[tuple[float, str, bytes]]) -> None:
    outcome(suffix, edited(VALID[suffix], edits))


@pytest.mark.parametrize("suffix", VALID)
@given(
    pieces=st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=8).map(lambda text: text.encode(errors="replace"))), max_size=30)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_markup(suffix: str, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    if data:
        outcome(suffix, data)


def times(piece: str) -> str:
    return piece * (SIZE // len(piece))


BOMBS: dict[str, Callable[[], str]] = {
    "tags.html": lambda: times("<div>a<b>"),
    "tables.html": lambda: times("<table><tr><td>x"),
    "spans.html": lambda: "<table><tr>" + times("<td rowspan=65534 colspan=1000>x") + times("<tr><td>y"),
    "attributes.html": lambda: "<p " + " ".join(f"a{number}=1" for number in range(100_000)) + ">x",
    "bare attributes.html": lambda: "<p " + times("a ") + ">x",
    "style.html": lambda: "<style>" + times("{{}") + "</style><p style='" + times("a:b;") + "'>x",
    "rules.html": lambda: "<style>" + times(".a{color:red}") + "</style>" + times("<p class='a b'>x"),
    "blanks.html": lambda: "<p>中" + " " * SIZE + "x",
    "open.html": lambda: times("<meta ") + times("<!--") + times("<"),
    "powers.html": lambda: times("10<sup>5</sup>") + times("<sup>1"),
    "notes.html": lambda: times('<span class="ltx_note"><sup>1</sup>'),
    "formulas.html": lambda: times("<math><msup><mi>x</mi><mn>2</mn></msup></math>") + "<math>" + times("<msup><mi>x</mi>"),
    "buttons.html": lambda: "<p>a" + times("<button>b</button>") + "<h2>" + times("<button>b"),
    "gutters.html": lambda: "<pre>" + times("<i class=ln>1</i>") + times("<i class=ln>1"),
    "asides.html": lambda: times("<aside><a href=x>y</a>"),
    "marks.md": lambda: times("**a ") + "\n\n" + times("[](") + "\n\n" + times("`a``b"),
    "many marks.md": lambda: times("**a [b `c\n\n"),
    "comments.md": lambda: times("<!--"),
    "rule.md": lambda: "a|b\n-" + " " * SIZE + "x",
    "heading.md": lambda: "# " + " " * SIZE + "x",
    "formulas.md": lambda: times("$$\n"),
    "lines.md": lambda: times("a\n"),
    "lines.txt": lambda: times("ab cd\n"),
    "entries.txt": lambda: "References\n\n" + times("[1] a\n"),
    "depth.xml": lambda: times("<a>"),
    "doctypes.xml": lambda: times("<!DOCTYPE "),
    "subset.xml": lambda: "<!DOCTYPE a [" + times("]"),
    "namespaces.xml": lambda: "<r " + " ".join(f"xmlns:n{number}='u'" for number in range(20_000)) + "/>",
    "divisions.xml": lambda: "<TEI><text>" + times("<div><head>x</head><p>10<sup>5</sup></p><note>y</note></div>") + "</text></TEI>",
    "powers.xml": lambda: "<article><body><p>" + times("10<sup>5</sup><fn><p>x</p></fn>") + "</p></body></article>",
    "sections.xml": lambda: "<article><body>" + times("<sec><title>x</title><p>y</p></sec>") + "</body></article>",
    "depth.json": lambda: times('{"a":['),
    "number.json": lambda: times("1"),
    "lines.jsonl": lambda: times("[[\n"),
    "key.toml": lambda: times("a.") + "a=1",
    "tables.toml": lambda: times("[[a]]\nb=1\n"),
    "times.srt": lambda: times("00:00:01,0 --> 00:00:02,0\n"),
    "tags.srt": lambda: "00:00:01,0 --> 00:00:02,0\n" + times("<font "),
    "header.eml": lambda: "Subject: " + times("=?utf-8?b?") + "\nTo: " + times("(") + "\n\nx",
    "type.eml": lambda: "Content-Type: text/plain; " + times("a=b; ") + "\n\nx",
    "parts.eml": lambda: "Content-Type: multipart/mixed; boundary=b\n\n" + times("--b\n\nx\n"),
    "forms.eml": lambda: (
        "Content-Type: multipart/alternative; boundary=b\n\n" + f"--b\n\n{times('ab cd ')}\n--b\nContent-Type: text/html\n\n{times('xy ')}"
    ),
    "forwarded.eml": lambda: "".join("Subject: x\nContent-Type: message/rfc822\n\n" for at in range(2000)) + "\n\nx",
    "nested.mhtml": lambda: "".join(f"Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n" for at in range(5000)),
    "brackets.py": lambda: times("("),
    "definitions.py": lambda: times("# a\n") + times("def f(): pass\n"),
    "grid.rst": lambda: ("+-" * 3000 + "+\n" + "| " * 3000 + "|\n") * 20,
    "replacements.rst": lambda: "|a0|\n\n" + "".join(f".. |a{at}| replace:: |a{at + 1}| |a{at + 1}|\n" for at in range(40)),
    "marks.rst": lambda: times("*a ") + "\n\n" + times("`a ") + "\n\n" + times(":a:`b "),
    "directives.rst": lambda: "".join("   " * depth + ".. note::\n\n" for depth in range(300)) + "   " * 300 + "x",
    "headings.rst": lambda: times("a\n==\n"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_seconds_at_most(name: str) -> None:
    outcome(Path(name).suffix, BOMBS[name]().encode())
