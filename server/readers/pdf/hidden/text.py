"""A page's text and its drawing list -> what of the text no reader can see, and why: told by geometry, not by what it says.

Signs that come with the extraction make suspects; only these are looked at as rendered (pdf_paint), so a page without any costs one
more run over its drawing list. Not found: fonts whose glyphs are blank, false character maps, ActualText.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from server.language import is_wide
from server.readers.pdf.hidden import painting
from server.readers.pdf.hidden.offpage import Unpainted, off_page, switched_off
from server.readers.pdf.hidden.painting import Paint, Picture, TextBlock
from server.readers.pdf.hidden.sheer import Sheer, sheer_paints
from server.readers.pdf.rotation import Matrix, Rect, moved, rotation_of
from server.types import Box, Hidden, HiddenReason

SMALLEST_PT = 2.0  # as displayed; the smallest print meant to be read, indexes in formulas and labels in figures, is about 3 points
LEAST_LETTERS = 3  # letters and digits; one or two are strays: phantoms, anchors
MOST_CHARACTERS = 500  # of each place
MOST_PLACES = 100  # of a document
_QUOTED = 80  # characters in the warning
_LOOK = itemgetter("color", "alpha", "char_flags", "size")
_STROKED, _PAINTED, _CLIPPED = 32, 16 | 32, 64  # bits of char_flags
_TRANSPARENT, _SOLID = 26, 230  # of 255: below a tenth nothing shows; above nine tenths the colour is the one that shows

Look = tuple[int, int, int, float]  # colour, alpha, char_flags, size of a span
Key = tuple[int, int]  # number of a block, of a line in it
Words = list[tuple[Any, ...]]  # as MuPDF gives them: box, text


class Piece(NamedTuple):
    """A printed word, the part of one that is set in one style, or one Chinese character; `glued` when no space stands before it.

    `core` is its box without the room above and below, where neighbouring lines reach in; `look` is how it is set.
    """

    text: str
    box: Rect
    core: Rect
    glued: bool
    look: Look


@dataclass(slots=True)
class _Run:
    """Hidden words in a row; `places` says which pieces of which line they are, for those that MuPDF extracts."""

    reason: HiddenReason
    text: str = ""
    boxes: list[Rect] = field(default_factory=list)
    places: list[tuple[Key, int]] = field(default_factory=list)

    def add(self, text: str, box: Rect, glued: bool) -> None:
        self.text += text if glued or not self.text else f" {text}"
        self.boxes.append(box)

    @property
    def letters(self) -> int:
        return sum(map(str.isalnum, self.text))

    def hidden(self, number: int, turn: Matrix) -> Hidden:
        text = self.text if len(self.text) <= MOST_CHARACTERS else self.text[: MOST_CHARACTERS - 1] + "…"
        return Hidden(text, self.reason, Box(number, *moved(turn, *painting.around(self.boxes))))


@dataclass(slots=True)
class Found:
    """What is hidden on a page; of each line that loses something, the spans and the words that stay."""

    hidden: list[Hidden] = field(default_factory=list)
    kept: dict[Key, tuple[list[dict[str, Any]], Words]] = field(default_factory=dict)


def find_hidden(page: Any, number: int, drawn: Any, textpage: Any, blocks: Sequence[dict[str, Any]], words: Words) -> Found:
    """What is hidden on `page`; `drawn` is its drawing list, `textpage` the text made from that, `blocks` and `words` what it holds.

    Nothing where the document is no PDF: an image has no text.
    """
    if not page.parent.is_pdf:
        return Found()
    states = painting.graphics_states(page)
    paints, texts, everything = painting.painted(drawn, states)
    lines = {(at, row): line for at, block in enumerate(blocks) for row, line in enumerate(block.get("lines", ()))}
    sheet = _Sheet(page, drawn, lines, paints, texts, veiled=states.veils)
    found = Found()
    runs: list[_Run] = []
    if sheet.doubted:
        judged = _judged(sheet, textpage)
        runs = [run for run in _runs(judged) if run.letters >= LEAST_LETTERS]
        found.kept = _kept(judged, runs, lines)
        runs = [run for run in runs if not _shown_as_well(run, judged, sheet)]
    runs += _groups("off the page", off_page(everything, texts, tuple(drawn.rect)))
    runs += _groups("invisible", switched_off(page, words))
    found.hidden = [run.hidden(number, rotation_of(page)) for run in runs]
    return found


def report(found: Sequence[Hidden]) -> tuple[tuple[Hidden, ...], list[str]]:
    """The first MOST_PLACES of what is hidden in a document, and a warning that quotes the first and counts the others."""
    if not found:
        return (), []
    first = found[0]
    others = f"; {len(found) - 1} more such places" if len(found) > 2 else "; one more such place" if len(found) == 2 else ""
    return tuple(found[:MOST_PLACES]), [
        f"hidden text on page {first.box.page} was left out: “{quoted(first.text)}” ({first.reason}){others}"
    ]


def quoted(text: str) -> str:
    """As much of `text` as a message has room for."""
    return text if len(text) <= _QUOTED else text[:_QUOTED].rstrip() + "…"


class _Sheet:
    """What is known of a page's paints and text, and `doubted`: the numbers of the spans in each line that may be hidden."""

    def __init__(
        self, page: Any, drawn: Any, lines: Mapping[Key, Any], paints: Sequence[Paint], texts: Sequence[TextBlock], *, veiled: bool
    ) -> None:
        self.page, self.drawn, self.lines, self.veiled = page, drawn, lines, veiled
        self._paints, self._texts = paints, texts
        self.doubted: dict[Key, set[int]] = {}
        looks = {_LOOK(span) for line in lines.values() for span in line["spans"]}
        self._doubt_looks(looks)
        for paint in paints:
            self._doubt_near(paint, {look[0] for look in looks})

    def _doubt_looks(self, looks: set[Look]) -> None:
        strange = looks if self.veiled else {look for look in looks if _is_strange(look)}
        for key, line in self.lines.items() if strange else ():
            self.doubted[key] = {at for at, span in enumerate(line["spans"]) if _LOOK(span) in strange}
        self.doubted = {key: spans for key, spans in self.doubted.items() if spans}

    def _doubt_near(self, paint: Paint, colours: Iterable[int]) -> None:
        """Doubt text in the paint's colour, on or under an image, and such as was there before the paint."""
        x0, y0, x1, y1 = paint.box
        near = [text for text in self._texts if text.box[0] < x1 and text.box[2] > x0 and text.box[1] < y1 and text.box[3] > y0]
        before = any(text.order < paint.order for text in near)
        like = [colour for colour in colours if paint.colour is None or painting.alike(paint.colour, colour)] if near else []
        for key, line in self.lines.items() if like or before else ():
            left, top, right, bottom = line["bbox"]
            if left >= x1 or right <= x0 or top >= y1 or bottom <= y0:
                continue
            for at, span in enumerate(line["spans"]):
                inside = painting.share_inside(span["bbox"], paint.box) >= 0.1 and not span["text"].isspace()
                if inside and (span["color"] in like or self._covers(paint, span["text"], span["bbox"])):
                    self.doubted.setdefault(key, set()).add(at)

    def _covers(self, paint: Paint, text: str, box: Rect) -> bool:
        """Whether the text was painted before `paint`."""
        word = text.split()[0]
        return any(block.order < paint.order and word in block.text and painting.share_inside(box, block.box) > 0 for block in self._texts)

    def covered(self, piece: Piece) -> bool:
        """Whether something was painted over most of the piece."""
        return any(
            painting.share_inside(piece.core, paint.box) > 0.5 and self._covers(paint, piece.text, piece.box) for paint in self._paints
        )

    def plain_spans(self) -> Iterator[tuple[str, Rect]]:
        """Spans that nothing speaks against."""
        for key, line in self.lines.items():
            doubted = self.doubted.get(key, ())
            yield from ((span["text"], span["bbox"]) for at, span in enumerate(line["spans"]) if at not in doubted and span["text"].strip())

    @cached_property
    def scanned(self) -> bool:
        """Whether images fill half of the page or more, all together."""
        page = tuple(self.drawn.rect)
        shares = [painting.share_inside(page, paint.box) for paint in self._paints if paint.colour is None]
        return sum(shares) >= 0.5

    @cached_property
    def opaque_images(self) -> list[Rect]:
        return [] if self.veiled else painting.opaque_images(self.drawn, self._sheer)

    @cached_property
    def _sheer(self) -> Sheer:
        return sheer_paints(self.drawn)

    def opaquely_covered(self, piece: Piece) -> bool:
        """Whether an image or a shape was painted over the piece through which nothing shows."""
        if not self.covered(piece):
            return False
        if any(painting.share_inside(piece.core, image) > 0.9 for image in self.opaque_images):
            return True
        shapes = (paint for paint in self._paints if paint.solid and painting.share_inside(piece.core, paint.box) > 0.9)
        return any(self._covers(shape, piece.text, piece.box) and not _within(shape.box, self._sheer.groups) for shape in shapes)

    def under_sheer(self, piece: Piece) -> bool:
        """Whether something lies on the piece that lets it shine through, in other colours."""
        shapes = (paint.box for paint in self._paints if paint.colour is not None and not paint.solid)
        return any(painting.share_inside(piece.core, place) > 0.1 for place in (*shapes, *self._sheer.images, *self._sheer.groups))

    def outlined(self, piece: Piece) -> bool:
        """Whether its letters have outlines; the extraction says so only of letters that are not filled too."""
        return any(painting.share_inside(piece.core, stroke) > 0.5 for stroke in self._strokes)

    @cached_property
    def _strokes(self) -> list[Rect]:
        return [span["bbox"] for span in self.page.get_texttrace() if span["type"] == 1]


