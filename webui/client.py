"""The only door to the API: method calls in, values out; every foreign error becomes one ClientError with words for a person."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from webui.i18n import say
from webui.values import Citation, Delta, Document, Job, Library, Message, Status

DEFAULT_URL = "http://127.0.0.1:7861"
URL_VARIABLE = "PAPERPROOF_API_URL"
KEY_VARIABLE = "PAPERPROOF_API_KEY"

Problem = Literal[
    "down", "silent", "key", "forbidden", "missing", "exists", "invalid", "too_large", "busy", "unavailable", "failed", "garbled"
]
PROBLEMS: dict[int, Problem] = {
    401: "key",
    403: "forbidden",
    404: "missing",
    405: "missing",
    409: "exists",
    413: "too_large",
    429: "busy",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}

T = TypeVar("T")
Trace = Callable[[str, Mapping[str, Any]], None]  # httpx2 tells it what happens on the connection


class _Envelope(BaseModel):
    code: int
    msg: str = ""


class ClientError(Exception):
    """Something between this page and the answer went wrong; `problem` names it, `detail` is what the server said."""

    def __init__(self, problem: Problem, detail: str = "", url: str = "") -> None:
        super().__init__(problem, detail, url)
        self.problem = problem
        self.detail = detail
        self.url = url

    def words(self, language: str) -> str:
        """What is wrong and what to do, as plain text."""
        return say(language, f"problem.{self.problem}", detail=self.detail, url=self.url).strip()

    def __str__(self) -> str:
        return self.words("en")


class Client:
    """Speaks to the knowledge-base API. Safe to share between threads; holds no connection between calls."""

    def __init__(self, url: str = DEFAULT_URL, key: str = "", *, patience_s: float = 30.0, silence_s: float = 300.0) -> None:
        """`patience_s` is the longest wait for an ordinary answer, `silence_s` the longest pause inside a stream or an upload."""
        self.url = url.rstrip("/")
        self._silence_s = silence_s
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(patience_s, connect=min(patience_s, 5.0)),
            limits=httpx2.Limits(max_keepalive_connections=0),
            trust_env=False,  # a proxy for the internet must not stand before the server in the next room
        )

    def close(self) -> None:
        """Let go of everything; a closed client cannot be used again."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def status(self) -> Status:
        """Which models are in use and whether they are up."""
        return self._value(Status, self._send("GET", "/api/v1/status"))

    def libraries(self) -> list[Library]:
        """Every library, in the server's order."""
        return self._value(list[Library], self._send("GET", "/api/v1/libraries"))

    def create(self, kb: str) -> Job:
        """Make a library; the job that does it is soon over, since the library is empty."""
        response = self._send("POST", f"{_library(kb)}/jobs", json={"kind": "increment", "create": True})
        if response.status_code == 204:  # the sample library, which its user has deleted
            raise ClientError("invalid", f"{kb!r} was deleted and is not made again; take another name", self.url)
        return self._value(Job, response)

    def delete_library(self, kb: str) -> None:
        """Remove a library with its papers. There is no way back."""
        response = self._send("POST", "/knowledge_base/delete_knowledge_base", json=kb)
        envelope = self._value(_Envelope, response)
        if envelope.code != 200:  # this route of the older kind always answers 200 and tells the truth inside
            raise ClientError(_problem(envelope.code), envelope.msg, self.url)

    def documents(self, kb: str) -> list[Document]:
        """The files of a library with their states."""
        return self._value(list[Document], self._send("GET", f"{_library(kb)}/documents"))

    def upload(self, kb: str, files: Sequence[tuple[str, BinaryIO]], *, override: bool = False, password: str = "") -> Job:
        """Send (name, opened file) pairs to a library; the answer is the job that reads them. `password` opens encrypted PDFs."""
        parts = [("files", (name, file, "application/octet-stream")) for name, file in files]
        data = {"override": "true" if override else "false", "password": password}
        timeout = httpx2.Timeout(self._silence_s, connect=5.0)
        return self._value(Job, self._send("POST", f"{_library(kb)}/documents", files=parts, data=data, timeout=timeout))

    def delete(self, kb: str, file: str) -> None:
        """Remove one document from a library, its file too."""
        self._send("DELETE", f"{_library(kb)}/documents", params={"file": file})

    def start(self, kb: str, kind: Literal["increment", "rebuild"]) -> Job:
        """Read what is new (increment) or everything again (rebuild)."""
        return self._value(Job, self._send("POST", f"{_library(kb)}/jobs", json={"kind": kind}))

    def job(self, job_id: str) -> Job:
        """How far a job is."""
        return self._value(Job, self._send("GET", _job(job_id)))

    def job_events(self, job_id: str) -> Iterator[Job]:
        """The same, about twice a second, until it has ended."""
        with self._stream("GET", f"{_job(job_id)}/events") as response:
            for data in _events(response, self.url):
                yield self._value(Job, data)

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop after the file it is at."""
        self._send("DELETE", _job(job_id))

    def page_image(self, kb: str, citation: Citation, *, dpi: int = 144) -> bytes:
        """The page of a citation as PNG, its boxes highlighted."""
        params: dict[str, str | int] = {"file": citation.file, "page": citation.page or 1, "dpi": dpi}
        if boxes := [box for box in citation.boxes or () if box.page == citation.page]:
            params["boxes"] = ";".join(f"{box.x0:g},{box.y0:g},{box.x1:g},{box.y1:g}" for box in boxes)
        response = self._send("GET", f"{_library(kb)}/page", params=params)
        if not response.content.startswith(b"\x89PNG"):
            raise ClientError("garbled", "the page image is not a PNG", self.url)
        return response.content

    def chat(self, kb: str, messages: Sequence[Message]) -> ChatStream:
        """Ask a library; iterate over the result for the steps of the answer, `stop()` it from any thread."""
        body = {"model": f"kb/{kb}", "stream": True, "messages": [message.model_dump() for message in messages]}
        return ChatStream(self, body)

    def _send(self, method: str, path: str, **options: object) -> httpx2.Response:
        with self._translated():
            response = self._http.request(method, path, **options)  # type: ignore[arg-type]  # the options are httpx2's own
            _check(response, self.url)
            return response

    @contextlib.contextmanager
    def _stream(self, method: str, path: str, body: object = None, trace: Trace | None = None) -> Iterator[httpx2.Response]:
        timeout = httpx2.Timeout(self._silence_s, connect=5.0)
        extensions = {"trace": trace} if trace else {}
        with self._translated(), self._http.stream(method, path, json=body, timeout=timeout, extensions=extensions) as response:
            if response.is_error:
                response.read()
                _check(response, self.url)
            yield response

    def _value(self, model: type[T], answer: httpx2.Response | str) -> T:
        try:
            return TypeAdapter(model).validate_json(answer if isinstance(answer, str) else answer.content)
        except ValidationError as exc:
            raise ClientError("garbled", f"{exc.error_count()} fields are wrong", self.url) from exc

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
            raise ClientError("down", str(exc), self.url) from exc
        except httpx2.TimeoutException as exc:
            raise ClientError("silent", str(exc), self.url) from exc
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as exc:
            raise ClientError("down", f"{URL_VARIABLE}: {exc}", self.url) from exc
        except httpx2.HTTPError as exc:  # the connection broke in the middle
            raise ClientError("silent", str(exc), self.url) from exc


class ChatStream:
    """An answer on its way. Iterating sends the question and yields the steps; an error in the stream is a ClientError."""

    def __init__(self, client: Client, body: object) -> None:
        self._client = client
        self._body = body
        self._stopped = threading.Event()
        self._connection: socket.socket | None = None

    def __iter__(self) -> Iterator[Delta]:
        try:
            with self._client._stream("POST", "/api/v1/chat/completions", self._body, self._remember) as response:
                for data in _events(response, self._client.url):
                    if self._stopped.is_set():
                        return
                    yield from self._deltas(data)
        except ClientError:
            if not self._stopped.is_set():  # the broken connection is our own doing
                raise

    def stop(self) -> None:
        """End the answer now, whether it has begun or not; the server sees the connection go and frees its slot."""
        self._stopped.set()
        self._hang_up()

    def _remember(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket: before the first word there is no response yet that could be closed."""
        if event == "connection.connect_tcp.complete":
            self._connection = info["return_value"].get_extra_info("socket")
            if self._stopped.is_set():
                self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                self._connection.shutdown(socket.SHUT_RDWR)  # close() would not wake the thread that reads

    def _deltas(self, data: str) -> Iterator[Delta]:
        try:
            event = json.loads(data)
            if "error" in event:
                error = event["error"]
                raise ClientError("failed", str(error.get("message", "") if isinstance(error, dict) else error), self._client.url)
            for choice in event.get("choices", []):
                yield Delta.model_validate(choice.get("delta") or {})
        except (ValueError, AttributeError, TypeError) as exc:  # ValidationError is a ValueError
            raise ClientError("garbled", "an event of the answer", self._client.url) from exc


