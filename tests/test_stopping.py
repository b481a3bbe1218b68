"""Stop: a model that never says its first word is left at once, and nothing stays open."""

from __future__ import annotations

import socket
import threading

import pytest

from configs.settings import Settings
from server.errors import Cancelled, PaperError
from server.llm import chat_model
from server.stopping import Stop
from server.types import Message


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, settings: Settings):
    """(settings with an endpoint that takes the request and says nothing, an event that is set when it has come)."""
    monkeypatch.setenv("SILENT_KEY", "sk-none")
    came, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = {"base_url": f"http://127.0.0.1:{listener.getsockname()[1]}/v1", "models": ["m"], "api_key_env": "SILENT_KEY"}

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                came.set()
                over.wait(30)

        server = threading.Thread(target=serve)
        server.start()
        made = Settings.model_validate({**settings.model_dump(), "llm": {**settings.llm.model_dump(), "endpoints": {"silent": endpoint}}})
        yield made, came
        over.set()
        server.join()


def test_a_silent_model_is_left_at_once(silent: tuple[Settings, threading.Event]):
    settings, came = silent
    stop, ends = Stop(), []

    def ask() -> None:
        try:
            list(chat_model.stream(settings, "m", [Message("user", "?")], temperature=0, max_tokens=5, stop=stop))
        except PaperError as exc:
            ends.append(exc)

    asking = threading.Thread(target=ask)
    asking.start()
    assert came.wait(30)
    stop()
    asking.join(5)
    assert not asking.is_alive()
    assert [type(end) for end in ends] == [Cancelled]


def test_a_stop_before_the_question_asks_nobody(silent: tuple[Settings, threading.Event]):
    settings, came = silent
    stop = Stop()
    stop()
    with pytest.raises(Cancelled):
        next(chat_model.stream(settings, "m", [Message("user", "?")], temperature=0, max_tokens=5, stop=stop))
    assert not came.is_set()
    with socket.create_connection(("127.0.0.1", int(settings.llm.endpoints["silent"].base_url.split(":")[2].split("/")[0]))) as connection:
        connection.sendall(b"so that the server of this test ends")
