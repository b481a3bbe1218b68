"""One model, three engines behind port 20000: llama.cpp, and FastChat's worker with transformers in float32 and bfloat16.

python -m benchmarks.engines                      both parts: eight minutes
python -m benchmarks.engines --part questions     three questions on the same passages, which is what a library is asked

The model is the embedded one; transformers gets a folder that is made from its GGUF file (`pip install gguf`). Requests to the
engines alternate. PAPERPROOF_PATHS__MODELS names the folder with the weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

from benchmarks.gateway_clients import asked
from benchmarks.machine import head
from configs.settings import ROOT
from server import weights
from server.llm import prompts
from server.types import Message
from tests.stack import SMALL_LLM, Process, free_port, until, write_settings

ENGINES = {
    "llama.cpp": "server.serving.worker",
    "transformers float32": "server.serving.transformers_worker",
    "transformers bfloat16": "benchmarks.bfloat16_worker",
}
OURS, STOCK = "llama.cpp", "transformers float32"
NEW_TOKENS = 64
CONTEXT_TOKENS = 4096
QUESTIONS = ("What is measured here?", "Which method is the best one, and by how much?", "What did not work?")
TOTAL_SHARE, FIRST_SHARE = 0.7, 0.3


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: seconds to the first word, to the end; tokens of prompt and answer; CPU-seconds of the worker meanwhile."""

    first_s: float
    total_s: float
    prompt_tokens: int
    new_tokens: int
    cpu_s: float

    @property
    def rate(self) -> float:
        """Tokens a second after the first."""
        return (self.new_tokens - 1) / max(1e-9, self.total_s - self.first_s)


class Engines:
    """Controller, gateway, and a worker for each engine."""

    def __init__(self, folder: Path, threads: int) -> None:
        models = Path(os.environ.get("PAPERPROOF_PATHS__MODELS", ROOT / "models"))
        file = weights.fetch(SMALL_LLM, models)
        whole = transformers_folder(file, folder / "whole")
        local: dict[str, dict[str, Any]] = {}
        for name in ENGINES:
            kind = {"source": str(file), "engine": "llama_cpp"} if name == OURS else {"source": str(whole), "engine": "transformers"}
            local[name] = {**kind, "context_tokens": CONTEXT_TOKENS, "slots": 4, "threads": threads, "device": "cpu"}
        settings = write_settings(folder, {"llm": {"default": OURS, "local": local}})
        ports = yaml.safe_load(settings.read_text())["server"]
        self._gateway = f"http://127.0.0.1:{ports['gateway_port']}/v1/chat/completions"
        self.processes = [Process(settings, "server.serving.controller"), Process(settings, "server.serving.gateway")]
        self._workers: dict[str, psutil.Process] = {}
        for name, module in ENGINES.items():
            self.processes.append(Process(settings, module, name, "--port", str(free_port())))
            self._workers[name] = psutil.Process(self.processes[-1].pid)
        controller = ports["controller_port"]
        until(lambda: len(_listed(controller)) == len(ENGINES), "all engines are registered", 120.0)

    def memory_mib(self, name: str) -> float:
        """Of its worker (RSS)."""
        return float(self._workers[name].memory_info().rss / 2**20)

    def ask(self, name: str, messages: Sequence[dict[str, str]]) -> Answered:
        """One streamed answer."""
        body = {"model": name, "messages": messages, "max_tokens": NEW_TOKENS, "temperature": 0, "stream": True}
        body["stream_options"] = {"include_usage": True}
        cpu, began, first, usage = self._cpu_s(name), time.monotonic(), 0.0, {}
        with httpx2.stream("POST", self._gateway, json=body, timeout=600.0, trust_env=False) as response:
            assert response.status_code == 200, response.read()
            for line in response.iter_lines():
                first = first or (time.monotonic() - began if '"content":"' in line.replace(" ", "") else 0.0)
                if '"usage"' in line:
                    usage = yaml.safe_load(line.removeprefix("data: ")).get("usage") or usage
        total = time.monotonic() - began
        return Answered(first, total, usage["prompt_tokens"], usage["completion_tokens"], self._cpu_s(name) - cpu)

    def end(self) -> None:
        """Stop them all."""
        for process in reversed(self.processes):
            process.end(within_s=20.0)

    def _cpu_s(self, name: str) -> float:
        times = self._workers[name].cpu_times()
        return float(times.user + times.system)


