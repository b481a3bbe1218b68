"""kill -9 at random moments of ingestion, uploads and deletions: nothing lost, doubled or left over, and the rows of an undisturbed run.

python -m benchmarks.kill_nine                             200 kills, 30 papers, readings cached by content, an embedder of hashed words
python -m benchmarks.kill_nine --kills 40 --readers real   every file is read by the real readers in their own processes
python -m benchmarks.kill_nine --kills 20 --embedder multilingual-e5-small

A round is a few lives of one process after another, each killed; the last is left alone until it has ended. In rounds `by hand` the folder
changes between the lives and under them, and each life is `init_database.py --increment`. In rounds `by server` a life goes on with what is
queued, and takes uploads and deletions; what it acknowledged must hold. Most kills aim at a phase, the others come at any moment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks import kill_lives as lives
from benchmarks.kill_changes import Papers
from benchmarks.kill_lives import PHASES, Phases, Silent, World
from benchmarks.machine import head
from configs.settings import ROOT, load_settings

LIBRARY = ROOT.parent / "shared" / "library" / "papers"
SAMPLES = ROOT / "knowledge_base" / "samples" / "content"
KILLS_A_ROUND = 5
SERVED_S = 2.0  # how long a server takes uploads, when it is not killed before
STAY_S = {  # a kill that aims at a phase comes so long after its beginning at most
    "comparing": 0.001,
    "reading": 0.03,
    "embedding": 0.01,
    "writing": 0.002,
    "saving index": 0.01,
    "uploading": 0.01,
    "deleting": 0.005,
}
AIMED = 0.7  # share of the kills that aim at a phase; the others come at any moment
ENTRIES = {"comparing": (1, 2, 5, 10, 20), "saving index": (1, 1, 1, 2), "embedding": (1, 1, 2, 3)}  # it begins so often before the kill
CHILD_PATIENCE_S = 10.0  # for the readers of a killed process to be gone


class Round:
    """What is known about one round: the files that must be there, and what the process was doing when it died."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.acknowledged: dict[str, str | None] = {}
        self.begun: dict[str, str | None] = {}
        self.errors: list[str] = []

    def heard(self, line: bytes) -> None:
        """A change that a server has begun or acknowledged, or an error that it should not have had."""
        change = json.loads(line)
        if "error" in change:
            self.errors.append(change["error"])
            return
        (self.acknowledged if change["done"] else self.begun)[change["name"]] = change["sha256"]
        if change["done"]:
            self.begun.pop(change["name"], None)

    def broken(self, present: dict[str, str]) -> list[str]:
        """Acknowledged changes that do not hold; one that was begun later may hold, too."""
        return [
            f"{name}: acknowledged {wanted}, is {present.get(name)}"
            for name, wanted in self.acknowledged.items()
            if present.get(name) != wanted and not (name in self.begun and present.get(name) == self.begun[name])
        ]


