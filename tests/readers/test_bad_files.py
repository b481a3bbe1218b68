"""Every bad file is refused with a sentence, and nothing but the errors of server/ comes out of a reader."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pymupdf
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pdf_maker import column, make_pdf

from server.errors import NotFound, PaperError, Unreadable
from server.readers import READERS, read
from server.readers.process import ReaderProcess
from server.types import Document

HANGS_S = 30.0
MAGIC = (
    b"%PDF-1.7\n",
    b"PK\x03\x04",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"BM",
    b"{",
    b"<html>",
    b"{\\rtf1",
)


def outcome_of(path: Path, read_it: Callable[[Path], Document] = read) -> Document | str:
    """The document, or the reason that the owner of the file is shown."""
    try:
        return read_it(path)
    except PaperError as exc:
        return str(exc)


def test_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"x")
    with pytest.raises(Unreadable, match=r"no reader for \.mp4; known: .*\.md.*\.pdf"):
        read(path)


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no such file: gone\.pdf"):
        read(tmp_path / "gone.pdf")


@pytest.mark.parametrize("suffix", sorted(READERS))
def test_empty_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    path.touch()
    with pytest.raises(Unreadable, match=r"empty \(0 bytes\)"):
        read(path)


def test_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.pdf").mkdir()
    with pytest.raises(Unreadable, match="not a regular file"):
        read(tmp_path / "folder.pdf")


def test_encrypted_pdf_says_that_it_needs_a_password(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "open.pdf", column(["a text behind a lock"]))
    with pymupdf.open(path) as source:
        source.save(tmp_path / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="owner")
    with pytest.raises(Unreadable, match="needs a password"):
        read(tmp_path / "locked.pdf")


def test_pdf_that_only_its_owner_may_change_can_be_read(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "open.pdf", column(["a text that anybody may read"]))
    with pymupdf.open(path) as source:
        source.save(tmp_path / "owned.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="owner")
    assert read(tmp_path / "owned.pdf").sections[0].blocks[0].text == "a text that anybody may read"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.55])
def test_truncated_pdf_fails_or_says_that_it_was_repaired(tmp_path: Path, share: float) -> None:
    whole = make_pdf(tmp_path / "whole.pdf", [put for page in range(5) for put in column([f"text of page {page}"], page=page)])
    cut = tmp_path / "cut.pdf"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    outcome = outcome_of(cut)
    assert "damaged" in (outcome if isinstance(outcome, str) else " ".join(outcome.warnings))


def test_web_page_named_pdf_is_no_pdf(tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_text("<html><body>403 Forbidden</body></html>")
    with pytest.raises(Unreadable, match=r"this is no PDF although it is named \.pdf"):
        read(path)


@pytest.mark.parametrize("suffix", [".txt", ".md", ".csv", ".tsv"])
def test_binary_file_named_as_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    with pytest.raises(Unreadable, match="binary data"):
        read(path)


def test_white_space_only(tmp_path: Path) -> None:
    path = tmp_path / "blank.txt"
    path.write_text(" \n\t\n")
    with pytest.raises(Unreadable, match="only white space"):
        read(path)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The only place where the process that reads may leave files: its working, home and temporary folder."""
    folder = tmp_path_factory.mktemp("watched")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(variable, str(folder))
        yield folder


@pytest.fixture(scope="module")
def reader(watched: Path) -> Iterator[ReaderProcess]:
    with ReaderProcess(timeout_s=HANGS_S) as process:
        yield process


@pytest.mark.parametrize("suffix", sorted(READERS))
@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.text(max_size=200).map(str.encode),
        st.tuples(st.sampled_from(MAGIC), st.binary(max_size=300)).map(b"".join),
    )
)
@settings(max_examples=30, deadline=HANGS_S * 1000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_document_or_an_error_of_ours(suffix: str, data: bytes, reader: ReaderProcess, watched: Path) -> None:
    path = watched / f"file{suffix}"
    path.write_bytes(data)
    outcome = outcome_of(path, reader.read)
    if isinstance(outcome, str):
        assert len(outcome) > 10
        for unforeseen in ("the reader failed", "crashed", "took longer"):
            assert unforeseen not in outcome
    else:
        assert any(block.text.strip() for section in outcome.sections for block in section.blocks)
    path.unlink()
    assert list(watched.iterdir()) == []


@example(position=0.587890625, junk=b"\x08")  # a font of size 0
@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_damaged_pdf_gives_a_document_or_an_error_of_ours(position: float, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = make_pdf(Path(folder) / "whole.pdf", column(["some text that may survive", "or not, who knows"]))
        data = bytearray(path.read_bytes())
        start = int(position * (len(data) - 1))
        data[start : start + len(junk)] = junk
        path.write_bytes(data)
        assert outcome_of(path)