def transformers_folder(file: Path, folder: Path) -> Path:
    """The GGUF file as a folder for transformers, which reads such files but does not write what it read: weights go into a fresh model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    fresh = AutoModelForCausalLM.from_config(read.config)
    fresh.load_state_dict(read.state_dict())
    fresh.generation_config.eos_token_id = read.config.eos_token_id
    fresh.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return folder


def prompt(tokens: int, mark: str) -> list[dict[str, str]]:
    """Messages of about so many tokens; a `mark` of its own makes them differ from the first word on. Four characters are a token."""
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("docs/decisions.md", "README.md"))
    return [
        {"role": "system", "content": f"{mark}. You go on with texts."},
        {"role": "user", "content": f"{text[: tokens * 4]}\n\nGo on with this text for many paragraphs."},
    ]


def passages(mark: str) -> list[list[dict[str, str]]]:
    """The three conversations that server/llm/prompts.py makes of three questions on the same passages: they differ in the last line."""
    templates = prompts.load()
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    found = "\n\n".join(f"[{i + 1}] {mark}, p. {i + 1}: {text[1100 * i : 1100 * (i + 1)]}" for i in range(5))
    made = []
    for question in QUESTIONS:
        last = str(templates["library"]["question"]).format(passages=found, question=question)
        made.append([_body(Message("system", str(templates["library"]["en"]))), _body(Message("user", last))])
    return made


def by_prompts(engines: Engines, options: argparse.Namespace) -> bool:
    """Each engine with prompts of two lengths, one and four clients, cold and again."""
    print("\n## Prompts\n")
    print(f"{NEW_TOKENS} new tokens; medians. Warm is the same prompt again. CPU-s is that of the worker, for a request.\n")
    print("| engine | prompt tokens | clients | | first token s | tokens/s after it | total s | CPU-s |\n|---|---|---|---|---|---|---|---|")
    for tokens in options.tokens:
        for clients in options.clients:
            rows: dict[tuple[str, str], list[Answered]] = {}
            for turn in range(options.rounds):
                for name in ENGINES:
                    asks = [prompt(tokens, f"{name} {turn} {clients} {i}") for i in range(clients)]
                    for state in ("cold", "warm"):
                        rows.setdefault((name, state), []).extend(_together(engines, name, asks))
            for (name, state), given in sorted(rows.items()):
                _row(name, clients, state, given)
    return True


def _together(engines: Engines, name: str, asks: Sequence[list[dict[str, str]]]) -> list[Answered]:
    with ThreadPoolExecutor(len(asks)) as pool:
        given = list(pool.map(lambda messages: engines.ask(name, messages), asks))
    shared = max(answered.cpu_s for answered in given) / len(given)  # they ran side by side
    return [Answered(a.first_s, a.total_s, a.prompt_tokens, a.new_tokens, shared) for a in given]


def _row(name: str, clients: int, state: str, given: Sequence[Answered]) -> None:
    values = [statistics.median(column) for column in zip(*((a.first_s, a.rate, a.total_s, a.cpu_s) for a in given), strict=True)]
    shown = " | ".join(f"{value:.2f}" if place != 1 else f"{value:.1f}" for place, value in enumerate(values))
    print(f"| {name} | {given[0].prompt_tokens} | {clients} | {state} | {shown} |", flush=True)


def by_questions(engines: Engines, options: argparse.Namespace) -> bool:
    """Three questions in a row on the same passages, by one client."""
    totals: dict[str, list[float]] = {name: [] for name in ENGINES}
    cpu: dict[str, list[float]] = {name: [] for name in ENGINES}
    firsts: dict[str, list[list[float]]] = {name: [] for name in ENGINES}
    size = 0
    for turn in range(options.rounds):
        for name in ENGINES:
            given = [engines.ask(name, messages) for messages in passages(f"Round {turn}")]
            totals[name].append(sum(a.total_s for a in given))
            cpu[name].append(sum(a.cpu_s for a in given))
            firsts[name].append([a.first_s for a in given])
            size = given[0].prompt_tokens
    print("\n## Three questions on the same passages\n")
    print(f"A prompt has {size} tokens, an answer at most {NEW_TOKENS}; medians of {options.rounds}.\n")
    print("| engine | first token of question 1, 2, 3, s | all three, s | of float32's | CPU-s | memory MiB |\n|---|---|---|---|---|---|")
    stock, medians = statistics.median(totals[STOCK]), {}
    for name in ENGINES:
        medians[name] = [statistics.median(column) for column in zip(*firsts[name], strict=True)]
        times, total = ", ".join(f"{value:.2f}" for value in medians[name]), statistics.median(totals[name])
        numbers = f"{total:.1f} | {total / stock:.2f} | {statistics.median(cpu[name]):.1f} | {engines.memory_mib(name):.0f}"
        print(f"| {name} | {times} | {numbers} |", flush=True)
    share, second = statistics.median(totals[OURS]) / stock, medians[OURS][1] / medians[OURS][0]
    print(f"\n{OURS}: {share:.2f} of float32's total (at most {TOTAL_SHARE} is wanted); the second question's first token comes after")
    print(f"{second:.2f} of the first one's time (at most {FIRST_SHARE}).")
    return share <= TOTAL_SHARE and second <= FIRST_SHARE


def _body(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _listed(port: int) -> list[str]:
    try:
        return list(asked(port, "/list_models")["models"])
    except httpx2.HTTPError:
        return []


PARTS = {"prompts": by_prompts, "questions": by_questions}


def main() -> int:
    """Print the tables; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=list(PARTS), action="append", help="may be named several times; none: both")
    parser.add_argument("--tokens", type=int, nargs="+", default=[500, 1500], help="of the prompt, about (default: 500 1500)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4], help="at once (default: 1 4)")
    parser.add_argument("--rounds", type=int, default=1, help="of everything (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="of llama.cpp (default: 1)")
    options = parser.parse_args()
    print(head("Engines"))
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        engines = Engines(Path(folder), options.threads)
        try:
            for name in options.part or PARTS:
                if not PARTS[name](engines, options):
                    missed.append(name)
        finally:
            engines.end()
    print(f"\nMissed: {', '.join(missed) or 'nothing'}.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
