"""Whatever a parser raises on broken bytes -> Unreadable with one sentence; for parsers that promise no class of error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from server.errors import PaperError, Unreadable


@contextlib.contextmanager
def told(what: str, advice: str = "copy or download it again") -> Iterator[None]:
    """Errors in the block say that `what` is damaged and give the `advice`; those of ours and lack of memory stay as they are."""
    try:
        yield
    except (PaperError, MemoryError):
        raise
    except RecursionError as exc:
        raise Unreadable(f"{what} is nested too deeply to be read; simplify or split it") from exc
    except Exception as exc:  # email, olefile, zipfile, docutils, tomllib: any class on damaged bytes
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
        raise Unreadable(f"{what} is damaged ({reason}); {advice}") from exc
