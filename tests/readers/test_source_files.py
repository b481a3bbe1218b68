"""Markdown beyond the basics, reStructuredText, Python and notebooks."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from reading import contents, reading, texts

from server.errors import Unreadable
from server.readers.plain.notebook import LONGEST_OUTPUT
from server.types import Identity


def test_front_matter_is_the_identity(tmp_path: Path) -> None:
    front = (
        "---\ntitle: '论文: a title'\nauthors:\n  - name: Marie Curie\n    orcid: 0\n  - given: Lei\n    family: Li\n"
        "  - 韩梅梅\ndate: 13 March 2021\n"
        "doi: https://doi.org/10.5555/ABC\narxiv: arXiv:2101.00001v2\nabstract: |\n  About\n  词.\nnested: {a: [1, {b: 2}]}\n---\ntext\n"
    )
    document = reading(tmp_path, "a.md", front)
    assert document.title == "论文: a title"
    assert document.identity == Identity(("Marie Curie", "Lei Li", "韩梅梅"), "About 词.", 2021, "10.5555/abc", "2101.00001v2")


@pytest.mark.parametrize(
    ("field", "authors"),
    [
        ("author: Marie Curie", ("Marie Curie",)),
        ("author: Marie Curie, Pierre Curie", ("Marie Curie", "Pierre Curie")),
        ("author: Curie, Marie; 李雷", ("Marie Curie", "李雷")),
        ("author: A. Lee, B. Wu and C. Kim", ("A. Lee", "B. Wu", "C. Kim")),
        ("author: [unclosed", ("[unclosed",)),
    ],
)
def test_authors_of_front_matter(tmp_path: Path, field: str, authors: tuple[str, ...]) -> None:
    assert reading(tmp_path, "a.md", f"---\n{field}\n---\n文\n").identity.authors == authors


def test_front_matter_cannot_grow(tmp_path: Path) -> None:
    merges = "".join(f"b{at}: &b{at} {{<<: [{','.join(['*b' + str(at - 1)] * 9)}]}}\n" for at in range(1, 12))
    assert reading(tmp_path, "a.md", f"---\nb0: &b0 {{x: 1}}\n{merges}title: 题\n---\ntext").title == "题"


def test_markdown_formulas_tables_notes_and_references(tmp_path: Path) -> None:
    source = r"""
# 标题

Text with $x^2$ and <sub>ht</sub>ml<br/> <!-- a comment -->end.[^1]

$$
E = mc^2
$$

\[ a = b \]

$$ c = d $$ (3)

```math
e = f
```

| 模型 | F1 |
|:-----|---:|
| 甲 \| x | **0.9** |
| B | |

[^1]: A footnote
    of two lines.

Unfinished $$ x

## References ##

[1] Curie. *Radium*. 1900.

- 李雷。论文。

### More
Third entry.
"""
    document = reading(tmp_path, "a.md", source)
    assert contents(document) == [
        (("标题",), "paragraph", "Text with $x^2$ and html end.[^1]"),
        (("标题",), "formula", "E = mc^2"),
        (("标题",), "formula", "a = b"),
        (("标题",), "formula", "c = d (3)"),
        (("标题",), "formula", "e = f"),
        (("标题",), "table", "模型: 甲 | x | F1: 0.9\n模型: B"),
        (("标题",), "footnote", "[^1]: A footnote of two lines."),
        (("标题",), "paragraph", "Unfinished $$ x"),
        (("标题", "References"), "reference", "[1] Curie. Radium. 1900."),
        (("标题", "References"), "reference", "- 李雷。论文。"),
        (("标题", "References", "More"), "reference", "Third entry."),
    ]


def test_references_of_plain_text_are_entries(tmp_path: Path) -> None:
    source = "1 Intro\n\nText.\n\n参考文献\n\n[1] Curie M. Radium and its rays.\n    Paris, 1900.\n"
    source += "[2] 李雷。论文的题目在这里。\n\nAppendix\n\nMore."
    assert contents(reading(tmp_path, "a.txt", source)) == [
        (("1 Intro",), "paragraph", "Text."),
        (("参考文献",), "reference", "[1] Curie M. Radium and its rays. Paris, 1900."),
        (("参考文献",), "reference", "[2] 李雷。论文的题目在这里。"),
        (("Appendix",), "paragraph", "More."),
    ]


def test_abstract_section_is_the_abstract(tmp_path: Path) -> None:
    assert reading(tmp_path, "a.txt", "摘要\n\n本文研究词。\n\n1 Intro\n\nText.").identity.abstract == "本文研究词。"


RST = """
======
论文题
======
:Author: Marie Curie
:Date: 2021-03-04
:Doi: 10.5555/AB

