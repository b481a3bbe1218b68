"""Missing weights at the first start; in: a source; out: the weights in models/, with a progress bar, or the reason why not.

`python -m server.fetching SOURCE FOLDER` fetches in a process of its own, so that unpacking costs the supervisor no memory and a stop
removes what is half done. It writes one JSON object a line: {"what", "done", "total"} in bytes, at the end {"error"} if it failed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from server import weights
from server.errors import PaperError

EVERY_S = 0.2

Say = Callable[[str], None]


class Fetches:
    """Weights that are on their way, there, or not to be had. Its methods belong to the main thread; `todo` gives that thread work."""

    def __init__(
        self, models: Path, run: Callable[[tuple[str, ...]], subprocess.Popen[bytes]], todo: Callable[[Callable[[], None]], None], say: Say
    ) -> None:
        """`run` starts a command that is stopped with everything else."""
        self._models = models
        self._run = run
        self._todo = todo
        self._say = say
        self._going: set[str] = set()
        self._absent: dict[str, str] = {}  # source -> why it could not be fetched

    @property
    def going(self) -> bool:
        """Whether anything is being fetched."""
        return bool(self._going)

    def reason(self, source: str) -> str | None:
        """ "" when the source is there, as far as is known; why it is not; None while it is being fetched."""
        return None if source in self._going else self._absent.get(source, "")

    def begin(self, source: str, quiet: bool = False) -> None:
        """Fetch the source unless it is there or on its way; an earlier failure is forgotten."""
        if source in self._going:
            return
        self._absent.pop(source, None)
        if not weights.missing([source], self._models):
            return
        self._going.add(source)
        self._say(f"{source}: its weights are not in {self._models}; fetching them")
        process = self._run(command(source, self._models))

        def wait() -> None:
            error = follow(process, source, quiet)
            self._todo(lambda: self._ended(source, error))

        threading.Thread(target=wait, daemon=True).start()

    def _ended(self, source: str, error: str) -> None:
        self._going.discard(source)
        if error:
            self._absent[source] = error
        self._say(f"✗ {source}: {error}. The other parts go on" if error else f"✓ {source}: its weights are there")


def command(source: str, models: Path) -> tuple[str, ...]:
    """Fetches `source` into the folder `models`."""
    return (sys.executable, "-m", "server.fetching", source, str(models))


def follow(process: subprocess.Popen[bytes], source: str, quiet: bool = False) -> str:
    """Show the progress of a fetching process until it has ended; "" when it succeeded, else the reason."""
    error = ""
    with tqdm(desc=f"fetch {source}", unit="B", unit_scale=True, disable=quiet, mininterval=bar_interval_s()) as bar:
        for line in process.stdout or ():
            try:
                news = json.loads(line)
            except ValueError:
                continue  # some library's print
            if "error" in news:
                error = news["error"]
            else:
                bar.total = news["total"] or None
                bar.update(news["done"] - bar.n)
    code = process.wait()
    return error or (f"fetching {source} ended with code {code}" if code else "")


def bar_interval_s() -> float:
    """How often a bar is drawn: a file gets a line every ten seconds only."""
    return 0.2 if sys.stderr.isatty() else 10.0


def main(source: str, folder: str) -> int:
    """Fetch, and tell the progress on standard output."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves through every `finally`: no half file stays
    told = 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= EVERY_S or done == total:
            told = time.monotonic()
            _tell(what=what, done=done, total=total)

    try:
        weights.fetch(source, Path(folder), progress)
    except (PaperError, OSError) as exc:
        _tell(error=str(exc))
        return 1
    return 0


def _tell(**news: object) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
