"""Who may use a port: host, origin, key, size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from configs.settings import Server
from server.access import Access, host_name

KEY = "a-long-secret-for-tests"
OTHER = "another-long-secret-here"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def ask(app: Access, path: str = "/x", content: Any = b"", **headers: str) -> httpx2.Response:
    async def once() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:20000") as client:
            return await client.post(path, content=content, headers=headers)

    return asyncio.run(once())


def guard(limit_mib: int | None = None, **server: Any) -> Access:
    return Access(echo, Server.model_validate(server), body_limit_mib=limit_mib)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:20000", "localhost", "LOCALHOST:1", "[::1]:20000", "127.9.9.9", "lab.example", "lab.example.:80"]
)
def test_loopback_names_and_allowed_names_are_answered(host):
    assert ask(guard(allowed_hosts=["Lab.example"]), host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", ""])
def test_a_name_that_is_not_ours_is_refused(host):
    answer = ask(guard(), host=host)
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")


def test_a_server_on_all_addresses_answers_to_numbers_but_not_to_names():
    app = guard(host="0.0.0.0", api_keys=[KEY])  # noqa: S104 - nothing is bound
    key = {"authorization": f"Bearer {KEY}"}
    assert ask(app, host="192.168.1.5:20000", **key).status_code == 200
    assert ask(app, host="rebound.example", **key).status_code == 403
    assert ask(app, host="192.168.1.5:20000", origin="http://192.168.1.5:8501", **key).status_code == 200
    assert ask(app, host="192.168.1.5:20000", origin="http://6.6.6.6", **key).status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8501", 200),
        ("http://localhost:3000", 200),
        ("https://lab.example", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("", 403),
    ],
)
def test_pages_of_other_hosts_are_refused(origin, status):
    assert ask(guard(allowed_hosts=["lab.example"]), origin=origin).status_code == status


def test_a_key_is_needed_when_keys_are_set_except_for_health():
    app = guard(api_keys=[KEY, OTHER])
    assert ask(app, path="/health").status_code == 200
    for key in (KEY, OTHER):
        assert ask(app, authorization=f"Bearer {key}").status_code == 200
        assert ask(app, authorization=f"bearer  {key}").status_code == 200
    for wrong in ("Bearer wrong-but-long-enough", f"Basic {KEY}", "Bearer", KEY):
        answer = ask(app, authorization=wrong)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in ask(app).json()["error"]["message"]
    assert KEY not in ask(app, authorization="Bearer x").text


def test_a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not():
    mib = 1024 * 1024

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (mib // 2)

    assert ask(guard(1), content=b"x" * mib).text == str(mib)
    for content in (b"x" * (mib + 1), pieces()):
        answer = ask(guard(1), content=content)
        assert answer.status_code == 413
        assert answer.json()["error"]["message"] == "the request is larger than 1 MiB"


def test_an_answer_is_passed_on_piece_by_piece():
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            assert len(seen) == 2 + number  # what was sent is out before the next piece is made
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        seen.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "path": "/x", "headers": [(b"host", b"localhost")]}
    asyncio.run(Access(app, Server.model_validate({}), body_limit_mib=1)(scope, receive, send))
    assert len(seen) == 5


def test_a_websocket_is_checked_too():
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("not reached")

    scope = {"type": "websocket", "path": "/x", "headers": [(b"host", b"evil.example")]}
    asyncio.run(guard()(scope, receive, send))
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


def test_host_names_are_read_as_a_browser_writes_them():
    assert [host_name(text) for text in ("A.b:1", "[::1]:2", "x.", "", "[fe80::1]")] == ["a.b", "::1", "x", "", "fe80::1"]
