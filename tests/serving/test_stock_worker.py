"""FastChat's stock worker, unmended, behind our controller and gateway: it knows prompts only, and chats all the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
import yaml

from configs.settings import ROOT, Settings
from server.errors import BackendFailed, PaperError
from server.serving.gateway import build
from server.serving.stock_prompts import render
from tests.serving import tiny_models
from tests.stack import Process, free_port, served, write_settings

HI: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
VICUNA = {
    "name": "vicuna_v1.1",
    "system_template": "{system_message}",
    "system_message": "A chat.",
    "roles": ["USER", "ASSISTANT"],
    "messages": [],
    "offset": 0,
    "sep_style": 2,
    "sep": " ",
    "sep2": "</s>",
    "stop_str": None,
    "stop_token_ids": None,
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    folder = tmp_path_factory.mktemp("stock")
    model = tiny_models.write_gpt2(folder / "vicuna-tiny")  # FastChat chooses the template by the name
    file = write_settings(folder, {})
    settings = Settings.model_validate({**yaml.safe_load(file.read_text()), "llm": {"default": "x", "local": {"x": {"source": "x"}}}})
    controller = Process(file, "server.serving.controller")
    port, at = free_port(), f"http://127.0.0.1:{settings.server.controller_port}"
    with served(build(settings)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        controller.ready(lambda: answers(f"{at}/list_models"))
        where = ["--port", str(port), "--worker-address", f"http://localhost:{port}", "--controller-address", at]
        what = ["--model-path", str(model), "--model-names", "stock", "--device", "cpu"]
        process = Process(file, "fastchat.serve.model_worker", *what, *where)
        try:
            process.ready(lambda: answers(f"http://127.0.0.1:{port}/worker_get_status"))  # it registers before it listens
            assert [each.id for each in client.models.list()] == ["stock"]
            yield client
        finally:
            process.end()
            controller.end()


def answers(url: str) -> bool:
    try:
        return httpx2.post(url, json={}, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.stack
def test_it_chats_and_streams_the_same_with_fastchats_template(stock: openai.OpenAI) -> None:
    ask: Any = {"model": "stock", "messages": HI, "max_tokens": 12, "temperature": 0}
    whole = stock.chat.completions.create(**ask)
    said, last = whole.choices[0].message.content, whole.choices[0].finish_reason
    chunks = list(stock.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == said
    assert (last, whole.usage.completion_tokens, chunks[-1].usage.completion_tokens) == ("length", 11, 11)  # FastChat counts from 0
    assert whole.usage.prompt_tokens == len("Be brief. USER: hi ASSISTANT:")  # the tokenizer has a token for each byte


@pytest.mark.stack
@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_fit_is_an_error_and_not_cut_in_silence(stock: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        stock.chat.completions.create(model="stock", messages=[{"role": "user", "content": "x" * 600}], stream=stream)
    assert caught.value.code == "context_length_exceeded"
    longest = stock.chat.completions.create(model="stock", messages=[{"role": "user", "content": "x" * 300}])  # no max_tokens: what fits
    assert longest.usage.total_tokens <= tiny_models.CONTEXT_TOKENS


def test_a_template_is_filled_as_fastchat_does_it() -> None:
    talk = [*HI, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "and?"}]
    assert render(VICUNA, talk) == {
        "prompt": "Be brief. USER: hi ASSISTANT: hello</s>USER: and? ASSISTANT:",
        "stop": [],
        "stop_token_ids": [],
    }
    assert render(VICUNA, HI[1:])["prompt"] == "A chat. USER: hi ASSISTANT:"
    two = [HI[0], {"role": "system", "content": "In English."}, HI[1]]
    assert render(VICUNA, two)["prompt"] == "Be brief.\nIn English. USER: hi ASSISTANT:"
    stops = render({**VICUNA, "stop_str": ["</s>", ""], "stop_token_ids": [2]}, HI)
    assert (stops["stop"], stops["stop_token_ids"]) == (["</s>"], [2])


def test_a_model_that_fastchat_does_not_know_gets_no_example_in_front() -> None:
    from fastchat.conversation import get_conv_template

    one_shot = {**vars(get_conv_template("one_shot"))}
    assert len(render(one_shot, HI)["prompt"]) < 100
    assert render(one_shot, HI)["stop"] == ["###"]


@pytest.mark.parametrize("wrong", [{}, {"name": "x"}, {**VICUNA, "sep_style": 99}, {**VICUNA, "more": 1}])
def test_what_is_no_template_is_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(BackendFailed, match="is not FastChat's") as caught:
        render(wrong, HI)
    assert isinstance(caught.value, PaperError)


def test_the_gateway_imports_no_fastchat_until_such_a_chat_comes() -> None:
    code = (
        "import sys, server.serving.gateway; assert 'fastchat' not in sys.modules\n"
        "from server.serving.stock_prompts import render\n"
        f"render({VICUNA!r}, [{{'role': 'user', 'content': 'x'}}]); assert 'fastchat.conversation' in sys.modules\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
