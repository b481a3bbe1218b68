"""Containers of office files: wrong types, passwords, bombs and damage come out as sentences, and nothing is left behind."""

from __future__ import annotations

import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from server.errors import PaperError, Unreadable
from server.readers import READERS, read
from server.readers.office.package import parse
from tests.readers.office_maker import MAIN_PARTS, MAKERS, with_part

OLE = bytes.fromhex("d0cf11e0a1b11ae1")
LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)


def reason(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", MAKERS)
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    document = read(MAKERS[suffix](tmp_path))
    assert document.language == "zh"
    assert document.pages == 1
    blocks = [block.text for section in document.sections for block in section.blocks]
    assert blocks[0] in ("正文内容。", "正文内容", "中文内容", "名称: 甲 | 数值: 1.5")


@pytest.mark.parametrize(("suffix", "target"), [(".doc", "docx"), (".ppt", "pptx")])
def test_formats_before_2007_say_how_to_convert_them(tmp_path: Path, suffix: str, target: str) -> None:
    stream = "WordDocument" if suffix == ".doc" else "PowerPoint Document"
    path = tmp_path / f"my thesis{suffix}"
    path.write_bytes(OLE + bytes(1024) + f"{stream}\0".encode("utf-16-le"))
    said = reason(path)
    assert f"save it as .{target}" in said
    assert f"soffice --headless --convert-to {target} 'my thesis{suffix}'" in said


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".xls"])
def test_encrypted_office_file_says_that_it_has_a_password(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"locked{suffix}"
    path.write_bytes(OLE + bytes(1024) + "EncryptionInfo\0EncryptedPackage\0".encode("utf-16-le"))
    assert "protected with a password" in reason(path)


def test_encrypted_odt_says_that_it_has_a_password(tmp_path: Path) -> None:
    manifest = b'<m:manifest xmlns:m="urn:x"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    path = with_part(MAKERS[".odt"](tmp_path), "META-INF/manifest.xml", lambda _: manifest)
    assert "protected with a password" in reason(path)


@pytest.mark.parametrize("suffix", [".xls", ".xlsx", ".doc", ".docx", ".rtf"])
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\xef\xbb\xbf\r\n<HTML><table><tr><td>1</td></tr></table></HTML>", "this is HTML although it is named {0}; rename it to .html"),
        (b'<meta charset="gbk"><table>', "this is HTML although it is named {0}; rename it to .html"),
        (b"%PDF-1.7 x", "this is a PDF although it is named {0}; rename it to .pdf"),
        (b"name,size\nalpha,1\n", "this is a table in plain text although it is named {0}; rename it to .csv"),
        (b"MIME-Version: 1.0\n", "this is a saved web page (MHTML) although it is named {0}; rename it to .mht"),
        (b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>', "open it in its program and save it as .docx or .xlsx"),
    ],
)
def test_wrong_type_is_named(tmp_path: Path, suffix: str, content: bytes, named: str) -> None:
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(content)
    assert named.format(suffix) in reason(path)


@pytest.mark.parametrize("actual", MAKERS)
@pytest.mark.parametrize("claimed", [".docx", ".xls", ".odt", ".ppt"])
def test_one_office_format_under_the_name_of_another(tmp_path: Path, actual: str, claimed: str) -> None:
    if actual == claimed:
        return
    path = MAKERS[actual](tmp_path).rename(tmp_path / f"renamed{claimed}")
    assert reason(path).endswith(f"although it is named {claimed}; rename it to {actual}")


def test_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.docx", "w") as archive:
        archive.writestr("photo.jpg", b"x")
    assert "this is a zip archive although it is named .docx" in reason(tmp_path / "data.docx")