def _is_strange(look: Look) -> bool:
    """Whether text that looks so may be hidden on white paper. MuPDF gives alpha 0 to render modes 3 and 7."""
    colour, alpha, _, size = look
    return size < SMALLEST_PT or alpha < _TRANSPARENT or painting.alike(colour, 0xFFFFFF)


Judged = dict[Key, list[tuple[Piece, HiddenReason | None]]]


def _judged(sheet: _Sheet, textpage: Any) -> Judged:
    """The pieces of the doubted lines, with the reason why each is hidden."""
    blocks = textpage.extractRAWDICT()["blocks"]
    areas = [(sheet.lines[key]["bbox"], max(span["size"] for span in sheet.lines[key]["spans"])) for key in sheet.doubted]
    plain = [box for _, box in sheet.plain_spans()]
    judged: Judged = {}
    for (key, doubted), picture in zip(sheet.doubted.items(), painting.pictures(sheet.drawn, areas), strict=True):
        line = sheet.lines[key]
        others = [box for box in plain if painting.share_inside(box, line["bbox"]) > 0]
        doubts = [line["spans"][at]["bbox"] for at in doubted]
        judged[key] = [
            (piece, _reason(sheet, piece, picture, others) if _within(piece.box, doubts) else None)
            for piece in _pieces(blocks[key[0]]["lines"][key[1]]["spans"], upright=line["dir"][0] > 0.99)
        ]
    return judged


