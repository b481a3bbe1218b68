"""The sample library end to end: the page with the evidence is cited, and every quote stands where its boxes say."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pymupdf
import pytest

from configs.profiles import PROFILES
from configs.settings import ROOT, Settings
from server.answering import Asked, answer
from server.embedding import Embedder
from server.knowledge_base import KnowledgeBase
from server.types import Answer, Citation

LINES = (ROOT / "knowledge_base" / "samples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
QUESTIONS = [json.loads(line) for line in LINES if line.strip()]
LEAST_CITED = 16  # of 20


@pytest.fixture(scope="module")
def answers(samples: KnowledgeBase, embedder: Embedder) -> list[Answer]:
    """The answer to each question, in depth quotes."""
    settings = Settings.model_validate(PROFILES["embedded"])
    found = []
    for question in QUESTIONS:
        *_, last = answer([(samples, embedder)], settings, Asked(question["question"], depth="quotes"))
        assert isinstance(last, Answer)
        found.append(last)
    return found


def citations(answers: list[Answer]) -> list[Citation]:
    return [citation for found in answers for citation in found.citations]


def words(text: str) -> float:
    """Words of a quote: a run without spaces counts one, Chinese characters two thirds each."""
    chinese = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len("".join(" " if unicodedata.east_asian_width(c) in "WF" else c for c in text).split()) + chinese / 1.5


def plain(text: str) -> str:
    """Without spaces, hyphens and the forms that PDF fonts give letters."""
    return re.sub(r"[\s|\-\u00ad\u2010-\u2015]|\u2212", "", unicodedata.normalize("NFKC", text))


def printed(path: Path, page: int) -> str:
    """A page's text as MuPDF reads it, in two orders and without the page number; other files without their markup."""
    if path.suffix != ".pdf":
        return plain(path.read_text(encoding="utf-8").replace("`", "").replace("**", ""))
    with pymupdf.open(path) as document:
        text, ordered = document[page - 1].get_text(), document[page - 1].get_text(sort=True)
    footless = "".join(line for line in text.splitlines() if line.strip() != str(page))  # it stands between two columns
    return " ".join(map(plain, (text, ordered, footless)))


def test_the_page_with_the_evidence_is_cited_for_most_questions(answers: list[Answer]):
    assert len(QUESTIONS) == 20
    missed = [
        question["id"]
        for question, found in zip(QUESTIONS, answers, strict=True)
        if not {(e["file"], e["page"]) for e in question["evidence"]} & {(c.file, c.page) for c in found.citations}
    ]
    assert len(QUESTIONS) - len(missed) >= LEAST_CITED, missed


def test_no_answer_is_refused_and_none_has_more_than_five_short_quotes(answers: list[Answer]):
    for question, found in zip(QUESTIONS, answers, strict=True):
        assert not found.refused, question["id"]
        assert 1 <= len(found.citations) <= 5
        assert [c.index for c in found.citations] == list(range(1, len(found.citations) + 1))
        assert max(words(c.quote) for c in found.citations) <= 60.01
        assert found.depth == "quotes"
        assert found.model is None


def lines(samples: KnowledgeBase, cited: Citation) -> list[str]:
    """The printed lines of a quote, which shows line breaks as spaces; of the rows of a table "Group / Column: value | …" each part."""
    for passage in samples.catalog.listing(samples.name, cited.file):
        at = passage.text.replace("\n", " ").find(cited.quote)
        if at >= 0:
            rows = passage.text[at : at + len(cited.quote)].split("\n")
            cells = [cell for row in rows for cell in (re.split(r" \| |: | / ", row) if passage.kind == "table" else [row])]
            return [cell for cell in cells if plain(cell)]
    raise AssertionError(f"{cited.quote!r} is in no passage of {cited.file}")


def stands(part: str, text: str) -> bool:
    """Whether it stands there, in one piece or in two: a figure or a column's end may lie between."""
    return part in text or any(part[:i] in text and part[i:] in text for i in range(8, len(part) - 8))


def test_every_quote_stands_verbatim_on_its_page(samples: KnowledgeBase, answers: list[Answer]):
    wrong = []
    for cited in citations(answers):
        pages = sorted({cited.page, *(box.page for box in cited.boxes)})  # a quote may run over to the next page
        text = "".join(printed(samples.content / cited.file, page) for page in pages)
        missing = [part for part in lines(samples, cited) if not stands(plain(part), text)]
        if missing:
            wrong.append((cited.file, cited.page, missing))
    assert not wrong, f"{len(wrong)} of {len(citations(answers))}: {wrong}"


def test_every_box_lies_on_its_page_and_holds_the_words_of_the_quote(samples: KnowledgeBase, answers: list[Answer]):
    boxed = [cited for cited in citations(answers) if cited.file.endswith(".pdf")]
    assert boxed
    for cited in boxed:
        assert cited.boxes
        with pymupdf.open(samples.content / cited.file) as document:
            inside = ""
            for box in cited.boxes:
                sheet = document[box.page - 1]
                assert 0 <= box.x0 < box.x1 <= sheet.rect.width
                assert 0 <= box.y0 < box.y1 <= sheet.rect.height
                inside += plain(sheet.get_text(clip=pymupdf.Rect(*box[1:])))
        parts = [plain(part) for part in lines(samples, cited)]
        stretches = [part[i : i + 4] for part in parts for i in range(max(1, len(part) - 3))]
        held = sum(stretch in inside for stretch in stretches) / len(stretches)
        assert held > 0.7, (cited.file, cited.page, cited.quote, inside)
        assert cited.page == cited.boxes[0].page


def test_files_without_pages_have_quotes_without_boxes(answers: list[Answer]):
    for cited in citations(answers):
        if not cited.file.endswith(".pdf"):
            assert (cited.page, cited.boxes) == (1, ())