@pytest.mark.parametrize("suffix", MAIN_PARTS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_off_container(tmp_path: Path, suffix: str, share: float) -> None:
    path = MAKERS[suffix](tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert reason(path) == "the file is cut off or damaged: its zip directory is missing; copy or download it again"


@pytest.mark.parametrize("suffix", MAIN_PARTS)
def test_cut_off_part_names_the_cause_and_what_helps(tmp_path: Path, suffix: str) -> None:
    path = with_part(MAKERS[suffix](tmp_path), MAIN_PARTS[suffix], lambda data: data[: len(data) // 2])
    assert "the file is damaged or not as its format wants it (XMLSyntaxError" in reason(path)
    assert "LibreOffice and save it again" in reason(path)


def test_highly_packed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = MAKERS[".docx"](tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("word/more.xml", "w") as part:
        for _ in range(120):
            part.write(bytes(2**20))
    assert "unpacks from 0.1 MiB to 121 MiB" in reason(path)


def test_container_that_claims_more_than_a_gibibyte(tmp_path: Path) -> None:
    path = MAKERS[".xlsx"](tmp_path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 2**30 + 2**20)  # the unpacked size of the first part
    path.write_bytes(data)
    assert "to 1025 MiB" in reason(path)


@pytest.mark.parametrize("suffix", MAIN_PARTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entity_bomb_is_refused_in_every_encoding(tmp_path: Path, suffix: str, encoding: str) -> None:
    bomb = f'<?xml version="1.0" encoding="{encoding}"?>{LAUGHS}<a>&i;</a>'.encode(encoding)
    path = with_part(MAKERS[suffix](tmp_path), MAIN_PARTS[suffix], lambda _: bomb)
    assert f"document type definition in {MAIN_PARTS[suffix]}" in reason(path)


def test_the_parser_itself_expands_and_fetches_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(etree.XMLSyntaxError, match="amplification"):
        parse(f"{LAUGHS}<l>&i;</l>".encode())
    outside = f'<!DOCTYPE l [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><l>&x;</l>'
    assert "secret" not in "".join(parse(outside.encode()).itertext())


def outcome(path: Path) -> str:
    """Reads the file in a folder of its own; what came out. Fails when anything else is left there."""
    before = tempfile.tempdir
    tempfile.tempdir = str(path.parent)
    try:
        said = read(path).title
    except PaperError as exc:
        said = str(exc)
    finally:
        tempfile.tempdir = before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return said


def damaged(data: bytes, kind: str, place: float, junk: bytes) -> bytes:
    at = int(place * len(data))
    if kind == "cut":
        return data[:at]
    return data[:at] + junk + data[at + (len(junk) if kind == "flip" else 0) :]


DAMAGE = given(
    kind=st.sampled_from(("flip", "insert", "cut")),
    place=st.floats(0, 1),
    junk=st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from((b"<", b"9", b"-1", b"\xff\xff\xff\xff", b'"/>', b"99999999999"))),
)
OFTEN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("suffix", MAKERS)
@DAMAGE
@OFTEN
def test_damaged_file_gives_a_document_or_an_error_of_ours(suffix: str, kind: str, place: float, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = MAKERS[suffix](Path(folder))
        path.write_bytes(damaged(path.read_bytes(), kind, place, junk) or b"x")
        assert outcome(path)


@pytest.mark.parametrize("suffix", MAIN_PARTS)
@DAMAGE
@OFTEN
def test_damaged_part_gives_a_document_or_an_error_of_ours(suffix: str, kind: str, place: float, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = MAKERS[suffix](Path(folder))
        with_part(path, MAIN_PARTS[suffix], lambda data: damaged(data, kind, place, junk))
        assert outcome(path)


@pytest.mark.parametrize("suffix", MAIN_PARTS)
def test_lost_part_gives_a_document_or_an_error_of_ours(tmp_path: Path, suffix: str) -> None:
    whole = MAKERS[suffix](tmp_path).read_bytes()
    for name in zipfile.ZipFile(tmp_path / f"file{suffix}").namelist():
        folder = tmp_path / "one"
        folder.mkdir(exist_ok=True)
        path = folder / f"file{suffix}"
        path.write_bytes(whole)
        with zipfile.ZipFile(path) as archive:
            parts = {each: archive.read(each) for each in archive.namelist() if each != name}
        with zipfile.ZipFile(path, "w") as archive:
            for each, data in parts.items():
                archive.writestr(each, data)
        assert outcome(path)


def test_every_office_suffix_has_a_reader() -> None:
    assert {".docx", ".docm", ".doc", ".pptx", ".pptm", ".ppt", ".xlsx", ".xlsm", ".xls", ".odt", ".rtf"} <= set(READERS)
