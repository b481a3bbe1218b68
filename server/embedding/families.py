"""How a model wants its texts; in: its names, what its folder says, the settings; out: a `Usage`: prefixes, pooling, who says so.

A wrong prefix or pooling raises no error, it only makes every search worse. So: the settings win over the model's folder, the folder
over the table of families, and a model that nobody knows is used as it is, which is said in the log, the banner and the API.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)
QUERY_PROMPTS = ("query", "search_query", "retrieval.query", "s2p_query")  # names in use for them in config_sentence_transformers.json
PASSAGE_PROMPTS = ("document", "passage", "search_document", "retrieval.passage")
_ASK = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one kind: what stands before questions and passages, and how token vectors become one (mean, cls, lasttoken)."""

    name: str
    pattern: str
    query: str = ""
    passage: str = ""
    pooling: str = "mean"
    max_tokens: int = 512  # used for endpoints, which do not say it


# The first that matches. Sources: the models' cards on the hub, and OpenAI's guide to embeddings.
FAMILIES: tuple[Family, ...] = (
    Family("m3e", r"m3e"),
    Family("bge-m3", r"bge-m3", pooling="cls", max_tokens=8192),
    Family("bge-*-zh", r"bge-(small|base|large)-zh", "为这个句子生成表示以用于检索相关文章：", pooling="cls"),
    Family("bge-*-en", r"bge-(small|base|large)-en", "Represent this sentence for searching relevant passages: ", pooling="cls"),
    Family("multilingual-e5-instruct", r"multilingual-e5-large-instruct", _ASK),
    Family("e5-mistral", r"e5-mistral-7b", _ASK, pooling="lasttoken", max_tokens=4096),
    Family("e5", r"e5(-(small|base|large))?", "query: ", "passage: "),
    Family("gte-qwen", r"gte-qwen\w*(-[\d.]+b)?", _ASK, pooling="lasttoken", max_tokens=8192),
    Family("gte-zh", r"gte-(small|base|large)-zh", pooling="cls"),
    Family("gte-v1.5", r"gte-(multilingual|base-en-v1\.5|large-en-v1\.5)", pooling="cls", max_tokens=8192),
    Family("gte", r"gte-(small|base|large)"),
    Family("qwen3-embedding", r"qwen3-embedding", _ASK.removesuffix(" "), pooling="lasttoken", max_tokens=8192),
    Family("bce", r"bce-embedding", pooling="cls"),
    Family("piccolo", r"piccolo-(base|large)-zh", "查询：", "结果："),
    Family("nomic", r"nomic-embed-text", "search_query: ", "search_document: ", max_tokens=2048),
    Family("text2vec", r"text2vec-(base|large)-(chinese|multilingual)", max_tokens=128),
    Family("all-MiniLM-L6", r"all-minilm-l6", max_tokens=256),
    Family("all-MiniLM-L12", r"all-minilm-l12", max_tokens=128),
    Family("all-mpnet", r"all-mpnet-base", max_tokens=384),
    Family("paraphrase", r"paraphrase-(multilingual-)?(minilm|mpnet)", max_tokens=128),
    Family("openai", r"text-embedding-(3-(small|large)|ada-002)", pooling="", max_tokens=8191),
)


@dataclass(frozen=True, slots=True)
class Folder:
    """What a model's folder says of itself; empty where it says nothing."""

    prompts: Mapping[str, str]
    default_prompt: str = ""
    pooling: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """How a model is used. `source` says in words who decided; `delivered` is the passage prefix without the settings."""

    query: str
    passage: str
    pooling: str
    source: str
    delivered: str

    @property
    def form(self) -> str:
        """What makes vectors of passages comparable besides the model: a library remembers it."""
        return _form(self.pooling, self.passage)

    @property
    def delivered_form(self) -> str:
        """The form that this model has when the settings say nothing."""
        return _form(self.pooling, self.delivered)


def names_of(name: str, folder: Path) -> list[str]:
    """Names that may tell the family: the model's own, that of a hub cache's folder, and the one in its config.json."""
    found = [name]
    if folder.parent.name == "snapshots":  # models--owner--name/snapshots/revision
        found.append(folder.parent.parent.name)
    try:
        origin = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_name_or_path")
    except (OSError, ValueError, AttributeError):
        return found  # whether the folder is a model shows when it is loaded
    return [*found, Path(str(origin)).name] if origin else found


def family_of(names: Sequence[str]) -> Family | None:
    """The first family that one of the names belongs to: `BAAI/bge-small-zh-v1.5`, `BAAI--bge-small-zh`, `lab-bge-base-zh-tuned`."""
    for name in names:
        plain = re.sub(r"[\s_/:]+", "-", name.lower())
        for family in FAMILIES:
            if re.search(rf"(?:^|-){family.pattern}(?![a-z0-9])", plain):
                return family
    return None


def usage_of(names: Sequence[str], folder: Folder, query: str | None, passage: str | None) -> Usage:
    """The usage of a model with these names, the most telling first; `query` and `passage` are the settings' own words, or None."""
    family = family_of(names)
    prefixes, source = _delivered(names[0], family, folder)
    if family and family.pooling and folder.pooling and folder.pooling != family.pooling:
        log.warning(
            "embedding=%s pools by %s, as its folder says; the family %s by %s", names[0], folder.pooling, family.name, family.pooling
        )
    overridden = [name for name, value in (("query_prefix", query), ("passage_prefix", passage)) if value is not None]
    if overridden:
        source = f"setting {' and '.join(overridden)}" + (f"; the rest: {source}" if len(overridden) == 1 else "")
    return Usage(
        query=prefixes[0] if query is None else query,
        passage=prefixes[1] if passage is None else passage,
        pooling=folder.pooling or (family.pooling if family else "mean"),
        source=source,
        delivered=prefixes[1],
    )


def _delivered(name: str, family: Family | None, folder: Folder) -> tuple[tuple[str, str], str]:
    """((question, passage), who says so), before the settings."""
    default = folder.prompts.get(folder.default_prompt, "")
    query = _first(folder.prompts, QUERY_PROMPTS)
    passage = _first(folder.prompts, PASSAGE_PROMPTS)
    if query or passage:
        return (query or "", passage or ""), "the model's folder"
    if default:
        return (default, default), f"the model's folder: {folder.default_prompt!r} before every text"
    # sentence-transformers writes empty prompts into every model it saves: they say nothing
    if family:
        return (family.query, family.passage), f"family {family.name}, by name"
    others = [key for key, prompt in folder.prompts.items() if prompt]
    hint = f" (its folder has only prompts for {', '.join(sorted(others))})" if others else ""
    log.warning(
        "embedding=%s is of no family that is known, and its folder names no prefixes%s: it is used without; "
        "if its card names some, set embedding.query_prefix and embedding.passage_prefix",
        *(name, hint),
    )
    return ("", ""), f"nobody: an unknown model, used without prefixes{hint}"


def _first(prompts: Mapping[str, str], keys: Sequence[str]) -> str:
    return next((prompts[key] for key in keys if prompts.get(key)), "")


def _form(pooling: str, passage: str) -> str:
    return f"{pooling} {passage!r}"
