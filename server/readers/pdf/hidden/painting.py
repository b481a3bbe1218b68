"""A page's drawing list -> what is painted where, and whether text of a colour shows in a place of the page as rendered.

Coordinates are those of the page before its rotation, in points; colours are 0xRRGGBB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from server.readers.pdf.hidden.sheer import SOLID, Sheer, rounded
from server.readers.pdf.rotation import Rect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.int16]  # (height, width, 3)

Sight = Literal["seen", "same colour", "nothing"]

# Of 255, in each channel: white against this is a contrast of 1.15 to 1, which nobody reads. Watermarks are set at 40 to 100, grey
# line numbers at 128; WCAG asks for 3 to 1 (about 107) in the largest print.
FAINTEST = 16
_INK = 0.003  # share of a box; a full stop in a line's height fills ten times as much
_FILLED = 0.8  # share of a box that no letters fill: bold capitals reach 0.45, the rest is room for what they stand on
_FILLED_AMONG_LETTERS = 0.5  # the same where other text, which takes up to 0.3 of the paper, stands all over the box
_SCAN_INK = 48  # of 255: print on a scan against its paper, whose grain stays below half of that
_IMAGES, _VECTORS, _CLIP = 4, 1024, 64  # pymupdf.TEXT_PRESERVE_IMAGES, TEXT_COLLECT_VECTORS, TEXT_CLIP
_VECTOR = "\n<vector filled, color: #"  # how PyMuPDF describes a filled shape, then "rrggbb, alpha: 255, …"
_NARROWEST, _FLATTEST = 4.0, 2.0  # points; what is smaller hides no word
_MOST_PAINTS = 2000
_MOST_PICTURES = 12
_MOST_PIXELS = 8_000_000  # 24 MB
_LEAST_OPACITY = 0.1
_DIMMING = 128  # of 255: from this opacity on, a few shapes over each other hide what lies under them
_BEYOND = 1000.0  # points around the page
_LIGHTENING = frozenset({"Screen", "Lighten", "ColorDodge", "Difference", "Exclusion", "Hue", "Saturation", "Color", "Luminosity"})


class Paint(NamedTuple):
    """An image (`colour` is None) or the rectangle around a filled shape; `order` counts paints and text blocks as they are painted.

    `solid` says of a shape that nothing shows through it, as far as its own opacity tells.
    """

    box: Rect
    colour: int | None
    order: int
    solid: bool = False


class TextBlock(NamedTuple):
    """Text painted without anything else in between."""

    box: Rect
    text: str
    order: int


class States(NamedTuple):
    """How a page can be painted: `veils` make vanish what the extraction takes for painted; `shades` are colour gradients.

    What lies outside of the crop box of a `cropped` page is clipped away; what lies outside of the media box is not.
    """

    veils: bool
    shades: bool
    cropped: bool


def painted(drawn: Any, states: States) -> tuple[list[Paint], list[TextBlock], Any]:
    """The paints that could hide a word, the text between them, and the text page they come from, which reaches beyond the page.

    How far it reaches is limited where shadings are used, since MuPDF makes an image as large as it can be seen of each.
    """
    import pymupdf
    from pymupdf import mupdf

    x0, y0, x1, y1 = drawn.rect
    endless = mupdf.FzRect(mupdf.FzRect.Fixed_INFINITE)
    sheet = mupdf.FzStextPage(mupdf.FzRect(x0 - _BEYOND, y0 - _BEYOND, x1 + _BEYOND, y1 + _BEYOND) if states.shades else endless)
    device = mupdf.fz_new_stext_device(sheet, mupdf.FzStextOptions(_IMAGES | _VECTORS | (0 if states.cropped else _CLIP)))
    mupdf.fz_run_display_list(drawn.this, device, mupdf.FzMatrix(), endless, mupdf.FzCookie())
    mupdf.fz_close_device(device)
    everything = pymupdf.TextPage(sheet)
    paints: list[Paint] = []
    texts: list[TextBlock] = []
    for x0, y0, x1, y1, text, order, kind in everything.extractBLOCKS():
        if kind == 0:
            texts.append(TextBlock((x0, y0, x1, y1), text, order))
        elif x1 - x0 >= _NARROWEST and y1 - y0 >= _FLATTEST:
            if kind == 1:
                paints.append(Paint((x0, y0, x1, y1), None, order))
            elif text.startswith(_VECTOR):
                colour, _, alpha = text[len(_VECTOR) :].partition(", alpha: ")
                if (opacity := int(alpha.partition(",")[0])) >= _DIMMING:
                    paints.append(Paint((x0, y0, x1, y1), int(colour, 16), order, opacity >= 255 * SOLID))
    if len(paints) > _MOST_PAINTS:
        paints = [Paint(around([paint.box for paint in paints]), None, paints[-1].order)]
    return paints, texts, everything


def opaque_images(drawn: Any, sheer: Sheer) -> list[Rect]:
    """Where images without a mask are painted in full, clipped as they are."""
    import pymupdf

    images = pymupdf.TextPage(drawn.get_textpage(flags=_IMAGES | _CLIP)).extractIMGINFO()
    upright = [image for image in images if not (image["transform"][0] and image["transform"][1])]
    solid = [image for image in upright if not image["has-mask"] and image["colorspace"]]  # a stencil has no colours
    return [image["bbox"] for image in solid if rounded(image["transform"]) in sheer.full]


def graphics_states(page: Any) -> States:
    """Whether `page` has a soft mask, a blend that lightens, or a group of hardly any opacity (veils); whether shadings.

    Opacity outside of groups comes with the text.
    """
    from pymupdf import mupdf

    veils = shades = False
    seen: set[int] = set()
    sheet = mupdf.pdf_page_from_fz_page(page.this)
    waiting = [mupdf.pdf_page_resources(sheet)]
    while waiting:
        resources = waiting.pop()
        states = _values(mupdf.pdf_dict_gets(resources, "ExtGState"))
        forms = [(form, mupdf.pdf_dict_gets(form, "Resources")) for form in _values(mupdf.pdf_dict_gets(resources, "XObject"))]
        forms = [(form, own) for form, own in forms if own.m_internal]  # images have none
        veils = veils or any(map(_lightens, states))
        if any(map(_is_faint, states)):
            veils = veils or any(mupdf.pdf_dict_gets(form, "Group").m_internal for form, _ in forms)
        shades = shades or any(mupdf.pdf_dict_gets(resources, name).m_internal for name in ("Shading", "Pattern"))
        waiting += [own for form, own in forms if mupdf.pdf_to_num(form) not in seen]
        seen |= {mupdf.pdf_to_num(form) for form, _ in forms}
    has_crop_box = mupdf.pdf_dict_get_inheritable(sheet.obj(), mupdf.pdf_new_name("CropBox")).m_internal
    return States(veils, shades, bool(has_crop_box) and page.cropbox != page.mediabox)


def _lightens(state: Any) -> bool:
    from pymupdf import mupdf

    blend = mupdf.pdf_to_name(mupdf.pdf_dict_gets(state, "BM"))
    return blend in _LIGHTENING or bool(mupdf.pdf_is_dict(mupdf.pdf_dict_gets(state, "SMask")))


def _is_faint(state: Any) -> bool:
    from pymupdf import mupdf

    opacity = mupdf.pdf_dict_gets(state, "ca")
    return bool(mupdf.pdf_is_number(opacity)) and mupdf.pdf_to_real(opacity) < _LEAST_OPACITY


def _values(entries: Any) -> list[Any]:
    from pymupdf import mupdf

    return [mupdf.pdf_dict_get_val(entries, at) for at in range(mupdf.pdf_dict_len(entries))]


@dataclass(frozen=True, slots=True)
class Picture:
    """A part of the page as rendered; `pixels` begin at (x, y) in pixels of `scale` a point."""

    pixels: Pixels
    x: int
    y: int
    scale: float

    def sight(self, box: Rect, others: Sequence[Rect], colour: int | None) -> Sight:
        """Whether text of `colour` (None: of one that cannot be told) shows in `box`; what lies in `others` does not count."""
        import numpy as np

        rows, columns = self._slices(box)
        part = self.pixels[rows, columns]  # (h, w, 3)
        if not part.size:
            return "nothing"
        free = np.ones(part.shape[:2], bool)
        for other in others:
            down, across = self._slices(other)
            top, left = max(0, down.start - rows.start), max(0, across.start - columns.start)
            free[top : max(0, down.stop - rows.start), left : max(0, across.stop - columns.start)] = False
        alone = free.mean() > 0.05
        dots = part[free] if alone else part.reshape(-1, 3)  # (n, 3)
        paper = np.median(dots, axis=0)
        if colour is None:
            return "seen" if alone and (np.abs(dots - paper).max(axis=1) > FAINTEST).mean() >= _INK else "nothing"
        away = np.abs(dots - np.array(rgb(colour))).max(axis=1)  # (n,)
        same = float((away <= FAINTEST).mean())
        if same > (_FILLED if alone else _FILLED_AMONG_LETTERS):
            return "same colour"
        ink = max(FAINTEST, np.abs(paper - rgb(colour)).max() / 2)
        return "seen" if (away <= ink).mean() >= _INK else "nothing"

    def has_print(self, box: Rect) -> bool:
        """Whether a scan shows print in `box`."""
        import numpy as np

        rows, columns = self._slices(box)
        grey = self.pixels[rows, columns].mean(axis=2)
        return bool(grey.size) and bool((np.abs(grey - np.median(grey)) >= _SCAN_INK).mean() >= _INK)

    def _slices(self, box: Rect) -> tuple[slice, slice]:
        x0, y0, x1, y1 = (round(value * self.scale) for value in box)
        return slice(max(0, y0 - self.y), max(0, y1 - self.y)), slice(max(0, x0 - self.x), max(0, x1 - self.x))


def pictures(drawn: Any, areas: Sequence[tuple[Rect, float]]) -> list[Picture]:
    """A picture for each (box, font size), 32 pixels an em where memory allows; many boxes share one."""
    if len(areas) > _MOST_PICTURES:
        whole = around([box for box, _ in areas])
        return [_rendered(drawn, whole, 4.0)] * len(areas)
    return [_rendered(drawn, box, min(8.0, max(2.0, 32 / max(1.0, size)))) for box, size in areas]


def _rendered(drawn: Any, box: Rect, scale: float) -> Picture:
    import numpy as np
    import pymupdf

    area = pymupdf.Rect(box) & drawn.rect
    if area.is_empty:
        return Picture(np.zeros((0, 0, 3), np.int16), 0, 0, 1.0)
    scale = min(scale, (_MOST_PIXELS / max(1.0, area.get_area())) ** 0.5)
    image = drawn.get_pixmap(matrix=pymupdf.Matrix(scale, scale), clip=area)
    pixels = np.frombuffer(image.samples_mv, np.uint8).reshape(image.height, image.stride)[:, : 3 * image.width]
    return Picture(pixels.reshape(image.height, image.width, 3).astype(np.int16), image.x, image.y, scale)


def rgb(colour: int) -> tuple[int, int, int]:
    """Its channels, 0 to 255."""
    return colour >> 16 & 255, colour >> 8 & 255, colour & 255


def alike(one: int, other: int) -> bool:
    """Whether nobody can tell these colours apart."""
    return all(abs(a - b) <= FAINTEST for a, b in zip(rgb(one), rgb(other), strict=True))


def around(boxes: Sequence[Rect]) -> Rect:
    """The smallest box around all of them."""
    return min(box[0] for box in boxes), min(box[1] for box in boxes), max(box[2] for box in boxes), max(box[3] for box in boxes)


def share_inside(box: Rect, other: Rect) -> float:
    """How much of `box` lies in `other`, 0 to 1."""
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / ((box[2] - box[0]) * (box[3] - box[1]))
