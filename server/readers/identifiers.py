"""Lines of text -> a DOI, an arXiv identifier, a year of publication: what they look like, not where on a page they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

DOI = re.compile(r"10\.\d{4,9}/[!-~]*")
_DOI_END = re.compile(r"/(?:abstract|full|pdf|epdf|meta)$|[.,;:'\"!?>}\]|*]+$")
_WORD_AFTER_DOI = re.compile(r"(?<=\d)(?:received|accepted|published|available|copyright|©).*$")
_DOI_SHAPE = re.compile(r"10\.\d{4,9}/[!-~]+")
_ARXIV_ID = r"(?:\d{4}\.\d{4,5}|[a-z]+(?:-[a-z]+)?(?:\.[A-Z]{2})?/\d{7})(?:v\d{1,3})?"
_ARXIV = re.compile(rf"(?:arXiv\s*[:.]\s*|arxiv\.org/(?:abs|pdf)/)({_ARXIV_ID})(?![\d.]\d)", re.IGNORECASE)
_YEAR = r"(?:18|19|20)\d\d"
YEAR = re.compile(rf"(?<![\d./-])({_YEAR})(?![\d/])")
_LABELS = (
    r"published(?:\s+online|\s+in)?|(?:first\s+)?publication date|date of publication|first published|version of record|"
    r"veröffentlicht(?:\s+am)?|publié|发表(?:日期|时间)|出版(?:日期|时间)|网络首发(?:日期|时间)?|网络出版(?:日期|时间)?|刊出日期",
    r"(?:manuscript )?accepted|angenommen|录用日期|接受日期|接收日期|修回日期|修稿日期|修订日期|revised",
    r"(?:manuscript )?received|submitted|eingereicht(?:\s+am)?|收稿日期|投稿日期",
)
_LABELLED = [
    re.compile(rf"(?:^|[;,|•·]\s*|\d\s+|\()(?:{label})\s*[:：]?\s*(?:on\s+)?([^:：]{{0,24}}?)({_YEAR})(?!\d)", re.I) for label in _LABELS
]
_ALONE = [re.compile(rf"(?:{label})\s*[:：]?", re.IGNORECASE) for label in _LABELS]
_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz|apr(?:il)?|may|mai|june?|juni|july?|juli|aug(?:ust)?|sept?(?:ember)?|"
    r"o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_DATE = re.compile(
    rf"(?:\b{_MONTH}\.?\s+(?:\d{{1,2}}(?:st|nd|rd|th)?\s*,?\s+)?|(?<!\d)\d{{1,2}}[./]\d{{1,2}}[./]\s?)({_YEAR})(?!\d)"
    rf"|({_YEAR})\s*年\s*\d{{1,2}}\s*月|({_YEAR})-\d{{2}}-\d{{2}}|^\W*({_YEAR})\W*$",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(rf"(?:©|\(c\)|copyright)\D{{0,24}}({_YEAR})\b", re.IGNORECASE)
_CITATION = re.compile(
    r"(?:acm reference format|(?:please )?cite (?:this|as)|how to cite|to cite this|citation\s*:|引用格式|引用本文)", re.IGNORECASE
)
_ISSUE = re.compile(
    r"\bvol(?:ume)?\.?\s*\d|\bno\.\s*\d|\d\s*\(\s*\d+(?:[-–]\d+)?\s*\)|第\s*[\d一二三四五六七八九十百]+\s*[卷期]|\bproceedings\b|\bjournal\b|"
    r"\bconference\b|\bworkshop\b|\bsymposium\b|\btransactions\b|学报|\bpp?\.\s*\d",
    re.IGNORECASE,
)
_PAGES = re.compile(r"\d+\s*,\s*[A-Z]?\d+")
_NOTE = re.compile(r"\s*(?:\d{1,2}|[*∗†‡§¶])\s?[A-Z\u4e00-\u9fff]")


def normal_doi(text: str) -> str:
    """The first DOI in `text`: lower case, without "doi:", link and closing punctuation; empty when there is none. Never raises."""
    match = DOI.search(text)
    if not match:
        return ""
    doi = _WORD_AFTER_DOI.sub("", match.group().lower().split("\\")[0].split("<")[0].split('"')[0])
    while (shorter := _open_closed(_DOI_END.sub("", doi))) != doi:
        doi = shorter
    return doi if _DOI_SHAPE.fullmatch(doi) else ""


def _open_closed(doi: str) -> str:
    """Without a closing bracket that nothing opened, and without an opening one at the end."""
    if doi.endswith("(") or (doi.endswith(")") and doi.count(")") > doi.count("(")):
        return doi[:-1]
    return doi


def arxiv_in(text: str) -> str:
    """The first arXiv identifier in `text`, with its version when printed: "2101.00001v2", "hep-th/9901001"; empty without one."""
    match = _ARXIV.search(text)
    if match:
        return match[1]
    doi = normal_doi(text)
    return doi.removeprefix("10.48550/arxiv.") if doi.startswith("10.48550/arxiv.") else ""


def labelled_year(lines: Sequence[str], label: int) -> int | None:
    """The year after "Published" (label 0), "Accepted" or "Revised" (1), "Received" or "Submitted" (2); the latest when several.

    The date stands on the label's line or on the next one.
    """
    found = []
    for at, line in enumerate(lines):
        if len(line) > 200:
            continue
        if match := _LABELLED[label].search(line):
            found.append(int(match[2]))
        elif at + 1 < len(lines) and len(lines[at + 1]) < 40 and _ALONE[label].fullmatch(line.strip()):
            found += [int(year) for year in YEAR.findall(lines[at + 1])[:1]]
    return max(found, default=None)


def issue_year(heads: Iterable[str], feet: Iterable[str]) -> int | None:
    """The year in a running head or foot that names a journal's volume, a conference or pages ("6(58), 2024"); notes at the foot do not
    count, and a plain "123, 4567 (2019)" only in a head.
    """
    for line in heads:
        if (_ISSUE.search(line) or _PAGES.search(line)) and (years := _own_years(line)):
            return years[0]
    return next((years[0] for line in feet if _ISSUE.search(line) and not _NOTE.match(line) and (years := _own_years(line))), None)


def _own_years(line: str) -> list[int]:
    return [] if len(line) > 300 or "arxiv" in line.lower() else [int(year) for year in YEAR.findall(line)]


def citation_year(lines: Sequence[str]) -> int | None:
    """The first year in the paper's own citation, which "Citation:", "ACM Reference Format" or "引用格式" begins; five lines at most."""
    for at, line in enumerate(lines):
        if _CITATION.match(line.strip()) and (years := YEAR.findall(" ".join(lines[at : at + 6])[:600])):
            return int(years[0])
    return None


def copyright_year(lines: Iterable[str]) -> int | None:
    """The year after ©."""
    return next((int(match[1]) for line in lines if (match := _COPYRIGHT.search(line))), None)


def date_year(lines: Iterable[str]) -> int | None:
    """The year of the first date in short lines: "July 28, 2023", "31. Dezember 2016", "2026年8月10日", or a year alone."""
    for line in lines:
        if len(line) < 120 and (match := _DATE.search(line)):
            return int(next(filter(None, match.groups())))
    return None
