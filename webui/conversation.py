"""A question to a library in, a Turn that fills while a thread reads the answer out. Knows nothing of Streamlit.

The answer is read beside the page, so a click elsewhere does not cut it off, and Stop works while the model is silent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from webui.client import ChatStream, Client, ClientError
from webui.values import Citation, Message

HISTORY_TURNS = 8  # older ones are left out of the request
UNWATCHED_S = 150.0  # browsers slow a hidden tab down to one sign of life a minute


@dataclass
class Turn:
    """A question and its answer so far. One thread writes, the page only reads; single assignments need no lock."""

    question: str
    text: str = ""
    citations: tuple[Citation, ...] = ()
    refused: bool = False
    state: Literal["running", "done", "stopped", "failed"] = "running"
    error: ClientError | None = None
    finished: threading.Event = field(default_factory=threading.Event)
    stream: ChatStream | None = None
    clock: Callable[[], float] = time.monotonic
    seen_at: float = 0.0  # when a page last looked

    @property
    def running(self) -> bool:
        """Whether more is to come."""
        return self.state == "running"

    def watched(self) -> None:
        """A page looks at it: somebody is there."""
        self.seen_at = self.clock()

    def stop(self) -> None:
        """End the answer now and keep what has come."""
        if self.running:
            self.state = "stopped"
        if self.stream is not None:
            self.stream.stop()


def ask(client: Client, kb: str, turns: Sequence[Turn], question: str, *, clock: Callable[[], float] = time.monotonic) -> Turn:
    """Send a question with the conversation so far; returns at once, `finished` is set when the answer has ended."""
    stream = client.chat(kb, [*history(turns), Message(role="user", content=question)])
    turn = Turn(question, stream=stream, clock=clock, seen_at=clock())
    threading.Thread(target=_read, args=(turn, stream), name="answer", daemon=True).start()
    return turn


def history(turns: Sequence[Turn]) -> list[Message]:
    """The messages of the last answered turns, oldest first."""
    messages: list[Message] = []
    for turn in [turn for turn in turns if turn.text and turn.state != "failed"][-HISTORY_TURNS:]:
        messages += [Message(role="user", content=turn.question), Message(role="assistant", content=turn.text)]
    return messages


def _read(turn: Turn, stream: ChatStream) -> None:
    try:
        for delta in stream:
            if not turn.running:
                break
            if delta.content:
                turn.text += delta.content
            if delta.citations is not None:
                turn.citations = delta.citations
            turn.refused = turn.refused or delta.refused
            if turn.clock() - turn.seen_at > UNWATCHED_S:
                turn.stop()  # the browser is gone; its slot serves somebody else
    except ClientError as exc:
        turn.error = exc
        turn.state = "failed" if turn.running else turn.state
    else:
        turn.state = "done" if turn.running else turn.state
    finally:
        turn.finished.set()
