"""The real controller, llama.cpp worker and gateway, driven by the openai client."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import yaml

from configs.settings import ROOT
from tests.stack import SMALL_LLM, Process, small_llm, until, write_settings

pytestmark = pytest.mark.stack

CONTEXT_TOKENS = 1024
HI: Any = [{"role": "user", "content": "Say hi."}]
# One second on an idle machine, which the name of the test promises; tests often run on a busy one. Without an end the work goes on for
# seven seconds and more.
FREE_S = 4.0
TALE: Any = [{"role": "user", "content": "Tell a very long story."}]
LONG: Any = [{"role": "user", "content": "word " * 950}]  # about seven seconds of reading on one core


@dataclass
class Stack:
    """The three processes and ways to ask them."""

    settings: Path
    controller: Process
    worker: Process
    gateway: Process
    ports: dict[str, int]

    def post(self, port: str, path: str, body: Any = None) -> Any:
        return httpx2.post(f"http://127.0.0.1:{self.ports[port]}{path}", json=body or {}, timeout=30.0, trust_env=False).json()

    def client(self, **more: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.ports['gateway_port']}/v1", api_key="none", max_retries=0, **more)

    def listed(self) -> bool:
        return self.post("controller_port", "/list_models")["models"] == [SMALL_LLM]

    def busy(self) -> int:
        return int(self.post("worker_port", "/worker_get_status")["queue_length"])

    def start(self, module: str, *arguments: str) -> Process:
        return Process(self.settings, f"server.serving.{module}", *arguments)


def answers(call: Callable[[], Any]) -> bool:
    """Whether a call gets through and holds."""
    try:
        return bool(call())
    except httpx2.TransportError:
        return False


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Stack]:
    file = small_llm()
    model = {"source": str(file), "context_tokens": CONTEXT_TOKENS, "slots": 2, "parameters_m": 135}
    settings = write_settings(folder, {"llm": {"default": SMALL_LLM, "local": {SMALL_LLM: model}}})
    ports = yaml.safe_load(settings.read_text())["server"]
    with contextlib.ExitStack() as ends:

        def start(module: str, *arguments: str) -> Process:
            process = Process(settings, f"server.serving.{module}", *arguments)
            ends.callback(process.end)
            return process

        worker = start("worker", SMALL_LLM)  # before its controller, on purpose
        stack = Stack(settings, start("controller"), worker, start("gateway"), ports)
        health = f"http://127.0.0.1:{ports['gateway_port']}/health"
        stack.gateway.ready(lambda: answers(lambda: httpx2.get(health, trust_env=False).status_code == 200))
        stack.worker.ready(lambda: answers(stack.listed))
        yield stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """For tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """For tests that break it."""
    with running(tmp_path) as stack:
        yield stack


def test_the_model_is_listed_and_chats(stack):
    client = stack.client()
    assert [model.id for model in client.models.list()] == [SMALL_LLM]
    assert client.models.retrieve(SMALL_LLM).owned_by == "local"
    answer = client.chat.completions.create(model=SMALL_LLM, messages=HI, max_completion_tokens=5, temperature=0)
    assert (answer.object, answer.model) == ("chat.completion", SMALL_LLM)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 5)
    assert answer.choices[0].message.content
    text = client.completions.create(model=SMALL_LLM, prompt="1 2 3", max_tokens=3)
    assert (text.object, text.usage.completion_tokens) == ("text_completion", 3)


def test_roles_parts_tools_and_unknown_parameters_are_accepted(stack):
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How is the weather?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ]
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    more = {"seed": 1, "stop": ["x"], "user": "u", "store": False, "extra_body": {"wibble": 1}}
    answer = stack.client().chat.completions.create(model=SMALL_LLM, messages=messages, tools=tools, max_tokens=4, **more)
    assert answer.usage.prompt_tokens > 10


def test_a_response_format_is_kept(stack):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    shape: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    answer = stack.client().chat.completions.create(model=SMALL_LLM, messages=HI, response_format=shape, max_tokens=60, temperature=0)
    assert isinstance(json.loads(answer.choices[0].message.content)["n"], int)


