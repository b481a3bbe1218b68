"""What a worker process is to serve; in: settings and its arguments; out: the block of llm.local, its port, its controller."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from urllib.parse import urlsplit

from configs.local_models import LocalModel
from configs.settings import Settings, local_url
from server.access import App
from server.errors import Invalid
from server.serving.private_network import LOOPBACK, guarded, worker_hosts

BODY_LIMIT_MIB = 32  # of a request to a worker: a context of a million tokens

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
    """One worker's job. It listens on `hosts`; the last of them is where controller and gateway find it."""

    name: str
    model: LocalModel
    port: int
    controller: str
    hosts: tuple[str, ...]

    @property
    def address(self) -> str:
        """What the controller is told."""
        return local_url(self.hosts[-1], self.port)

    @property
    def peers(self) -> tuple[str, ...]:
        """Who may ask, beside loopback: this machine under its other address, and that of a controller elsewhere."""
        return () if self.hosts == (LOOPBACK,) else (*self.hosts[1:], urlsplit(self.controller).hostname or "")

    def guarded(self, app: App) -> App:
        """The worker's app, for those who may ask it."""
        return guarded(app, self.hosts, self.peers, body_limit_mib=BODY_LIMIT_MIB)


def arguments(description: str) -> argparse.Namespace:
    """The command line of every worker: name, port, controller."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("name", help="a model of llm.local")
    parser.add_argument("--port", type=int, help="default: server.worker_port")
    parser.add_argument("--controller", help="default: llm.controller, or the one on server.controller_port")
    return parser.parse_args()


def assignment(settings: Settings, given: argparse.Namespace, engine: str) -> Assignment:
    """Raises Invalid when the model isn't in llm.local, is for another kind of worker than `engine`, or its controller is out of reach."""
    model = settings.llm.local.get(given.name)
    if model is None:
        raise Invalid(f"no model {given.name!r} in llm.local; known: {', '.join(sorted(settings.llm.local)) or 'none'}")
    if model.engine != engine:
        raise Invalid(f"{given.name} has engine {model.engine}; this worker serves {engine}")
    controller = given.controller or settings.controller_url()
    hosts = worker_hosts(controller, settings.server.worker_networks)
    return Assignment(given.name, model, given.port or settings.server.worker_port, controller, hosts)
