"""The part of a FAISS index that does not change: batches of ids and vectors in, a searchable part out; its kind follows from its size.

Rows are numbered by place (0, 1, …) inside FAISS, their ids lie beside in an array; so one bitmap says which places may be found.
Kinds and the sizes at which they change were measured (benchmarks/results/stores.md): `flat` (float32), `half` (float16), and `lists`:
k-means lists of 8-bit scalars, of which as many are probed as this library's own vectors need for a recall@10 of 0.995.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from server.errors import Corrupt
from server.stores import Ids, Vectors

Kind = Literal["flat", "half", "lists"]
Flags = npt.NDArray[np.bool_]
SURPLUS = {"flat": 0, "half": 0, "lists": 30}  # candidates beyond k; with them 8 bits lose nothing that float32 finds
GOAL = 0.995  # recall@10 among the trial queries; 0.99 is promised
TRIALS = 100
TRIAL_COSINE = 0.8  # between a trial query and the row it was made from, as between a question and its passage
BATCH = 8192  # rows at a time
ROWS_A_LIST = 256  # a paper has about as many; with 1,000 a list, 1,024 of 2,048 lists had to be probed among 10,000 papers
MOST_LISTS = 8192  # two million rows are assigned to so many in minutes
SAMPLE_A_LIST = 20  # rows to train one k-means list with
ROUNDS = 6  # of k-means


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of vectors. From `half` and `lists` on the next kind is built; changes beside the part may reach a twentieth of it."""

    half: int = 20_000
    lists: int = 80_000
    changes_least: int = 10_000
    changes_most: int = 30_000

    def kind(self, count: int) -> Kind:
        """What serves `count` vectors best."""
        return "flat" if count < self.half else "half" if count < self.lists else "lists"

    def changes(self, count: int) -> int:
        """How many vectors may be new or gone before a part of `count` is written anew."""
        return max(self.changes_least, min(self.changes_most, count // 20))


MEASURED = Sizes()


@dataclass(frozen=True, eq=False)
class Part:
    """Never changed once it is there, so searched without a lock.

    `sums` are the checksums of the lists, `checked` says which of them were compared; both are empty for the other kinds.
    """

    kind: Kind
    index: Any
    ids: Ids  # (n,) by place
    probes: int = 1
    trained: int = 0  # vectors there were when the lists were trained
    sums: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    checked: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _order(self) -> Ids | None:
        """Places by ascending id; None when they lie so already, as after building from rows."""
        ascending = bool((self.ids[1:] > self.ids[:-1]).all())
        return None if ascending else np.argsort(self.ids, kind="stable")

    def places(self, ids: Ids) -> Ids:
        """The places of those `ids` that are here."""
        if not len(self):
            return np.zeros(0, np.int64)
        at = np.searchsorted(self.ids, ids, sorter=self._order).clip(max=len(self) - 1)
        places = at if self._order is None else self._order[at]
        return np.asarray(places[self.ids[places] == ids], np.int64)

    def search(self, vector: Vectors, k: int, allowed: Flags | None, *, everywhere: bool) -> list[tuple[int, float]]:
        """The `k` nearest as (id, cosine), best first, among the `allowed` places; in every list when `everywhere`.

        Raises Corrupt when a list is not what was saved.
        """
        import faiss

        query = np.ascontiguousarray(vector.reshape(1, -1), np.float32)
        count = len(self) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, count)
        if k == 0:
            return []
        selector = every_place() if allowed is None else chosen_places(allowed)
        if self.kind == "lists":
            probes = int(self.index.nlist) if everywhere else self.probes
            self._check(query, probes)
            centres = faiss.SearchParameters(sel=every_place())  # type: ignore[call-arg]  # SWIG's constructor
            parameters: Any = faiss.SearchParametersIVF(sel=selector, nprobe=probes, quantizer_params=centres)  # type: ignore[call-arg]  # SWIG's
        else:
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # SWIG's constructor
        scores, places = self.index.search(query, k, params=parameters)
        found = places[0] >= 0
        return list(zip(self.ids[places[0][found]].tolist(), scores[0][found].tolist(), strict=True))

    def rows(self, allowed: Flags) -> Iterator[tuple[Ids, Vectors]]:
        """The allowed rows of a `flat` or `half` part, in batches."""
        for start in range(0, len(self), BATCH):
            stop = min(start + BATCH, len(self))
            kept = allowed[start:stop]
            yield self.ids[start:stop][kept], self.index.reconstruct_n(start, stop - start)[kept]

    def merged(self, allowed: Flags, ids: Ids, vectors: Vectors) -> Part:
        """A part of the same kind: the allowed rows of this one, and these. Lists keep their centres: nothing is trained."""
        if self.kind != "lists":
            return build(self.kind, vectors.shape[1], len(self) + len(ids), itertools.chain(self.rows(allowed), [(ids, vectors)]))
        import faiss

        self.check_all()
        index: Any = faiss.clone_index(_untrained_like(self.index))
        renumbered = np.cumsum(allowed, dtype=np.int64) - 1
        kept = 0
        for number in range(self.index.nlist):
            codes, places = _list(self.index, number)
            mask = allowed[places]
            places, codes = renumbered[places[mask]], np.ascontiguousarray(codes[mask])  # named, so that they outlive the call
            if len(places):
                index.invlists.add_entries(number, len(places), faiss.swig_ptr(places), faiss.swig_ptr(codes))
                kept += len(places)
        index.ntotal = kept
        if len(ids):
            index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.arange(kept, kept + len(ids)))
        return replace(self, index=index, ids=np.concatenate([self.ids[allowed], ids]), **_sums(index))

    def check_all(self) -> None:
        """Compare every list that was not searched yet with its checksum. Raises Corrupt."""
        self._check_lists(np.flatnonzero(~self.checked))

    def _check(self, query: Vectors, probes: int) -> None:
        import faiss

        if probes >= self.index.nlist:
            self.check_all()
        elif not self.checked.all():
            _, numbers = faiss.downcast_index(self.index.quantizer).search(query, probes)
            self._check_lists(numbers[0][~self.checked[numbers[0]]])

    def _check_lists(self, numbers: Ids) -> None:
        for number in numbers.tolist():
            if _sum(self.index, number) != self.sums[number]:
                raise Corrupt(f"list {number} of the vector index is not what was saved")
            self.checked[number] = True


