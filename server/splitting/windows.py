"""A chunk's text -> the overlapping stretches of it that are embedded, one vector each."""

from __future__ import annotations

import bisect
import re

from server.language import CJK_MARKS, WIDE, display_width

WINDOW_WORDS, STEP_WORDS = 60, 50  # English words
WINDOW_CHARS, STEP_CHARS = 200, 150  # Chinese characters
LONG_WORD = 16  # letters; a longer "word" (a link, a formula) weighs as several

_UNIT = re.compile(rf"[{WIDE}][{CJK_MARKS}]*|(?:(?![{WIDE}])\S)+")


def window_bounds(text: str) -> list[tuple[int, int]]:
    """(start, end) of the overlapping stretches that are embedded: 60 English words every 50, 200 Chinese characters every 150.

    Mixed text counts each word and character by its share. They start and end at word edges and cover every character that is not
    white space; a tail that would add under a third of a step is merged into the last one. Never empty.
    """
    units = [match.span() for match in _UNIT.finditer(text)]
    if not units:
        return [(0, len(text))]
    window = step = 0.0
    ends, steps = [0.0], [0.0]  # running sums: share of a window, share of a step
    for start, end in units:
        if display_width(text[start]) == 2:
            window += (end - start) / WINDOW_CHARS
            step += (end - start) / STEP_CHARS
        else:
            words = -(-(end - start) // LONG_WORD)
            window += words / WINDOW_WORDS
            step += words / STEP_WORDS
        ends.append(window)
        steps.append(step)
    bounds: list[tuple[int, int]] = []
    first, count = 0, len(units)
    while True:
        stop = max(first + 1, bisect.bisect_right(ends, ends[first] + 1 + 1e-9) - 1)
        if stop >= count or steps[count] - steps[stop] < 1 / 3:
            bounds.append((units[first][0], units[count - 1][1]))
            return bounds
        bounds.append((units[first][0], units[stop - 1][1]))
        following = bisect.bisect_left(steps, steps[first] + 1 - 1e-9)
        first = min(max(first + 1, following), stop)
