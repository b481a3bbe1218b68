"""What the workers of a run have done, and in how many seconds -> about how long the run will still take."""

from __future__ import annotations

from dataclasses import dataclass, field

OCR_PAGE_S = 5.0  # until one is measured (benchmarks/results/ocr.md)


@dataclass(slots=True)
class Remaining:
    """Three kinds of work, each with the seconds that workers spent on it: reading by bytes, OCR by pages, embedding by windows.

    What is left is counted in seconds of one worker, and divided by how many were busy on average so far. A page of OCR takes as long as
    reading a whole paper, so a scan is counted by its pages as soon as its reader tells of the first one. `now_s` is the time since the
    run began to work.
    """

    bytes_unread: int
    bytes_read: int = 0
    reading_s: float = 0.0
    windows_found: int = 0
    ocr_left: dict[str, float] = field(default_factory=dict)
    ocr_pages: int = 0
    ocr_s: float = 0.0
    windows_left: int = 0
    windows_done: int = 0
    embedding_s: float = 0.0
    last_s: float = 0.0  # when the last piece of work was done

    def ocr_page(self, name: str, size: int, page: int, pages: int, told: int, seconds: float, now_s: float) -> None:
        """OCR begins with `page` of `pages` of a file of `size` bytes, the `told`-th page that it reads there; the last took `seconds`."""
        if told == 1:
            self.bytes_unread -= size
        else:
            self._ocr(seconds, now_s)
        self.ocr_left[name] = 1 + (pages - page) * min(1.0, told / page)  # not every page of a file must be a scan

    def was_read(self, name: str, size: int, windows: int, seconds: float, now_s: float) -> None:
        """A file of `size` bytes is read, or cannot be; it took `seconds`, or so many since the last page of OCR began."""
        self.windows_left += windows
        if name in self.ocr_left:
            del self.ocr_left[name]
            self._ocr(seconds, now_s)
            return
        self.bytes_unread -= size
        self.bytes_read += size
        self.reading_s += seconds
        self.windows_found += windows
        self.last_s = now_s

    def embedded(self, windows: int, seconds: float, now_s: float) -> None:
        """A batch is embedded."""
        self.dropped(windows)
        self.windows_done += windows
        self.embedding_s += seconds
        self.last_s = now_s

    def dropped(self, windows: int) -> None:
        """Windows of a file that failed; a batch of it may still be under way."""
        self.windows_left = max(0, self.windows_left - windows)

    def left_s(self, now_s: float) -> float | None:
        """The seconds that the run will still take; None while there is no experience to go by."""
        spent = self.reading_s + self.ocr_s + self.embedding_s
        if now_s < 1 or not spent:
            return None
        a_window = self.embedding_s / max(1, self.windows_done)
        a_byte = (self.reading_s + self.windows_found * a_window) / max(1, self.bytes_read)
        a_page = self.ocr_s / self.ocr_pages if self.ocr_pages else OCR_PAGE_S
        left = self.bytes_unread * a_byte + sum(self.ocr_left.values()) * a_page + self.windows_left * a_window
        return max(0.0, self.last_s * left / spent - (now_s - self.last_s))

    def _ocr(self, seconds: float, now_s: float) -> None:
        self.ocr_pages += 1
        self.ocr_s += seconds
        self.last_s = now_s