def every_place() -> Any:
    """A selector of all places. With one, FAISS scores a single question in the thread of its caller.

    Without one it starts all its threads, which wait for each other spinning: 1.7 ms of CPU for 0.03 ms of work, and ten times that when
    the cores are busy.
    """
    import faiss

    return faiss.IDSelectorAll()


def chosen_places(allowed: Flags) -> Any:
    """A selector of the allowed places."""
    import faiss

    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))  # type: ignore[call-arg, arg-type]  # SWIG's constructor


def empty(dimension: int) -> Part:
    """A part that holds nothing."""
    return build("flat", dimension, 0, [])


def build(kind: Kind, dimension: int, count: int, batches: Iterable[tuple[Ids, Vectors]]) -> Part:
    """All of `batches`, about `count` rows in an order without meaning, so that the first ones are a sample of all."""
    import faiss

    if kind == "lists":
        return _lists(dimension, count, iter(batches))
    index = (
        faiss.IndexFlatIP(dimension)
        if kind == "flat"
        else faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    )
    ids: list[Ids] = [np.zeros(0, np.int64)]
    for some, vectors in batches:
        index.add(np.ascontiguousarray(vectors, np.float32))
        ids.append(some)
    return Part(kind, index, np.concatenate(ids))


def _lists(dimension: int, count: int, batches: Iterator[tuple[Ids, Vectors]]) -> Part:
    import faiss

    lists = min(MOST_LISTS, 2 ** max(2, round(math.log2(max(count, 1) / ROWS_A_LIST))))
    first: list[tuple[Ids, Vectors]] = []
    while sum(len(ids) for ids, _ in first) < SAMPLE_A_LIST * lists and (batch := next(batches, None)):
        first.append(batch)
    sample = np.concatenate([vectors for _, vectors in first])
    lists = min(lists, len(sample))
    quantizer = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dimension, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )  # without residuals a code does not depend on its list
    index.cp.spherical = True
    index.cp.niter = ROUNDS
    index.cp.min_points_per_centroid = 1  # small ones are for tests
    index.train(sample)
    trials = _trials(sample)
    del sample
    exact = faiss.ResultHeap(len(trials), 10, keep_max=True)
    ids: list[Ids] = []
    held = 0
    for some, vectors in itertools.chain(_emptied(first), batches):
        index.add_with_ids(vectors, np.arange(held, held + len(some)))
        scores, places = faiss.knn(trials, vectors, min(10, len(some)), faiss.METRIC_INNER_PRODUCT)
        exact.add_result(scores, places + held)
        ids.append(some)
        held += len(some)
    exact.finalize()
    return Part("lists", index, np.concatenate(ids), _probes(index, trials, exact.I), held, **_sums(index))


