"""Reading in a child process that can be killed: path -> Document, or the image of a page, within a time and a memory limit.

A PDF can make a parser loop, crash or eat all memory; here that costs one file. The time limit counts from the last sign of
progress, so that a scanned book may take its time, page after page. The child stays alive between files, is replaced after a crash,
and ends with its parent: its input closes, and an alarm ends it even inside a C loop. Nothing it sends back is unpickled but the
values of server/types.py.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from server import errors, readers
from server.errors import Cancelled, Exceeded, PaperError, Unavailable, Unreadable
from server.readers.page_image import render
from server.readers.pdf.unlock import unlock_pdf
from server.types import Block, Box, Document, Hidden, Identity, Section, Span

log = logging.getLogger(__name__)
Tell = Callable[[int, int], None]
Request = tuple[str, str, tuple[str, ...], tuple[Any, ...]]  # task, path, passwords, what else the task needs

ROOT = Path(__file__).resolve().parents[2]
FILES_PER_CHILD = 500  # then a fresh one, so that whatever leaks stays small
_START_S = 60  # for a child to start, on a machine that is busy
_GRACE_S = 5  # how much longer than the limit a child lives whose parent is gone
_FROM_OUTSIDE = {int(name) for name in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGKILL", 9), getattr(signal, "SIGHUP", 1))}
_SENDABLE = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in (Document, Section, Block, Span, Box, Identity, Hidden)}


class ReaderProcess:
    """Reads files in a child process; one at a time, so give every thread its own. Use it as a context manager."""

    def __init__(self, *, timeout_s: float = 120.0, memory_mib: int = 2048) -> None:
        self._timeout_s = timeout_s
        self._memory_mib = memory_mib
        self._child: _Child | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> ReaderProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def read(self, path: Path, *, passwords: Sequence[str] = (), tell: Tell = lambda page, pages: None) -> Document:
        """What `server.readers.read` gives for `path`, and its errors; Unreadable too when the child crashes, Exceeded at its limits.

        `tell` hears (page, pages) before each page that takes long. Raises Unavailable when no child can be started or it was ended
        from outside, and Cancelled when `close` was called meanwhile.
        """
        kind, content = self._asked(("read", str(path.absolute()), tuple(passwords), ()), tell)
        if kind == "document" and isinstance(content, Document):
            return content
        raise self._error(path, kind, content)

    def unlock(self, path: Path, password: str) -> None:
        """Replace an encrypted PDF by a copy that needs no password. Raises Unreadable when the password does not open it."""
        kind, content = self._asked(("unlock", str(path.absolute()), (password,), ()))
        if kind != "unlocked":
            raise self._error(path, kind, content)

    def page_image(self, path: Path, page: int, boxes: Sequence[Box], dpi: int, passwords: Sequence[str] = ()) -> bytes:
        """What `server.readers.page_image.render` gives, and its errors, and those of `read`."""
        kind, content = self._asked(("page image", str(path.absolute()), tuple(passwords), (page, tuple(boxes), dpi)))
        if kind == "png" and isinstance(content, bytes):
            return content
        raise self._error(path, kind, content)

    def close(self) -> None:
        """End the child, whatever it is doing; a `read` in another thread raises Cancelled."""
        self._closed = True
        child = self._child
        if child is not None:
            child.stop()

    def _asked(self, request: Request, tell: Tell = lambda page, pages: None) -> tuple[str, object]:
        with self._lock:
            return self._answer(request, tell)

    def _answer(self, request: Request, tell: Tell) -> tuple[str, object]:
        if self._child and self._child.has_ended:
            self._child.stop()
            self._child = None
        child = self._child = self._child or _Child(self._timeout_s, self._memory_mib)
        healthy = False
        try:
            if self._closed:
                raise Cancelled("reading was stopped")
            if not child.files:
                child.begin()
            answer = child.ask(request, self._timeout_s, tell)
            healthy = answer[0] != "out of memory" and child.files < FILES_PER_CHILD and not self._closed
            return answer
        except queue.Empty as exc:
            page = f" page {child.page}" if child.page else ""
            raise Exceeded(f"reading{page} took longer than {self._timeout_s:g} s and was stopped") from exc
        except (EOFError, OSError) as exc:
            if self._closed:
                raise Cancelled("reading was stopped") from exc
            how, from_outside = child.end()
            if from_outside:
                raise Unavailable(f"the reader was ended from outside ({how}), perhaps for want of memory; ingest again") from exc
            raise Unreadable(f"the reader crashed on this file ({how}); it is probably damaged") from exc
        finally:
            if not healthy:  # whatever it still sends would be taken for the next file's answer
                self._child = None
                child.stop()

    def _error(self, path: Path, kind: str, content: object) -> PaperError:
        if kind == "out of memory":
            return Exceeded(f"reading needs more than {self._memory_mib} MiB of memory")
        known = getattr(errors, kind, None)
        if isinstance(known, type) and issubclass(known, PaperError):
            return known(str(content))
        log.error("reader failed file=%s error=%s %s", path.name, kind, content)
        return Unreadable(f"the reader failed on this file ({kind}: {content})")


class _Child:
    """One child process and the thread that collects its answers."""

    def __init__(self, timeout_s: float, memory_mib: int) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server.readers.process", f"{timeout_s:g}", str(memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._requests: IO[bytes] = self._process.stdin  # type: ignore[assignment] # a pipe, as asked for above
        self._answers: queue.SimpleQueue[tuple[str, object] | None] = queue.SimpleQueue()
        self.files = 0
        self.page = 0  # the last one it told of
        self._thread = threading.Thread(target=self._collect, args=(self._process.stdout,), name="reader-answers", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Wait until the child has started; raises Unavailable when it does not, which is no file's fault."""
        try:
            answer = self._answers.get(timeout=_START_S)
        except queue.Empty as exc:
            self.stop()
            raise Unavailable(f"the reader process did not start within {_START_S} s") from exc
        if answer is None:
            raise Unavailable(f"the reader process could not start ({self.end()[0]})")

    def ask(self, request: Request, timeout_s: float, tell: Tell) -> tuple[str, object]:
        """The child's answer. Raises queue.Empty when it shows no progress in time and EOFError or OSError when it is gone."""
        self.files += 1
        self.page = 0
        _send(self._requests, request)
        while True:
            answer = self._answers.get(timeout=timeout_s)
            if answer is None:
                raise EOFError("the child ended")
            match answer:
                case "page", (int(page), int(pages)):
                    self.page = page
                    tell(page, pages)
                case _:
                    return answer

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, without having been asked for anything."""
        return self._process.poll() is not None

    def end(self) -> tuple[str, bool]:
        """How the child ended that broke off its answer, for a message, and whether somebody else ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_GRACE_S)  # a large process takes a while to be gone
        by_itself = self._process.poll() is not None
        code = self.stop()
        return f"signal {-code}" if code < 0 else f"exit code {code}", by_itself and -code in _FROM_OUTSIDE

    def stop(self) -> int:
        """Kill the child if it still lives; its exit code, negative for a signal."""
        self._process.kill()
        code = self._process.wait()
        with contextlib.suppress(OSError):  # what was not yet written cannot be any more
            self._requests.close()
        self._thread.join()
        return code

    def _collect(self, stream: IO[bytes]) -> None:
        with stream:
            while (frame := _receive(stream)) is not None:
                try:
                    kind, content = _Unpickler(io.BytesIO(frame)).load()
                except Exception as exc:  # noqa: BLE001 - whatever a broken child sends, the caller gets a sentence
                    kind, content = "Unreadable", f"the reader gave a broken answer ({exc})"
                self._answers.put((str(kind), content))
        self._answers.put(None)