class Bench:
    """All kills of one call."""

    def __init__(self, options: argparse.Namespace, folder: Path, embedder: Any) -> None:
        self.dice = random.Random(options.seed)
        cache = folder / "cache" if options.readers == "cached" else None
        if cache:
            cache.mkdir()
        self.world = World(folder / "killed", embedder, cache)
        self.calm = World(folder / "calm", embedder, cache)
        self.papers = Papers(options.papers, options.files, self.dice)
        self.life_s = options.life_s
        self.kills = 0
        self.ended = 0
        self.hits: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.faults: list[str] = []
        self.gone_s = 0.0  # the longest that a reader outlived its parent
        self.readers = 0  # that lived when their parent was killed

    def run(self, kills: int) -> None:
        """Rounds until there were so many kills, then the comparison with a library that was made at once."""
        import faiss  # noqa: F401 - loaded once, so that each life begins at once

        for world in (self.world, self.calm):
            lives.in_child(lambda world=world: lives.seeded(world, self.papers.all))  # type: ignore[misc]  # bound now
        while self.kills < kills:
            kind = self.dice.choice(["by hand", "by server"])
            started, before = time.monotonic(), self.kills
            self._round(kind, min(KILLS_A_ROUND, kills - self.kills))
            print(
                f"{kind}: kills {before + 1} to {self.kills}, {time.monotonic() - started:.1f} s, faults {len(self.faults)}",
                file=sys.stderr,
                flush=True,
            )
        shutil.rmtree(self.calm.root)
        lives.in_child(lambda: lives.seeded(self.calm, self.world.files()))
        self._quiet(lambda: lives.increment(self.calm), self.calm)
        self.faults += lives.in_child(lambda: lives.compared(self.world, self.calm))

    def _round(self, kind: str, kills: int) -> None:
        round_ = Round(kind)
        done = 0
        while done < kills:
            if kind == "by hand":
                self._changed_by_hand()
            done += self._life(round_)
        last = (lambda: lives.increment(self.world)) if kind == "by hand" else (lambda: lives.serve(self.world, self.papers, 0, print))
        self._quiet(last, self.world)
        files = self.world.files()
        present = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        found = [*round_.errors, *round_.broken(present), *lives.in_child(lambda: lives.findings(self.world))]
        self._follow(files)
        found += lives.in_child(lambda: lives.compared(self.world, self.calm))
        self.faults += [f"{kind} up to kill {self.kills}: {fault}" for fault in found]
        if found:  # one fault is reported once
            self._quiet(lambda: lives.increment(self.world), self.world)

    def _follow(self, files: dict[str, bytes]) -> None:
        """Bring the library that nobody kills to the same content."""
        for name in self.calm.files().keys() - files.keys():
            (self.calm.content / name).unlink()
        for name, content in files.items():
            path = self.calm.content / name
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        self._quiet(lambda: lives.increment(self.calm), self.calm)

    def _changed_by_hand(self) -> None:
        """Some changes to the folder, as a person or another program makes them."""
        for _ in range(self.dice.randrange(1, 5)):
            there = self.world.files()
            if there and self.dice.random() < 0.15:
                name, other = self.papers.renamed(there)
                (self.world.content / name).rename(self.world.content / other)
                continue
            change = self.papers.change(there)
            path = self.world.content / change.name
            if change.content is None:
                path.unlink()
            else:
                path.write_bytes(change.content)
            self.kinds[f"{change.kind} by hand"] += 1

    def _quiet(self, work: Callable[[], None], world: World) -> None:
        """`work` in a process that is left alone."""

        def child() -> None:
            lives.watch(Silent(), world.cache, random.Random(0))
            work()

        lives.in_child(child)

    def _life(self, round_: Round) -> int:
        """One process from its start to its kill; 0 when it ended before."""
        phases = Phases()
        heard, tell = os.pipe()
        seed = self.dice.random()
        child = os.fork()
        if child == 0:
            self._live(round_, phases, tell, random.Random(seed))
        os.close(tell)
        killed = self._killed(child, phases, heard, round_)
        _drain(heard, round_)
        self.kills += killed
        self.ended += not killed
        if killed:
            at = phases.now()
            self.hits.update(at or ["between"])
            self._orphans(child)
            found = lives.in_child(lambda: lives.findings(self.world, half_done=True))
            self.faults += [f"right after kill {self.kills} ({', '.join(at)}): {fault}" for fault in found]
        phases.close()
        return int(killed)

    def _live(self, round_: Round, phases: Phases, tell: int, dice: random.Random) -> None:
        """The child: never returns."""
        os.setsid()
        code = 1
        try:
            lives.watch(phases, self.world.cache, dice)
            world = World(self.world.root, lives.Telling(self.world.embedder, phases), self.world.cache)  # type: ignore[arg-type]
            if round_.kind == "by hand":
                lives.increment(world)
            else:
                self.papers.seed(dice.random())
                lives.serve(world, self.papers, SERVED_S, lambda change: os.write(tell, json.dumps(change).encode() + b"\n") and None)
            code = 0
        except BaseException as exc:  # noqa: BLE001 - the parent counts it as a fault
            os.write(tell, json.dumps({"error": repr(exc)}).encode() + b"\n")
        finally:
            os._exit(code)

    def _killed(self, child: int, phases: Phases, heard: int, round_: Round) -> bool:
        """Wait for the moment and kill; False when the process ended before it came."""
        aim = self.dice.choice(PHASES[:5] if round_.kind == "by hand" else PHASES) if self.dice.random() < AIMED else None
        entries = self.dice.choice(ENTRIES.get(aim or "", (1, 2, 3, 5, 8)))
        deadline = time.monotonic() + (self.dice.uniform(0, self.life_s) if aim is None else 2 * self.life_s)
        stay = self.dice.uniform(0, STAY_S[aim]) if aim else 0.0
        changing = self.dice.uniform(0.05, 0.3) if round_.kind == "by hand" else None
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([phases.entries, heard], [], [], min(left, 0.05))
            if heard in ready and not _hear(heard, round_):
                break
            if phases.entries in ready and aim:
                entries -= os.read(phases.entries, 1) == bytes([PHASES.index(aim)])
                if entries <= 0:
                    time.sleep(stay)
                    break
            elif phases.entries in ready:
                os.read(phases.entries, 4096)
            if changing and time.monotonic() > deadline - left + changing:
                self._changed_by_hand()  # under the process's hands
                changing = None
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True

    def _orphans(self, group: int) -> None:
        """How long the readers of a killed process stay."""
        started = time.monotonic()
        first = _of_group(group)
        self.readers += len(first)
        while _of_group(group):
            if time.monotonic() - started > CHILD_PATIENCE_S:
                self.faults.append(f"a reader outlived its parent for more than {CHILD_PATIENCE_S:g} s: {_of_group(group)}")
                for process in _of_group(group):
                    process.kill()
                break
            time.sleep(0.02)
        self.gone_s = max(self.gone_s, time.monotonic() - started)


