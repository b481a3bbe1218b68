"""Progress of work -> a bar on the terminal."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from server.ingestion import Progress


def moved(bar: tqdm) -> Callable[[int, int], None]:  # type: ignore[type-arg]  # tqdm is generic only in its stubs
    """What is to be told (done, total)."""

    def move(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return move


def show(bar: tqdm, progress: Progress) -> None:  # type: ignore[type-arg]  # as above
    """The files of a run, and in words its pages, its chunks and the file in hand."""
    page = f" page {progress.page} of {progress.of_pages} (OCR)" if progress.of_pages else ""
    words = f"{progress.pages} pages, {progress.chunks} chunks {progress.message} {progress.current[-40:]}{page}"
    bar.set_postfix_str(words, refresh=False)
    moved(bar)(progress.done, progress.total)