def _within(box: Rect, boxes: Iterable[Rect]) -> bool:
    """Whether most of `box` lies in one of `boxes`."""
    return any(painting.share_inside(box, other) > 0.5 for other in boxes)


def _reason(sheet: _Sheet, piece: Piece, picture: Picture, others: Sequence[Rect]) -> HiddenReason | None:
    """Why nobody sees the piece; None when it shows."""
    colour, alpha, flags, size = piece.look
    if size < SMALLEST_PT:
        return "tiny"
    if not flags & _PAINTED:
        return None if sheet.scanned and picture.has_print(piece.box) else "invisible"
    clipping = flags & _CLIPPED > 0  # a shading or a pattern may fill the letters afterwards
    by_colour = alpha >= _SOLID and not clipping and not flags & _STROKED and not sheet.veiled
    shows = (alpha >= _TRANSPARENT or clipping) and picture.sight(piece.core, others, colour if by_colour else None)
    if shows == "seen":  # an image may well have this colour too
        covered = sheet.covered(piece) and any(painting.share_inside(piece.core, image) > 0.9 for image in sheet.opaque_images)
        return "covered" if covered else None
    if shows == "nothing" and not painting.alike(colour, 0xFFFFFF) and sheet.under_sheer(piece) and not sheet.opaquely_covered(piece):
        shows = picture.sight(piece.core, others, None)  # in a colour that is mixed
        if shows == "seen":
            return None
    if sheet.outlined(piece) and picture.sight(piece.core, others, None) == "seen":
        return None
    if alpha < _TRANSPARENT:
        return "invisible"
    if sheet.covered(piece):
        return "covered"
    return "background colour" if shows == "same colour" or painting.alike(colour, 0xFFFFFF) else "invisible"


