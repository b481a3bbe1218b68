"""Papers and truth made by hand -> how many titles, authors, years, DOIs and languages are right, and ROUGE-L of the abstracts.

python -m benchmarks.reading_identity [LIBRARY]      default: PAPERPROOF_LIBRARY, else ../shared/library beside the checkout

truth/identity.jsonl was written by looking at the printed pages, not at what the reader makes of them. Titles are compared with case
and punctuation; only white space, quotation marks, apostrophes, hyphens and dashes of different make count as the same. The authors
are right when all of them are, in order. A field that is empty in the truth is right when it stays empty.

ROUGE-L (Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries): F1 of the longest common subsequence, over words for
English and over characters for Chinese. The reference abstracts were cut out of the PDFs by another program, which lost ligatures
("ine ciency") and joined words broken at line ends ("structurebased"). On both sides, therefore: NFKC, control characters dropped,
hyphens dropped, case folded; tokens are runs of letters and digits. Lost ligatures still count against us.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import head
from server.errors import PaperError
from server.readers import read
from server.types import Document

ROOT = Path(__file__).resolve().parents[1]
TRUTH = ROOT / "benchmarks" / "truth" / "identity.jsonl"
LIBRARY = Path(os.environ.get("PAPERPROOF_LIBRARY") or ROOT.parent / "shared" / "library")
WANTED = {"title": 0.9, "abstract": 0.9}
_SAME = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | dict.fromkeys("‘’‚′`´", "'") | dict.fromkeys("“”„″", '"'))
_WIDE = "\u3400-\u9fff\uf900-\ufaff\u3000-\u303f\uff00-\uffef"
_PASSWORD = re.compile(r"user password: (\S+)")
_FIELDS: dict[str, Callable[[Document], Any]] = {
    "title": lambda document: document.title,
    "authors": lambda document: list(document.identity.authors),
    "year": lambda document: document.identity.year,
    "doi": lambda document: document.identity.doi,
    "arxiv_id": lambda document: document.identity.arxiv_id,
    "language": lambda document: document.language,
}


def table(library: Path = LIBRARY, *, scans: bool = True) -> str:
    """Markdown: share of right fields with every wrong one, then ROUGE-L per paper. `scans`: also read those that need OCR (a minute)."""
    rows = [row for row in _lines(TRUTH) if scans or not row["file"].startswith("scan_")]
    documents, unread = _documents(library, [row["file"] for row in rows])
    return f"{_fields_table(rows, documents, unread)}\n{_abstracts_table(library, documents)}"


def title_form(title: str) -> str:
    """A title as it is compared: one make of quotes and dashes, one space between words, none beside Chinese characters."""
    text = " ".join(unicodedata.normalize("NFC", title).translate(_SAME).split())
    return re.sub(rf"(?<=[{_WIDE}]) | (?=[{_WIDE}])", "", text)


def tokens(text: str, language: str) -> list[str]:
    """What ROUGE-L compares: words, or characters of Chinese."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join(char for char in plain if unicodedata.category(char) != "Cc" or char in "\n\r\t")
    plain = re.sub(r"(?<=\w)[-\u2010\u2011\u00ad]\s*(?=\w)", "", plain)
    words = re.findall(r"[^\W_]+", plain)
    return list("".join(words)) if language == "zh" else words


def rouge_l(candidate: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence, 0..1 (Lin 2004, with beta = 1)."""
    common = longest_common(candidate, reference)
    return 2 * common / max(1, len(candidate) + len(reference))


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, by dynamic programming over two rows."""
    before = [0] * (len(other) + 1)
    for token in one:
        row = [0]
        for at, against in enumerate(other):
            row.append(before[at] + 1 if token == against else max(before[at + 1], row[at]))
        before = row
    return before[-1]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _documents(library: Path, files: Sequence[str]) -> tuple[dict[str, Document], dict[str, str]]:
    """The documents by file, and why others could not be read."""
    notes = (str(row.get("note", "")) for row in _lines(library / "manifest.jsonl"))
    passwords = [match[1] for note in notes if (match := _PASSWORD.search(note))]
    documents, unread = {}, {}
    for file in files:
        try:
            documents[file] = read(library / "papers" / file, passwords=passwords)
        except PaperError as exc:
            unread[file] = str(exc)
    return documents, unread


def _fields_table(rows: Sequence[dict[str, Any]], documents: dict[str, Document], unread: dict[str, str]) -> str:
    lines, wrong = [], []
    for field, found in _FIELDS.items():
        form: Callable[[Any], Any] = title_form if field == "title" else (lambda value: value)
        right = filled = 0
        for row in rows:
            document = documents.get(row["file"])
            got = found(document) if document else None
            filled += row[field] not in ("", [], None)
            if document and form(got) == form(row[field]):
                right += 1
            elif document:
                wrong.append(f"- {field} of {row['file']}: {got!r}, not {row[field]!r}")
        wanted = f"{WANTED[field]:.0%}" if field in WANTED else ""
        lines.append(f"| {field} | {right} of {len(rows)} | {right / len(rows):.1%} | {filled} | {wanted} |")
    wrong += [f"- {file}: not read ({reason})" for file, reason in unread.items()]
    listed = "\n".join(wrong) or "- none"
    return (
        f"## Identity of {len(rows)} papers\n\n| field | exact | share | not empty in the truth | wanted |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\nWrong:\n\n{listed}\n"
    )


def _abstracts_table(library: Path, documents: dict[str, Document]) -> str:
    lines, scores = [], []
    for row in _lines(library / "summary" / "paper_abstracts.jsonl"):
        document = documents.get(Path(row["source_file"]).name)
        if document is None:
            continue
        got, reference = tokens(document.identity.abstract, row["lang"]), tokens(row["references"][0], row["lang"])
        scores.append(rouge_l(got, reference))
        lines.append(f"| {Path(row['source_file']).name} | {scores[-1]:.3f} | {len(got)} | {len(reference)} |")
    mean = sum(scores) / max(1, len(scores))
    return (
        f"## Abstracts: ROUGE-L F1, mean {mean:.3f} over {len(scores)} papers (wanted: {WANTED['abstract']:.2f})\n\n"
        "| paper | ROUGE-L | tokens | in the reference |\n|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )


def main() -> int:
    """Print the tables."""
    library = Path(sys.argv[1]) if len(sys.argv) > 1 else LIBRARY
    if not (library / "papers").is_dir():
        print(f"no papers at {library}; name a library")
        return 1
    print(head("Identity of papers"))
    print(table(library))
    return 0


if __name__ == "__main__":
    sys.exit(main())
