"""The values that flow through the pipeline: Document -> Chunk -> Passage -> Citation -> Answer. All frozen.

Pages count from 1. Boxes are in PDF points, origin top left of the page as displayed. Scores are cosines or fused
scores in 0..1; larger is better.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Language = Literal["en", "zh", "other"]
BlockKind = Literal["paragraph", "table", "caption", "formula", "code", "reference", "footnote"]
HiddenReason = Literal["invisible", "background colour", "tiny", "off the page", "covered"]
FileState = Literal["queued", "reading", "embedding", "ready", "failed"]
Depth = Literal["quotes", "fast", "careful"]


class Span(NamedTuple):
    """`text[start:end]` of the owner is printed inside this box on this page (one word, or one line of Chinese)."""

    start: int
    end: int
    page: int
    x0: float
    y0: float
    x1: float
    y1: float


class Box(NamedTuple):
    """A rectangle on a page."""

    page: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a table (one line a row, cells joined by " | "), a caption, a formula, a reference.

    `spans` are sorted by start; they do not overlap, but several may point at one place (a column's name in every row of a
    table). Empty for formats without pages. `header_lines` leading lines of a table are repeated when it is cut; 0 when each row
    names its columns.
    """

    kind: BlockKind
    text: str
    page: int
    spans: tuple[Span, ...] = ()
    header_lines: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the blocks under it, up to the next heading of any level. `path` holds the headings above it and its own."""

    level: int
    path: tuple[str, ...]
    page: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which paper a file is, as far as the file itself says; empty where it does not.

    `doi` is lower case and starts with "10."; `arxiv_id` carries its version when it is printed ("2101.00001v2").
    """

    authors: tuple[str, ...] = ()
    abstract: str = ""
    year: int | None = None
    doi: str = ""
    arxiv_id: str = ""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Text that a reader of the page cannot see: kept out of the document and reported with the file."""

    text: str
    reason: HiddenReason
    box: Box


@dataclass(frozen=True, slots=True)
class Document:
    """What a reader makes of a file. `pages` is 1 for formats without pages; `ocr_pages` are those read by optical recognition."""

    title: str
    pages: int
    language: Language
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    identity: Identity = Identity()
    hidden: tuple[Hidden, ...] = ()
    ocr_pages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of one section, small enough to embed and to show.

    `section_number` is the place of its section in Document.sections, from 0. `windows` are the overlapping (start, end) stretches
    of `text` that are embedded, one vector each; never empty. The first `repeated` characters of `text` stand in an earlier chunk of
    the section too. `prefix` is put in front of what is embedded and indexed, and never shown.
    """

    text: str
    section: tuple[str, ...]
    page: int
    page_end: int
    kind: BlockKind
    language: Language
    spans: tuple[Span, ...]
    windows: tuple[tuple[int, int], ...]
    section_number: int = 0
    repeated: int = 0
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that a search found: `score` is the fused score in 0..1, `similarity` the cosine of its best window."""

    chunk_id: int
    kb: str
    file: str
    title: str
    section: tuple[str, ...]
    page: int
    page_end: int
    kind: BlockKind
    language: Language
    text: str
    spans: tuple[Span, ...]
    score: float
    similarity: float
    metadata: dict[str, object] = field(default_factory=dict)
    section_number: int = 0
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Citation:
    """A verbatim quote with the place where code found it. `index` is the number shown in the text, from 1."""

    index: int
    kb: str
    file: str
    title: str
    page: int
    boxes: tuple[Box, ...]
    quote: str
    verified: bool
    score: float


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text, as it is streamed."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer: the last value of an answering stream."""

    text: str
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    refused: bool
    depth: Depth
    model: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"  # or "length"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str
