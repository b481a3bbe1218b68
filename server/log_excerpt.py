"""Why a part ended; in: its log; out: the few words that matter, without tracebacks, colours and web-server chatter."""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 32_768
NEAR_THE_END = 8  # lines; an older error is not what ended it
LONGEST = 300  # characters

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_RAISED = re.compile(r"^(?:[A-Za-z_][\w]*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Unavailable|Invalid|Corrupt|Conflict|Failed)(?::|$)")
_COMPLAINT = re.compile(r"\b(?:ERROR|CRITICAL|FATAL|[Ee]rror|[Ff]atal|[Ff]ailed|[Cc]annot)\b")
_CHATTER = re.compile(r"^(?:INFO|DEBUG)\b|^\s*$|^\[?\d{4}-\d\d-\d\d[ T][\d:.,]+\]? (?:\| )?(?:INFO|DEBUG)\b")


def reason_in(log: Path, start: int = 0) -> str:
    """The last line that names an error, else the last one that is no chatter; "" when there is none. `start` is in bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [_COLOUR.sub("", line).rstrip() for line in text.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if not _CHATTER.search(line)]
    told = [line for line in lines if line[:1] not in (" ", "\t")][-NEAR_THE_END:]  # a traceback's own lines are indented
    for pattern in (_RAISED, _COMPLAINT):
        for line in reversed(told):
            if pattern.search(line):
                return line[:LONGEST]
    return told[-1][:LONGEST] if told else ""