def _library(kb: str) -> str:
    return f"/api/v1/libraries/{quote(kb, safe='')}"


def _job(job_id: str) -> str:
    return f"/api/v1/jobs/{quote(job_id, safe='')}"


def _events(response: httpx2.Response, url: str) -> Iterator[str]:
    """The data of each server-sent event, up to [DONE] or the end."""
    try:
        for event in httpx2.EventSource(response):
            if event.data == "[DONE]":
                return
            if event.data:
                yield event.data
    except httpx2.SSEError as exc:
        raise ClientError("garbled", str(exc), url) from exc


def _check(response: httpx2.Response, url: str) -> None:
    """Raise for an answer that is not a success, with the server's own words as detail."""
    if response.is_success:
        return
    raise ClientError(_problem(response.status_code), _detail(response), url)


def _problem(status: int) -> Problem:
    return PROBLEMS.get(status, "invalid" if 400 <= status < 500 else "failed")


def _detail(response: httpx2.Response) -> str:
    """The server's sentence: `detail` of problem details or `error.message` of an OpenAI error."""
    try:
        body = response.json()
    except ValueError:
        return f"HTTP {response.status_code}"
    if isinstance(body, dict):
        error = body.get("error")
        for text in (body.get("detail"), error.get("message") if isinstance(error, dict) else error, body.get("title")):
            if isinstance(text, str) and text:
                return text
    return f"HTTP {response.status_code}"
