"""A model behind an OpenAI-compatible endpoint -> an embedder: batches within its limits, unit vectors, its dimension learned by asking.

Texts are sent as texts: token ids, which LangChain's OpenAIEmbeddings sends unless told otherwise, mean nothing to most servers.
"""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.settings import Embedding as EmbeddingSettings
from server.embedding import Batching, Vectors
from server.embedding.batches import batches
from server.embedding.estimates import cut, estimated_tokens
from server.embedding.families import Folder, family_of, usage_of
from server.embedding.posting import Poster, Refused
from server.embedding.questions import QuestionCache
from server.errors import BackendFailed
from server.llm.keys.pool import KeyPool

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)
TEXTS_A_REQUEST = 64  # at first; services allow 10 to 2,048, and a refusal halves it
REQUESTS_SIDE_BY_SIDE = 4  # a request is mostly waiting; more soon meets the limits of small accounts
TOKENS_A_REQUEST = 100_000  # OpenAI allows 300,000
UNKNOWN_LIMIT = 512  # tokens of one text, of a model that no family knows
SHORTEST = 200  # characters; a text this short is not refused for its length
DOCUMENTS_PATIENCE_S = 300.0  # for tries and rests of one batch of passages
QUESTION_PATIENCE_S = 20.0  # somebody waits for it
_TOO_LONG = re.compile(r"token|length|long|maximum|context|exceed", re.I)


class OnlineEmbedder:
    """An embedder over HTTP, called `endpoint/model`. Thread-safe."""

    device = "online"
    dtype = ""

    def __init__(self, model: str, pool: KeyPool, settings: EmbeddingSettings, wait: Callable[[float], None] = time.sleep) -> None:
        self.name = f"{pool.label}/{model}"
        self._model = model
        self._poster = Poster(pool, wait)
        family = family_of([model])
        self.usage = usage_of([model], Folder({}, pooling="the endpoint's"), settings.query_prefix, settings.passage_prefix)
        self.max_tokens = settings.max_tokens or (family.max_tokens if family else UNKNOWN_LIMIT)
        self._most = TEXTS_A_REQUEST
        self._questions = QuestionCache()
        self.dimension = 0
        with self._poster.client(QUESTION_PATIENCE_S) as http:
            self.dimension = int(self._embedded(http, ["probe"])[0].shape[1])

    def embed_documents(self, texts: Sequence[str], done: Callable[[int], None] = lambda finished: None) -> Vectors:
        """(n, dim) float32, unit length. Texts above `max_tokens` are cut, with a warning. Raises what Poster.post raises."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        whole = self._cut(texts, self.usage.passage)
        left = list(batches([estimated_tokens(text) for text in whole], TOKENS_A_REQUEST, self._most))
        with self._poster.client(DOCUMENTS_PATIENCE_S, lambda: done(0)) as http:
            for batch in left:
                found, _ = self._embedded(http, [whole[i] for i in batch])
                vectors[batch] = found
                done(len(batch))
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """(dim,) float32, unit length, read-only; the last 1,024 questions are remembered."""
        return self._questions.get(text, lambda: self._question(text))

    def count_tokens(self, text: str) -> int:
        """An estimate: the endpoint's tokenizer is not here."""
        return estimated_tokens(text)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Estimates, with the prefix."""
        return [min(estimated_tokens(self.usage.passage + text), self.max_tokens) for text in texts]

    @property
    def batching(self) -> Batching:
        """A request's, as far as the endpoint has taken it."""
        return Batching(TOKENS_A_REQUEST, self._most, REQUESTS_SIDE_BY_SIDE)

    def _question(self, text: str) -> Vectors:
        with self._poster.client(QUESTION_PATIENCE_S) as http:
            found, _ = self._embedded(http, self._cut([text], self.usage.query))
        vector: Vectors = found[0]
        return vector

    def _cut(self, texts: Sequence[str], prefix: str) -> list[str]:
        """Prefix and text, the texts cut at a safe length; none is empty, which endpoints refuse, or holds half a character."""
        whole = [(prefix + text).encode(errors="replace").decode() or " " for text in texts]
        ready = [cut(text, self.max_tokens) or text[:1] for text in whole]
        shortened = [len(before) - len(after) for before, after in zip(whole, ready, strict=True) if len(after) < len(before)]
        if shortened:
            log.warning(
                "embedding=%s takes %d tokens: cut texts=%d of %d, characters left out=%d",
                *(self.name, self.max_tokens, len(shortened), len(whole), sum(shortened)),
            )
        return ready

    def _embedded(self, http: httpx2.Client, texts: list[str]) -> tuple[Vectors, bool]:
        """((n, dim), whether a text had to be cut). A request that is refused is halved, down to one text, and that cut."""
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        try:
            return self._parsed(self._poster.post(http, body), len(texts)), False
        except Refused as exc:
            if len(texts) == 1:
                if len(texts[0]) <= SHORTEST or not _TOO_LONG.search(str(exc)):
                    raise
                log.warning("embedding=%s refuses a text of %d characters, cut to half: %s", self.name, len(texts[0]), exc)
                return self._embedded(http, [texts[0][: len(texts[0]) // 2]])[0], True
            half = (len(texts) + 1) // 2
            first, cut_first = self._embedded(http, texts[:half])
            second, cut_second = self._embedded(http, texts[half:])
            if not (cut_first or cut_second) and half < self._most:
                log.info("embedding=%s takes at most %d texts a request, it seems: %s", self.name, half, exc)
                self._most = half
            return np.concatenate([first, second]), cut_first or cut_second

    def _parsed(self, answer: Any, count: int) -> Vectors:
        """The vectors in the order of the texts. Raises BackendFailed for an answer that does not fit."""
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            raw = np.asarray([_numbers(row["embedding"]) for row in rows], np.float32)
        except (TypeError, KeyError, ValueError) as exc:
            raise BackendFailed(f"{self.name} answered with something that is not a list of embeddings ({exc!r})") from exc
        if raw.ndim != 2 or [row["index"] for row in rows] != list(range(count)) or not np.isfinite(raw).all() or not raw.any(axis=1).all():
            raise BackendFailed(f"{self.name} answered with vectors of the shape {raw.shape} for {count} texts, or with none of a length")
        if self.dimension and raw.shape[1] != self.dimension:
            raise BackendFailed(f"{self.name} had {self.dimension} dimensions and now has {raw.shape[1]}: another model answers there")
        return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def _numbers(embedding: Any) -> Any:
    """Some servers send base64, asked or not: little-endian float32."""
    return np.frombuffer(base64.b64decode(embedding), "<f4") if isinstance(embedding, str) else embedding
