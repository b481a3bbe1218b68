"""A transformers model's folder, before it is loaded and after that failed; in: the folder; out: bytes needed, or one sentence why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.local_models import LocalModel
from server.errors import Forbidden, PaperError, Unavailable

GIB = 2**30
_STORED_BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}  # of a weight, by the config's dtype
_LOADED_BYTES = {16: 2.0, 8: 1.0, 4: 0.56}  # NF4 has a scale for every 64 weights
_CPU_BYTES = 4.0  # FastChat computes in float32 on a CPU, unless fewer bits are asked for
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "unable to allocate")
_UNKNOWN = ("does not recognize this architecture", "unrecognized configuration class", "unrecognized model in")


def refuse_foreign_code(name: str, folder: Path, model: LocalModel) -> None:
    """FastChat runs Python code of a model folder without asking. Raises Forbidden unless the settings allow it."""
    configs = [file for file in folder.glob("*config.json") if '"auto_map"' in file.read_text(encoding="utf-8", errors="replace")]
    if configs and not model.trust_remote_code:
        raise Forbidden(
            f"{name} brings Python code of its own ({configs[0].name} has auto_map); if you trust it, set trust_remote_code: true"
        )


def weights_bytes(name: str, folder: Path) -> int:
    """The size of all weights files. Raises Unavailable, naming what is missing of the folder."""
    if not (folder / "config.json").is_file():
        more = "; it holds .gguf files: name one of them as the source" if any(folder.glob("*.gguf")) else ""
        raise Unavailable(f"cannot load {name}: {folder} is no model folder, it has no config.json{more}")
    for index in folder.glob("*.index.json"):
        wanted = set(_json(index).get("weight_map", {}).values())
        absent = sorted(file for file in wanted if not (folder / file).is_file())
        if absent:
            raise Unavailable(
                f"cannot load {name}: {len(absent)} of {len(wanted)} weights files are missing in {folder}, such as {absent[0]}"
            )
    files = list(folder.glob("*.safetensors")) or list(folder.glob("pytorch_model*.bin"))
    if not files:
        raise Unavailable(f"cannot load {name}: {folder} has no weights, neither *.safetensors nor pytorch_model*.bin")
    return sum(file.stat().st_size for file in files)


def needed_bytes(folder: Path, stored_bytes: int, model: LocalModel, device: str) -> int:
    """What the weights take in memory when they are loaded, about."""
    config = _json(folder / "config.json")
    stored = _STORED_BYTES.get(str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch."), 2)
    loaded = _CPU_BYTES if device == "cpu" and model.bits == 16 else _LOADED_BYTES[model.bits]
    return int(stored_bytes * loaded / stored)


def why_not(name: str, folder: Path, exc: BaseException, needed: int) -> PaperError:
    """The failure of loading as one sentence."""
    text = " ".join(str(exc).split()) or type(exc).__name__
    low = text.lower()
    if isinstance(exc, MemoryError) or any(words in low for words in _NO_MEMORY):
        return Unavailable(
            f"cannot load {name}: out of memory, its weights need about {needed / GIB:.1f} GiB; bits: 8 or 4 need less, and so does a "
            f"smaller model ({text[:120]})"
        )
    if any(words in low for words in _UNKNOWN):
        kind = _json(folder / "config.json").get("model_type", "none")
        return Unavailable(
            f"cannot load {name}: transformers {_version()} does not know its architecture {kind!r}, or not as a chat model; another "
            f"version may, in an environment whose interpreter llm.local.{name}.python names"
        )
    if "mismatched" in low or "size mismatch" in low:
        return Unavailable(f"cannot load {name}: the weights in {folder} are of other sizes than in its config.json; are its files mixed?")
    if isinstance(exc, PaperError):
        return exc
    return Unavailable(f"cannot load {name}: {text[:240]} ({type(exc).__name__})")


def _version() -> str:
    import transformers

    return str(transformers.__version__)


def _json(file: Path) -> dict[str, Any]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise Unavailable(f"{file} is damaged: it is no JSON; fetch or copy it again") from exc
    return held if isinstance(held, dict) else {}
