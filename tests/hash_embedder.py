"""An embedder without a model: text -> unit vector of 32 numbers, a bag of hashed words. The same text gives the same vector everywhere."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from server.embedding import Batching
from server.embedding.families import Usage

DIMENSION = 32
_WORD = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")


class HashEmbedder:
    """Texts that share words are near each other; a token is a word or one Chinese character."""

    dimension = DIMENSION
    max_tokens = 512
    device = "cpu"
    dtype = "float32"
    batching = Batching(tokens=1024, texts=1 << 30, side_by_side=2)
    usage = Usage("", "", "words", "a test", "")

    def __init__(self, name: str = "hash") -> None:
        self.name = name

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = lambda finished: None) -> npt.NDArray[np.float32]:
        """(n, 32) float32, unit length."""
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed_query(text)
            done(1)
        return vectors

    def embed_query(self, text: str) -> npt.NDArray[np.float32]:
        """(32,) float32, unit length."""
        vector = np.full(DIMENSION, 1e-3, np.float32)  # so that a text without words has a direction too
        for word in _WORD.findall(text.lower()):
            vector[zlib.crc32(word.encode()) % DIMENSION] += 1
        return vector / np.float32(np.linalg.norm(vector))

    def count_tokens(self, text: str) -> int:
        """Words and Chinese characters."""
        return len(_WORD.findall(text))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """As `count_tokens`."""
        return [self.count_tokens(text) for text in texts]
