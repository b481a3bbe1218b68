"""chatglm2's way: a model with code of its own, served by an environment of its own, beside a GLM of transformers' own classes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from configs.settings import ROOT, load_settings
from server import launch
from server.launch import Wish, make_plan
from server.parts import Part
from server.serving.gateway import build
from tests.serving import tiny_models
from tests.stack import Process, free_port, served, until, write_settings

pytestmark = pytest.mark.stack

CODE = Path(__file__).parent / "remote_glm"
TRANSFORMERS = "4.41.2"  # as the README says, with the other packages
PACKAGES = ("fschat==0.2.36", f"transformers=={TRANSFORMERS}", "sentencepiece", "protobuf", "psutil", "pydantic", "PyYAML", "python-dotenv")
WITHOUT_TORCH = ("accelerate<1", "peft<0.13")
CLASS = "modeling_tinyglm.ChatGLMTiny"
MODELS = ["chatglm2-6b", "chatglm2-6b-in-8-bits", "glm"]
HI: Any = [{"role": "user", "content": "你好"}]


def own_environment(folder: Path) -> Path:
    """The interpreter of a new environment as the README makes it, but for torch, which is taken from ours to save 200 MB."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    for more in (PACKAGES, ("--no-deps", *WITHOUT_TORCH)):
        done = subprocess.run([python, "-m", "pip", "install", "-q", *more], capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            pytest.skip(f"PyPI cannot be reached: {done.stderr.strip().splitlines()[-1:]}")
    packages = next((folder / "lib").glob("python3*")) / "site-packages"
    (packages / "torch-of-the-main-environment.pth").write_text(sysconfig.get_path("purelib"))  # behind its own packages
    return python


def write_own_code(folder: Path) -> Path:
    """A model folder as chatglm2's: Python files, a config with auto_map, weights of a class that transformers does not know."""
    import torch

    tokens, end = tiny_models.tokenizer(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}))
    for file in folder.glob("chat_template*"):
        file.unlink()
    for file in CODE.glob("*.py"):
        shutil.copy(file, folder)
    auto_map = {"AutoConfig": "configuration_tinyglm.TinyGlmConfig", "AutoModel": CLASS, "AutoModelForCausalLM": CLASS}
    config = {"model_type": "chatglm", "auto_map": auto_map, "padded_vocab_size": tokens, "seq_length": 512, "eos_token_id": end}
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["ChatGLMTiny"], "torch_dtype": "float32"}))
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(1)
    model = AutoModel.from_config(AutoConfig.from_pretrained(folder, trust_remote_code=True), trust_remote_code=True)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")  # the format in which chatglm2 is published
    return folder


def started(part: Part, log: Path) -> subprocess.Popen[bytes]:
    """As the supervisor does it."""
    with log.open("wb") as output:
        environment = {**os.environ, **part.environment}
        return subprocess.Popen(part.command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module", params=["main", pytest.param("own", marks=pytest.mark.slow)])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return None if request.param == "main" else own_environment(tmp_path_factory.mktemp("environment") / "glm")


@pytest.fixture(scope="module")
def client(environment: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """A gateway in front of the workers, which are started by the commands of startup.py."""
    folder = tmp_path_factory.mktemp("two")
    own: dict[str, Any] = {"source": str(write_own_code(folder / "chatglm2-tiny")), "device": "cpu", "trust_remote_code": True}
    if environment is not None:
        own["python"] = str(environment)
    local = {MODELS[0]: own, MODELS[1]: {**own, "bits": 8}, "glm": {"source": str(tiny_models.write_glm(folder / "glm")), "device": "cpu"}}
    file = write_settings(folder, {"llm": {"default": "glm", "run": MODELS, "local": local}})
    with pytest.MonkeyPatch.context() as patch, httpx2.Client(trust_env=False) as http:
        patch.setenv("PAPERPROOF_SETTINGS", str(file))
        plan, settings = make_plan(Wish(("--model-worker",))), load_settings()
        parts = [launch.worker(plan, http, name, free_port()).part for name in plan.models]
        controller, logs = Process(file, "server.serving.controller"), [folder / f"{part.name}.log" for part in parts]
        processes = [started(part, log) for part, log in zip(parts, logs, strict=True)]
        try:
            for part, process, log in zip(parts, processes, logs, strict=True):

                def answers(part: Any = part, process: Any = process, log: Path = log) -> bool:
                    assert process.poll() is None, log.read_text(errors="replace")[-3000:]
                    return bool(part.answers())

                until(answers, f"{part.name} answers", 120.0)
            with served(build(settings)) as url:
                yield openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        finally:
            for process in processes:
                process.terminate()
                process.wait(10)
            controller.end()


@pytest.mark.parametrize("model", MODELS)
def test_all_chat_and_stream_through_port_20000(client: openai.OpenAI, model: str) -> None:
    assert [each.id for each in client.models.list()] == MODELS
    ask: Any = {"model": model, "messages": HI, "max_tokens": 16, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True))
    assert whole.choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    prompt = "^user\n你好^\n^assistant\n" if model == "glm" else "[Round 1]\n\n问：你好\n\n答："
    assert whole.usage.prompt_tokens == len(prompt.encode())  # a token for each byte, and for each mark of ChatML, here ^


def test_each_worker_runs_in_its_own_environment(client: openai.OpenAI, environment: Path | None) -> None:
    if environment is not None:
        code = "import transformers; print(transformers.__version__)"
        assert subprocess.run([environment, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == TRANSFORMERS
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chatglm2-6b", messages=[{"role": "user", "content": "长" * 300}])
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_makes_the_environment_that_is_tested(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8").replace("[model_worker]", "")
    lines = text[text.index("python3.11 -m venv ~/envs/glm") :].partition("```")[0]
    assert all(package in lines for package in (*PACKAGES, *WITHOUT_TORCH))
