"""Document -> chunks: paragraphs grouped up to a token budget inside one section, with spans and embedding windows.

A chunk's text is slices of its section's blocks joined by newlines; no character but white space is lost, and only the header row
of a table is repeated. Tables and references get chunks of their own.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from server.language import CJK, CJK_MARKS, WIDE, display_width, language_of
from server.types import Block, BlockKind, Chunk, Document, Language, Section, Span

__all__ = ["estimate_tokens", "language_of", "sentences", "split", "window_bounds"]

CountTokens = Callable[[str], int]

WINDOW_WORDS, STEP_WORDS = 60, 50  # English words
WINDOW_CHARS, STEP_CHARS = 200, 150  # Chinese characters
LONG_WORD = 16  # letters; a longer "word" (a link, a formula) weighs as several

_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:al|e\.?g|i\.?e|etc|cf|vs|viz|ca|approx|resp|incl|ed|eds|vol|no|nos|pp?|figs?|tabs?|eqs?|eqn|secs?|sect|chap|ch|refs?"
    r"|app|thm|lem|prop|def|dept|univ|inc|ltd|co|corp|dr|prof|mr|mrs|ms|st|jr|sr|phd|ph\.d|u\.s|u\.k|a\.k\.a|w\.r\.t|s\.t|jan|feb|mar|apr"
    r"|jun|jul|aug|sept?|oct|nov|dec|[a-zA-Z])\.$",
    re.IGNORECASE,
)
_STARTERS = re.compile(
    r"(?:The|This|These|Those|That|We|Our|It|Its|In|On|At|For|From|To|If|When|While|Here|There|They|Their|However|Moreover|Further"
    r"|Furthermore|Finally|Although|But|And|As|By|Both|Each|Such|Since|Thus|Therefore|Then|With|A|An|All|Another|Also)\b"
)
_CLOSING = "\"'”’»)\\]」』）】》〉"
_END = re.compile(
    rf"[。！？；…]+[{_CLOSING}]*"  # Chinese: always
    rf"|(?:(?<=[^\W\d_])[.](?:\[?\d{{1,3}}(?:[,–-]\d{{1,3}})*\]?)?|(?<![.!?])[.!?]++)"  # Latin, with a reference mark
    rf"[{_CLOSING}]*(?=\s|$|[{CJK}])"
    r"|\n"
)
_OPENING = re.compile(rf"\s*[\"'“‘«(\[（【]*(?:[A-Z0-9À-ÖØ-Þ{CJK}]|$)")
_CLAUSE = re.compile(r"[，、：；,;:—]+[”’)）]*|\s[-–]\s|\n")
_WORD_EDGE = re.compile(rf"\s+|(?<=[{CJK}{CJK_MARKS}])(?![{CJK_MARKS}])")
_UNIT = re.compile(rf"[{WIDE}][{CJK_MARKS}]*|(?:(?![{WIDE}])\S)+")
_PIECE = re.compile(rf"[{WIDE}]|[A-Z]?[a-zß-öø-ÿ]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]|[^\w\s]|_")
_TABLE_CAPTION = re.compile(r"\s*(?:supplementary\s+)?(?:table|tab\.|tabelle|附?表)", re.IGNORECASE)
_LONE_MARK = re.compile(r"(?<!\S)[^\w\s]")  # costs a space token of its own


@dataclass(frozen=True, slots=True)
class _Slice:
    """`block.text[start:end]`, without white space at its ends."""

    block: Block
    start: int
    end: int
    tokens: int


def split(document: Document, *, chunk_tokens: int, count_tokens: CountTokens) -> list[Chunk]:
    """The chunks of `document` in reading order, none above `chunk_tokens` as `count_tokens` counts (a single character may be)."""
    return [chunk for section in document.sections for chunk in _split_section(section, chunk_tokens, count_tokens)]


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order, without the white space between them; every other character is in one of them.

    Chinese 。！？；… always end one. A Latin full stop does when the next word starts like a sentence and the word before is no
    abbreviation ("et al.", "Fig. 3", initials).
    """
    found: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if _is_end(text, match):
            _add_trimmed(found, text, start, match.end())
            start = match.end()
    _add_trimmed(found, text, start, len(text))
    return found


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


def _split_section(section: Section, budget: int, count: CountTokens) -> Iterator[Chunk]:
    blocks = [block for block in section.blocks if block.text.strip()]
    groups = [_group(blocks, at) for at in range(len(blocks))]
    for group, members in groupby(zip(groups, blocks, strict=True), key=lambda member: member[0]):
        pending: list[_Slice] = []
        used = 0
        for parts in (parts for _, block in members for parts in _slices(block, budget, count)):
            cost = sum(part.tokens for part in parts)
            if pending and used + cost > budget:
                yield _chunk(section, pending, group)
                pending, used = [], 0
            pending += parts
            used += cost
        if pending:
            yield _chunk(section, pending, group)


def _group(blocks: Sequence[Block], at: int) -> BlockKind:
    """What may share a chunk with blocks[at]: running text with its formulas, captions and notes; tables with theirs; references."""
    kind = blocks[at].kind
    if kind == "caption" and _TABLE_CAPTION.match(blocks[at].text):
        near = blocks[max(0, at - 1) : at + 2]
        return "table" if any(block.kind == "table" for block in near) else "paragraph"
    return kind if kind in ("table", "reference") else "paragraph"


