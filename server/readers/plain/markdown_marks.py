"""A paragraph of Markdown -> its plain text: marks, link targets and tags gone, code and formulas as they are written."""

from __future__ import annotations

import re

_LONGEST_MARKED = 20_000  # characters; marks are not looked for in longer paragraphs
_REST = r"(?:\s[^<>]{0,1000})?/?>"
_BREAK = re.compile(  # tags that part what stands before and after
    r"</?(?:blockquote|br|center|details|div|figcaption|figure|hr|li|ol|p|summary|table|tbody|td|th|thead|tr|ul)" + _REST, re.IGNORECASE
)
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|cite|code|del|em|font|i|img|ins|kbd|mark|picture|small|source|span|strong|sub|sup|u|video)" + _REST, re.IGNORECASE
)
_MARK = re.compile(r"[<\[`*_\\]")
# No pair of marks is looked for further than 500 characters, so that unclosed ones cost no quadratic time.
_LINK = re.compile(r"!?\[([^\]\n]{0,500})\]\((?:[^()\n]|\([^()\n]{0,200}\)){0,500}\)")
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.{1,500}?)(?<=\S)\1")
_EMPHASIS = re.compile(r"(?<![\w*_])([*_])(?=\S)([^*_\n]{1,500}?)(?<=\S)\1(?![\w*_])")
_KEPT = re.compile(
    r"(?<!`)(?P<ticks>`{1,3})(?!`)(?P<code>.{1,500}?)(?<!`)(?P=ticks)(?!`)"
    r"|(?P<formula>(?P<dollars>\${1,2})(?=[^\s$])[^$\n]{0,499}?[^\s\\$](?P=dollars)(?![\d$])"  # "$5 and $6" is no formula
    # \(x_1\) and \[x = 1\] are formulas, \(5\) and \[1\] escaped brackets
    r"|\\\((?:[^\\^_={]|\\[^()a-zA-Z]){0,200}(?:[\^_={]|\\[a-zA-Z])(?:[^\\]|\\[^()]){0,500}\\\)"
    r"|\\\[(?:[^\\^_={]|\\[^\[\]a-zA-Z]){0,200}(?:[\^_={]|\\[a-zA-Z])(?:[^\\]|\\[^\[\]]){0,500}\\\])"
    r"|\\(?P<escaped>[!-/:-@\[-`{-~])"
)
_PLACE = re.compile("\x00(\\d+)\x00")


def without_marks(text: str) -> str:
    """One line without marks. `code` loses its ticks and nothing inside; $formulas$ stay whole; what a backslash escapes is kept."""
    if len(text) > _LONGEST_MARKED or not _MARK.search(text):
        return text.strip()
    kept: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        kept.append(match["formula"] or match["escaped"] or match["code"].strip())
        return f"\x00{len(kept) - 1}\x00"

    text = _KEPT.sub(put_aside, text.replace("\x00", ""))
    for pattern, remains in ((_BREAK, " "), (_TAG, ""), (_LINK, r"\1"), (_STRONG, r"\2"), (_EMPHASIS, r"\2")):
        text = pattern.sub(remains, text)
    return " ".join(_PLACE.sub(lambda match: kept[int(match[1])], text).split())
