"""Text -> how much of a chunk's budget it takes: tokens as a model counts them, or as they can be estimated without one."""

from __future__ import annotations

import re
from collections.abc import Callable

from server.language import WIDE

CountTokens = Callable[[str], int]  # tokens of a text, as the embedding model counts them
LONGEST_CHUNK = 60_000  # characters; the places of spans are stored in 16 bits, and BERT calls a word of any length one token

_PIECE = re.compile(rf"[{WIDE}]|[A-Z]?[a-zß-öø-ÿ]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]|[^\w\s]|_")
_LONE_MARK = re.compile(r"(?<!\S)[^\w\s]")  # costs a space token of its own


def limited(count_tokens: CountTokens, budget: int) -> CountTokens:
    """Counts like `count_tokens`, but a text of LONGEST_CHUNK characters takes the whole budget, and a longer one is not counted."""

    def count(text: str) -> int:
        by_length = -(-len(text) * budget // LONGEST_CHUNK)
        return by_length if by_length > budget else max(by_length, count_tokens(text))

    return count


def estimate_tokens(text: str) -> int:
    """About how many subwords XLM-R or BERT make of `text`, rather too many than too few, without a tokenizer."""
    total = len(_LONE_MARK.findall(text)) * 1.0
    for piece in _PIECE.findall(text):
        if piece.isdigit():
            total += 0.6 + 0.45 * len(piece)
        elif len(piece) == 1:
            total += 1
        elif piece.isascii():
            total += 0.8 + 0.14 * len(piece)
        else:
            total += 1.2 + 0.16 * len(piece)
    return int(total) + 1 if text else 0
