"""Models in 8 and 4 bits on a CPU: they answer nearly as in 32, and their linear weights take a quarter and an eighth of the memory."""

from __future__ import annotations

import gc
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
import yaml

from configs.local_models import LocalModel
from configs.settings import Settings
from server.errors import Unavailable
from server.serving.gateway import build
from server.serving.local_models import Assignment
from server.serving.transformers_worker import command_line, load_in_4_bits
from tests.serving import tiny_models
from tests.stack import Process, served, write_settings

needs_bitsandbytes = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="pip install bitsandbytes")
SHAPES = 2 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256)  # numbers in the linear layers of both blocks: q, o; k, v; gate, up, down


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write(tmp_path_factory.mktemp("bits") / "m", hidden=256)


def linear_bytes(model: Any) -> int:
    """Of all linear layers inside the blocks, scales included."""
    total = 0
    for module in model.model.layers.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, tuple):  # FastChat's compressed layer: numbers, scales, shape
            total += sum(part.numel() * part.element_size() for part in weight[:2])
        elif weight is not None and (weight.ndim == 2 or hasattr(weight, "quant_state")):
            state = getattr(weight, "quant_state", None)
            total += weight.numel() * weight.element_size() + (state.absmax.numel() * 4 if state is not None else 0)
    return total


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.tensor([[5, 80, 200, 7]])).logits.float().flatten()


def load(folder: Path, **options: Any) -> Any:
    from fastchat.model.model_adapter import load_model

    gc.collect()
    return load_model(str(folder), device="cpu", num_gpus=1, max_gpu_memory=None, revision="main", **options)[0]


@pytest.mark.filterwarnings("ignore")  # of FastChat's code under newer libraries
def test_8_bits_are_fastchats_compression(llama: Path) -> None:
    import torch

    whole, small = load(llama), load(llama, load_8bit=True)
    assert linear_bytes(whole) == 4 * SHAPES
    assert linear_bytes(small) == SHAPES + SHAPES // 256 * 4  # a scale for every 256 numbers
    assert float(torch.cosine_similarity(logits(whole), logits(small), dim=0)) > 0.999


@needs_bitsandbytes
@pytest.mark.filterwarnings("ignore")
def test_4_bits_are_nf4(llama: Path) -> None:
    import torch
    from fastchat.model import model_adapter

    module = SimpleNamespace(load_model=None)
    load_in_4_bits(module, model_adapter)
    small = module.load_model(str(llama), device="cpu", num_gpus=1, max_gpu_memory=None, revision="main", dtype=None, load_8bit=False)[0]
    assert linear_bytes(small) == SHAPES // 2 + SHAPES // 64 * 4  # a scale for every 64 numbers
    assert float(torch.cosine_similarity(logits(load(llama)), logits(small), dim=0)) > 0.97


def test_without_bitsandbytes_4_bits_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable) as caught:
        load_in_4_bits(SimpleNamespace(), SimpleNamespace())
    assert str(caught.value) == f"bits: 4 needs the package bitsandbytes: {sys.executable} -m pip install bitsandbytes"


@pytest.mark.stack
@pytest.mark.parametrize("bits", [8, pytest.param(4, marks=needs_bitsandbytes)])
def test_the_worker_answers_with_fewer_bits(llama: Path, tmp_path: Path, bits: int) -> None:
    model = {"source": str(llama), "device": "cpu", "bits": bits}
    file = write_settings(tmp_path, {"llm": {"default": "m", "local": {"m": model}}})
    controller, process = Process(file, "server.serving.controller"), Process(file, "server.serving.transformers_worker", "m")
    try:
        with served(build(Settings.model_validate(yaml.safe_load(file.read_text())))) as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            process.ready(lambda: [each.id for each in client.models.list()] == ["m"])
            ask: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, "temperature": 0}
            whole = client.chat.completions.create(**ask).choices[0].message.content
            chunks = client.chat.completions.create(**ask, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole != ""
    finally:
        process.end()
        controller.end()


@pytest.mark.parametrize(
    ("block", "more"),
    [
        ({}, []),
        ({"bits": 8, "slots": 2}, ["--load-8bit"]),
        ({"gpus": [1]}, ["--gpus", "1", "--num-gpus", "1"]),
        ({"gpus": [0, 2], "gpu_memory_gib": 13}, ["--gpus", "0,2", "--num-gpus", "2", "--max-gpu-memory", "13GiB"]),
        ({"gpus": [0, 1], "bits": 4}, ["--gpus", "0,1", "--num-gpus", "2"]),
    ],
)
def test_fastchats_worker_is_told_about_gpus_and_bits(block: dict[str, Any], more: list[str]) -> None:
    job = Assignment("m", LocalModel.model_validate({"source": "m", **block}), 20002, "http://127.0.0.1:20001", ("127.0.0.1",))
    said = command_line(job, Path("/models/m"), "cuda")
    assert said[:8] == ["--model-path", "/models/m", "--model-names", "m", "--device", "cuda", "--worker-address", "http://127.0.0.1:20002"]
    assert said[8:12] == ["--controller-address", "http://127.0.0.1:20001", "--limit-worker-concurrency", str(block.get("slots", 4))]
    assert said[12:] == more


@needs_bitsandbytes
def test_several_gpus_divide_a_model_in_4_bits() -> None:
    asked: dict[str, Any] = {}
    adapter = SimpleNamespace(load_model=lambda path, options: asked.update(options) or ("model", "tokenizer"))
    module = SimpleNamespace(load_model=None)
    load_in_4_bits(module, SimpleNamespace(get_model_adapter=lambda path: adapter))
    assert module.load_model("m", device="cuda", num_gpus=2, max_gpu_memory="13GiB", revision="main") == ("model", "tokenizer")
    assert (asked["device_map"], asked["max_memory"]) == ("auto", {0: "13GiB", 1: "13GiB"})
    assert asked["quantization_config"].bnb_4bit_quant_type == "nf4"