class _Unpickler(pickle.Unpickler):
    """Makes only values of documents: a parser that was taken over cannot make its parent run anything."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _SENDABLE:
            raise pickle.UnpicklingError(f"{name} is not part of a document")
        return _SENDABLE[name]


def _send(stream: IO[bytes], value: object) -> None:
    frame = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(frame).to_bytes(8, "little") + frame)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    """The next frame; None at the end of the stream, also in the middle of a frame."""
    size = stream.read(8)
    if len(size) < 8:
        return None
    frame = stream.read(length := int.from_bytes(size, "little"))
    return frame if len(frame) == length else None


def _serve(timeout_s: float, memory_mib: int) -> None:
    """The child: answers each path on standard input until it closes."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _limit_memory(memory_mib)
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), daemon=True).start()
    _send(answers, ("started", ""))

    def tell(page: int, pages: int) -> None:
        _set_alarm(timeout_s + _GRACE_S)
        _send(answers, ("page", (page, pages)))

    while True:
        request = waiting.get()
        _set_alarm(timeout_s + _GRACE_S)
        answer = _answer(request, tell)
        _set_alarm(0)
        _send(answers, answer)


def _listen(requests: IO[bytes], waiting: queue.SimpleQueue[Request]) -> None:
    while (frame := _receive(requests)) is not None:
        waiting.put(pickle.loads(frame))  # noqa: S301 - from our own parent
    os._exit(0)


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)  # default action: the kernel ends us, also inside C


def _answer(request: Request, tell: Tell) -> tuple[str, object]:
    task, path, passwords, options = request
    try:
        if task == "page image":
            page, boxes, dpi = options
            return "png", render(Path(path), page, boxes, dpi, passwords)
        if task == "unlock":
            unlock_pdf(Path(path), passwords[0])
            return "unlocked", ""
        return "document", readers.read(Path(path), passwords=passwords, tell=tell)
    except PaperError as exc:
        return type(exc).__name__, str(exc)
    except MemoryError:
        return "out of memory", ""
    except Exception as exc:  # noqa: BLE001 - a request ends here; the parent logs it and names the file
        return type(exc).__name__, str(exc)


def _limit_memory(memory_mib: int) -> None:
    """Allocations above the limit fail; on systems without such limits nothing happens."""
    try:
        import resource
    except ImportError:
        return
    limit = memory_mib * 2**20
    with contextlib.suppress(ValueError, OSError):  # a stricter limit is already set
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    _serve(float(sys.argv[1]), int(sys.argv[2]))
