"""Neighbouring blocks as one text, of which any stretch becomes the slices of a chunk."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from server.splitting.slices import Slice, trim
from server.types import Block


class RunningText:
    """`text` holds the blocks with `joint` (white space) between them."""

    def __init__(self, blocks: Sequence[Block], joint: str) -> None:
        self.text = joint.join(block.text for block in blocks)
        self._blocks = blocks
        self._starts: list[int] = []
        at = 0
        for block in blocks:
            self._starts.append(at)
            at += len(block.text) + len(joint)

    def chunks(self, stretches: Iterator[tuple[int, int]]) -> Iterator[list[Slice]]:
        """The slices of each stretch. They come in order and may overlap; one that brings nothing new is left out."""
        done = 0  # up to here all text is in a chunk
        for stretch in stretches:
            start, end = trim(self.text, *stretch)
            if end > max(start, done):
                yield list(self._slices(start, end, done))
                done = end

    def _slices(self, start: int, end: int, done: int) -> Iterator[Slice]:
        for at in range(bisect.bisect_right(self._starts, start) - 1, len(self._blocks)):
            begin = self._starts[at]
            if begin >= end:
                return
            block = self._blocks[at]
            first, last = trim(block.text, max(0, start - begin), min(end - begin, len(block.text)))
            if first < last:
                yield Slice(block, first, last, repeated=max(0, min(done - begin, last) - first))
