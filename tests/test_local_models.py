"""Blocks of llm.local: the engine that is chosen, and the settings that are refused because they would do nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from configs.local_models import GGUF_NAMES, LocalModel
from configs.profiles import PROFILES
from configs.settings import Server, Settings
from server.launch import WORKERS
from server.weights import WEIGHTS


@pytest.mark.parametrize(
    ("source", "engine"),
    [
        ("~/models/qwen.gguf", "llama_cpp"),
        ("C:/models/QWEN.GGUF", "llama_cpp"),
        ("hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf", "llama_cpp"),
        ("modelscope:Qwen/Qwen2.5-0.5B-Instruct-GGUF/sub/q4.gguf", "llama_cpp"),
        ("hf:Qwen/Qwen2.5-0.5B-Instruct", "transformers"),
        ("/models/gguf", "transformers"),
        *((name, "llama_cpp") for name in GGUF_NAMES),
        ("chatglm2-6b", "transformers"),
    ],
)
def test_auto_chooses_the_engine_by_the_source(source: str, engine: str) -> None:
    assert LocalModel(source=source).engine == engine
    assert LocalModel.model_validate({"source": source, "engine": "auto"}).engine == engine


def test_the_names_that_are_files_are_those_of_the_table() -> None:
    assert set(GGUF_NAMES) == {name for name, row in WEIGHTS.items() if row.file.endswith(".gguf")}


def test_every_engine_but_auto_has_a_worker() -> None:
    engines = LocalModel.model_fields["engine"].annotation.__args__  # type: ignore[union-attr]
    assert {*WORKERS, "auto"} == set(engines)
    for profile in PROFILES.values():
        assert {model.engine for model in Settings.model_validate(profile).llm.local.values()} <= set(WORKERS)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"source": "m.gguf", "bits": 8}, "bits does nothing for engine llama_cpp (a GGUF file brings its own bits); leave it out"),
        ({"source": "m.gguf", "gpus": [0]}, "name the GPUs in CUDA_VISIBLE_DEVICES"),
        ({"source": "m", "threads": 4}, "threads does nothing for engine transformers"),
        ({"source": "m", "engine": "vllm", "bits": 4}, "vLLM takes a model as its folder is quantised"),
        ({"source": "m", "engine": "vllm", "device": "cpu"}, "engine vllm computes on GPUs, not on device cpu"),
        ({"source": "m.gguf", "engine": "transformers"}, "a .gguf file needs engine llama_cpp, or none named"),
        ({"source": "hf:a/b", "engine": "llama_cpp"}, "engine llama_cpp needs a file: hf:a/b/….gguf"),
        ({"source": "m", "gpus": [0], "device": "cpu"}, "gpus does nothing for device cpu"),
        ({"source": "m", "gpus": [1, 1]}, "gpus must be different numbers"),
        ({"source": "m", "gpus": [-1]}, "gpus must be different numbers"),
        ({"source": "m", "gpus": [0, 1], "bits": 8}, "FastChat's 8 bits work on one GPU only"),
        ({"source": "m", "gpus": [0], "gpu_memory_gib": 20}, "gpu_memory_gib divides a model among several GPUs"),
        ({"source": "m", "bits": 5}, "Input should be 16, 8 or 4"),
    ],
)
def test_what_would_do_nothing_is_refused_in_a_sentence(block: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LocalModel.model_validate(block)
    assert words in str(caught.value)


@pytest.mark.parametrize("network", ["10.1.0.0/16", "192.168.7.0/24", "172.16.0.0/12", "100.64.0.0/10", "fd12::/16", "127.0.0.2/32"])
def test_private_networks_may_bring_workers(network: str) -> None:
    assert Server.model_validate({"worker_networks": [network]}).worker_networks == (network,)


@pytest.mark.parametrize("network", ["0.0.0.0/0", "8.8.8.0/24", "172.0.0.0/8", "::/0", "2001:db8::/32"])
def test_public_networks_may_not(network: str) -> None:
    with pytest.raises(ValidationError, match=r"is not private: workers ask for no key; private are 10\.0\.0\.0/8, 172\.16\.0\.0/12"):
        Server.model_validate({"worker_networks": [network]})


@pytest.mark.parametrize("network", ["192.168.7.1/24", "here", "10.0.0.0/40"])
def test_what_is_no_network_is_named(network: str) -> None:
    with pytest.raises(ValidationError, match=r"is no network such as 192\.168\.7\.0/24"):
        Server.model_validate({"worker_networks": [network]})
