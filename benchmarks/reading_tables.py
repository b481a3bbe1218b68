"""Papers and truth made by hand -> how many tables, cells and numbered equations the PDF reader gets right, and what it takes for one.

python -m benchmarks.reading_tables [LIBRARY]      default: PAPERPROOF_LIBRARY, else ../shared/library beside the checkout

truth/tables.jsonl: page, rows, columns and some cells as [words of its row, names of its column from the outermost, value];
truth/formulas.jsonl: the numbers of the equations on a page. Both were read off rendered pages.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import head
from benchmarks.truth_files import LIBRARY, TRUTH, document_of, truth_rows
from server.types import Block, Document

WORDY = 5  # words of four letters or more, and half of the characters in them: prose, not an equation


@dataclass(frozen=True)
class TableScore:
    """One table of the truth: found at all, with its very number of rows, of columns, and its cells that are right."""

    found: bool
    rows: bool
    columns: bool
    right: int
    wanted: int


def table(library: Path = LIBRARY) -> str:
    """Markdown: tables and cells, numbered equations, and prose taken for an equation."""
    documents: dict[str, Document] = {}
    return f"{_tables(library, documents)}\n{_formulas(library, documents)}"


def table_scores(library: Path, documents: dict[str, Document]) -> Iterator[tuple[dict[str, Any], TableScore]]:
    """Each row of the truth with its score; `documents` keeps what was read."""
    for row in truth_rows(TRUTH / "tables.jsonl"):
        document = document_of(library, row["file"], documents)
        blocks = [block for block in _blocks(document) if block.kind == "table" and row["page"] in {span.page for span in block.spans}]
        scores = [_score(row, block) for block in blocks]
        yield row, max(scores, key=lambda score: (score.right, score.rows), default=TableScore(False, False, False, 0, len(row["cells"])))


def missing_equations(library: Path, documents: dict[str, Document]) -> list[tuple[str, int, str]]:
    """(file, page, number) of the equations that are no formula block of that page which ends with the number."""
    lost = []
    for row in truth_rows(TRUTH / "formulas.jsonl"):
        document = document_of(library, row["file"], documents)
        texts = [block.text for block in _blocks(document) if block.kind == "formula" and block.page == row["page"]]
        lost += [
            (row["file"], row["page"], n)
            for n in row["numbers"]
            if not any(re.search(rf"[(（]\s?{re.escape(n)}\s?[)）]$", t) for t in texts)
        ]
    return lost


def prose_formulas(document: Document) -> list[str]:
    """The formula blocks that read as sentences."""
    found = []
    for text in (block.text for block in _blocks(document) if block.kind == "formula"):
        words = re.findall(r"[^\W\d_]{4,}", text)
        if len(words) >= WORDY and sum(map(len, words)) > 0.5 * len(text.replace(" ", "")):
            found.append(text)
    return found


def _tables(library: Path, documents: dict[str, Document]) -> str:
    lines = ["| table | rows × columns | rows right | columns right | cells right |", "|---|---|---|---|---|"]
    scores = list(table_scores(library, documents))
    for row, score in scores:
        shape = f"{row['rows']} × {row['columns']}"
        right = " | ".join("yes" if value else "no" for value in (score.rows, score.columns))
        lines.append(f"| {row['file']} p. {row['page']} | {shape} | {right} | {score.right} / {score.wanted} |")
    sums = [sum(getattr(score, name) for _, score in scores) for name in ("rows", "columns", "right", "wanted")]
    lines.append(
        f"| all {len(scores)}, {sum(score.found for _, score in scores)} found | | {sums[0]} | {sums[1]} | {sums[2]} / {sums[3]} |"
    )
    return "\n".join(lines) + "\n"


def _formulas(library: Path, documents: dict[str, Document]) -> str:
    wanted = sum(len(row["numbers"]) for row in truth_rows(TRUTH / "formulas.jsonl"))
    lost = missing_equations(library, documents)
    papers = [
        path.name
        for path in sorted((library / "papers").glob("*.pdf"))
        if path.name.startswith(("de", "en_c", "en_p", "j", "m", "r", "zh"))
    ]
    blocks = [block for name in papers for block in _blocks(document_of(library, name, documents)) if block.kind == "formula"]
    prose = [text for name in papers for text in prose_formulas(documents[name])]
    return (
        "| equations | |\n|---|---|\n"
        f"| numbered equations found as a formula with their number | {wanted - len(lost)} / {wanted} |\n"
        f"| formula blocks in {len(papers)} papers, of them sentences | {len(blocks)}, {len(prose)} |\n"
    )


def _score(row: dict[str, Any], block: Block) -> TableScore:
    lines = block.text.split("\n")
    printed = block.header_lines > 0 or ": " not in lines[0]
    body = lines[1:] if printed else lines
    names = [_bare(cell) for cell in lines[0].split(" | ")] if printed else []
    right = sum(any(_holds(line, names, *cell) for line in body) for cell in row["cells"])
    found = right > 0 or sum(_bare(value) in _bare(block.text) for _, _, value in row["cells"]) >= 0.6 * len(row["cells"])
    most = max(len(line.split(" | ")) for line in body) if body else 0
    return TableScore(found, len(body) == row["rows"], most in (row["columns"], row["columns"] + 1), right, len(row["cells"]))


def _holds(line: str, names: list[str], key: str, path: list[str], value: str) -> bool:
    """Whether this is the row and it says `value` under the names in `path`."""
    cells = line.split(" | ")
    if _bare(key) not in _bare(line) and _bare(key.split(": ")[-1]) != _bare(cells[0]):
        return False
    if names:  # the names stand in the first line
        return any(name == _bare(path[-1]) and _bare(cell) == _bare(value) for name, cell in zip(names, cells, strict=False))
    return any(_bare(cell) == _bare(f"{' / '.join(path)}: {value}") for cell in cells)


def _blocks(document: Document) -> Iterator[Block]:
    return (block for section in document.sections for block in section.blocks)


def _bare(text: str) -> str:
    """Without spaces and hyphens, compatibility forms made plain."""
    return re.sub(r"[\s\-‐‑]+", "", unicodedata.normalize("NFKC", text)).casefold()


if __name__ == "__main__":
    print(head("Tables and equations of PDFs"))
    print(table(Path(sys.argv[1]) if len(sys.argv) > 1 else LIBRARY))
