"""FastChat's vLLM worker, guarded; in: a name of llm.local with engine vllm; out: a process behind the controller.

`python -m server.serving.vllm_worker NAME`, by the interpreter that LocalModel.python names. FastChat's worker is from February 2024 and
uses what vLLM had then: SamplingParams(use_beam_search=…) and engine.engine.tokenizer. A newer vLLM serves by itself (`vllm serve`), as
an endpoint of llm.endpoints. No GPU was at hand: nothing behind the command line is tested.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

from configs.settings import load_settings
from server import weights
from server.errors import PaperError, Unavailable
from server.serving.listening import bind, log_to_stderr, run
from server.serving.local_models import Assignment, arguments, assignment
from server.serving.model_folder import refuse_foreign_code, weights_bytes

TOO_NEW = (0, 6, 2)  # beam search left SamplingParams about then, which FastChat's worker still passes
_OR_SERVE = "or run `vllm serve MODEL` and name it under llm.endpoints with its base_url"


def check(name: str) -> None:
    """Raises Unavailable, with the way out, when vLLM is not there or is too new for FastChat's worker."""
    if importlib.util.find_spec("vllm") is None:
        raise Unavailable(
            f"cannot load {name}: engine vllm needs the package vllm in the environment of {sys.executable}: there "
            f"`pip install 'vllm<{_text(TOO_NEW)}' fschat[model_worker]`, and name it in llm.local.{name}.python; {_OR_SERVE}"
        )
    version = importlib.metadata.version("vllm")
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:3] if part.isdigit())
    if numbers >= TOO_NEW:
        raise Unavailable(
            f"cannot load {name}: FastChat's worker does not know vLLM {version}; `pip install 'vllm<{_text(TOO_NEW)}'`, {_OR_SERVE}"
        )


def command_line(job: Assignment, folder: Path) -> list[str]:
    """The arguments of FastChat's vLLM worker. Its --trust_remote_code turns that off."""
    model = job.model
    line = ["--model-path", str(folder), "--model-names", job.name, "--worker-address", job.address, "--controller-address", job.controller]
    line += ["--limit-worker-concurrency", str(model.slots), "--max-model-len", str(model.context_tokens)]
    if len(model.gpus) > 1:
        line += ["--num-gpus", str(len(model.gpus))]
    return line if model.trust_remote_code else [*line, "--trust_remote_code"]


def main() -> None:
    """Load the model through FastChat and vLLM, then serve it."""
    given = arguments("FastChat's model worker with vLLM.")
    log_to_stderr()
    settings = load_settings()
    try:
        job = assignment(settings, given, "vllm")
        check(job.name)
        folder = weights.find(job.model.source, settings.paths.models)
        refuse_foreign_code(job.name, folder, job.model)
        weights_bytes(job.name, folder)
    except PaperError as exc:
        raise SystemExit(str(exc)) from exc
    taken = [bind(host, job.port) for host in job.hosts]
    os.environ["LOGDIR"] = ""
    if job.model.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, job.model.gpus))
    _serve(job, command_line(job, folder), taken)


def _serve(job: Assignment, line: list[str], taken: list[socket.socket]) -> None:
    """FastChat's module runs as a program and ends by calling uvicorn; its app is given to our guard and our sockets instead."""
    uvicorn: Any = importlib.import_module("uvicorn")

    def guarded(app: Any, **_: Any) -> None:
        run(job.guarded(app), *taken)

    uvicorn.run = guarded
    sys.argv = ["fastchat.serve.vllm_worker", *line]
    runpy.run_module("fastchat.serve.vllm_worker", run_name="__main__")


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    main()
