"""Ports that are taken before they listen."""

from __future__ import annotations

import contextlib
import socket

import pytest

from server.serving.listening import bind


def test_a_port_in_use_ends_the_process_with_words():
    with contextlib.closing(bind("127.0.0.1", 0)) as taken:
        taken.listen()
        with pytest.raises(SystemExit, match="is something else running there"):
            bind("127.0.0.1", taken.getsockname()[1])


def test_a_taken_port_refuses_connections_until_it_is_served():
    with contextlib.closing(bind("127.0.0.1", 0)) as taken, pytest.raises(ConnectionRefusedError):
        socket.create_connection(taken.getsockname(), timeout=1.0)


def test_small_answers_do_not_wait_for_nagle():
    with contextlib.closing(bind("127.0.0.1", 0)) as taken:
        assert taken.proto == socket.IPPROTO_TCP  # by this asyncio decides whether to set TCP_NODELAY
