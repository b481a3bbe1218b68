"""Papers and truth made by hand -> how many headings, levels and sentences over page ends the PDF reader gets right.

python -m benchmarks.reading_headings [LIBRARY]      default: PAPERPROOF_LIBRARY, else ../shared/library beside the checkout
"""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import head
from benchmarks.truth_files import LIBRARY, TRUTH, document_of, truth_rows
from server.types import Block, Document

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-"))


@dataclass(frozen=True)
class Score:
    """Headings of one paper: in the truth, found, matched in text and page, and matched in level too."""

    wanted: int
    found: int
    matched: int
    level: int

    @property
    def precision(self) -> float:
        """Share of the found headings that are headings."""
        return self.matched / max(1, self.found)

    @property
    def recall(self) -> float:
        """Share of the headings that were found."""
        return self.matched / max(1, self.wanted)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.matched / max(1, self.found + self.wanted)

    @property
    def f1_level(self) -> float:
        """F1 when the level must be right as well."""
        return 2 * self.level / max(1, self.found + self.wanted)


def table(library: Path = LIBRARY) -> str:
    """Markdown: headings per paper with means, then joins over column and page ends and what is kept out of running text."""
    documents: dict[str, Document] = {}
    return f"{_headings_table(library, documents)}\n{_order_table(library, documents)}"


def heading_scores(library: Path, documents: dict[str, Document]) -> dict[str, Score]:
    """The score of each paper in the truth; `documents` keeps what was read."""
    return {row["file"]: _score(row, document_of(library, row["file"], documents)) for row in truth_rows(TRUTH / "headings.jsonl")}


def order_faults(library: Path, documents: dict[str, Document]) -> list[tuple[str, dict[str, Any], bool]]:
    """(what was asked, the row of the truth, whether it holds) for every row of order.jsonl."""
    result = []
    for row in truth_rows(TRUTH / "order.jsonl"):
        blocks = [block for section in document_of(library, row["file"], documents).sections for block in section.blocks]
        if "before" in row:
            wanted = _bare(row["before"]) + _bare(row["after"])
            result.append((f"join: {row['over']}", row, any(wanted in _bare(block.text) for block in blocks)))
        elif "out" in row:
            result.append((f"out: {row['kind']}", row, not any(_stray(row, block) for block in blocks)))
        else:
            result.append((f"apart: {row['kind']}", row, _is_apart(row, blocks)))
    return result


def _headings_table(library: Path, documents: dict[str, Document]) -> str:
    scores = heading_scores(library, documents)
    lines = ["| paper | headings | precision | recall | F1 | F1 with level |", "|---|---|---|---|---|---|"]
    for name, score in scores.items():
        lines.append(f"| {name} | {score.wanted} | {score.precision:.2f} | {score.recall:.2f} | {score.f1:.2f} | {score.f1_level:.2f} |")
    count = len(scores)
    means = [sum(getattr(score, name) for score in scores.values()) / count for name in ("precision", "recall", "f1", "f1_level")]
    whole = Score(*(sum(getattr(score, name) for score in scores.values()) for name in ("wanted", "found", "matched", "level")))
    lines.append(f"| mean of papers | {whole.wanted} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    lines.append(f"| all headings | {whole.wanted} | {whole.precision:.3f} | {whole.recall:.3f} | {whole.f1:.3f} | {whole.f1_level:.3f} |")
    lines.append(f"\nLevel right in {whole.level} of {whole.matched} matched headings ({whole.level / max(1, whole.matched):.1%}).\n")
    return "\n".join(lines)


def _order_table(library: Path, documents: dict[str, Document]) -> str:
    counts: dict[str, list[bool]] = {}
    for asked, _, right in order_faults(library, documents):
        counts.setdefault(asked.partition(":")[0], []).append(right)
        counts.setdefault(asked, []).append(right)
    lines = ["| reading order | asked | right |", "|---|---|---|"]
    lines += [f"| {asked} | {len(rights)} | {sum(rights) / len(rights):.0%} |" for asked, rights in sorted(counts.items())]
    return "\n".join(lines) + "\n"


def _score(row: dict[str, Any], document: Document) -> Score:
    """Matches are taken once each; the row's `run_in` heads count neither way."""
    wanted = [(level, page, _heading(text)) for level, page, text in row["headings"]]
    neither = {(page, _heading(text)) for page, text in row["run_in"]}
    found = [(section.level, section.page, _heading(section.path[-1])) for section in document.sections if section.path]
    found = [each for each in found if each[1:] not in neither]
    left = list(wanted)
    matched = level = 0
    for each in found:
        hit = next((other for other in left if other[1:] == each[1:]), None)
        if hit:
            left.remove(hit)
            matched += 1
            level += hit[0] == each[0]
    return Score(len(wanted), len(found), matched, level)


def _stray(row: dict[str, Any], block: Block) -> bool:
    """Whether the words stand in the text that is printed on the row's page."""
    spans = [span for span in block.spans if span.page == row["page"]]
    return bool(spans) and _bare(row["out"]) in _bare(block.text[spans[0].start : max(span.end for span in spans)])


def _is_apart(row: dict[str, Any], blocks: list[Block]) -> bool:
    """Whether the note or caption is in the document, in a block of its own kind and without the running text beside it."""
    holders = [block for block in blocks if _bare(row["apart"]) in _bare(block.text)]
    kinds = {"footnote": {"footnote"}, "caption": {"caption"}}.get(row["kind"])
    return bool(holders) and all(
        _bare(row["beside"]) not in _bare(block.text) and (kinds is None or block.kind in kinds) for block in holders
    )


def _heading(text: str) -> str:
    """Without case, spaces between Chinese, kinds of dashes and marks at the end."""
    text = unicodedata.normalize("NFKC", text).casefold().translate(_DASHES)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".:;,?!。，？：")
    text = re.sub(r"(?<=[^\x00-\u02ff]) | (?=[^\x00-\u02ff])", "", text)
    return re.sub(r"(?<=\d)\. ", " ", text)


def _bare(text: str) -> str:
    """Letters and digits alone: hyphens at line ends, spaces and marks say nothing about the order."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


if __name__ == "__main__":
    print(head("Headings and reading order of PDFs"))
    print(table(Path(sys.argv[1]) if len(sys.argv) > 1 else LIBRARY))
