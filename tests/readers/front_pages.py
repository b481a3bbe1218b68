"""First pages for tests, typeset after the styles of publishers: words of our own, fonts and places like theirs."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pymupdf

WIDTH, HEIGHT = 595.0, 842.0  # A4, points
SENTENCES = (
    "The samples were dried and weighed before each of the runs that we report here. "
    "We compare the model with the older one and find that it needs less time for the same result. "
    "This is a small effect, which other groups have seen as well, and it grows with the depth of the water. "
    "It is not clear whether the field or the current is the reason, since both were changed at once. "
    "For each site we took three cores and counted the layers by eye and with the camera. "
)
WIDE_SENTENCES = (
    "本文比较了两种方法在不同深度下的表现，结果表明新的方法用时更短。样品在每次试验之前都经过干燥和称重，随后记录其长度与颜色。"
    "我们还讨论了误差的来源，并给出了减小误差的办法。"
)


class Text(NamedTuple):
    """A line whose baseline begins at (x, y); `^…^` inside it is raised and small. `font` is one of pymupdf's base fonts."""

    text: str
    x: float
    y: float
    size: float = 10
    font: str = "tiro"
    page: int = 0
    turn: int = 0


def pieces(text: str, size: float, font: str) -> list[tuple[str, float, str, float]]:
    """(text, size, font, rise) of the runs of a line: raised parts at 0.65 of the size, what Latin-1 lacks in the built-in Chinese font."""
    made = []
    for at, part in enumerate(text.split("^")):
        for run in re.findall("[\x00-\xff]+|[^\x00-\xff]+", part):
            made.append(
                (run, size * (0.65 if at % 2 else 1), font if run.isascii() or run[0] < "\u0100" else "china-s", 0.35 * size * (at % 2))
            )
    return made


def length(run: str, size: float, font: str) -> float:
    """Points that a run takes; pymupdf does not know the widths of accented letters in its base fonts."""
    bare = run if font == "china-s" else unicodedata.normalize("NFKD", run).encode("ascii", "replace").decode().replace("?", "")
    return float(pymupdf.get_text_length(bare, font, size))


def width_of(text: str, size: float, font: str = "tiro") -> float:
    """Points that a line takes."""
    return sum(length(run, own, name) for run, own, name, _ in pieces(text, size, font))


def centred(text: str, y: float, size: float = 10, font: str = "tiro", middle: float = WIDTH / 2, page: int = 0) -> Text:
    """A line in the middle of the page."""
    return Text(text, middle - width_of(text, size, font) / 2, y, size, font, page)


def paragraph(text: str, x: float, y: float, x1: float, *, size: float = 10, font: str = "tiro", page: int = 0) -> list[Text]:
    """`text` broken into lines between x and x1, the first at y."""
    wide = text[0] > "\u3000"
    pitch = 1.2 * size
    if wide:
        count = int((x1 - x) / size)
        lines = [text[at : at + count] for at in range(0, len(text), count)]
    else:
        average = width_of(text, size, font) / len(text)
        lines = textwrap.wrap(text, int((x1 - x) / average * 0.98), break_on_hyphens=False)
    return [Text(line, x, y + pitch * number, size, font, page) for number, line in enumerate(lines)]


def below(lines: list[Text], gap: float = 1.4) -> float:
    """The baseline that follows `lines`, `gap` font sizes lower."""
    return lines[-1].y + gap * lines[-1].size


def prose(characters: int, wide: bool = False) -> str:
    """Running text of about that length, ending with a sentence."""
    text = (WIDE_SENTENCES if wide else SENTENCES) * (1 + characters // (60 if wide else 300))
    end = text.find("。" if wide else ". ", characters)
    return text[: end + 1]


def two_columns(y: float, page: int = 0, wide: bool = False, size: float = 10) -> list[Text]:
    """Running text in two columns from y to the foot of the page."""
    room = int((770 - y) / (1.2 * size)) * int(240 / (size if wide else 0.44 * size))
    return [text for x in (50, 305) for text in paragraph(prose(room, wide), x, y, x + 240, size=size, page=page) if text.y < 775]


def one_column(y: float, page: int = 0, wide: bool = False, size: float = 10, x: float = 72) -> list[Text]:
    """Running text over the page from y to its foot."""
    room = int((770 - y) / (1.2 * size)) * int((WIDTH - 2 * x) / (size if wide else 0.44 * size))
    return [text for text in paragraph(prose(room, wide), x, y, WIDTH - x, size=size, page=page) if text.y < 775]


def typeset(
    path: Path, texts: Iterable[Text], *, info: dict[str, str] | None = None, xmp: str = "", own: dict[str, str] | None = None
) -> Path:
    """Write `texts` into a PDF with an Info dictionary, an XMP packet, and publishers' own entries in the former."""
    texts = list(texts)
    with pymupdf.open() as made:
        for _ in range(max(text.page for text in texts) + 1):
            made.new_page(width=WIDTH, height=HEIGHT)
        for text in texts:
            x = text.x
            for run, size, font, rise in pieces(text.text, text.size, text.font):
                made[text.page].insert_text((x, text.y - rise), run, fontsize=size, fontname=font, rotate=text.turn)
                x += length(run, size, font)
        made.set_metadata(info or {"producer": "tests"})
        if xmp:
            made.set_xml_metadata(xmp)
        if own:
            number = int(made.xref_get_key(-1, "Info")[1].split()[0])
            for name, value in own.items():
                made.xref_set_key(number, name, pymupdf.get_pdf_str(value))
        made.save(path)
    return path
