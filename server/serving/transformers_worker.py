"""FastChat's own model worker, mended; in: a name of llm.local; out: a process behind the controller.

`python -m server.serving.transformers_worker NAME`, also by the interpreter that LocalModel.python names: it needs fschat[model_worker],
torch, transformers, pydantic, PyYAML and python-dotenv. What is mended, and why: with transformers 5 the context length (KeyError
'factor') and embeddings (batch_encode_plus is gone) fail; an error outside FastChat's list keeps its place for ever; unknown models get
a conversation template with an example in it instead of their own; long prompts are cut silently; a controller that is away ends the
worker; a client that leaves is not noticed.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import logging
import os
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from configs.local_models import LocalModel
from configs.settings import load_settings
from server import weights
from server.errors import PaperError, Unavailable
from server.serving.listening import bind, log_to_stderr, run
from server.serving.loading import Loading
from server.serving.local_models import CHATML, Assignment, arguments, assignment
from server.serving.model_folder import GIB, needed_bytes, refuse_foreign_code, weights_bytes, why_not
from server.serving.streams import EventStream, while_connected

log = logging.getLogger(__name__)

HEARTBEAT_S, AGAIN_S, REGISTER_S = 5.0, 1.0, 10.0
VALIDATION_ERROR, CONTEXT_OVERFLOW, INTERNAL_ERROR = 40001, 40303, 50001  # FastChat's codes
_MENDED_ROUTES = ("/worker_generate_stream", "/worker_generate", "/worker_get_embeddings")


def mend(module: Any, model: LocalModel) -> None:
    """Put the mended parts into fastchat.serve.model_worker, before a worker is made."""

    conversation = importlib.import_module("fastchat.conversation")
    requests = importlib.import_module("requests")

    def context_length(config: Any) -> int:
        lengths = (getattr(config, key, None) for key in ("max_position_embeddings", "max_sequence_length", "seq_length", "max_seq_len"))
        return min(next((int(length) for length in lengths if length), 2048), model.context_tokens)

    class Mended(module.ModelWorker):  # type: ignore[misc]  # fastchat has no types, and must not be imported before
        conv: Any

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if not hasattr(self.tokenizer, "batch_encode_plus"):
                self.tokenizer.batch_encode_plus = self.tokenizer.__call__
            if self.conv.name == "one_shot":
                self.conv = conversation.Conversation(**CHATML) if "<|im_start|>" in self.template else self.make_conv_template("zero_shot")
                self.conv.sep_style = int(self.conv.sep_style)

        @property
        def template(self) -> str:
            return str(getattr(self.tokenizer, "chat_template", None) or "")

        def get_status(self) -> dict[str, Any]:
            return {**super().get_status(), "messages": True, "context_length": self.context_len or 0}

        def init_heart_beat(self) -> None:
            """Not yet: nothing listens when the stock worker registers."""

        def register_to_controller(self) -> None:
            told = {"worker_name": self.worker_addr, "check_heart_beat": True, "worker_status": self.get_status(), "multimodal": False}
            answer = requests.post(f"{self.controller_addr}/register_worker", json=told, timeout=REGISTER_S)
            if answer.status_code != 200:
                raise OSError(f"the controller refuses: {answer.text[:300]}")

        def stay_registered(self) -> None:
            while True:  # the stock calls end the worker, or this thread, when the controller is away
                try:
                    self.register_to_controller()
                    while True:
                        time.sleep(HEARTBEAT_S)
                        self.send_heart_beat()
                except (OSError, ValueError) as exc:
                    log.warning("not registered: %s; trying again in %g s", exc, AGAIN_S)
                    time.sleep(AGAIN_S)

        def prompt_of(self, messages: list[dict[str, str]]) -> str:
            if not self.template:
                conv = self.conv.copy()
                for message in messages:
                    if message["role"] == "system":
                        conv.set_system_message(message["content"])
                    else:
                        conv.append_message(conv.roles[message["role"] == "assistant"], message["content"])
                conv.append_message(conv.roles[1], None)
                return str(conv.get_prompt())
            prompt = str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
            begin = self.tokenizer.bos_token  # the tokenizer may add it once more
            twice = begin and prompt.startswith(begin) and self.tokenizer("a").input_ids[0] == self.tokenizer.bos_token_id
            return prompt[len(begin) :] if twice else prompt

        def generate_stream_gate(self, params: dict[str, Any]) -> Iterator[bytes]:
            try:
                if "messages" in params:
                    params = {**params, "prompt": self.prompt_of(params["messages"])}
                room = self.context_len - len(self.tokenizer(params["prompt"]).input_ids) - 1
                if room < 1 and not self.model.config.is_encoder_decoder:
                    raise OverflowError(f"the prompt has {self.context_len - 1 - room} tokens, the context {self.context_len}")
                wanted = int(params.get("max_new_tokens") or room)
                yield from super().generate_stream_gate({**params, "max_new_tokens": max(1, min(wanted, room))})
            except OverflowError as exc:
                yield _failure(exc, CONTEXT_OVERFLOW)
            except Exception as exc:
                log.exception("request failed")
                yield _failure(exc, VALIDATION_ERROR if "emplate" in type(exc).__name__ else INTERNAL_ERROR)

    module.ModelWorker, module.get_context_length = Mended, context_length


def mend_routes(app: Any, base: Any) -> None:
    """Routes that give a place back whatever happens, and stop when the client leaves."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") not in _MENDED_ROUTES]

    async def pieces(params: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        await base.acquire_worker_semaphore()
        try:
            async for piece in iterate_in_threadpool(base.worker.generate_stream_gate(params)):
                yield piece
        finally:
            base.release_worker_semaphore()

    async def last(params: dict[str, Any]) -> Any:
        piece = b"{}"
        async for item in pieces(params):
            piece = item
        return json.loads(piece.rstrip(b"\0"))

    async def embedded(params: dict[str, Any]) -> Any:
        await base.acquire_worker_semaphore()
        try:
            return await run_in_threadpool(base.worker.get_embeddings, params)
        except Exception as exc:
            log.exception("embeddings failed")
            return json.loads(_failure(exc, INTERNAL_ERROR).rstrip(b"\0"))
        finally:
            base.release_worker_semaphore()

    async def generate_stream(request: Request) -> Response:
        stream = pieces(await request.json())

        async def first() -> bytes:
            return await anext(stream)

        return EventStream(await while_connected(request, first()), stream, "application/octet-stream")

    async def generate(request: Request) -> Response:
        return JSONResponse(await while_connected(request, last(await request.json())))

    async def embeddings(request: Request) -> Response:
        return JSONResponse(await embedded(await request.json()))

    async def wrong(request: Request, exc: Exception) -> Response:
        log.warning("path=%s refused: %r", request.url.path, exc)
        return JSONResponse({"text": f"not a request of FastChat's protocol: {exc!r}"[:300], "error_code": VALIDATION_ERROR}, 400)

    for kind in (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # what FastChat's routes raise for such a body
        app.add_exception_handler(kind, wrong)
    for path, route in zip(_MENDED_ROUTES, (generate_stream, generate, embeddings), strict=True):
        app.add_api_route(path, route, methods=["POST"])


def _failure(exc: Exception, code: int) -> bytes:
    return json.dumps({"text": str(exc) or type(exc).__name__, "error_code": code}).encode() + b"\0"


def load_in_4_bits(module: Any, adapters: Any) -> None:
    """FastChat knows 8 bits only: its adapter for the model gets bitsandbytes' NF4 as transformers wants it."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise Unavailable(f"bits: 4 needs the package bitsandbytes: {sys.executable} -m pip install bitsandbytes")
    import torch
    from transformers import BitsAndBytesConfig

    def load(model_path: str, *, device: str, num_gpus: int, max_gpu_memory: str | None, revision: str, **_: Any) -> Any:
        dtype = torch.float32 if device == "cpu" else torch.float16
        nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
        options = {"torch_dtype": dtype, "revision": revision, "quantization_config": nf4, "device_map": {"": device}}
        if num_gpus > 1:
            options["device_map"] = "auto"
            if max_gpu_memory is not None:
                options["max_memory"] = dict.fromkeys(range(num_gpus), max_gpu_memory)
        return adapters.get_model_adapter(model_path).load_model(model_path, options)

    module.load_model = load


def command_line(job: Assignment, folder: Path, device: str) -> list[str]:
    """The arguments of FastChat's worker."""
    model = job.model
    line = ["--model-path", str(folder), "--model-names", job.name, "--device", device]
    line += ["--worker-address", job.address, "--controller-address", job.controller, "--limit-worker-concurrency", str(model.slots)]
    if model.gpus:
        line += ["--gpus", ",".join(map(str, model.gpus)), "--num-gpus", str(len(model.gpus))]
    if model.gpu_memory_gib is not None:
        line += ["--max-gpu-memory", f"{model.gpu_memory_gib:g}GiB"]
    return [*line, "--load-8bit"] if model.bits == 8 else line


def main() -> None:
    """Load the model through FastChat, then serve it."""
    given = arguments("FastChat's model worker with transformers.")
    log_to_stderr()
    settings = load_settings()
    try:
        job = assignment(settings, given, "transformers")
        folder = weights.find(job.model.source, settings.paths.models)
        refuse_foreign_code(job.name, folder, job.model)
        stored = weights_bytes(job.name, folder)
    except PaperError as exc:
        raise SystemExit(str(exc)) from exc
    taken = [bind(host, job.port) for host in job.hosts]
    os.environ["LOGDIR"] = ""  # no log files of FastChat's own: whoever starts us keeps our output
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(  # neither the controller nor this machine is asked through a proxy
        filter(None, (os.environ.get("NO_PROXY"), *job.hosts, *job.peers, "localhost"))
    )
    if job.model.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, job.model.gpus))  # before torch looks
    with Loading(job.name, taken, job.peers, stored) as loading:
        module, worker = _load(job, folder, stored, loading)
    threading.Thread(target=worker.stay_registered, daemon=True).start()
    run(job.guarded(module.app), *taken)


