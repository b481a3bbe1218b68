"""What a supervised part is, how its deaths are answered, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

State = Literal["waiting", "starting", "ready", "silent", "resting", "failed", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class Part:
    """A command that should always run.

    `answers` asks once whether it is ready; `alive`, of a ready one, whether it still answers by itself (None: `answers`);
    `progress`, while it does not answer yet, how far it is, in words. Each takes 2 s at most and is called from a thread.
    """

    name: str
    command: tuple[str, ...]
    answers: Callable[[], bool]
    log: Path
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 120.0
    alive: Callable[[], bool] | None = None
    progress: Callable[[], str] = lambda: ""


@dataclass(frozen=True, slots=True)
class Patience:
    """How deaths are answered: pauses double from `first_s` to `longest_s`; a life of `healthy_s` makes the past forgotten.

    A ready part that has answered none of `looks` questions in `hang_s` is killed. Both must hold: a machine that was suspended gains
    time, but no looks.
    """

    first_s: float = 0.5
    longest_s: float = 30.0
    healthy_s: float = 60.0
    deaths: int = 5
    looks: int = 5
    hang_s: float = 20.0

    def pause_s(self, deaths: int) -> float:
        """The pause after that many quick deaths in a row."""
        return float(min(self.longest_s, self.first_s * 2 ** (deaths - 1)))


@dataclass(frozen=True, slots=True)
class Report:
    """What is known about a part: `seconds` from its first start to its answer, `reason` of its last trouble, `pid` while it runs.

    `progress` is how far it is while it starts.
    """

    name: str
    state: State
    address: str
    log: Path
    seconds: float | None
    reason: str
    pid: int | None = None
    progress: str = ""