def _emptied(batches: list[tuple[Ids, Vectors]]) -> Iterator[tuple[Ids, Vectors]]:
    """Each once, not kept any longer."""
    batches.reverse()
    while batches:
        yield batches.pop()


def _trials(sample: Vectors) -> Vectors:
    """Rows of the sample, moved to where a question may lie."""
    dice = np.random.default_rng(0)
    rows = sample[dice.choice(len(sample), min(TRIALS, len(sample)), replace=False)]
    noise = dice.normal(size=rows.shape).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    moved = TRIAL_COSINE * rows + math.sqrt(1 - TRIAL_COSINE**2) * noise
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


def _probes(index: Any, trials: Vectors, exact: Ids) -> int:
    """As few lists as give GOAL: all of them where the vectors have no clusters."""
    import faiss

    probes = 16
    while probes < index.nlist:
        parameters = faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]  # SWIG's constructor
        _, found = index.search(trials, 10 + SURPLUS["lists"], params=parameters)
        hits = sum(len(set(true.tolist()) & set(row.tolist())) for true, row in zip(exact, found, strict=True))
        if hits >= GOAL * exact.size:
            return probes
        probes *= 2
    return int(index.nlist)


def _untrained_like(index: Any) -> Any:
    """Its centres and ranges without its lists."""
    import faiss

    bare = faiss.IndexIVFScalarQuantizer(index.quantizer, index.d, index.nlist, index.sq.qtype, index.metric_type, index.by_residual)
    bare.sq = index.sq
    bare.is_trained = True
    return bare


def _list(index: Any, number: int) -> tuple[npt.NDArray[np.uint8], Ids]:
    """The codes (n, bytes) and places (n,) of a list, where they lie."""
    import faiss

    lists = faiss.downcast_InvertedLists(index.invlists)
    size = lists.list_size(number)
    if size == 0:
        return np.zeros((0, lists.code_size), np.uint8), np.zeros(0, np.int64)
    codes = faiss.rev_swig_ptr(lists.get_codes(number), size * lists.code_size).reshape(size, -1)
    return codes, faiss.rev_swig_ptr(lists.get_ids(number), size)


def _sum(index: Any, number: int) -> int:
    codes, places = _list(index, number)
    return zlib.crc32(places.data, zlib.crc32(codes.data))


def _sums(index: Any) -> dict[str, Any]:
    """The fields of a part whose lists were made just now."""
    sums = np.array([_sum(index, number) for number in range(index.nlist)], np.uint32)
    return {"sums": sums, "checked": np.ones(index.nlist, np.bool_)}
