"""A page's drawing list -> what is painted so that what lies under it shows through, and which images are painted in full.

The text extraction tells the opacity of filled shapes only, and nothing of blends. Coordinates are those of the drawing list.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from server.readers.pdf.rotation import Matrix, Rect, moved

SOLID = 0.9  # opacity from which nothing can be read under a paint
_NORMAL = 0  # MuPDF's number of the blend that simply paints
_UNIT = (0.0, 0.0, 1.0, 1.0)  # where an image lies before its matrix


class Sheer(NamedTuple):
    """Where images and groups are painted with less than SOLID opacity or with a blend, and the matrices of images painted in full."""

    images: list[Rect]
    groups: list[Rect]
    full: set[Matrix]


def sheer_paints(drawn: Any) -> Sheer:
    """What there is of both in a drawing list."""
    from pymupdf import mupdf

    found = Sheer([], [], set())
    device = _device()(found)
    endless = mupdf.FzRect(mupdf.FzRect.Fixed_INFINITE)
    mupdf.fz_run_display_list(drawn.this, device, mupdf.FzMatrix(), endless, mupdf.FzCookie())
    mupdf.fz_close_device(device)
    return found


def rounded(matrix: Matrix) -> Matrix:
    """A matrix that can be compared with another."""
    return tuple(round(value, 2) for value in matrix)


@cache
def _device() -> Any:
    """A MuPDF device that listens to images and groups; made here because PyMuPDF is slow to import."""
    from pymupdf import mupdf

    class Device(mupdf.FzDevice2):  # type: ignore[misc] # generated from C
        def __init__(self, found: Sheer) -> None:
            super().__init__()
            self.use_virtual_fill_image()
            self.use_virtual_begin_group()
            self.use_virtual_end_group()
            self._found = found
            self._groups: list[bool] = []  # whether each open group is painted in full

        def fill_image(self, context: Any, image: Any, matrix: Any, opacity: float, *_: Any) -> None:
            values = (matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f)
            if opacity >= SOLID and all(self._groups):
                self._found.full.add(rounded(values))
            else:
                self._found.images.append(moved(values, *_UNIT))

        def begin_group(self, context: Any, box: Any, space: Any, isolated: int, knockout: int, blend: int, opacity: float) -> None:
            full = blend == _NORMAL and opacity >= SOLID
            self._groups.append(full)
            if not full:
                self._found.groups.append((box.x0, box.y0, box.x1, box.y1))

        def end_group(self, context: Any) -> None:
            self._groups.pop()

    return Device
