"""The files that a run has in hand, between reading and writing, and what its workers report of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from server.embedding import Vectors
from server.ingestion.comparing import Todo
from server.stores.rows import Reading
from server.types import Chunk


@dataclass(slots=True, eq=False)
class InHand:
    """A file that was read and split: its windows in the order of its chunks, and their vectors as they come.

    `untaken` windows wait to be embedded, and `missing` vectors are not there yet.
    """

    todo: Todo
    reading: Reading
    chunks: Sequence[Chunk]
    texts: Sequence[str]
    tokens: Sequence[int]
    vectors: Vectors
    begun_s: float
    untaken: int = field(init=False)
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.untaken = self.missing = len(self.texts)


def window_texts(chunks: Sequence[Chunk]) -> list[str]:
    """What is embedded, in the order of the chunks and their windows."""
    return [" ".join((chunk.prefix + chunk.text[start:end]).split()) for chunk in chunks for start, end in chunk.windows]


def no_vectors(count: int, dimension: int) -> Vectors:
    """(count, dimension), to be filled."""
    return np.zeros((count, dimension), np.float32)


@dataclass(frozen=True, slots=True)
class Begun:
    """A reader begins with a file."""

    todo: Todo


@dataclass(frozen=True, slots=True)
class OcrPage:
    """OCR begins with `page` of `pages`, the `told`-th page that it reads in the file; the one before took `seconds`."""

    todo: Todo
    page: int
    pages: int
    told: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """A file is read and split, its windows wait to be embedded; `seconds` since it was begun, or since its last page of OCR."""

    todo: Todo
    windows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Embedded:
    """A batch of `windows` windows took `seconds`; of `complete` files it held the last ones."""

    windows: int
    seconds: float
    complete: Sequence[InHand]


@dataclass(frozen=True, slots=True)
class Failed:
    """A file comes to nothing: while it was read, for `seconds`, or afterwards, when it was `in_hand` already."""

    todo: Todo
    error: Exception
    seconds: float = 0.0
    in_hand: InHand | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A worker ended by an error that is no file's."""

    error: BaseException


Report = Begun | OcrPage | Read | Embedded | Failed | Broken
