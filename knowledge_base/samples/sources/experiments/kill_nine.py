"""Measures what a SIGKILL leaves behind in three ways of storing a library, and what each way costs per file.

A child process performs 40 operations: it adds 30 synthetic files (25 records each: a text and a 128-float vector) and then
replaces 10 of them by a second version. It is killed; the store is opened as a reader would (orphaned: a vector without its
text, or a text without its vector); then the work is started again, allowed to finish, and the store is compared with what
should be in it (lost, duplicated). Kills come at random moments, then at every named step of five of the operations.

    in_place      index file and pickled texts rewritten where they lie
    rename        both written to temporary files, then renamed, one after the other
    transaction   one SQLite transaction a file (WAL); the vector index is derived and carries a generation number

Run:  python kill_nine.py [trials] [seed]      (default 200 trials a design; about two minutes; needs numpy)
SIGKILL ends the process but not the machine: this says nothing about power cuts, for which see the fsync columns.
"""

import io
import json
import os
import pickle
import random
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

DIM, RECORDS = 128, 25
WORK = [(f, 1) for f in range(30)] + [(f, 2) for f in range(10)]  # (file, version)
WANTED = {(f, 2 if f < 10 else 1, r) for f in range(30) for r in range(RECORDS)}
STEPS = {
    "in_place": ["before", "index open", "index half", "between", "texts open", "texts half", "after"],
    "rename": ["before", "temp half", "temps written", "between", "after"],
    "transaction": ["before", "row half", "before commit", "after commit", "index temp", "after"],
}


def records(file: int, version: int):
    """The (key, text) list of one file, and its vectors (25, 128)."""
    rng = np.random.default_rng(file * 10 + version)
    keys = [(file, version, r) for r in range(RECORDS)]
    return [(k, f"file {k[0]} version {k[1]} record {k[2]} " * 8) for k in keys], rng.random((RECORDS, DIM), np.float32)


def die_at(step: str, aim):
    if aim == step:
        os.kill(os.getpid(), signal.SIGKILL)


