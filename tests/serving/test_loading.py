"""A worker whose model loads: what its port answers meanwhile, what its log says, and why a model does not load."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from configs.local_models import LocalModel
from configs.settings import ROOT
from server.errors import Unavailable
from server.log_excerpt import reason_in
from server.serving import loading as loading_module
from server.serving.loading import Loading
from server.serving.model_folder import needed_bytes, weights_bytes, why_not
from tests.serving import tiny_models
from tests.stack import Process, until, write_settings

GIB = 2**30


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write(tmp_path_factory.mktemp("tiny") / "m", shard_size="30KB")


@pytest.fixture
def taken() -> socket.socket:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def ask(taken: socket.socket) -> httpx2.Response:
    return httpx2.post(f"http://127.0.0.1:{taken.getsockname()[1]}/worker_get_status", json={}, timeout=5.0, trust_env=False)


def test_the_port_says_how_far_it_is_and_is_free_for_the_worker_afterwards(taken: socket.socket) -> None:
    with Loading("m", [taken], (), 3 * GIB) as loading:
        assert ask(taken).json().items() >= {"state": "loading", "model": "m", "done": 0, "total": 0, "gib": 3.0}.items()
        bar = loading.bar()
        for _ in bar(range(5), desc="Loading checkpoint shards"):
            pass
        answer = ask(taken)
        assert answer.status_code == 503
        assert {key: answer.json()[key] for key in ("done", "total", "unit")} == {"done": 5, "total": 5, "unit": "shards"}
        assert re.fullmatch(r"loading m: 5 of 5 shards \(3\.0 GiB\), \d+ s", loading.line())
    waiting = threading.Thread(target=lambda: socket.create_connection(taken.getsockname()).close())
    waiting.start()
    taken.accept()[0].close()  # it still listens, and nobody else takes its connections
    waiting.join()


def test_the_bars_of_transformers_and_fastchat_are_heard(taken: socket.socket) -> None:
    from transformers.utils import logging as bars

    before, active, module = bars.tqdm_lib, bars.is_progress_bar_enabled(), SimpleNamespace(tqdm=None)
    bars.disable_progress_bar()
    with Loading("m", [taken], (), GIB) as loading:
        try:
            loading.hook(module)
            list(bars.tqdm({"a": 1, "b": 2}.items(), desc="Loading weights"))
            assert (loading.done, loading.total, loading.unit) == (2, 2, "tensors")
            list(module.tqdm(["x.bin"] * 3))
            assert (loading.done, loading.total, loading.unit) == (3, 3, "files")
        finally:
            bars.tqdm_lib = before
            (bars.enable_progress_bar if active else bars.disable_progress_bar)()


def test_lines_come_while_it_lasts(taken: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(loading_module, "LINE_S", 0.05)
    with caplog.at_level("INFO"), Loading("m", [taken], (), GIB):
        until(lambda: len(caplog.messages) >= 2, "two lines", 5.0)
    assert caplog.messages[0] == "loading m: (1.0 GiB), 0 s"


@pytest.mark.stack
def test_a_worker_answers_while_it_loads_and_200_afterwards(tiny: Path, tmp_path: Path) -> None:
    file = write_settings(tmp_path, {"llm": {"default": "m", "local": {"m": {"source": str(tiny), "device": "cpu"}}}})
    port = int(re.search(r"worker_port: (\d+)", file.read_text())[1])
    process = Process(file, "server.serving.transformers_worker", "m")
    seen: list[Any] = []

    def loaded() -> bool:
        try:
            answer = httpx2.post(f"http://127.0.0.1:{port}/worker_get_status", timeout=5.0, trust_env=False)
        except httpx2.TransportError:
            return False
        seen.append((answer.status_code, answer.json()))
        return answer.status_code == 200

    try:
        process.ready(loaded)
    finally:
        process.end()
    assert seen[0][0] == 503
    assert seen[0][1].items() >= {"state": "loading", "model": "m"}.items()
    assert seen[-1][1]["model_names"] == ["m"]


def reason(tmp_path: Path, model: Path, **block: Any) -> str:
    """What the supervisor would say of a worker that does not load."""
    file = write_settings(tmp_path, {"llm": {"default": "m", "local": {"m": {"source": str(model), "device": "cpu", **block}}}})
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "server.serving.transformers_worker", "m"]
        environment = {"PATH": "/usr/bin:/bin", "PAPERPROOF_SETTINGS": str(file)}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=120)
    assert done.returncode == 1
    return reason_in(log)


def changed(tiny: Path, tmp_path: Path, **config: Any) -> Path:
    folder = Path(shutil.copytree(tiny, tmp_path / "copy"))
    held = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**held, **config}))
    return folder


@pytest.mark.stack
def test_an_unknown_architecture_is_named_with_the_way_out(tiny: Path, tmp_path: Path) -> None:
    said = reason(tmp_path, changed(tiny, tmp_path, model_type="grok9"))
    assert re.match(
        r"cannot load m: transformers \S+ does not know its architecture 'grok9', or not as a chat model; another version", said
    )
    assert "llm.local.m.python" in said


@pytest.mark.stack
def test_what_cannot_be_allocated_says_how_much_it_would_need(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = changed(tiny, tmp_path, intermediate_size=1 << 44)  # 2 PiB a matrix
    held = {key: value for file in folder.glob("*.safetensors") for key, value in load_file(file).items() if "mlp" not in key}
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    said = reason(tmp_path, folder)
    assert said.startswith("cannot load m: ")
    assert "out of memory, its weights need about 0.0 GiB; bits: 8 or 4 need less" in said


@pytest.mark.stack
def test_weights_of_another_model_are_told(tiny: Path, tmp_path: Path) -> None:
    assert reason(tmp_path, changed(tiny, tmp_path, intermediate_size=128)).endswith("than in its config.json; are its files mixed?")


@pytest.mark.stack
def test_foreign_code_missing_files_and_no_folder_are_said_before_anything_is_loaded(tiny: Path, tmp_path: Path) -> None:
    said = reason(tmp_path, changed(tiny, tmp_path, auto_map={"AutoModel": "m.M"}))
    assert said == "m brings Python code of its own (config.json has auto_map); if you trust it, set trust_remote_code: true"
    shards = sorted((tmp_path / "copy").glob("model-*.safetensors"))
    shards[0].unlink()
    said = reason(tmp_path, tmp_path / "copy", trust_remote_code=True)
    folder = tmp_path / "copy"
    assert said == f"cannot load m: 1 of {len(shards)} weights files are missing in {folder}, such as {shards[0].name}"[:300]


def test_a_folder_is_looked_at_before_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"it has no config\.json$"):
        weights_bytes("m", tmp_path)
    (tmp_path / "m.gguf").touch()
    with pytest.raises(Unavailable, match=r"it holds \.gguf files: name one of them as the source"):
        weights_bytes("m", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Unavailable, match=r"has no weights, neither \*\.safetensors nor"):
        weights_bytes("m", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    assert weights_bytes("m", tmp_path) == 100
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(Unavailable, match="is damaged: it is no JSON"):
        weights_bytes("m", tmp_path)


@pytest.mark.parametrize(
    ("stored", "bits", "device", "gib"),
    [
        ("float16", 16, "cuda", 12.0),  # chatglm2-6b as it is published
        ("float16", 16, "cpu", 24.0),  # float32 there
        ("float16", 8, "cuda", 6.0),
        ("float16", 4, "cuda", 3.36),
        ("float32", 16, "cuda", 6.0),
        (None, 16, "cuda", 12.0),
    ],
)
def test_memory_is_reckoned_from_the_files_their_type_and_the_bits(
    tmp_path: Path, stored: str | None, bits: int, device: str, gib: float
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"torch_dtype": stored} if stored else {}))
    model = LocalModel.model_validate({"source": "m", "bits": bits})
    assert needed_bytes(tmp_path, 12 * GIB, model, device) / GIB == pytest.approx(gib)


def test_a_failure_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    words = str(why_not("m", tmp_path, RuntimeError("CUDA out of memory.\nTried to allocate 12 GiB"), 13 * GIB))
    assert words.startswith("cannot load m: out of memory, its weights need about 13.0 GiB; bits: 8 or 4 need less")
    assert "\n" not in words
    assert str(why_not("m", tmp_path, KeyError("x"), 0)) == "cannot load m: 'x' (KeyError)"
