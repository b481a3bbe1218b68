"""What the API answers, as values: JSON in, frozen models out. Unknown fields are ignored, so a newer server still works."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LanguageModel(_Value):
    """The model that words the answers."""

    name: str
    kind: str = ""
    engine: str | None = None
    small: bool = False
    running: bool = True


class EmbeddingModel(_Value):
    """The model that the search uses."""

    name: str
    source: str | None = None
    state: Literal["loading", "ready", "failed"] = "ready"
    device: str | None = None
    dtype: str | None = None
    dimension: int | None = None
    error: str | None = None


class Status(_Value):
    """Which models are in use and whether they are up."""

    version: str = ""
    llm: LanguageModel
    embedding: EmbeddingModel
    depth: str = ""


class Library(_Value):
    """A knowledge base; `job` is the id of the one that is running, `error` says why a damaged one cannot be used."""

    name: str
    info: str | None = None
    embedding: str | None = None
    files: int = 0
    ready: int = 0
    failed: int = 0
    chunks: int = 0
    job: str | None = None
    error: str | None = None


class SamePaper(_Value):
    """Another file of the library that is the same paper; `reason` is content, doi, arxiv or title."""

    file: str
    reason: str


class Document(_Value):
    """One file of a library and how far it got; `reason` says why it failed."""

    file: str
    title: str | None = None
    language: str | None = None
    state: str
    reason: str | None = None
    pages: int | None = None
    chunks: int | None = None
    bytes: int | None = None
    warnings: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    year: int | None = None
    same_as: SamePaper | None = None
    updated_at: str | float | None = None


class Job(_Value):
    """A piece of work on a library; `failed` is file -> reason, `left_s` the seconds it will still need, if known.

    `unchanged` files were read in an earlier run and are among those `done`. `page` of `of_pages` is what OCR reads now, else 0.
    """

    id: str
    kb: str = ""
    kind: str = ""
    state: Literal["running", "done", "failed", "cancelled"]
    total: int = 0
    done: int = 0
    unchanged: int = 0
    current: str | None = None
    page: int = 0
    of_pages: int = 0
    pages: int = 0
    chunks: int = 0
    seconds: float = 0.0
    left_s: float | None = None
    failed: dict[str, str] = {}
    message: str | None = None

    @property
    def running(self) -> bool:
        """Whether more is to come."""
        return self.state == "running"


class Box(_Value):
    """A rectangle of a page, in points; a quote may go on to the next page."""

    page: int
    x0: float
    y0: float
    x1: float
    y1: float


class Citation(_Value):
    """A passage that an answer stands on; `page` counts from 1, `url` is its page image, or the file if that has no pages."""

    index: int
    file: str
    title: str | None = None
    page: int | None = None
    boxes: tuple[Box, ...] | None = None
    quote: str = ""
    verified: bool = False
    score: float | None = None
    url: str = ""

    @property
    def has_page(self) -> bool:
        """Whether there is a page to be shown."""
        return "/page?" in self.url


class Message(_Value):
    """One turn of a conversation, as the chat endpoint takes it."""

    role: Literal["user", "assistant"]
    content: str


class Delta(_Value):
    """One step of a streamed answer; the last one carries the citations."""

    content: str | None = None
    citations: tuple[Citation, ...] | None = None
    refused: bool = False
