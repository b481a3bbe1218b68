"""A Python file -> a document: classes and functions are sections with their docstrings and their code, comments included.

The standard parser, and not LangChain's language parser, which needs tree-sitter and gives no docstrings.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings as python_warnings
from collections.abc import Sequence
from pathlib import Path

from server.readers.assembly import document_of
from server.readers.headings import Outline
from server.readers.plain.text import read_decoded, text_blocks
from server.types import Block, Document

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Owner = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def read_python(path: Path) -> Document:
    """The document of a Python file; one that does not parse is read as plain text, with a warning."""
    text, warnings = read_decoded(path, declared=_declared)
    lines = text.split("\n")
    outline = Outline()
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")  # about escapes in other people's strings
            module = ast.parse(text)
        outline.open(1, path.name, 1, "made up")
        _add(outline, module, lines, 0, len(lines), (path.name,))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:  # MemoryError: the parser's own stack, not the machine's
        place = f" at line {exc.lineno}" if isinstance(exc, SyntaxError) and exc.lineno else ""
        warnings = [*warnings, f"this is no valid Python 3{place} ({type(exc).__name__}); it was read as plain text"]
        outline = Outline()
        _add_code(outline, lines)
    return document_of(outline, path.name, warnings=warnings)


def _declared(data: bytes) -> str:
    """The encoding in the file's first two lines, "" without one."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:
        return ""
    return "" if encoding.startswith("utf-8") else encoding


def _add(outline: Outline, owner: _Owner, lines: Sequence[str], start: int, end: int, path: tuple[str, ...]) -> None:
    """Lines `start` to `end` (from 0, end excluded) of `owner`: its docstring, its code, and a section for each definition in it.

    Code after an inner definition stands below the owner's heading again. Definitions inside functions are code.
    """
    body = owner.body
    if docstring := ast.get_docstring(owner):
        _add_code(outline, lines[start : body[0].lineno - 1])
        for paragraph in text_blocks(docstring):
            outline.add(Block("paragraph", paragraph, 1))
        start = max(start, body[0].end_lineno or start)
    away = False  # from the owner's own section
    for node in body:
        if isinstance(owner, _Function) or not isinstance(node, ast.ClassDef | _Function):
            continue
        first = _first_line(node, lines, start)
        _add_own(outline, lines[start:first], path if away else ())
        name = f"{'class' if isinstance(node, ast.ClassDef) else 'def'} {node.name}"
        outline.open(len(path) + 1, name, 1)
        start = max(start, node.end_lineno or first)
        _add(outline, node, lines, first, start, (*path, name))
        away = True
    _add_own(outline, lines[start:end], path if away else ())


def _add_own(outline: Outline, lines: Sequence[str], path: tuple[str, ...]) -> None:
    """Code of an owner, below its heading again where `path` says that another section is open."""
    if path and any(line.strip() for line in lines):
        outline.open(len(path), path[-1], 1)
    _add_code(outline, lines)


def _first_line(node: ast.ClassDef | _Function, lines: Sequence[str], lowest: int) -> int:
    """Where a definition begins (from 0): with its decorators and the comments right above them."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    while first > lowest and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return max(first, lowest)


def _add_code(outline: Outline, lines: Sequence[str]) -> None:
    """Code in blocks parted by blank lines."""
    pending: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            pending.append(line)
        elif pending:
            outline.add(Block("code", "\n".join(pending), 1))
            pending = []
