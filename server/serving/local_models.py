"""What a worker process is to serve; in: settings and its arguments; out: the block of llm.local, its port, its controller."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from configs.settings import LocalModel, Settings
from server.errors import Invalid

HOST = "127.0.0.1"  # workers ask for no key, so nobody else may reach them

# FastChat's conversation template for ChatML, for clients that make prompts themselves; sep_style 9 is its SeparatorStyle.CHATML.
CHATML = {
    "name": "chatml",
    "system_template": "<|im_start|>system\n{system_message}",
    "system_message": "",
    "roles": ["<|im_start|>user", "<|im_start|>assistant"],
    "messages": [],
    "offset": 0,
    "sep_style": 9,
    "sep": "<|im_end|>",
    "sep2": None,
    "stop_str": ["<|im_end|>"],
    "stop_token_ids": None,
}


@dataclass(frozen=True, slots=True)
class Assignment:
    """One worker's job."""

    name: str
    model: LocalModel
    port: int
    controller: str

    @property
    def address(self) -> str:
        """Where the controller and the gateway find the worker."""
        return f"http://{HOST}:{self.port}"


def arguments(description: str) -> argparse.Namespace:
    """The command line of every worker: name, port, controller."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("name", help="a model of llm.local")
    parser.add_argument("--port", type=int, help="default: server.worker_port")
    parser.add_argument("--controller", help="default: llm.controller, or the one on server.controller_port")
    return parser.parse_args()


def assignment(settings: Settings, given: argparse.Namespace, engine: str) -> Assignment:
    """Raises Invalid when the model isn't in llm.local, or is for another kind of worker than `engine`."""
    model = settings.llm.local.get(given.name)
    if model is None:
        raise Invalid(f"no model {given.name!r} in llm.local; known: {', '.join(sorted(settings.llm.local)) or 'none'}")
    if model.engine != engine:
        raise Invalid(f"{given.name} has engine {model.engine}; this worker serves {engine}")
    return Assignment(given.name, model, given.port or settings.server.worker_port, given.controller or controller_of(settings))


def controller_of(settings: Settings) -> str:
    """The controller that the settings name, or the one that we start ourselves."""
    return settings.llm.controller or f"http://{HOST}:{settings.server.controller_port}"
