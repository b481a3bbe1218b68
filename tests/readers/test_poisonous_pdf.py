"""PDFs made to hurt: bombs, endless trees, loops, entities. Each costs one file with a sentence, or is read; the child process lives on."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pymupdf
import pytest

from server.errors import Unreadable
from server.readers.process import ReaderProcess
from server.types import Document

LIMIT_S = 20.0
MEMORY_MIB = 700


@pytest.fixture(scope="module")
def reader() -> Iterator[ReaderProcess]:
    with ReaderProcess(timeout_s=LIMIT_S, memory_mib=MEMORY_MIB) as process:
        yield process


def written(path: Path, objects: list[bytes], root: int = 1) -> Path:
    """A PDF of these numbered objects, with a right cross-reference table."""
    body = b"%PDF-1.7\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n"
    path.write_bytes(body + trailer % (len(objects) + 1, table, len(objects) + 1, root, len(body)))
    return path


def stream(data: bytes, entries: bytes = b"") -> bytes:
    packed = zlib.compress(data, 9)
    return b"<</Length %d/Filter/FlateDecode%s>>stream\n%s\nendstream" % (len(packed), entries, packed)


def page(content: int, more: bytes = b"") -> bytes:
    return b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R%s>>" % (content, more)


CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
FONT = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
TEXT = b"BT /F 11 Tf 72 700 Td (A line of text that can be read) Tj ET"


def outcome(reader: ReaderProcess, path: Path) -> tuple[Document | str, float]:
    started = time.monotonic()
    try:
        result: Document | str = reader.read(path)
    except Unreadable as exc:
        result = str(exc)
    return result, time.monotonic() - started


def still_works(reader: ReaderProcess, folder: Path) -> None:
    good = written(folder / "good.pdf", [CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page(4, FONT), stream(TEXT)])
    assert reader.read(good).sections[0].blocks[0].text == "A line of text that can be read"


def test_content_that_unpacks_to_gigabytes(reader: ReaderProcess, tmp_path: Path) -> None:
    bomb = stream(zlib.compress(b" " * (1 << 30), 9), b"")  # two layers of deflate
    bomb = bomb.replace(b"/Filter/FlateDecode", b"/Filter[/FlateDecode/FlateDecode]")
    path = written(tmp_path / "bomb.pdf", [CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page(4, FONT), bomb])
    assert path.stat().st_size < 20_000
    result, seconds = outcome(reader, path)
    assert isinstance(result, str)
    assert seconds < LIMIT_S + 5
    still_works(reader, tmp_path)


def test_hundred_thousand_pages_are_refused(reader: ReaderProcess, tmp_path: Path) -> None:
    kids = b" ".join([b"3 0 R"] * 100_000)
    path = written(tmp_path / "many.pdf", [CATALOG, b"<</Type/Pages/Kids[%s]/Count 100000>>" % kids, page(4, FONT), stream(TEXT)])
    result, seconds = outcome(reader, path)
    assert isinstance(result, str)
    assert "number of pages" in result or "has 100000 pages, more than 3000" in result
    assert seconds < LIMIT_S


def test_page_count_that_lies(reader: ReaderProcess, tmp_path: Path) -> None:
    path = written(tmp_path / "liar.pdf", [CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 2999>>", page(4, FONT), stream(TEXT)])
    result, seconds = outcome(reader, path)
    assert seconds < LIMIT_S
    if isinstance(result, Document):
        assert any("A line of text" in block.text for section in result.sections for block in section.blocks)
    still_works(reader, tmp_path)


def test_page_tree_that_contains_itself(reader: ReaderProcess, tmp_path: Path) -> None:
    path = written(tmp_path / "cycle.pdf", [CATALOG, b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 2>>", page(4, FONT), stream(TEXT)])
    _, seconds = outcome(reader, path)
    assert seconds < LIMIT_S
    still_works(reader, tmp_path)


def test_drawing_that_draws_itself(reader: ReaderProcess, tmp_path: Path) -> None:
    form = stream(b"/X Do /X Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>")
    resources = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>/XObject<</X 5 0 R>>>>"
    objects = [CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page(4, resources), stream(TEXT + b" /X Do"), form]
    result, seconds = outcome(reader, written(tmp_path / "loop.pdf", objects))
    assert isinstance(result, Document)
    assert result.sections[0].blocks[0].text == "A line of text that can be read"
    assert seconds < LIMIT_S


def test_drawings_that_double_thirty_times(tmp_path: Path) -> None:
    depth = 30
    forms = [
        stream(b"/X Do /X Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X %d 0 R>>>>" % (6 + level))
        for level in range(depth)
    ]
    last = stream(TEXT, b"/Type/XObject/Subtype/Form/BBox[0 0 595 842]" + FONT)
    resources = b"/Resources<</XObject<</X 5 0 R>>>>"
    objects = [CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page(4, resources), stream(b"/X Do"), *forms, last]
    with ReaderProcess(timeout_s=4, memory_mib=MEMORY_MIB) as reader:
        still_works(reader, tmp_path)
        result, seconds = outcome(reader, path := written(tmp_path / "doubling.pdf", objects))
        assert isinstance(result, str)
        assert "took longer than 4 s" in result or "memory" in result
        assert seconds < 8
        with pytest.raises(Unreadable, match=r"took longer than 4 s|memory"):
            reader.page_image(path, 1, [], 72)
        still_works(reader, tmp_path)


def test_arrays_nested_a_hundred_thousand_deep(reader: ReaderProcess, tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    path = written(tmp_path / "deep.pdf", [b"<</Type/Catalog/Pages 2 0 R/Names %s>>" % deep, b"<</Type/Pages/Kids[]/Count 0>>"])
    result, seconds = outcome(reader, path)
    assert isinstance(result, str)
    assert seconds < LIMIT_S
    still_works(reader, tmp_path)


def test_xfa_form_with_entities_that_multiply(reader: ReaderProcess, tmp_path: Path) -> None:
    entities = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10 if n else b"lol") for n in range(12))
    xfa = b'<?xml version="1.0"?><!DOCTYPE x [%s<!ENTITY f SYSTEM "file:///etc/hostname">]><x>&e11;&f;</x>' % entities
    form = b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[]/XFA 5 0 R>>/Metadata 6 0 R>>"
    metadata = stream(xfa, b"/Type/Metadata/Subtype/XML")
    objects = [form, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page(4, FONT), stream(TEXT), stream(xfa), metadata]
    result, seconds = outcome(reader, written(tmp_path / "xfa.pdf", objects))
    assert isinstance(result, Document)
    assert "lol" not in str(result)
    assert seconds < LIMIT_S


def test_image_of_a_gigapixel_on_a_page_without_text(reader: ReaderProcess, tmp_path: Path) -> None:
    image = stream(
        zlib.compress(b"\0" * (40_000 * 25_000 // 8), 9),
        b"/Type/XObject/Subtype/Image/Width 40000/Height 25000/BitsPerComponent 1/ColorSpace/DeviceGray",
    ).replace(b"/Filter/FlateDecode", b"/Filter[/FlateDecode/FlateDecode]")
    resources = b"/Resources<</XObject<</X 5 0 R>>>>"
    objects = [CATALOG, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page(4, resources), stream(b"595 0 0 842 0 0 cm /X Do"), image]
    result, seconds = outcome(reader, written(tmp_path / "giga.pdf", objects))
    assert isinstance(result, str)
    assert seconds < LIMIT_S + 5
    still_works(reader, tmp_path)


def test_embedded_files_and_scripts_are_not_touched(reader: ReaderProcess, tmp_path: Path) -> None:
    path = tmp_path / "carrier.pdf"
    with pymupdf.open() as source:
        source.new_page().insert_text((72, 72), "A paper with a file inside")
        source.embfile_add("run.exe", b"MZ evil")
        source.save(path)
    result, _ = outcome(reader, path)
    assert isinstance(result, Document)
    assert "evil" not in str(result)
    assert [file.name for file in tmp_path.iterdir()] == ["carrier.pdf"]
