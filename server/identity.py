"""What files say about themselves -> which are the same paper: by content, DOI, arXiv identifier or title. Pure functions, no network.

A preprint and its published version have two DOIs but one title; versions on arXiv have one identifier. A supplement, an erratum or
the second part of a paper is another paper, whatever identifier it prints.
"""

from __future__ import annotations

import heapq
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from server.language import CJK
from server.types import Identity

Reason = Literal["content", "doi", "arxiv", "title"]

LEAST_WORDS = 4  # shorter titles ("Deep learning") are not one paper's alone
LEAST_CHINESE = 8  # characters, likewise
MOST_YEARS = 3  # between a preprint and its publication
CANDIDATES = 32  # files with one key that are compared with a further one; more share it only when it says nothing

_VERSION = re.compile(r"v\d+$")
_ARXIV_DOI = "10.48550/arxiv."
# bioRxiv twice, arXiv, OSF, PsyArXiv, SocArXiv, Research Square, SSRN, Preprints.org, ChemRxiv, TechRxiv, Authorea, Zenodo, figshare
_PREPRINTS = re.compile(r"10\.(?:1101|64898|48550|31219|31234|31235|21203|2139|20944|26434|36227|22541|5281|6084)/")
_GENERIC = re.compile(
    r"(?:(?:an? )?(?:brief |short |gentle )?introduction(?: to the (?:special|theme|issue).*|$)|editorial|preface|foreword|"
    r"letters? to the editor|"
    r"book reviews?|table of contents|contents|index|in memoriam|obituary|news|announcements?|call for papers|front matter|back matter|"
    r"proceedings of|annual report|list of|lecture notes|lecture \d+|chapter \d+|homework|assignment|slides|untitled|"
    r"编者按|卷首语|前言|引言|目录|征稿|讲义|第.{1,3}[讲章])",
    re.IGNORECASE,
)
_COMPANION = re.compile(
    r"(?:online |web |electronic )?(?:supplement|supporting (?:information|material)|appendi(?:x|ces)\b|errat(?:um|a)\b|corrigend|"
    r"(?:author |publisher )?correction|retraction|addendum|expression of concern|comments? on\b|reply\b|response to\b|"
    r"peer review (?:file|report)|reviewer|补充材料|补充信息|附件|附录|勘误|更正|撤稿|对.{1,40}的回复)"
    r"|.*[:：\-–—(（]\s*(?:supplement(?:ary|al)?|supporting information|appendix|erratum|corrigendum|correction|补充材料|勘误)\b[^:：]*$",
    re.IGNORECASE,
)
_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")
_CHINESE = re.compile(f"[{CJK}]")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file: the SHA-256 of its bytes (hex), its title, and what it says it is."""

    sha256: str
    title: str
    identity: Identity


def same_paper(one: Known, other: Known) -> Reason | None:
    """Why the two are one paper, the surest reason first; None when nothing says so or something speaks against it.

    By title only when it has four words or eight Chinese characters, the authors have a surname in common (or one side names none)
    and the years lie within three.
    """
    if one.sha256 and one.sha256 == other.sha256:
        return "content"
    if bool(_COMPANION.match(one.title)) != bool(_COMPANION.match(other.title)):
        return None
    if one.identity.doi and one.identity.doi == other.identity.doi and not _strangers(one.title, other.title):
        return "doi"
    papers = _arxiv(one.identity), _arxiv(other.identity)
    if papers[0] and papers[1]:
        return "arxiv" if papers[0] == papers[1] else None
    key = title_key(one.title)
    if key and key == title_key(other.title) and _compatible(one.identity, other.identity):
        return "title"
    return None


def copies(rows: Mapping[str, Known] | Iterable[tuple[str, Known]]) -> dict[str, tuple[str, Reason]]:
    """For each file that is the same paper as one before it: the first such file, and why. Time grows linearly with the files."""
    buckets: dict[tuple[str, str], list[int]] = {}
    done: list[tuple[str, Known]] = []
    found: dict[str, tuple[str, Reason]] = {}
    for at, (file, known) in enumerate(rows.items() if isinstance(rows, Mapping) else rows):
        keys = _keys(known)
        earlier = heapq.merge(*(itertools.islice(buckets.get(key, ()), CANDIDATES) for key in keys))
        for before in earlier:
            if reason := same_paper(done[before][1], known):
                found[file] = (done[before][0], reason)
                break
        for key in keys:
            buckets.setdefault(key, []).append(at)
        done.append((file, known))
    return found


def title_key(title: str) -> str:
    """Letters and digits of a title in small letters without accents; empty when it is too short or too common to tell a paper."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", title).casefold() if not unicodedata.combining(char))
    words = _WORD.findall(plain)
    chinese = sum(_CHINESE.match(word) is not None for word in words)
    if _GENERIC.match(plain.strip()) or (len(words) - chinese < LEAST_WORDS and chinese < LEAST_CHINESE):
        return ""
    return "".join(words)


def _keys(known: Known) -> list[tuple[str, str]]:
    keys = [
        ("content", known.sha256),
        ("doi", known.identity.doi),
        ("arxiv", _arxiv(known.identity)),
        ("title", title_key(known.title)),
    ]
    return [key for key in keys if key[1]]


def _arxiv(identity: Identity) -> str:
    """The arXiv identifier without its version, also from arXiv's own DOI."""
    doi = identity.doi
    return _VERSION.sub("", identity.arxiv_id or (doi.removeprefix(_ARXIV_DOI) if doi.startswith(_ARXIV_DOI) else ""))


def _strangers(one: str, other: str) -> bool:
    """Whether two titles that can tell a paper have hardly a word in common: one of the files prints a DOI that is not its own."""
    if not title_key(one) or not title_key(other):
        return False
    words, others = (set(_WORD.findall(unicodedata.normalize("NFKC", title).casefold())) for title in (one, other))
    if any(map(_CHINESE.match, words)) != any(map(_CHINESE.match, others)):
        return False  # the title in two languages
    return len(words & others) < 0.25 * min(len(words), len(others))


def _compatible(one: Identity, other: Identity) -> bool:
    """Whether one title can be one paper's: authors and years agree as far as known, and no publisher gave out both DOIs."""
    if one.doi and other.doi and one.doi != other.doi:
        published = [doi for doi in (one.doi, other.doi) if not _PREPRINTS.match(doi)]
        if len(published) == 2 and published[0].split("/")[0] == published[1].split("/")[0]:
            return False
    if one.year and other.year and abs(one.year - other.year) > MOST_YEARS:
        return False
    if not one.authors or not other.authors:
        return True
    return any(_one_person(mine, theirs) for mine in one.authors for theirs in other.authors)


def _one_person(one: str, other: str) -> bool:
    """Whether two names can be one person's: the last word of each stands in the other ("Wei Zhang", "ZHANG Wei", "W. Zhang")."""
    if (_CHINESE.search(one) is None) != (_CHINESE.search(other) is None):
        return True  # in two scripts: nothing to compare
    words, others = _name_words(one), _name_words(other)
    return bool(words and others) and words[-1] in others and others[-1] in words


def _name_words(name: str) -> list[str]:
    plain = "".join(char for char in unicodedata.normalize("NFKD", name).casefold() if not unicodedata.combining(char))
    return re.findall(r"[^\W\d_]{2,}", plain) or [plain]