def test_a_stream_says_the_same_as_a_whole_answer_and_ends_with_usage(stack):
    ask: Any = {"model": SMALL_LLM, "messages": HI, "max_tokens": 12, "temperature": 0}
    chunks = list(stack.client().chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    *said, last = chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in said)
    assert text == stack.client().chat.completions.create(**ask).choices[0].message.content
    assert (last.choices, last.usage.completion_tokens) == ([], 12)
    assert {(chunk.id, chunk.object, chunk.model) for chunk in chunks} == {(chunks[0].id, "chat.completion.chunk", SMALL_LLM)}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert said[-1].choices[0].finish_reason == "length"
    plain = list(stack.client().chat.completions.create(**ask, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in plain)


def test_an_unknown_model_is_404(stack):
    with pytest.raises(openai.NotFoundError) as caught:
        stack.client().chat.completions.create(model="nope", messages=HI)
    assert caught.value.code == "model_not_found"
    assert SMALL_LLM in caught.value.message


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_400(stack, stream):
    messages: Any = [{"role": "user", "content": "word " * CONTEXT_TOKENS}]
    with pytest.raises(openai.BadRequestError) as caught:
        stack.client().chat.completions.create(model=SMALL_LLM, messages=messages, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert str(CONTEXT_TOKENS) in caught.value.message


def test_wrong_values_are_400_and_the_worker_lives_on(stack):
    for wrong in ({"temperature": "hot"}, {"n": 99}, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}):
        with pytest.raises(openai.BadRequestError):
            stack.client().chat.completions.create(**{"model": SMALL_LLM, "messages": HI, **wrong})
    assert stack.busy() == 0


def test_a_stream_that_is_left_frees_its_slot_within_a_second(stack):
    stream = stack.client().chat.completions.create(model=SMALL_LLM, messages=TALE, stream=True)
    next(iter(stream))
    assert stack.busy() == 1
    stream.close()
    until(lambda: stack.busy() == 0, "the slot is free", FREE_S)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_left_while_its_prompt_is_read_frees_its_slot_within_a_second(stack, stream):
    with pytest.raises(openai.APITimeoutError):
        stack.client(timeout=0.8).chat.completions.create(model=SMALL_LLM, messages=LONG, stream=stream)
    until(lambda: stack.busy() == 0, "the slot is free", FREE_S)


def test_requests_beyond_the_slots_wait_their_turn(stack):
    with contextlib.ExitStack() as streams:
        for _ in range(3):
            ask: Any = {"model": SMALL_LLM, "messages": HI, "max_tokens": 30, "stream": True}
            answer = streams.enter_context(httpx2.stream("POST", f"{stack.client().base_url}chat/completions", json=ask, timeout=60.0))
            assert answer.status_code == 200
    until(lambda: stack.busy() == 0, "all slots are free", 5.0)


def test_a_plain_fastchat_client_is_served(stack):
    from fastchat.conversation import Conversation

    conv = Conversation(**stack.post("worker_port", "/worker_get_conv_template")["conv"])
    conv.set_system_message("Be brief.")
    conv.append_message(conv.roles[0], "Say hi.")
    conv.append_message(conv.roles[1], None)
    prompt = conv.get_prompt()
    assert prompt == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n"
    count = stack.post("worker_port", "/count_token", {"prompt": prompt})["count"]
    params = {"prompt": prompt, "temperature": 0, "max_new_tokens": 6, "echo": False}
    whole = stack.post("worker_port", "/worker_generate", params)
    assert (whole["error_code"], whole["finish_reason"]) == (0, "length")
    assert whole["usage"] == {"prompt_tokens": count, "completion_tokens": 6, "total_tokens": count + 6}
    url = f"http://127.0.0.1:{stack.ports['worker_port']}/worker_generate_stream"
    pieces = [json.loads(item) for item in httpx2.post(url, json=params, timeout=30.0).content.split(b"\0") if item]
    texts = [piece["text"] for piece in pieces]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert pieces[-1]["text"] == whole["text"]
    refused = stack.post("worker_port", "/worker_generate", {"prompt": "word " * 2000})
    assert refused["error_code"] == 40303
    assert stack.post("worker_port", "/model_details") == {"context_length": CONTEXT_TOKENS}
    assert "embedding model" in stack.post("worker_port", "/worker_get_embeddings")["error"]["message"]


def test_a_killed_worker_is_noticed_within_two_seconds(own_stack):
    own_stack.client().chat.completions.create(model=SMALL_LLM, messages=HI, max_tokens=1)
    stream = iter(own_stack.client().chat.completions.create(model=SMALL_LLM, messages=TALE, stream=True))
    next(stream)
    own_stack.worker.end(signal.SIGKILL)
    with pytest.raises(openai.APIError, match="broke off its answer"):
        list(stream)
    started = time.monotonic()
    with pytest.raises(openai.APIStatusError) as caught:
        own_stack.client().chat.completions.create(model=SMALL_LLM, messages=HI)
    assert time.monotonic() - started < 2.0
    assert caught.value.status_code == 503
    assert "no worker serves" in caught.value.message
    assert re.search("is not running|cannot be reached", caught.value.message)  # as the question or the request itself found out
    assert list(own_stack.client().models.list()) == []
    again = own_stack.start("worker", SMALL_LLM)
    try:
        again.ready(lambda: answers(own_stack.listed))
        own_stack.client().chat.completions.create(model=SMALL_LLM, messages=HI, max_tokens=1)
    finally:
        again.end()


def test_a_new_controller_learns_of_the_worker_within_seconds_and_all_stop_at_once(own_stack):
    assert own_stack.controller.end() < 2.0
    again = own_stack.start("controller")
    try:
        again.ready(lambda: answers(own_stack.listed), within_s=10.0)
        streams = [own_stack.client().chat.completions.create(model=SMALL_LLM, messages=TALE, stream=True) for _ in range(2)]
        assert all(next(iter(stream)) for stream in streams)  # open streams hold nothing up
        for process in (own_stack.gateway, own_stack.worker):
            assert process.end() < 2.0
    finally:
        assert again.end() < 2.0


def test_a_port_in_use_and_missing_weights_are_said_in_words(own_stack):
    for module, arguments, words in (
        ("controller", (), "is something else running there?"),
        ("worker", (SMALL_LLM,), "is something else running there?"),
        ("worker", ("nope",), "no model 'nope' in llm.local; known: "),
        ("transformers_worker", (SMALL_LLM,), "this worker serves transformers"),
    ):
        process = own_stack.start(module, *arguments)
        until(lambda process=process: process.ended, "it ends", 20.0)
        assert words in process.log.read_text()
        assert "Traceback" not in process.log.read_text()


def test_the_gateway_imports_nothing_heavy():
    heavy = ("torch", "transformers", "fastapi", "fastchat", "langchain_core", "numpy", "xllamacpp")
    code = f"import sys, server.serving.gateway; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
