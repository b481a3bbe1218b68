"""The readers and the splitter on real papers, when a library of them is at hand; numbers, not impressions."""

from __future__ import annotations

import difflib
import json
import os
import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from configs.settings import Splitting
from server.errors import Unreadable
from server.readers import read
from server.splitting import split
from server.splitting.counting import estimate_tokens
from server.types import Document

LIBRARY = Path(os.environ.get("PAPERPROOF_LIBRARY") or Path(__file__).resolve().parents[3] / "shared" / "library")
pytestmark = pytest.mark.skipif(not (LIBRARY / "papers").is_dir(), reason="no library of papers; PAPERPROOF_LIBRARY names one")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (LIBRARY / name).read_text(encoding="utf-8").splitlines()]


def bare(text: str) -> str:
    return re.sub(r"[\s\-‐‑­|]+", "", unicodedata.normalize("NFKC", text)).lower()


@pytest.fixture(scope="module")
def papers() -> dict[str, Document]:
    """The born-digital papers by file name."""
    wanted = [row["file"] for row in rows("manifest.jsonl") if row["group"] == "paper"]
    started = time.process_time()
    read_all = {name: read(LIBRARY / "papers" / name) for name in wanted}
    pages = sum(document.pages for document in read_all.values())
    assert pages / (time.process_time() - started) > 20  # pages a CPU-second; about 130 measured
    return read_all


def test_language_and_pages(papers: dict[str, Document]) -> None:
    known = {
        row["file"]: (row["lang"] if row["lang"] in ("en", "zh") else "other", row["pages"])
        for row in rows("manifest.jsonl")
        if "pages" in row
    }
    assert {name: (document.language, document.pages) for name, document in papers.items()} == {name: known[name] for name in papers}


def test_evidence_stands_in_one_chunk_on_its_page(papers: dict[str, Document]) -> None:
    chunks = {name: split(document, Splitting(), estimate_tokens) for name, document in papers.items()}
    wanted = [proof for row in rows("qa/own_qa.jsonl") for proof in row["evidence"] if proof["file"] in chunks]
    lost = [
        (proof["file"], proof["page"], proof["text"])
        for proof in wanted
        if not any(
            bare(proof["text"]) in bare(chunk.text) and chunk.page <= proof["page"] <= chunk.page_end for chunk in chunks[proof["file"]]
        )
    ]
    assert len(wanted) >= 20
    assert lost == []


def test_abstract_is_a_section_of_its_own(papers: dict[str, Document]) -> None:
    shares = {}
    for row in rows("summary/paper_abstracts.jsonl"):
        name = Path(row["source_file"]).name
        own = [section for section in papers[name].sections if section.path and re.match("abstract|摘", section.path[-1].lower())]
        text = re.sub(r"\W+", "", " ".join(block.text for section in own for block in section.blocks).lower())
        meant = re.sub(r"\W+", "", row["references"][0].lower())
        matching = difflib.SequenceMatcher(None, meant, text, autojunk=False).get_matching_blocks()
        shares[name] = (sum(match.size for match in matching) / len(meant), len(text) / len(meant))
    assert {name: share for name, share in shares.items() if share[0] < 0.98 or share[1] > 1.05} == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zero_byte.pdf", "empty"),
        ("enc_user_password.pdf", "needs a password"),
        ("corrupt_truncated.pdf", "damaged or cut off"),
    ],
)
def test_special_files_say_why(name: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(LIBRARY / "papers" / name)