def _slices(block: Block, budget: int, count: CountTokens) -> Iterator[list[_Slice]]:
    """Pieces of one block, none above the budget; a table's further pieces carry its header row in front."""
    text = block.text
    whole = _Slice(block, *_trim(text, 0, len(text)), tokens=count(text))
    if whole.tokens <= budget:
        yield [whole]
        return
    if block.kind == "table":
        yield from _table_slices(block, budget, count)
        return
    for start, end in _cut(text, whole.start, whole.end, budget, count):
        yield [_Slice(block, start, end, count(text[start:end]))]


def _table_slices(block: Block, budget: int, count: CountTokens) -> Iterator[list[_Slice]]:
    text = block.text
    rows = [_trim(text, match.start(), match.end()) for match in re.finditer(r"[^\n]+", text)]
    rows = [(start, end) for start, end in rows if start < end]
    header: list[_Slice] = []
    if len(rows) > 1 and (cost := count(text[slice(*rows[0])])) <= budget // 3:
        header = [_Slice(block, *rows.pop(0), tokens=cost)]
    room = budget - sum(part.tokens for part in header)
    pieces = [piece for row in rows for piece in _cut(text, *row, room, count)]
    pending: list[_Slice] = []
    used = 0
    for start, end in pieces:
        part = _Slice(block, start, end, count(text[start:end]))
        if pending and used + part.tokens > room:
            yield header + pending
            pending, used = [], 0
        pending.append(part)
        used += part.tokens
    yield header + pending


def _cut(text: str, start: int, end: int, budget: int, count: CountTokens) -> Iterator[tuple[int, int]]:
    """Stretches of text[start:end] within the budget, each as long as it can be: cut at sentences, else clauses, words, characters."""
    while start < end:
        view = _view(text, start, end, budget, count)
        if view == end and count(text[start:end]) <= budget:
            yield start, end
            return
        stop = start
        for edges in _edges(text, start, view):
            stop = _furthest(text, start, [edge for edge in edges if edge < view or view == end], budget, count)
            if stop > start:
                break
        stop = stop if stop > start else start + 1
        yield _trim(text, start, stop)
        start = _trim(text, stop, end)[0]


def _view(text: str, start: int, end: int, budget: int, count: CountTokens) -> int:
    """How far to look for a cut: a place beyond the budget, so that a paragraph of megabytes is not counted again for each piece."""
    size = 8 * budget + 64  # characters
    while start + size < end and count(text[start : start + size]) <= budget:
        size *= 2
    return min(start + size, end)


def _edges(text: str, start: int, end: int) -> Iterator[Sequence[int]]:
    part = text[start:end]
    yield [start + stop for _, stop in sentences(part)]
    yield [start + match.end() for match in _CLAUSE.finditer(part)]
    yield [start + match.start() for match in _WORD_EDGE.finditer(part) if match.start()]
    yield range(start + 1, end)


def _furthest(text: str, start: int, edges: Sequence[int], budget: int, count: CountTokens) -> int:
    """The last edge up to which text from `start` stays within the budget; `start` when none does."""
    fitting = bisect.bisect_right(edges, budget, key=lambda edge: count(text[start:edge]))
    return edges[fitting - 1] if fitting else start


def _chunk(section: Section, slices: Sequence[_Slice], group: BlockKind) -> Chunk:
    lines: list[str] = []
    spans: list[Span] = []
    offset = 0
    for part in slices:
        lines.append(part.block.text[part.start : part.end])
        spans += _shifted(part, offset)
        offset += len(lines[-1]) + 1
    text = "\n".join(lines)
    pages = [span.page for span in spans] or [part.block.page for part in slices]
    kinds = {part.block.kind for part in slices}
    kind = kinds.pop() if len(kinds) == 1 else group
    language: Language = language_of(text)
    return Chunk(text, section.path, min(pages), max(pages), kind, language, tuple(spans), tuple(window_bounds(text)))


def _shifted(part: _Slice, offset: int) -> Iterator[Span]:
    """Spans of a slice in the chunk's text; one that the cut goes through keeps its share of the box, by printed width."""
    text = part.block.text
    for span in part.block.spans:
        if span.end <= part.start or span.start >= part.end:
            continue
        start, end = max(span.start, part.start), min(span.end, part.end)
        x0, x1 = span.x0, span.x1
        if (start, end) != (span.start, span.end):
            whole = display_width(text[span.start : span.end]) or 1
            scale = (span.x1 - span.x0) / whole
            x0 = span.x0 + scale * display_width(text[span.start : start])
            x1 = span.x1 - scale * display_width(text[end : span.end])
        yield Span(start - part.start + offset, end - part.start + offset, span.page, x0, span.y0, x1, span.y1)


def _is_end(text: str, match: re.Match[str]) -> bool:
    mark = match.group()[0]
    if mark in "。！？；…\n":
        return True
    before, after = text[max(0, match.start() - 12) : match.start() + 1], match.end()
    if mark == "." and _ABBREVIATION.search(before):
        return re.search(r"(?:al|etc)\.$", before) is not None and _STARTERS.match(text, _skip_space(text, after)) is not None
    return _OPENING.match(text, after) is not None


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _add_trimmed(found: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    start, end = _trim(text, start, end)
    if start < end:
        found.append((start, end))