def _pieces(spans: Sequence[dict[str, Any]], *, upright: bool) -> Iterator[Piece]:
    """The pieces of a line, from its characters."""
    glued = False
    for span in spans:
        high, deep = 0.75 * span["size"], 0.05 * span["size"]  # of the em, over and under the baseline
        for space, group in itertools.groupby(span["chars"], key=_kind):
            if space == " ":
                glued = False
                continue
            chars = list(group)
            for part in [[char] for char in chars] if space == "wide" else [chars]:
                box = painting.around([char["bbox"] for char in part])
                y = part[0]["origin"][1]
                core = (box[0], max(box[1], y - high), box[2], min(box[3], y + deep)) if upright else box
                yield Piece("".join(char["c"] for char in part), box, core, glued, _LOOK(span))
                glued = True


def _kind(char: dict[str, Any]) -> str:
    return " " if char["c"].isspace() else "wide" if is_wide(char["c"]) else "narrow"


def _runs(judged: Judged) -> list[_Run]:
    """Hidden pieces in a row, for one reason, over line ends too; a piece that shows ends them."""
    runs: list[_Run] = []
    goes_on = False
    before: Key = (-1, -1)
    for key, pieces in judged.items():
        goes_on = goes_on and key in ((before[0], before[1] + 1), (before[0] + 1, 0))
        for at, (piece, reason) in enumerate(pieces):
            if reason is None:
                goes_on = False
                continue
            if not goes_on or runs[-1].reason != reason:
                runs.append(_Run(reason))
            runs[-1].add(piece.text, piece.box, piece.glued)
            runs[-1].places.append((key, at))
            goes_on = True
        before = key
    return runs


def _groups(reason: HiddenReason, words: Iterable[Unpainted]) -> list[_Run]:
    runs = []
    for _, group in itertools.groupby(words, key=attrgetter("group")):
        run = _Run(reason)
        for word in group:
            run.add(word.text, word.box, False)
        if run.letters >= LEAST_LETTERS:
            runs.append(run)
    return runs


def _kept(judged: Judged, runs: Sequence[_Run], lines: Mapping[Key, Any]) -> dict[Key, tuple[list[dict[str, Any]], Words]]:
    """What stays of each line that `runs` take something from."""
    gone = {place for run in runs for place in run.places}
    kept: dict[Key, tuple[list[dict[str, Any]], Words]] = {}
    for key in {key for key, _ in gone}:
        pieces = [piece for at, (piece, _) in enumerate(judged[key]) if (key, at) not in gone]
        words: Words = []
        for piece in pieces:
            if piece.glued and words:
                x0, y0, x1, y1, text = words[-1]
                words[-1] = (*painting.around([(x0, y0, x1, y1), piece.box]), text + piece.text)
            else:
                words.append((*piece.box, piece.text))
        boxes = [piece.box for piece in pieces]
        kept[key] = ([span for span in lines[key]["spans"] if any(_within(box, [span["bbox"]]) for box in boxes)], words)
    return kept


def _shown_as_well(run: _Run, judged: Judged, sheet: _Sheet) -> bool:
    """Whether the same words stand at the same places to be seen: a shadow, a text layer under real print."""
    shown = [*sheet.plain_spans(), *((piece.text, piece.box) for pieces in judged.values() for piece, reason in pieces if reason is None)]
    return all(
        any(judged[key][at][0].text in text and painting.share_inside(judged[key][at][0].box, box) > 0.5 for text, box in shown)
        for key, at in run.places
    )