def _load(job: Assignment, folder: Path, stored: int, loading: Loading) -> tuple[Any, Any]:
    """FastChat's module and its worker. Ends the process with one sentence when the model does not load."""
    needed = stored
    try:
        base = importlib.import_module("fastchat.serve.base_model_worker")
        module = importlib.import_module("fastchat.serve.model_worker")
        device = _device(job.model)
        needed = needed_bytes(folder, stored, job.model, device)
        _warn_of_memory(job.name, needed, device)
        loading.hook(importlib.import_module("fastchat.model.compression"))
        mend(module, job.model)
        mend_routes(module.app, base)
        if job.model.bits == 4:
            load_in_4_bits(module, importlib.import_module("fastchat.model.model_adapter"))
        gc.freeze()  # FastChat's compression collects garbage after each tensor: 0.2 s each over all that was imported
        sys.argv = [sys.argv[0], *command_line(job, folder, device)]
        _, worker = module.create_model_worker()
    except Exception as exc:
        log.info("loading failed\n%s", textwrap.indent(traceback.format_exc(), "    "))  # indented: the sentence is the reason
        sys.stderr = sys.__stderr__  # FastChat has put a log format around it
        raise SystemExit(str(why_not(job.name, folder, exc, needed))) from exc
    return module, worker


def _warn_of_memory(name: str, needed: int, device: str) -> None:
    """Linux kills a process that takes too much, and then this line is the last in its log."""
    import psutil

    free = psutil.virtual_memory().available
    if device == "cpu" and needed > free:
        log.warning("%s needs about %.1f GiB of memory for its weights, and %.1f GiB are free", name, needed / GIB, free / GIB)


def _device(model: LocalModel) -> str:
    import torch

    seen = torch.cuda.device_count()  # of those in CUDA_VISIBLE_DEVICES
    if len(model.gpus) > seen:
        raise Unavailable(f"gpus names {', '.join(map(str, model.gpus))}, and torch sees {seen} of them")
    if model.device != "auto":
        return model.device
    if seen:
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


if __name__ == "__main__":
    main()
