"""Token counts that are right offline: a worker's, tiktoken's, and a bound that never undercounts."""

from __future__ import annotations

import hashlib
import random
import socket
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from configs.endpoints import Price
from configs.settings import Settings
from server.llm import tokens
from tests.stack import free_port, served

TEXTS = [
    "",
    "a",
    "Ionic conductivity reached 10^-3 S/cm at 25 °C.",
    "离子电导率在室温下达到每厘米一毫西门子。",
    "𝛼𝛽 ≤ ∑ᵢ xᵢ² — “quoted”\t\n\n  spaces",
    "🙂👩‍👩‍👧‍👦🇨🇳",
    "\x00\x01\ufeff\u200b",
]


def settings(controller: str = "", **endpoint: Any) -> Settings:
    nowhere = f"http://127.0.0.1:{free_port()}"
    llm = {
        "default": "small",
        "local": {"small": {"source": "x"}},
        "endpoints": {"cloud": {"models": ["gpt-4o", "house-model"], **endpoint}},
        "controller": controller or nowhere,
    }
    return Settings.model_validate({"llm": llm})


def test_the_bound_is_never_below_a_real_tokenizer(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    noise = random.Random(7)
    random_texts = [
        "".join(
            chr(noise.choice([noise.randrange(32, 127), noise.randrange(0x4E00, 0x9FFF), noise.randrange(0x1F300, 0x1F6FF)]))
            for _ in range(40)
        )
        for _ in range(200)
    ]
    for text in [*TEXTS, *random_texts]:
        assert tokens.bound(text) >= len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_served_model_counts_with_its_own_tokenizer_and_the_bound_takes_over_when_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    worker, controller = FastAPI(), FastAPI()

    @worker.post("/count_token")
    async def count(body: dict[str, Any]) -> dict[str, int]:
        return {"count": len(body["prompt"].split()), "error_code": 0}

    with served(controller) as url:
        with served(worker) as at:

            @controller.post("/get_worker_address")
            async def address(body: dict[str, Any]) -> dict[str, str]:
                return {"address": at if body["model"] == "small" else ""}

            counter = tokens.counter(settings(url), "small")
            assert (counter.way, counter.text("three small words")) == ("worker", 3)
            assert tokens.counter(settings(url), "other").way == "bound"
        assert counter.text("three small words") == len("three small words") + 1
    assert "counts no tokens" in caplog.text


def test_without_tiktokens_table_nothing_is_fetched_and_the_bound_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("a connection was made"))
    tokens._tiktoken.cache_clear()
    counter = tokens.counter(settings(), "gpt-4o")
    assert (counter.way, counter.text("离子")) == ("bound", 7)
    assert tokens.counter(settings(), "house-model").way == "bound"


def test_tiktokens_table_is_used_when_it_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    import tiktoken_ext.openai_public as public

    ranks = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256)) + base64.b64encode(b"ab") + b" 256\n"
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).write_bytes(ranks)  # noqa: S324 - tiktoken's name for it
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    load = public.load_tiktoken_bpe
    monkeypatch.setattr(public, "load_tiktoken_bpe", lambda path, expected_hash=None: load(path))  # a table of ours, with another hash
    tokens._tiktoken.cache_clear()
    try:
        counter = tokens.counter(settings(), "gpt-4o")
        assert (counter.way, counter.text("abba"), counter.text("ab ab")) == ("tiktoken", 3, 3)
    finally:
        tokens._tiktoken.cache_clear()
        import tiktoken.registry

        tiktoken.registry.ENCODINGS.pop("o200k_base", None)


def test_costs_and_prices() -> None:
    assert tokens.cost(Price(prompt=2.5, completion=10), 1_000_000, 100_000) == pytest.approx(3.5)
    priced = settings(prices={"gpt-4o": {"prompt": 2.5, "completion": 10, "currency": "CNY"}})
    assert tokens.price_of(priced, "gpt-4o") == Price(prompt=2.5, completion=10, currency="CNY")
    assert tokens.price_of(priced, "house-model") is None
    with pytest.raises(ValueError, match="prices names 'gpt-9', which is not among models"):
        settings(prices={"gpt-9": {"prompt": 1, "completion": 1}})
