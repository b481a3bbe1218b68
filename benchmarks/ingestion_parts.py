"""One way of getting papers into an index, in a process of its own; in: a JSON file that names them; out: JSON with what it cost.

python -m benchmarks.ingestion_parts WAY JOB [DTYPE]      benchmarks/ingestion.py calls it

The model is loaded before the clock starts. Ingestion does not step back here, so that other work on the machine takes as much from each.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.settings import Splitting, load_settings
from server import embedding, weights
from server.embedding import Embedder
from server.embedding.batches import batches
from server.ingestion import ingest, priority
from server.shelf import Shelf

LOADERS = {"PyMuPDFLoader": "pymupdf", "PyPDFLoader": "pypdf"}  # class of langchain_community -> package that it needs
CHUNK, OVERLAP = 250, 50  # characters


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu_s` with all children; `pieces` are the vectors that were made."""

    wall_s: float
    cpu_s: float
    pages: int
    pieces: int
    load: float


def missing(loader: str) -> list[str]:
    """The packages that a LangChain loader's way needs and that are not installed."""
    return [name for name in ("langchain_huggingface", LOADERS[loader]) if importlib.util.find_spec(name) is None]


def alone(job: dict[str, Any]) -> Cost:
    """The windows of all papers, gathered beforehand, sorted by tokens in one go, by as many threads as ingestion has."""
    model = _embedder()
    texts: list[str] = job["windows"]
    with _measured() as cost:
        left = iter(list(batches(model.lengths(texts), model.batching.tokens)))
        taking = threading.Lock()

        def work() -> None:
            while True:
                with taking:
                    batch = next(left, None)
                if batch is None:
                    return
                model.embed_documents([texts[i] for i in batch])

        threads = [threading.Thread(target=work) for _ in range(model.batching.side_by_side)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return cost(job["pages"], len(texts))


def ours(job: dict[str, Any]) -> Cost:
    """`ingest` into a fresh library."""
    model = _embedder()
    with tempfile.TemporaryDirectory() as temporary:
        kb = Shelf(Path(temporary)).create("papers", embedding=model.name, dimension=model.dimension, passages=model.usage.form)
        for path in job["files"]:
            shutil.copyfile(path, kb.content / Path(path).name)
        with _measured() as cost:
            end = ingest(kb, model, Splitting())
        assert not end.failed, end.failed
        return cost(end.pages, kb.catalog.counts()[2])


def langchain(job: dict[str, Any], loader: str, dtype: str) -> Cost:
    """The plain recipe: loader, RecursiveCharacterTextSplitter, HuggingFaceEmbeddings, FAISS, all with their defaults.

    An empty `dtype` takes the number type that the model's folder names.
    """
    warnings.simplefilter("ignore")  # langchain_community announces its end
    logging.disable(logging.WARNING)  # pypdf wants fontTools for every font
    from langchain_community import document_loaders
    from langchain_community.vectorstores import FAISS
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    chosen: dict[str, Any] = {"model_kwargs": {"dtype": dtype}} if dtype else {}
    model = HuggingFaceEmbeddings(model_name=str(_folder()), model_kwargs={"local_files_only": True} | chosen)
    model.embed_documents(["probe"])
    load = getattr(document_loaders, loader)
    with tempfile.TemporaryDirectory() as temporary:
        with _measured() as cost:
            pages = [page for path in job["files"] for page in load(path).load()]
            chunks = RecursiveCharacterTextSplitter(chunk_size=CHUNK, chunk_overlap=OVERLAP).split_documents(pages)
            FAISS.from_documents(chunks, model).save_local(temporary)
        return cost(len(pages), len(chunks))


def _folder() -> Path:
    settings = load_settings()
    return weights.find(settings.embedding.model, settings.paths.models)


def _embedder() -> Embedder:
    model = embedding.load_model(load_settings())
    model.embed_documents(["probe"])
    return model


@contextlib.contextmanager
def _measured() -> Iterator[Callable[[int, int], Cost]]:
    """Gives a function (pages, pieces) -> cost of the block."""
    started, used = time.perf_counter(), _cpu_s()
    wall = cpu = 0.0
    yield lambda pages, pieces: Cost(wall, cpu, pages, pieces, os.getloadavg()[0])
    wall, cpu = time.perf_counter() - started, _cpu_s() - used


def _cpu_s() -> float:
    whole = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in whole)


def main() -> None:
    """Print the cost as JSON, on the last line."""
    way, job = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    priority.NICENESS = 0
    cost = {"alone": alone, "ours": ours}[way](job) if way in ("alone", "ours") else langchain(job, way, "".join(sys.argv[3:]))
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()
