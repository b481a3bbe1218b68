"""Scans for tests: a page of a PDF -> its picture, turned, noisy, at a given resolution, as an image or in a PDF without text."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pymupdf
from numpy.typing import NDArray


def picture(path: Path, *, page: int = 0, dpi: int = 150, degrees: float = 0.0, quarters: int = 0, noise: float = 8.0) -> NDArray[np.uint8]:
    """Grey pixels of a page, turned anticlockwise by `degrees` about its middle and then by `quarters` of a circle."""
    with pymupdf.open(path) as source:
        image = source[page].get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY)
    grey = np.frombuffer(image.samples, np.uint8).reshape(image.height, image.width)
    turn = cv2.getRotationMatrix2D((image.width / 2, image.height / 2), degrees, 1.0)
    turned = cv2.warpAffine(grey, turn, (image.width, image.height), borderValue=255)
    noisy = turned + np.random.default_rng(0).normal(0, noise, turned.shape)
    return np.rot90(np.clip(noisy, 0, 255).astype(np.uint8), quarters)


def scanned(path: Path, target: Path, *, dpi: int = 150, degrees: float = 0.0, quarters: int = 0) -> Path:
    """The first page of a PDF as a picture in another one."""
    return put_into_pdf(picture(path, dpi=dpi, degrees=degrees, quarters=quarters), target, dpi)


def put_into_pdf(pixels: NDArray[np.uint8], target: Path, dpi: int) -> Path:
    """A PDF with one page that `pixels` fill."""
    _, png = cv2.imencode(".png", pixels)
    height, width = pixels.shape[:2]
    with pymupdf.open() as made:
        sheet = made.new_page(width=width * 72 / dpi, height=height * 72 / dpi)
        sheet.insert_image(sheet.rect, stream=png.tobytes())
        made.save(target)
    return target
