"""Pixels and the corners of their lines -> the page straightened and set upright, its lines in level boxes, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from server.readers.ocr.engine import Pixels

_LEAST_SKEW = 0.15  # degrees; to straighten less blurs more than it mends
_SLIM = 3.0  # times as long as high: a line that tells its direction
_TALLEST = 2.0  # median heights; what is higher than that, and higher than wide, is a label that runs upwards


class Direction(NamedTuple):
    """How the lines of a page run: `skew` degrees clockwise, within 45, from level or, when `sideways`, from upright."""

    skew: float
    sideways: bool


@dataclass(frozen=True, slots=True)
class Upright:
    """A page turned so that text runs to the right. `boxes` (n, 4): x0, y0, x1, y1 in its pixels; `back` (2, 3) leads to the given ones."""

    pixels: Pixels
    boxes: NDArray[np.int32]
    back: NDArray[np.float64]

    def crop(self, at: int) -> Pixels:
        """The pixels of one line."""
        x0, y0, x1, y1 = self.boxes[at]
        return self.pixels[y0:y1, x0:x1]

    def level(self) -> list[int]:
        """The lines that run to the right, longest first."""
        import numpy as np

        widths, heights = self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1]
        level = (heights <= widths) | (heights < _TALLEST * np.median(np.minimum(widths, heights)))
        return [int(at) for at in np.argsort(-widths, kind="stable") if level[at] and widths[at] > 2 and heights[at] > 2]


def direction(quads: NDArray[np.float32]) -> Direction:
    """How most lines with these corners (n, 4, 2) run: the median, weighed by length."""
    import numpy as np

    across, down = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    widths, heights = np.linalg.norm(across, axis=1), np.linalg.norm(down, axis=1)
    lengths = np.maximum(widths, heights)
    slim = lengths > _SLIM * np.minimum(widths, heights)
    if not slim.any():
        return Direction(0.0, False)
    along = np.where((widths >= heights)[:, None], across, down)[slim]
    lengths = lengths[slim]
    degrees = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    standing = np.abs(degrees) > 45
    sideways = bool(lengths[standing].sum() > lengths[~standing].sum())
    skews, weights = ((degrees + 45) % 90 - 45)[standing == sideways], lengths[standing == sideways]
    order = np.argsort(skews)
    total = np.cumsum(weights[order])
    skew = float(skews[order][np.searchsorted(total, total[-1] / 2)])
    return Direction(skew if abs(skew) >= _LEAST_SKEW else 0.0, sideways)


def turned(pixels: Pixels, quads: NDArray[np.float32], degrees: float) -> Upright:
    """`pixels` and the lines with these corners (n, 4, 2) turned anticlockwise, nothing cut off."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    cosine, sine = abs(np.cos(np.radians(degrees))), abs(np.sin(np.radians(degrees)))
    wide, high = round(width * cosine + height * sine), round(width * sine + height * cosine)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (wide - width) / 2, (high - height) / 2
    if degrees:
        pixels = cv2.warpAffine(pixels, matrix, (wide, high), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment] # bytes stay bytes
    corners = quads @ matrix[:, :2].T + matrix[:, 2]
    boxes = np.concatenate([np.floor(corners.min(axis=1)), np.ceil(corners.max(axis=1))], axis=1)
    back = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    return Upright(pixels, np.clip(boxes, 0, [wide, high, wide, high]).astype(np.int32), back)
