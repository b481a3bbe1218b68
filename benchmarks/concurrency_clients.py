"""Clients of a server under load: writers that upload and delete small files, readers that search; what each saw, and when."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

LIBRARIES = ("one", "two")
POLL_S = 0.05  # so often a writer asks for its job
PATIENCE_S = 120.0  # for an answer
TOPICS = ("retrieval", "ranking", "kinetics", "polymer", "neutron", "glacier", "enzyme", "lattice", "syntax", "census", "orbit", "plasma")


def word_of(number: int) -> str:
    """The word that one file alone holds."""
    return f"zq{number:05d}x"


def file_of(number: int) -> str:
    """Its name: half of them Markdown, half plain text."""
    return f"file{number:05d}.{'md' if number % 2 else 'txt'}"


def library_of(number: int) -> str:
    """Where it goes."""
    return LIBRARIES[number % 3 % 2]


def text_of(number: int, words: int = 60) -> str:
    """Its content: one chunk about some topics, with its own word in it."""
    dice = random.Random(number)
    body = [dice.choice(TOPICS) for _ in range(words)]
    body[words // 2] = word_of(number)
    return ("# Notes\n\n" if number % 2 else "") + " ".join(body) + ".\n"


@dataclass
class Seen:
    """What the threads of one process saw; times are of the system's monotonic clock."""

    errors: list[str] = field(default_factory=list)
    searches: list[tuple[float, float, str, tuple[str, ...]]] = field(default_factory=list)  # sent, seconds, library, files found
    uploaded: dict[int, float] = field(default_factory=dict)  # number -> when its job had ended
    deleted: dict[int, float] = field(default_factory=dict)  # number -> when that was acknowledged
    waits: list[float] = field(default_factory=list)  # seconds from sending a file to the end of its job


class Client:
    """One connection that stays open; every answer that is not as it should be is an error."""

    def __init__(self, port: int, seen: Seen) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self._seen = seen

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json", good: tuple[int, ...] = (200,)) -> Any:
        """The JSON of the answer; None after an error, which was noted."""
        try:
            self._http.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            answer = self._http.getresponse()
            raw = answer.read()
            if answer.status not in good:
                raise ValueError(f"status {answer.status}: {raw[:200]!r}")
            return json.loads(raw) if raw else {}
        except (OSError, http.client.HTTPException, ValueError) as exc:
            self._seen.errors.append(f"{method} {path}: {type(exc).__name__} {exc}")
            self._http.close()
            return None

    def search(self, library: str, query: str, top_k: int = 5) -> list[str]:
        """Files of the passages found, best first; the search is noted."""
        body = json.dumps({"query": query, "knowledge_base_name": library, "top_k": top_k, "score_threshold": 4}).encode()
        sent = time.monotonic()
        answer = self.ask("POST", "/knowledge_base/search_docs", body)
        if answer is None:
            return []
        files = tuple(passage["metadata"]["source"] for passage in answer)
        self._seen.searches.append((sent, time.monotonic() - sent, library, files))
        return list(files)

    def upload(self, number: int, *, old: bool) -> bool:
        """Send a file and wait until it is ingested, by the new route or the old one."""
        fields = {"files": (file_of(number), text_of(number))}
        if old:
            body, kind = _multipart(fields, {"knowledge_base_name": library_of(number)})
            answer = self.ask("POST", "/knowledge_base/upload_docs", body, kind)
            return self._right(answer, number, answer is not None and answer["code"] == 200 and not answer["data"]["failed_files"])
        body, kind = _multipart(fields, {})
        job = self.ask("POST", f"/api/v1/libraries/{library_of(number)}/documents", body, kind, good=(202,))
        while job is not None and job["state"] == "running":
            time.sleep(POLL_S)
            job = self.ask("GET", f"/api/v1/jobs/{job['id']}")
        return self._right(job, number, job is not None and job["state"] == "done" and file_of(number) not in job["failed"])

    def delete(self, number: int, *, old: bool) -> bool:
        """Delete a file, by the new route or the old one."""
        if old:
            body = {"knowledge_base_name": library_of(number), "file_names": [file_of(number)], "delete_content": True}
            answer = self.ask("POST", "/knowledge_base/delete_docs", json.dumps(body).encode())
            return self._right(answer, number, answer is not None and answer["code"] == 200 and not answer["data"]["failed_files"])
        path = f"/api/v1/libraries/{library_of(number)}/documents?file={quote(file_of(number))}"
        return self.ask("DELETE", path, good=(204,)) is not None

    def _right(self, answer: Any, number: int, right: bool) -> bool:
        if answer is not None and not right:
            self._seen.errors.append(f"{file_of(number)}: {json.dumps(answer, ensure_ascii=False)[:300]}")
        return right


def write(port: int, files: int, writers: int, deleted_share: float, seed: int) -> Seen:
    """Upload files number 0 to `files`; each thread deletes some of its own again while it goes on."""
    seen, lock, numbers = Seen(), threading.Lock(), iter(range(files))

    def work(thread: int) -> None:
        client, dice, own = Client(port, seen), random.Random(seed + thread), []
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            sent = time.monotonic()
            if client.upload(number, old=dice.random() < 0.3):
                seen.uploaded[number] = time.monotonic()
                seen.waits.append(time.monotonic() - sent)
                own.append(number)
            if own and dice.random() < deleted_share:
                gone = own.pop(dice.randrange(len(own)))
                if client.delete(gone, old=dice.random() < 0.5):
                    seen.deleted[gone] = time.monotonic()

    _together(work, writers)
    return seen


def read(port: int, files: int, readers: int, seed: int, pause_s: float, seconds: float) -> Seen:
    """Search both libraries for so long: for the own word of any file, be it there or not, or for topics."""
    seen, end = Seen(), time.monotonic() + seconds

    def work(thread: int) -> None:
        client, dice = Client(port, seen), random.Random(seed + thread)
        while time.monotonic() < end:
            own = [word_of(dice.randrange(files))] if dice.random() < 0.5 else []
            client.search(dice.choice(LIBRARIES), " ".join([*own, *dice.sample(TOPICS, 3)]))
            if pause_s:
                time.sleep(dice.uniform(0, 2 * pause_s))

    _together(work, readers)
    return seen


def missing(port: int, numbers: list[int], threads: int) -> tuple[list[int], Seen]:
    """The files that a search for their own word does not find first."""
    seen, lost, rest, lock = Seen(), [], iter(numbers), threading.Lock()

    def work(_: int) -> None:
        client = Client(port, seen)
        while True:
            with lock:
                number = next(rest, None)
            if number is None:
                return
            if client.search(library_of(number), word_of(number), 1) != [file_of(number)]:
                lost.append(number)

    _together(work, threads)
    return sorted(lost), seen


def _together(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _multipart(files: dict[str, tuple[str, str]], fields: dict[str, str]) -> tuple[bytes, str]:
    border = uuid.uuid4().hex
    parts = [f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    parts += [
        f'--{border}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: text/plain\r\n\r\n{text}\r\n'
        for field, (name, text) in files.items()
    ]
    return ("".join(parts) + f"--{border}--\r\n").encode(), f"multipart/form-data; boundary={border}"
