"""Pixels -> where text stands in them, and what a line of it says with the place of every character.

PP-OCRv6 small by rapidocr; its models come inside the package, nothing is ever fetched, and nothing is written or printed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from server.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]  # (height, width, 3), blue first

THREADS = 1  # a second one spares 0.4 of the time on idle cores, and doubles CPU and time on busy ones
_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"


class Strip(NamedTuple):
    """A recognised line: `places` has the middle of every character that is no white space, as a share of the line's width."""

    text: str
    confidence: float
    places: tuple[float, ...]


def find_lines(pixels: Pixels) -> NDArray[np.float32]:
    """The corners of every line of text, clockwise from the top left as the line lies: (n, 4, 2), x and y in pixels."""
    import numpy as np

    found = _engine()(pixels, use_det=True, use_cls=False, use_rec=False)
    return np.zeros((0, 4, 2), np.float32) if found.boxes is None else np.asarray(found.boxes, np.float32)


def recognise(pixels: Pixels) -> Strip:
    """What one line of upright text says; an empty text when nothing is recognised."""
    found = _engine()(pixels, use_det=False, use_cls=False, use_rec=True, return_word_box=True)
    if not found.txts or not found.txts[0].strip():
        return Strip("", 0.0, ())
    line = found.word_results[0]
    places = tuple(min((column + 0.5) / line.line_txt_len, 1.0) for columns in line.word_cols for column in columns)
    return Strip(found.txts[0], float(found.scores[0]), places)


def failures() -> tuple[type[Exception], ...]:
    """What the engine raises on pixels it cannot cope with, and where memory does not suffice."""
    import cv2
    from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError

    return (cv2.error, ONNXRuntimeError, RuntimeError, ValueError, IndexError, ZeroDivisionError)


@cache
def _engine() -> Any:
    """One for the process, made when it is first needed, in 0.7 CPU-s."""
    import cv2
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    for name in (_DETECTOR, _RECOGNISER):
        if not (models / name).is_file():  # rapidocr would fetch it
            raise Unavailable(f"the OCR model {name} is missing; install rapidocr again: pip install --force-reinstall rapidocr")
    cv2.setNumThreads(THREADS)
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_preprocess_img": False,  # pages come in the size that is wanted
            "Global.width_height_ratio": -1,  # or a page as narrow as a rule would be padded to a square
            "EngineConfig.onnxruntime.intra_op_num_threads": THREADS,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(models / _DETECTOR),
            "Det.limit_type": "max",
            "Det.limit_side_len": 1_000_000,
            "Rec.model_path": str(models / _RECOGNISER),
            "Rec.rec_batch_num": 1,  # six at a time, padded to the widest, cost a quarter more CPU and 200 MiB
            "Rec.rec_img_shape": [3, 48, 48],  # lines are padded to the last number
        }
    )
