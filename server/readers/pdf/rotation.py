"""A page's rotation -> the matrix from coordinates before it to those of the page as displayed; matrices put together and applied."""

from __future__ import annotations

from typing import Any

Matrix = tuple[float, ...]  # a, b, c, d, e, f: x' = a x + c y + e, y' = b x + d y + f
Rect = tuple[float, float, float, float]


def upright_size(page: Any) -> tuple[float, float]:
    """Width and height of a pymupdf page before its rotation, in points."""
    width, height = page.rect.width, page.rect.height
    return (height, width) if page.rotation in (90, 270) else (width, height)


def rotation_of(page: Any) -> Matrix:
    """The matrix of a pymupdf page. PyMuPDF's own `rotation_matrix` forgets the page's user unit."""
    width, height = upright_size(page)
    match page.rotation:
        case 90:
            return 0, 1, -1, 0, height, 0
        case 180:
            return -1, 0, 0, -1, width, height
        case 270:
            return 0, -1, 1, 0, 0, width
        case _:
            return 1, 0, 0, 1, 0, 0


def then(first: Matrix, second: Matrix) -> Matrix | None:
    """The matrix that applies `first`, then `second`."""
    if not first or not second:
        return first or second or None
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def moved(matrix: Matrix, x0: float, y0: float, x1: float, y1: float) -> Rect:
    """The box around the moved one."""
    a, b, c, d, e, f = matrix
    corners = ((x0, y0), (x1, y0), (x0, y1), (x1, y1))  # all four: a scan may lie askew
    xs, ys = [x * a + y * c + e for x, y in corners], [x * b + y * d + f for x, y in corners]
    return min(xs), min(ys), max(xs), max(ys)
