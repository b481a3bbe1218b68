"""What an office file says about its origin -> authors, DOI, and whether its title means anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

from server.readers.identifiers import normal_doi
from server.readers.names import names_in
from server.types import Block, Identity

_PRINTED_WITHIN = 3000  # characters from the start in which a paper's own DOI stands
_DEFAULT_TITLE = re.compile(
    r"(?:microsoft \w+ - .*|untitled.*|(?:word |new )?document ?\d*|(?:powerpoint )?presentation ?\d*|powerpoint .*|title|slide \d+|"
    r"book ?\d*|sheet ?\d*|workbook ?\d*|新建.*|文档 ?\d*|演示文稿 ?\d*|工作簿 ?\d*|标题|无标题.*|幻灯片 ?\d*|"
    r"\S+\.(?:docx?|pptx?|xlsx?|odt|rtf|tex))",
    re.IGNORECASE,
)
_NO_PERSON = re.compile(
    r"\b(?:admin\w*|users?|owner|author|unknown|anonymous|guest|test\w*|microsoft|office|windows|word|apache|google|libreoffice|openoffice|"
    r"wps|dell|lenovo|acer|asus|apple|pc|laptop|desktop|default|template)\b|\d|^steve canny$",  # python-pptx leaves its own author's name
    re.IGNORECASE,
)


def is_title(title: str) -> bool:
    """Whether a file's title property names the work: not empty, not what programs put there by themselves."""
    return len(title.strip()) > 1 and _DEFAULT_TITLE.fullmatch(title.strip()) is None


def identity_of(title: str, creator: str, blocks: Iterable[Block]) -> Identity:
    """The authors in `creator` when it lists persons and the properties name the work; the DOI printed near the start, not cited."""
    named = is_title(title) and not _NO_PERSON.search(creator)
    return Identity(authors=names_in(creator) if named else (), doi=_doi(blocks))


def _doi(blocks: Iterable[Block]) -> str:
    seen = 0
    for block in blocks:
        if block.kind in ("paragraph", "caption") and (doi := normal_doi(block.text[: _PRINTED_WITHIN - seen])):
            return doi
        seen += len(block.text)
        if seen >= _PRINTED_WITHIN:
            break
    return ""
