"""A model's words as they stream -> the same words with marks that lead to proved quotes. `Proof` is fed pieces and gives back pieces.

The model's own marks ([2], [1, 3], 【2】) never reach the reader: they say in which passage to look first. A sentence's marks are written
when it has ended, each leading to the sentence of a passage that shares most of its words; marks that point nowhere are gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from server.citations import MOST_CITATIONS, cite, locate
from server.language import is_wide
from server.splitting.sentences import sentences
from server.stores.words import question_terms
from server.types import Citation, Passage

UNMARKED_SHARE = 0.5  # least share of its words that a sentence without a mark must have in a passage, to be given one
LONGEST_MARK = 24  # characters
_MARK = re.compile(r"[\[【]\s*\d{1,3}(?:\s*[,，、;–-]\s*\d{1,3})*\s*[\]】]")
_MARK_BEGINS = re.compile(r"[\[【][\s\d,，、;–-]*$")
_QUOTED = re.compile('["“「『]([^"“”「」『』]{12,})["”」』]')
_STOPS = ".。!！?？;；…\"'”’)）」』 \t\n"


class Proof:
    """One answer on its way. `text` is what was given back so far, `citations` what its marks lead to."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.text = ""
        self._passages = passages
        self._cited: list[Citation] = []
        self._raw = ""  # not yet looked at: perhaps the beginning of a mark
        self._plain = ""  # without marks, from the beginning of the sentence that has not ended
        self._given = 0  # characters of _plain that were given back
        self._marks: list[tuple[int, int]] = []  # (place in _plain, passage number)

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Those of the sentences that have ended."""
        return tuple(self._cited)

    def feed(self, piece: str) -> str:
        """What may be shown now that `piece` has come."""
        self._raw += piece
        self._take_marks()
        begins = _MARK_BEGINS.search(self._raw)
        held = begins.start() if begins and len(self._raw) - begins.start() <= LONGEST_MARK else len(self._raw)
        self._plain += self._raw[:held]
        self._raw = self._raw[held:]
        out = "".join(self._ended())
        open_end = len(self._plain.rstrip(_STOPS))
        if open_end > self._given:
            out += self._plain[self._given : open_end]
            self._given = open_end
        self.text += out
        return out

    def finish(self) -> str:
        """The rest, when the model has said all."""
        self._take_marks()
        self._plain += self._raw
        self._raw = ""
        out = "".join(self._ended())
        for start, end in sentences(self._plain)[:1]:
            out += self._plain[self._given : start] + self._closed(max(start, self._given), end, [n for _, n in self._marks])
            out += self._plain[end:]
        self.text += out
        self._plain, self._given, self._marks = "", 0, []
        return out

    def _take_marks(self) -> None:
        while mark := _MARK.search(self._raw):
            self._plain += self._raw[: mark.start()]
            self._marks += [(len(self._plain), number) for number in _numbers(mark.group())]
            self._raw = self._raw[mark.end() :]

    def _ended(self) -> list[str]:
        """The closing words of every sentence that another one follows, and the space after it."""
        out = []
        while len(bounds := sentences(self._plain)) > 1:
            (start, end), (following, _) = bounds[:2]
            marks = [number for place, number in self._marks if place <= following]
            out.append(self._plain[self._given : start] + self._closed(max(start, self._given), end, marks) + self._plain[end:following])
            self._marks = [(place - following, number) for place, number in self._marks if place > following]
            self._plain, self._given = self._plain[following:], 0
        return out

    def _closed(self, given: int, end: int, marks: Sequence[int]) -> str:
        """What is still to be shown of the sentence that ends at `end`, its marks before the stop."""
        sentence = self._plain[:end]
        tail = "".join(f"[{number}]" for number in self._prove(sentence, marks))
        body = sentence.rstrip(_STOPS)
        if not tail or len(body) < given:
            return sentence[given:] + (f" {tail}" if tail else "")
        gap = "" if is_wide(body[-1:] or " ") else " "
        return f"{body[given:]}{gap}{tail}{sentence[len(body) :].lstrip()}"

    def _prove(self, sentence: str, marks: Sequence[int]) -> list[int]:
        """The numbers of the citations that support the sentence."""
        known = [self._passages[n - 1] for n in dict.fromkeys(marks) if 1 <= n <= len(self._passages)]
        numbers: list[int] = []
        for passage in known or self._passages:
            found = best_sentence(sentence, passage)
            if found is None or found[2] < (1e-9 if known else UNMARKED_SHARE):
                continue
            number = self._number(cite(passage, found[0], found[1], len(self._cited) + 1, round(found[2], 4)))
            if number is not None and number not in numbers:
                numbers.append(number)
            if not known:
                break
        return numbers

    def _number(self, citation: Citation) -> int | None:
        """The citation's number, the old one when the same quote was cited before; None when there are enough."""
        for other in self._cited:
            if (other.kb, other.file, other.quote) == (citation.kb, citation.file, citation.quote):
                return other.index
        if len(self._cited) >= MOST_CITATIONS:
            return None
        self._cited.append(replace(citation, index=len(self._cited) + 1))
        return len(self._cited)


def best_sentence(claim: str, passage: Passage) -> tuple[int, int, float] | None:
    """(start, end, share of the claim's words that it holds) of the passage's sentence nearest to the claim; None without sentences.

    Words that the claim has in quotation marks and the passage to the letter are nearer than any sentence.
    """
    for words in _QUOTED.findall(claim):
        if place := locate(words, passage.text):
            return *place, 1.0
    terms = set(question_terms(claim))
    best: tuple[int, int, float] | None = None
    for start, end in sentences(passage.text):
        share = len(terms & set(question_terms(passage.text[start:end]))) / len(terms) if terms else 0.0
        if best is None or share > best[2]:
            best = (start, end, share)
    return best


def _numbers(mark: str) -> list[int]:
    """ "[1, 3-5]" -> 1, 3, 4, 5."""
    numbers: list[int] = []
    for part in re.split(r"[,，、;]", mark.strip("[]【】")):
        ends = [int(n) for n in re.findall(r"\d+", part)]
        numbers += range(ends[0], ends[-1] + 1) if len(ends) == 2 and ends[0] <= ends[1] <= ends[0] + 9 else ends
    return numbers
