"""srt -> a document: cues joined to paragraphs that end with a sentence, each beginning with its time "00:01:02"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from server.errors import Unreadable
from server.readers.assembly import document_of
from server.readers.headings import Outline
from server.readers.plain.text import joined, read_decoded
from server.types import Block, Document

_TIMES = re.compile(r"\s*(\d{1,3}):(\d{2}):(\d{2})[,.]\d{1,3}\s*-->\s*(\d{1,3}):(\d{2}):(\d{2})")
_MARKS = re.compile(r"</?(?:[biu]|font)(?:\s[^<>]{0,200})?>|\{\\[^{}]{0,100}\}")
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)）]*$")
_LEAST, _MOST = 200, 800  # characters of a paragraph: from _LEAST on it ends with a sentence, at _MOST anyway
_PAUSE_S = 10  # seconds of silence that end a paragraph


class Cue(NamedTuple):
    """What is shown from `start` to `end`, in seconds."""

    start: int
    end: int
    text: str


def read_srt(path: Path) -> Document:
    """The document of a subtitle file. Raises Unreadable when no line of it holds times."""
    text, warnings = read_decoded(path)
    outline = Outline()
    outline.open(1, path.stem, 1, "made up")
    found = False
    for paragraph in _paragraphs(_cues(text)):
        found = True
        outline.add(Block("paragraph", paragraph, 1))
    if not found:
        raise Unreadable("there are no subtitles in this file: no line like 00:00:01,000 --> 00:00:02,500 with text below it")
    return document_of(outline, path.stem, warnings=warnings)


def _cues(text: str) -> Iterator[Cue]:
    times: re.Match[str] | None = None
    lines: list[str] = []
    for line in [*text.split("\n"), "0:00:00,0 --> 0:00:00"]:
        match = _TIMES.match(line)
        if not match:
            lines.append(line)
            continue
        if times:
            if lines and lines[-1].strip().isdigit():
                lines.pop()  # the number of the next cue
            yield Cue(_seconds(times, 1), _seconds(times, 4), joined(_MARKS.sub("", line) for line in lines))
        times, lines = match, []


def _paragraphs(cues: Iterator[Cue]) -> Iterator[str]:
    pending: list[Cue] = []
    size = 0
    for cue in cues:
        if not cue.text:
            continue
        if pending and (cue.start - pending[-1].end > _PAUSE_S or size >= _MOST):
            yield _paragraph(pending)
            pending, size = [], 0
        pending.append(cue)
        size += len(cue.text)
        if size >= _LEAST and _SENTENCE_END.search(cue.text[-20:]):
            yield _paragraph(pending)
            pending, size = [], 0
    if pending:
        yield _paragraph(pending)


def _paragraph(cues: list[Cue]) -> str:
    seconds = cues[0].start
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} {joined(cue.text for cue in cues)}"


def _seconds(match: re.Match[str], first: int) -> int:
    return 3600 * int(match[first]) + 60 * int(match[first + 1]) + int(match[first + 2])