.. topic:: Abstract

   We study 词.

Methods
-------
Text *with* ``marks``, a :ref:`label <x>`, :py:func:`~a.b` and `a link <http://x>`_ [1]_.

.. include:: /etc/passwd
.. raw:: html

   <b>raw</b>

.. csv-table:: Caption 表
   :header: "名称", "值"

   "甲", 1

.. csv-table::
   :file: /etc/passwd

.. code-block:: python
   :linenos:

   x = 1

As follows::

    literal
      block

.. math::

   E = mc^2

.. note:: A note with
   two lines.

===== ====
Model F1
===== ====
A     0.1
B     0.2
      more
===== ====

+-------+------+
| Model | F1   |
+=======+======+
| A     | 0.1  |
| long  |      |
+-------+------+

.. list-table::
   :header-rows: 1

   * - a
     - b
   * - 1
     - 2

.. figure:: x.png
   :width: 3

   图的说明。

.. a comment
   of two lines

- first
- second
  goes on

.. [1] foot

References
----------
.. [Cur] Curie. Radium.

李雷。论文。
"""


def test_rst(tmp_path: Path) -> None:
    document = reading(tmp_path, "a.rst", RST)
    top = "论文题"
    method = (top, "Methods")
    assert contents(document)[3:] == [
        ((top, "Abstract"), "paragraph", "We study 词."),
        (method, "paragraph", "Text with marks, a label, a.b and a link [1]."),
        (method, "caption", "Caption 表"),
        (method, "table", "名称: 甲 | 值: 1"),
        (method, "code", "x = 1"),
        (method, "paragraph", "As follows:"),
        (method, "code", "literal\n  block"),
        (method, "formula", "E = mc^2"),
        (method, "paragraph", "A note with two lines."),
        (method, "table", "Model: A | F1: 0.1\nModel: B | F1: 0.2 more"),
        (method, "table", "Model: A long | F1: 0.1"),
        (method, "table", "a: 1 | b: 2"),
        (method, "caption", "图的说明。"),
        (method, "paragraph", "- first"),
        (method, "paragraph", "- second goes on"),
        (method, "footnote", "[1] foot"),
        ((top, "References"), "reference", "[Cur] Curie. Radium."),
        ((top, "References"), "reference", "李雷。论文。"),
    ]
    assert document.title == top
    assert document.identity == Identity(("Marie Curie",), "We study 词.", 2021, "10.5555/ab")


@pytest.mark.parametrize("body", ["", "   a\n", "   * - a\n"])
def test_tables_of_rst_that_hold_less_than_they_promise(tmp_path: Path, body: str) -> None:
    source = f".. list-table::\n   :header-rows: 2\n\n{body}\n文\n"
    assert texts(reading(tmp_path, "t.rst", source)) == (["a", "文"] if "*" in body else ["文"])


SOURCE = textwrap.dedent(
    '''
    """Module 文档.

    More."""
    import os

    # why it is
    @decorated
    class A(Base):
        """Doc of A."""
        x = 1

        def m(self):
            # inner 注释
            return "\\d"

        y = 2

    def f():
        def inner(): ...
        return inner
    z = 3
    '''
).lstrip()


def test_python(tmp_path: Path) -> None:
    assert contents(reading(tmp_path, "code.py", SOURCE)) == [
        (("code.py",), "paragraph", "Module 文档."),
        (("code.py",), "paragraph", "More."),
        (("code.py",), "code", "import os"),
        (("code.py", "class A"), "code", "# why it is\n@decorated\nclass A(Base):"),
        (("code.py", "class A"), "paragraph", "Doc of A."),
        (("code.py", "class A"), "code", "    x = 1"),
        (("code.py", "class A", "def m"), "code", '    def m(self):\n        # inner 注释\n        return "\\d"'),
        (("code.py", "class A"), "code", "    y = 2"),
        (("code.py", "def f"), "code", "def f():\n    def inner(): ...\n    return inner"),
        (("code.py",), "code", "z = 3"),
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [('print "文"\n\nx=1', "line 1 (SyntaxError)"), ("-" * 100_000 + "1", "MemoryError"), ("1" + "+1" * 9000, "RecursionError")],
)
def test_python_that_does_not_parse_is_plain_text(tmp_path: Path, source: str, reason: str) -> None:
    document = reading(tmp_path, "old.py", source)
    assert "\n\n".join(texts(document)) == source
    (warning,) = document.warnings
    assert reason in warning


def test_python_names_its_encoding(tmp_path: Path) -> None:
    document = reading(tmp_path, "gbk.py", '# -*- coding: gbk -*-\n"""文档"""\n'.encode("gbk"))
    assert (texts(document), document.warnings) == (["# -*- coding: gbk -*-", "文档"], ())


def test_notebook(tmp_path: Path) -> None:
    notebook = {
        "nbformat": 4,
        "metadata": {"title": "笔记", "authors": [{"name": "李雷"}, "Marie Curie"]},
        "cells": [
            {"cell_type": "markdown", "source": ["# Head\n", "text **中文**\n", "\n", "| a | b |\n", "|---|---|\n", "| 1 | 2 |"]},
            {
                "cell_type": "code",
                "source": "x = 1\n",
                "outputs": [
                    {"output_type": "stream", "text": ["long " * 1000]},
                    {"output_type": "execute_result", "data": {"text/plain": ["2"], "text/html": "<b>2</b>"}},
                    {"output_type": "display_data", "data": {"image/png": "AAAA"}},
                    {"output_type": "error", "ename": "ValueError", "evalue": "错"},
                ],
            },
            {"cell_type": "raw", "source": "raw text"},
        ],
    }
    document = reading(tmp_path, "n.ipynb", json.dumps(notebook))
    assert contents(document) == [
        (("Head",), "paragraph", "text 中文"),
        (("Head",), "table", "a: 1 | b: 2"),
        (("Head",), "code", "x = 1"),
        (("Head",), "code", ("long " * 1000)[:LONGEST_OUTPUT] + " …"),
        (("Head",), "code", "2"),
        (("Head",), "code", "ValueError: 错"),
        (("Head",), "paragraph", "raw text"),
    ]
    assert (document.title, document.identity.authors) == ("笔记", ("李雷", "Marie Curie"))


def test_notebook_of_format_3(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["标题"]},
        {"cell_type": "code", "input": ["print(1)"], "outputs": [{"output_type": "stream", "text": ["1\n"]}]},
    ]
    document = reading(tmp_path, "n.ipynb", json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    assert contents(document) == [(("标题",), "code", "print(1)"), (("标题",), "code", "1")]
    assert document.title == "标题"


@pytest.mark.parametrize(
    ("source", "reason"), [("{", "no valid JSON"), ('{"文": 1}', "it has no cells"), ("[1]", "no cells"), ("[" * 9999, "nested too deeply")]
)
def test_no_notebook(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(tmp_path, "bad.ipynb", source)