def _of_group(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def _hear(pipe: int, round_: Round) -> bool:
    """Take what was told; False when nobody holds the other end any more."""
    raw = os.read(pipe, 65536)
    for line in raw.splitlines():
        round_.heard(line)
    return bool(raw)


def _drain(pipe: int, round_: Round) -> None:
    while _hear(pipe, round_):
        pass
    os.close(pipe)


def main() -> int:
    """Print the table; 1 when something was lost, doubled or left over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20_260_801)
    parser.add_argument("--papers", type=Path, default=LIBRARY if LIBRARY.is_dir() else SAMPLES, help="a folder; default: %(default)s")
    parser.add_argument("--files", type=int, default=30, help="so many of its files (default: 30)")
    parser.add_argument("--readers", choices=("cached", "real"), default="cached", help="cached: each content is read once")
    parser.add_argument("--embedder", default="hash", help="hash (words, no model), or a name of the weights table")
    parser.add_argument("--life-s", type=float, default=3.0, help="longest life of a process that is not aimed at (default: 3)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # failed files are part of it
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder), _embedder(options.embedder))
        started = time.monotonic()
        bench.run(options.kills)
        seconds = time.monotonic() - started
        print(head(f"{bench.kills} times kill -9"))
        print("| what | number |\n|---|---|")
        for what, value in {
            "kills; processes that ended before theirs came": f"{bench.kills}; {bench.ended}",
            "files at the end": len(bench.world.files()),
            "faults: lost, doubled, left over, or other rows than undisturbed": len(bench.faults),
            "readers that lived when their parent was killed; gone after": f"{bench.readers}; {bench.gone_s:.1f} s at most",
            "minutes": f"{seconds / 60:.1f}",
        }.items():
            print(f"| {what} | {value} |")
        print("\n| phase that a kill hit (several at once) | kills |\n|---|---|")
        for phase in (*PHASES, "between"):
            print(f"| {phase} | {bench.hits[phase]} |")
        print("\nbetween: opening a library, splitting, waiting")
        print(f"seed {options.seed}; changes by hand: {', '.join(f'{k} {v}' for k, v in sorted(bench.kinds.items()))}")
        for fault in bench.faults[:50]:
            print(f"- {fault}")
    return 1 if bench.faults else 0


def _embedder(name: str) -> Any:
    if name == "hash":
        from tests.hash_embedder import HashEmbedder

        return HashEmbedder()
    from server import embedding

    embedder = embedding.load_model(load_settings({"embedding": {"model": name, "threads": 1}}), "")
    embedder.count_tokens("")
    return embedder


if __name__ == "__main__":
    sys.exit(main())
