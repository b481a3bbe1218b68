"""A chat in the terminal, over port 20000; in: lines of a person; out: the model's words as they come, and what they took.

Ctrl-C stops the answer, not the program; what was said so far stays in the conversation.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from configs.settings import ROOT, Settings, load_settings, local_url
from server.errors import BackendFailed, ModelNotFound, PaperError, Unauthorized, Unavailable
from server.llm.tokens import cost, price_of

HELP = """\
/model [NAME]   show the models, or take another one 查看或切换模型
/new            begin a new conversation 新对话
/undo           forget the last question and its answer 撤销上一轮
/save FILE      write the conversation as Markdown 保存对话
/help           this 帮助
/quit, Ctrl-D   leave 退出
Ctrl-C stops the answer 停止回答. A line that ends with \\ goes on in the next one 行尾 \\ 表示续行."""
CONNECT_S = 3.0
SILENCE_S = 600.0  # a long prompt on a slow machine
PROMPT, MORE = "› ", "… "

Say = Callable[[str], None]


@dataclass
class Chat:
    """One conversation with a model of port 20000. `say` writes without a line end."""

    http: httpx2.Client
    settings: Settings
    model: str
    say: Say
    messages: list[dict[str, str]] = field(default_factory=list)

    def models(self) -> list[str]:
        """Names that can be asked. Raises Unavailable, Unauthorized."""
        try:
            answer = self.http.get("/models", timeout=httpx2.Timeout(10.0, connect=CONNECT_S))
        except httpx2.HTTPError as exc:
            raise Unavailable(f"port {self.settings.server.gateway_port} does not answer ({type(exc).__name__})") from exc
        if answer.status_code != 200:
            raise _error(answer)
        return [str(entry["id"]) for entry in answer.json()["data"]]

    def ask(self, question: str) -> None:
        """Say the answer as it comes. An error takes the question back; an interrupt keeps what was said."""
        self.messages.append({"role": "user", "content": question})
        began, said = time.monotonic(), ""
        last: dict[str, Any] = {}
        stopped = False

        def stop(*_: object) -> None:
            nonlocal stopped
            stopped = True
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, stop)
        try:
            for chunk in self._chunks():
                if stopped:  # where an exception is ignored, as in a finalizer, the one of the handler was lost
                    raise KeyboardInterrupt
                last = {**last, **{key: value for key, value in chunk.items() if value}}
                for choice in chunk.get("choices", ()):
                    words = choice["delta"].get("content") or ""
                    said += words
                    self.say(words)
                    last |= {key: choice["delta"][key] for key in ("citations",) if choice["delta"].get(key)}
        except KeyboardInterrupt:
            self.say("\n(stopped 已停止)")
        except PaperError as exc:
            self.messages.pop()
            self.say(f"\n✗ {exc}\n")
            return
        finally:
            signal.signal(signal.SIGINT, before)
        self.messages.append({"role": "assistant", "content": said})
        self.say("\n")
        for citation in last.get("citations") or ():
            place = f", p. {citation['page']}" if citation.get("page") else ""
            self.say(f"  [{citation['index']}] {citation['file']}{place}\n")
        self.say(self._account(last.get("usage") or {}, time.monotonic() - began))

    def undo(self) -> None:
        """Without the last question and its answer."""
        del self.messages[-2:]

    def save(self, path: Path) -> None:
        """The conversation as Markdown. Raises OSError."""
        names = {"user": "You", "assistant": self.model}
        path.write_text("\n\n".join(f"**{names[m['role']]}**\n\n{m['content']}" for m in self.messages) + "\n", encoding="utf-8")

    def _account(self, usage: dict[str, int], seconds: float) -> str:
        if not usage:
            return ""
        asked, answered = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        price = price_of(self.settings, self.model)
        money = f", {cost(price, asked, answered):.4f} {price.currency}" if price else ""
        return f"  ({asked} + {answered} tokens, {seconds:.1f} s{money})\n"

    def _chunks(self) -> Iterator[dict[str, Any]]:
        body = {"model": self.model, "messages": self.messages, "stream": True, "stream_options": {"include_usage": True}}
        try:
            with self.http.stream("POST", "/chat/completions", json=body, timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_S)) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _error(answer)
                for line in answer.iter_lines():
                    data = line.removeprefix("data: ")
                    if data == line or data == "[DONE]":
                        continue
                    chunk = json.loads(data)
                    if "error" in chunk:
                        raise BackendFailed(str(chunk["error"].get("message", chunk["error"])))
                    yield chunk
        except (httpx2.HTTPError, ValueError) as exc:
            raise Unavailable(f"the connection to port {self.settings.server.gateway_port} broke ({type(exc).__name__})") from exc


def client(settings: Settings) -> httpx2.Client:
    """For port 20000 of these settings, with their first key."""
    keys = settings.server.api_keys
    headers = {"authorization": f"Bearer {keys[0].get_secret_value()}"} if keys else {}
    return httpx2.Client(base_url=f"{local_url(settings.server.host, settings.server.gateway_port)}/v1", headers=headers, trust_env=False)


def talk(chat: Chat, read: Callable[[str], str]) -> None:
    """Questions and commands until the person leaves. `read(prompt)` gives a line, and raises EOFError at the end."""
    chat.say(f"{chat.model}   /help 帮助   Ctrl-D 退出\n")
    while True:
        try:
            line = _line(read)
        except EOFError:
            chat.say("\n")
            return
        except KeyboardInterrupt:
            chat.say("\n(/quit or Ctrl-D leaves 退出)\n")
            continue
        if line in ("/quit", "/exit"):
            return
        if line.startswith("/"):
            _command(chat, *line[1:].split(None, 1))
        elif line:
            chat.ask(line)


def _line(read: Callable[[str], str]) -> str:
    line = read(PROMPT).strip()
    while line.endswith("\\"):
        line = line[:-1] + "\n" + read(MORE).strip()
    return line


def _command(chat: Chat, name: str = "", rest: str = "") -> None:
    try:
        if name == "model":
            _choose(chat, rest.strip())
        elif name == "new":
            chat.messages.clear()
            chat.say("(new conversation 新对话)\n")
        elif name == "undo":
            chat.undo()
        elif name == "save" and rest:
            chat.save(Path(rest.strip()).expanduser())
            chat.say(f"saved 已保存: {rest.strip()}\n")
        else:
            chat.say(HELP + "\n")
    except (PaperError, OSError) as exc:
        chat.say(f"✗ {exc}\n")


def _choose(chat: Chat, name: str) -> None:
    known = chat.models()
    if name and name not in known:
        raise ModelNotFound(f"no model {name!r}; known: {', '.join(known)}")
    chat.model = name or chat.model
    chat.say("".join(f"{'*' if each == chat.model else ' '} {each}\n" for each in known) if not name else f"{name}\n")


def _error(answer: httpx2.Response) -> PaperError:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        message = str(answer.json()["error"]["message"])
        return Unauthorized(message) if answer.status_code == 401 else Unavailable(message)
    return BackendFailed(f"port 20000 answered with status {answer.status_code}")


def write(words: str) -> None:
    """To the terminal, at once."""
    sys.stdout.write(words)
    sys.stdout.flush()


def run(model: str) -> int:
    """Chat with `model` ("": the default one), started for as long as that takes unless port 20000 answers already. The exit code."""
    settings = load_settings()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))  # leaves through every `finally`
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() editing and a history
    try:
        with client(settings) as http:
            chat = Chat(http, settings, model or settings.llm.default, write)
            with _stack(chat):
                _choose(chat, chat.model)
                talk(chat, input)
    except PaperError as exc:
        write(f"✗ {exc}\n")
        return 1
    return 0


@contextlib.contextmanager
def _stack(chat: Chat) -> Iterator[None]:
    """The servers that the model needs, unless they run. Raises Unavailable when they end before the model can be asked."""
    with contextlib.suppress(Unavailable):
        chat.models()
        yield
        return
    parts = ["--all-api"] if chat.model.startswith("kb/") else ["--llm-api"]
    if chat.model in chat.settings.llm.local:
        parts += ["-n", chat.model]
    elif not chat.model.startswith("kb/"):
        parts = ["-p"]
    command = [sys.executable, str(ROOT / "startup.py"), "-q", *parts]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0)  # the terminal's Ctrl-C is not for it
    try:
        while chat.model not in _listed(chat):
            if process.poll() is not None:
                raise Unavailable(f"{chat.model} could not be started; the lines above say why")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def _listed(chat: Chat) -> list[str]:
    try:
        return chat.models()
    except Unavailable:
        return []
