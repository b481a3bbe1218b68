"""A seeded script of changes to a folder of papers: added, changed, deleted, renamed, replaced by bad ones; and their bytes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

MARK = b"\n%changed "  # behind it a PDF may hold anything: the bytes differ, the text does not
WORDS = ("recall", "window", "vector", "chunk", "paper", "kill", "commit", "index", "query", "proof", "page", "检索", "向量", "论文")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to a file: `content` is what it is to hold, None when it is to go."""

    kind: str
    name: str
    content: bytes | None


class Papers:
    """The papers at hand, and the dice that say what happens to them."""

    def __init__(self, folder: Path, count: int, dice: random.Random) -> None:
        self._dice = dice
        self._contents = {path.name: path.read_bytes() for path in chosen(folder, count)}
        self._number = 0

    def seed(self, value: float) -> None:
        """Other dice from now on, as a process needs that was forked."""
        self._dice.seed(value)

    @property
    def all(self) -> dict[str, bytes]:
        """Every paper as it comes, by name."""
        return dict(self._contents)

    def change(self, there: dict[str, bytes], *, share: str = "") -> Change:
        """The next change to a folder that holds `there`; only files whose names begin with `share` are touched."""
        own = sorted(name for name in there if name.startswith(share))
        kind = self._dice.choice(["add", "note", "change", "delete", "bad"] if own else ["add", "note"])
        self._number += 1
        if kind == "add":
            paper = self._dice.choice(sorted(self._contents))
            return Change(kind, share + paper, self._varied(self._contents[paper]))
        if kind == "note":
            return Change(kind, f"{share}note-{self._dice.randrange(12)}.md", self._note())
        name = self._dice.choice(own)
        if kind == "delete":
            return Change(kind, name, None)
        if kind == "bad":
            return Change(kind, name, b"" if name.endswith(".md") else there[name][: self._dice.randrange(200)] + b"torn")
        same = [other for other in self._contents.values() if other[:4] == there[name][:4]] or [self._note()]
        return Change(kind, name, self._note() if name.endswith(".md") else self._varied(self._dice.choice(same)))

    def renamed(self, there: dict[str, bytes]) -> tuple[str, str]:
        """(a file that is there, another name for it)."""
        name = self._dice.choice(sorted(there))
        self._number += 1
        return name, f"{Path(name).stem[:40]}-{self._number}{Path(name).suffix}"

    def _varied(self, content: bytes) -> bytes:
        return content.partition(MARK)[0] + MARK + str(self._number).encode() if content[:4] == b"%PDF" else content

    def _note(self) -> bytes:
        sections = [" ".join(self._dice.choice(WORDS) for _ in range(self._dice.randrange(5, 150))) for _ in range(3)]
        return "\n\n".join(f"# Part {i} of {self._number}\n\n{text}." for i, text in enumerate(sections)).encode()


def chosen(folder: Path, count: int) -> list[Path]:
    """At most `count` files; those come last that are read by OCR, which takes minutes, or not at all for want of a password."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return sorted(files, key=lambda path: (path.name.startswith(("scan", "enc")), path.name))[:count]
