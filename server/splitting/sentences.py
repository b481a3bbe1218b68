"""Text -> the places of its sentences, Chinese and Latin ones."""

from __future__ import annotations

import re

from server.language import CJK
from server.splitting.slices import trim

_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:al|e\.?g|i\.?e|etc|cf|vs|viz|ca|approx|resp|incl|ed|eds|vol|no|nos|pp?|figs?|tabs?|eqs?|eqn|secs?|sect|chap|ch|refs?"
    r"|app|thm|lem|prop|def|dept|univ|inc|ltd|co|corp|dr|prof|mr|mrs|ms|st|jr|sr|phd|ph\.d|u\.s|u\.k|a\.k\.a|w\.r\.t|s\.t|jan|feb|mar|apr"
    r"|jun|jul|aug|sept?|oct|nov|dec|[a-zA-Z])\.$",
    re.IGNORECASE,
)
_STARTERS = re.compile(
    r"(?:The|This|These|Those|That|We|Our|It|Its|In|On|At|For|From|To|If|When|While|Here|There|They|Their|However|Moreover|Further"
    r"|Furthermore|Finally|Although|But|And|As|By|Both|Each|Such|Since|Thus|Therefore|Then|With|A|An|All|Another|Also)\b"
)
_CLOSING = "\"'”’»)\\]」』）】》〉"
_END = re.compile(
    rf"[。！？；…]+[{_CLOSING}]*"  # Chinese: always
    rf"|(?:(?<=[^\W\d_])[.](?:\[?\d{{1,3}}(?:[,–-]\d{{1,3}})*\]?)?|(?<![.!?])[.!?]++)"  # Latin, with a reference mark
    rf"[{_CLOSING}]*(?=\s|$|[{CJK}])"
    r"|\n"
)
_OPENING = re.compile(rf"\s*[\"'“‘«(\[（【]*(?:[A-Z0-9À-ÖØ-Þ{CJK}]|$)")


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order, without the white space between them; every other character is in one of them.

    Chinese 。！？；… always end one. A Latin full stop does when the next word starts like a sentence and the word before is no
    abbreviation ("et al.", "Fig. 3", initials).
    """
    found: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if _is_end(text, match):
            _add_trimmed(found, text, start, match.end())
            start = match.end()
    _add_trimmed(found, text, start, len(text))
    return found


def _is_end(text: str, match: re.Match[str]) -> bool:
    mark = match.group()[0]
    if mark in "。！？；…\n":
        return True
    before, after = text[max(0, match.start() - 12) : match.start() + 1], match.end()
    if mark == "." and _ABBREVIATION.search(before):
        return re.search(r"(?:al|etc)\.$", before) is not None and _STARTERS.match(text, _skip_space(text, after)) is not None
    return _OPENING.match(text, after) is not None


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _add_trimmed(found: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    start, end = trim(text, start, end)
    if start < end:
        found.append((start, end))