def write(path: Path, data: bytes, aim, half: str, opened: str = "", sync: bool = False):
    with open(path, "wb", buffering=0) as f:
        die_at(opened, aim)
        f.write(data[: len(data) // 2])
        die_at(half, aim)
        f.write(data[len(data) // 2 :])
        if sync:
            os.fsync(f.fileno())


class TwoFiles:
    """An index file (keys and vectors) and a pickle of texts, both rewritten after every file."""

    def __init__(self, folder: Path, rename: bool, sync: bool = False):
        self.index, self.texts, self.rename, self.sync = folder / "index.npz", folder / "texts.pkl", rename, sync
        self.keys, self.vectors, self.text = [], np.zeros((0, DIM), np.float32), {}
        if self.index.exists() and self.texts.exists():
            with np.load(self.index) as z:
                self.keys, self.vectors = [tuple(k) for k in z["keys"].tolist()], z["vectors"]
            self.text = pickle.loads(self.texts.read_bytes())

    def done(self, file: int, version: int) -> bool:
        return any((file, v, 0) in self.text for v in range(version, 3))

    def put(self, file: int, version: int, aim=None):
        rows, vectors = records(file, version)
        old = {k for k in self.text if k[0] == file}  # what the texts know is what can be deleted from the index
        keep = [i for i, k in enumerate(self.keys) if k not in old]
        self.keys, self.vectors = [self.keys[i] for i in keep] + [k for k, _ in rows], np.vstack([self.vectors[keep], vectors])
        self.text = {k: t for k, t in self.text.items() if k not in old} | dict(rows)
        self.save(aim)

    def save(self, aim=None):
        packed = io.BytesIO()
        np.savez(packed, keys=np.array(self.keys), vectors=self.vectors)
        die_at("before", aim)
        if self.rename:
            temps = [self.index.with_suffix(".tmp1"), self.texts.with_suffix(".tmp2")]
            write(temps[0], packed.getvalue(), aim, "temp half", sync=self.sync)
            write(temps[1], pickle.dumps(self.text), aim, "", sync=self.sync)
            die_at("temps written", aim)
            os.replace(temps[0], self.index)
            die_at("between", aim)
            os.replace(temps[1], self.texts)
        else:
            write(self.index, packed.getvalue(), aim, "index half", "index open", self.sync)
            die_at("between", aim)
            write(self.texts, pickle.dumps(self.text), aim, "texts half", "texts open", self.sync)
        die_at("after", aim)

    def finish(self):
        pass

    def contents(self):
        return self.keys, list(self.text)


class Transaction:
    """library.db holds texts, vectors and states; index.npz is derived from it and stamped with its generation."""

    def __init__(self, folder: Path, sync: str = "NORMAL", every: int = 10):
        self.db = sqlite3.connect(folder / "library.db", isolation_level=None)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute(f"pragma synchronous={sync}")
        self.db.executescript(
            "create table if not exists file(file integer primary key, version int, state text);"
            "create table if not exists chunk(id integer primary key, file int, version int, r int, text text, vector blob);"
            "create index if not exists by_file on chunk(file);"
            "create table if not exists generation(n int);"
        )
        if not self.db.execute("select 1 from generation").fetchone():
            self.db.execute("insert into generation values(0)")
        self.index, self.every, self.puts = folder / "index.npz", every, 0

    def done(self, file: int, version: int) -> bool:
        sql = "select 1 from file where file=? and version>=? and state='ready'"
        return self.db.execute(sql, (file, version)).fetchone() is not None

    def put(self, file: int, version: int, aim=None):
        rows, vectors = records(file, version)
        die_at("before", aim)
        self.db.execute("begin immediate")
        self.db.execute("delete from chunk where file=?", (file,))
        for i, ((_, _, r), text) in enumerate(rows):
            sql = "insert into chunk(file,version,r,text,vector) values(?,?,?,?,?)"
            self.db.execute(sql, (file, version, r, text, vectors[i].tobytes()))
            if i == RECORDS // 2:
                die_at("row half", aim)
        self.db.execute("insert or replace into file values(?,?,'ready')", (file, version))
        self.db.execute("update generation set n=n+1")
        die_at("before commit", aim)
        self.db.execute("commit")
        die_at("after commit", aim)
        self.puts += 1
        if self.puts % self.every == 0 or aim:
            self.write_index(aim)
        die_at("after", aim)

    def generation(self) -> int:
        return self.db.execute("select n from generation").fetchone()[0]

    def write_index(self, aim=None):
        rows = self.db.execute("select file,version,r,vector from chunk order by id").fetchall()
        packed = io.BytesIO()
        vectors = np.array([np.frombuffer(r[3], np.float32) for r in rows])
        np.savez(packed, keys=np.array([r[:3] for r in rows]), vectors=vectors, generation=self.generation())
        temp = self.index.with_suffix(".tmp")
        temp.write_bytes(packed.getvalue())
        die_at("index temp", aim)
        os.replace(temp, self.index)

    def finish(self):
        stamp = -1
        if self.index.exists():
            with np.load(self.index) as z:
                stamp = int(z["generation"])
        if stamp != self.generation():  # a lost or stale index is rebuilt from the rows
            self.write_index()

    def contents(self):
        with np.load(self.index) as z:
            keys = [tuple(map(int, k)) for k in z["keys"].tolist()]
        return keys, self.db.execute("select file,version,r from chunk").fetchall()


OPEN = {
    "in_place": lambda p: TwoFiles(p, rename=False),
    "rename": lambda p: TwoFiles(p, rename=True),
    "transaction": Transaction,
}


def ingest(design: str, folder: Path, aim=None, aim_at=None):
    """Do the operations that the store does not show as done. With `aim`, die at that step of operation `aim_at`."""
    store = OPEN[design](folder)
    for n, (file, version) in enumerate(WORK):
        if not store.done(file, version):
            store.put(file, version, aim if n == aim_at else None)
    store.finish()


def child(design: str, folder: Path, aim=None, aim_at=None) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        ingest(design, folder, aim, aim_at)
        os._exit(0)
    except Exception:
        os._exit(3)


def opened(design: str, folder: Path):
    """Open as a reader does (a stale derived index is rebuilt), and list the keys of the vectors and of the texts."""
    store = OPEN[design](folder)
    store.finish()
    found = store.contents()
    if isinstance(store, Transaction):
        store.db.close()
    return found


def trial(design: str, delay_s: float, aim=None, aim_at=None) -> Counter:
    """Kill once, restart, finish, compare."""
    folder = Path(tempfile.mkdtemp(dir=BASE))
    pid = child(design, folder, aim, aim_at)
    if aim is None:
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    found = Counter()
    try:
        vectors, texts = map(set, opened(design, folder))  # what a reader sees before the work goes on
        found["orphaned"] = len(vectors - texts) + len(texts - vectors)
    except Exception:
        found["unreadable"] = 1  # the store does not open again: everything in it is lost
        shutil.rmtree(folder)
        return found
    if os.waitpid(child(design, folder), 0)[1]:
        found["unreadable"] = 1
    else:
        vectors, texts = (Counter(map(tuple, c)) for c in opened(design, folder))
        found["lost"] = len(WANTED - set(vectors)) + len(WANTED - set(texts))
        found["duplicated"] = sum(n - 1 for n in vectors.values()) + sum(n - 1 for n in texts.values())
    shutil.rmtree(folder)
    return found


def summary(results: list[Counter]) -> dict:
    kinds = ["unreadable", "lost", "duplicated", "orphaned"]
    out = {"runs": len(results), "whole": sum(not any(r.values()) for r in results)}
    out |= {f"runs {k}": sum(r[k] > 0 for r in results) for k in kinds}
    return out | {f"records {k}": sum(r[k] for r in results) for k in kinds[1:]}


def cost_ms(make, sizes=(0, 2_500, 25_000)) -> dict[int, float]:
    """Median milliseconds to add one file to a library that already has `size` records."""
    out = {}
    for size in sizes:
        folder = Path(tempfile.mkdtemp(dir=BASE))
        store = make(folder)
        if isinstance(store, Transaction):
            store.db.execute("begin")
            for f in range(1000, 1000 + size // RECORDS):
                rows, v = records(f, 1)
                for (k, t), x in zip(rows, v, strict=True):
                    store.db.execute(
                        "insert into chunk(file,version,r,text,vector) values(?,?,?,?,?)", (f, 1, k[2], t, x.tobytes())
                    )
            store.db.execute("commit")
        else:
            parts = [records(f, 1) for f in range(1000, 1000 + size // RECORDS)]
            store.keys = [k for rows, _ in parts for k, _ in rows]
            store.text = {k: t for rows, _ in parts for k, t in rows}
            store.vectors = np.vstack([np.zeros((0, DIM), np.float32)] + [v for _, v in parts])
        times = []
        for f in range(9):
            start = time.perf_counter()
            store.put(f, 1)
            times.append((time.perf_counter() - start) * 1000)
        out[size] = round(statistics.median(times), 2)
        shutil.rmtree(folder)
    return out


def rename_share() -> dict:
    """Milliseconds of an undisturbed run of the rename design, and how many of them its two rename calls take."""
    real, spent = os.replace, []

    def timed(a, b):
        start = time.perf_counter()
        real(a, b)
        spent.append((time.perf_counter() - start) * 1000)

    os.replace, start = timed, time.perf_counter()
    ingest("rename", Path(tempfile.mkdtemp(dir=BASE)))
    os.replace = real
    return {"rename run_ms": round((time.perf_counter() - start) * 1000), "in os.replace_ms": round(sum(spent))}


if __name__ == "__main__":
    trials, seed = int(sys.argv[1]) if len(sys.argv) > 1 else 200, int(sys.argv[2]) if len(sys.argv) > 2 else 7
    BASE = tempfile.mkdtemp(prefix="kill_nine_")
    random.seed(seed)
    for design in OPEN:
        started = time.perf_counter()
        folder = Path(tempfile.mkdtemp(dir=BASE))
        os.waitpid(child(design, folder), 0)
        span_s = time.perf_counter() - started
        results = [trial(design, random.uniform(0, span_s)) for _ in range(trials)]
        print(json.dumps({"kills": "random", "design": design, "span_s": round(span_s, 3)} | summary(results)), flush=True)
    for design, steps in STEPS.items():
        for step in steps:
            results = [trial(design, 0, step, n) for n in (0, 12, 25, 33, 39)]
            print(json.dumps({"kills": "aimed", "design": design, "step": step} | summary(results)), flush=True)
    print(json.dumps(rename_share()), flush=True)
    costs = {
        "in_place": lambda p: TwoFiles(p, False),
        "rename": lambda p: TwoFiles(p, True),
        "rename, fsync": lambda p: TwoFiles(p, True, True),
        "transaction, NORMAL": lambda p: Transaction(p, "NORMAL", 10**9),
        "transaction, FULL": lambda p: Transaction(p, "FULL", 10**9),
    }
    for name, make in costs.items():
        print(json.dumps({"cost_ms": name} | {str(k): v for k, v in cost_ms(make).items()}), flush=True)
    shutil.rmtree(BASE)
