"""FastChat's worker with the mended parts, serving a small random Llama."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import yaml

from configs.settings import LocalModel, Settings
from server.errors import Forbidden
from server.serving.gateway import build
from server.serving.transformers_worker import refuse_foreign_code
from tests.serving import tiny_models
from tests.stack import Process, served, until, write_settings

HI = [{"role": "user", "content": "hi"}]
SLOTS = 2
FREE_S = 3.0  # one second on an idle machine


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[openai.OpenAI, str]]:
    """A client of a gateway in front of the worker, and the worker's address."""
    folder = tmp_path_factory.mktemp("transformers")
    model = {"source": str(tiny_models.write(folder / "tiny")), "engine": "transformers", "device": "cpu", "slots": SLOTS}
    file = write_settings(folder, {"llm": {"default": "tiny", "local": {"tiny": model}}})
    controller = Process(file, "server.serving.controller")
    process = Process(file, "server.serving.transformers_worker", "tiny")
    settings = Settings.model_validate(yaml.safe_load(file.read_text()))
    try:
        with served(build(settings)) as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            process.ready(lambda: [model.id for model in client.models.list()] == ["tiny"])
            yield client, f"http://127.0.0.1:{settings.server.worker_port}"
    finally:
        assert process.end() < 2.0
        controller.end()


def post(url: str, body: Any = None) -> Any:
    return httpx2.post(url, json=body or {}, timeout=30.0, trust_env=False).json()


@pytest.mark.stack
def test_it_chats_with_its_own_template_and_streams_the_same(worker):
    client, address = worker
    ask: Any = {"model": "tiny", "messages": HI, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    template = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert whole.usage.prompt_tokens == post(f"{address}/count_token", {"prompt": template})["count"]
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert post(f"{address}/worker_get_conv_template")["conv"]["name"] == "chatml"


@pytest.mark.stack
@pytest.mark.parametrize("stream", [False, True])
def test_its_context_is_known_and_a_longer_prompt_is_400(worker, stream):
    client, address = worker
    assert post(f"{address}/model_details") == {"context_length": tiny_models.CONTEXT_TOKENS}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * 600}], stream=stream)
    assert caught.value.code == "context_length_exceeded"
    answer = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * 450}])  # no max_tokens: what fits
    assert answer.usage.total_tokens <= tiny_models.CONTEXT_TOKENS


@pytest.mark.stack
def test_embeddings_work_and_failures_give_their_place_back(worker):
    _, address = worker
    for _ in range(SLOTS + 1):
        assert len(post(f"{address}/worker_get_embeddings", {"input": ["a", "bc"]})["embedding"]) == 2
        assert post(f"{address}/worker_get_embeddings", {"input": 5})["error_code"] == 50001
        assert post(f"{address}/worker_get_embeddings", {})["error_code"] == 50001
        assert post(f"{address}/worker_generate", {"prompt": "x", "top_k": "many"})["error_code"] == 50001
    assert post(f"{address}/worker_get_status")["queue_length"] == 0


@pytest.mark.stack
def test_a_client_that_leaves_gives_its_place_back_within_a_second(worker):
    client, address = worker
    ask: Any = {"model": "tiny", "messages": HI, "max_tokens": 470, "temperature": 0}  # more than a second's work

    def busy() -> int:
        return int(post(f"{address}/worker_get_status")["queue_length"])

    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(**ask)
    until(lambda: busy() == 0, "the place is free", FREE_S)
    stream = client.chat.completions.create(**ask, stream=True)
    next(iter(stream))
    assert busy() == 1
    stream.close()
    until(lambda: busy() == 0, "the place is free", FREE_S)


def test_code_inside_a_model_folder_is_not_run_unless_it_is_trusted(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Model"}}))
    with pytest.raises(Forbidden, match="trust_remote_code: true"):
        refuse_foreign_code("m", Path(tmp_path), LocalModel.model_validate({"source": "m"}))
    refuse_foreign_code("m", Path(tmp_path), LocalModel.model_validate({"source": "m", "trust_remote_code": True}))
