"""Every setting with its default, unit and meaning; in: command line, environment, .env, settings.yaml; out: one `Settings`.

Who wins: arguments of `load_settings` > environment `PAPERPROOF_…` > `.env` > `configs/settings.yaml` > the profile > defaults.
Nested keys are joined by two underscores: `PAPERPROOF_SERVER__API_PORT=7862`. `PAPERPROOF_SETTINGS` names another yaml file.
An unknown key, in any source, is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from configs.endpoints import Endpoint
from configs.local_models import LocalModel
from configs.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "PAPERPROOF_"
SETTINGS_VARIABLE = "PAPERPROOF_SETTINGS"
NOT_SETTINGS = (  # addresses and secrets that startup.py hands to the web UI and to the API
    *(SETTINGS_VARIABLE, "PAPERPROOF_API_URL", "PAPERPROOF_API_KEY"),
    *("PAPERPROOF_CONTROL_URL", "PAPERPROOF_CONTROL_SECRET"),
)

_PRIVATE = tuple(  # RFC 1918, RFC 6598 (carriers, Tailscale), link-local, unique local, loopback; `is_private` also holds for 0.0.0.0/0
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)


class SettingsError(ValueError):
    """A setting is unknown or wrong; the message names it, its source and what would work."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Paths(_Block):
    """Where state lives; relative paths count from the project's root."""

    knowledge_base: Path = Field(Path("knowledge_base"), description="One folder a library.")
    models: Path = Field(Path("models"), description="Weights that were fetched or put there by hand.")
    logs: Path = Field(Path("logs"), description="One log file a process, newest run.")

    @field_validator("*")
    @classmethod
    def _from_root(cls, value: Path) -> Path:
        return value if value.is_absolute() else ROOT / value


class Server(_Block):
    """Addresses, ports, and who may."""

    host: str = Field("127.0.0.1", description="Address of ports 20000, 7861 and 8501. Off loopback api_keys are needed.")
    gateway_port: int = Field(20000, ge=1, le=65535, description="OpenAI-compatible API.")
    controller_port: int = Field(20001, ge=1, le=65535, description="FastChat controller; on loopback, and on worker_networks.")
    worker_port: int = Field(20002, ge=1, le=65535, description="First model worker; further ones count up.")
    worker_networks: tuple[str, ...] = Field(
        (), description="Private networks whose machines may bring model workers: [192.168.7.0/24]. None: workers of this machine only."
    )
    api_port: int = Field(7861, ge=1, le=65535, description="Knowledge-base API.")
    ui_port: int = Field(8501, ge=1, le=65535, description="Web UI.")
    api_keys: tuple[SecretStr, ...] = Field((), description="Bearer keys, each at least 16 characters. Set them in .env.")
    allowed_hosts: tuple[str, ...] = Field((), description="Further host names that clients use for this server (Host header).")
    threads: int = Field(200, ge=4, le=2000, description="Requests and streams that port 7861 serves at once.")
    upload_limit_mib: int = Field(200, ge=1, le=4096, description="Largest file that may be uploaded.")

    @field_validator("worker_networks")
    @classmethod
    def _private(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                network = ipaddress.ip_network(text)
            except ValueError as exc:
                raise ValueError(f"{text!r} is no network such as 192.168.7.0/24 ({exc})") from None
            if not any(network.version == private.version and network.subnet_of(private) for private in _PRIVATE):  # type: ignore[arg-type]  # same version
                raise ValueError(f"{text} is not private: workers ask for no key; private are {', '.join(map(str, _PRIVATE))}")
        return value

    @field_validator("api_keys")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < 16 for key in value):
            raise ValueError(
                "an API key needs at least 16 characters; `python -c 'import secrets; print(secrets.token_urlsafe())'` makes one"
            )
        return value

    @model_validator(mode="after")
    def _no_key_no_other_host(self) -> Server:
        if not self.api_keys and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} is reachable by other machines, and no API key is set: anybody could read and delete the "
                f"libraries. Set {PREFIX}SERVER__API_KEYS='[\"a-long-secret\"]' in .env, or keep host 127.0.0.1"
            )
        return self


class LLM(_Block):
    """Language models."""

    default: str = Field("smollm2-135m-instruct", description="The model used when a request names none.")
    local: dict[str, LocalModel] = Field({}, description="Models that workers can serve, by name.")
    run: tuple[str, ...] | None = Field(None, description="Local models started by startup.py; none named: the default, if it is local.")
    endpoints: dict[str, Endpoint] = Field({}, description="Online endpoints, by a name of your own.")
    keys_file: str = Field("", description="JSON or YAML with any number of keys for each endpoint, re-read when it changes; empty: none.")
    controller: str | None = Field(None, description="Controller that workers register with; none named: the one on controller_port.")
    temperature: float = Field(0.0, ge=0, le=2, description="For library answers.")
    max_tokens: int = Field(512, ge=16, description="Longest answer to a library question.")


class Embedding(_Block):
    """The model that turns text into vectors. A library remembers which one it was built with."""

    model: str = Field(
        "multilingual-e5-small",
        description="A name of the weights table, `hf:owner/name`, `modelscope:owner/name`, a path, or `endpoint/model` of llm.endpoints.",
    )
    query_prefix: str | None = Field(
        None, max_length=1000, description="Put before questions; none named: what the model's folder says, or its family."
    )
    passage_prefix: str | None = Field(
        None, max_length=1000, description="Put before passages; a library keeps to the one it was built with."
    )
    max_tokens: int | None = Field(None, ge=16, description="Longest input, the rest is not seen; none named: what the model takes.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto takes a GPU when torch sees one.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto measures once whether bfloat16 is faster here."
    )
    batch_tokens: int = Field(
        0, ge=0, le=1 << 20, description="Tokens in one forward pass, padding counted; 0: 1024 on a CPU, 16384 on a GPU."
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads for embedding; 0: all cores.")


class Readers(_Block):
    """How files are read: in a process of their own, that can be stopped."""

    timeout_s: float = Field(120.0, gt=0, description="Longest time for a file, or for one page where OCR reads it.")
    memory_mib: int = Field(2048, ge=512, description="Most memory that reading a file may take.")
    passwords: tuple[SecretStr, ...] = Field((), description="Tried on encrypted PDFs. Set them in .env.")


class Splitting(_Block):
    """How sections become chunks; a chunk never crosses a section. A size that the splitter does not use must stay as it is."""

    splitter: Literal["sections", "chinese_recursive", "markdown_headers", "tokens"] = Field(
        "sections", description="sections, chinese_recursive (Langchain-Chatchat's), markdown_headers or tokens: see server/splitting."
    )
    chunk_tokens: int = Field(400, ge=32, le=8192, description="Most tokens of a chunk (all but chinese_recursive).")
    chunk_size: int = Field(250, ge=20, le=20_000, description="Most characters of a chunk (chinese_recursive; Chatchat: CHUNK_SIZE).")
    chunk_overlap: int = Field(
        0,
        ge=0,
        description="Repeated from the chunk before, at most half of it: characters (chinese_recursive; OVERLAP_SIZE) or tokens (tokens).",
    )
    zh_title_enhance: bool = Field(False, description="Embed and index a chunk with its Chinese title in front; its text stays as it is.")

    def sizes(self) -> dict[str, int]:
        """The sizes that the splitter uses, by name; the chunk's own comes first."""
        first = "chunk_size" if self.splitter == "chinese_recursive" else "chunk_tokens"
        names = [first, "chunk_overlap"] if self.splitter in ("chinese_recursive", "tokens") else [first]
        return {name: getattr(self, name) for name in names}

    @model_validator(mode="after")
    def _sizes_fit(self) -> Splitting:
        used = self.sizes()
        for name in ("chunk_tokens", "chunk_size", "chunk_overlap"):
            default = type(self).model_fields[name].default
            if name not in used and getattr(self, name) != default:
                raise ValueError(
                    f"{name} does nothing for the splitter {self.splitter}, which uses {' and '.join(used)}; leave it at {default}"
                )
        largest = next(iter(used.values())) // 2
        if self.chunk_overlap > largest:
            raise ValueError(f"chunk_overlap is {self.chunk_overlap}, but at most half a chunk may be repeated: {largest}")
        return self


class Stores(_Block):
    """Vector stores that are servers; a library says which kind it uses when it is made (vector_store_type)."""

    milvus_uri: str = Field("", description="http(s)://host:19530, or a path that ends in .db for milvus-lite; empty: no Milvus.")
    milvus_token: SecretStr = Field(SecretStr(""), description="user:password, or a key. Set it in .env.")

    @field_validator("milvus_uri")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if not value or re.fullmatch(r"https?://[^\s/@:]+(:\d{1,5})?", value):
            return value
        if "://" in value or not value.endswith(".db"):
            raise ValueError(
                f"{value!r} is no address of Milvus: http://host:19530 (user and password are the milvus_token), or a path that ends in .db"
            )
        return str(ROOT / value)


class Retrieval(_Block):
    """How passages are found."""

    top_k: int = Field(5, ge=1, le=50, description="Passages put into the prompt (Chatchat: VECTOR_SEARCH_TOP_K).")
    pool: int = Field(40, ge=5, le=1000, description="Candidates taken from each half of the search.")
    dense_weight: float = Field(0.5, ge=0, le=1, description="Weight of the vectors; the words get the rest.")
    min_similarity: float = Field(0.0, ge=-1, le=1, description="Least cosine of a passage with the question; it depends on the model.")
    reranker: str = Field(
        "", description="A cross-encoder that orders the best passages anew: `hf:owner/name` or a path; none: no reranking."
    )
    rerank_pool: int = Field(20, ge=1, le=200, description="Passages that the reranker reads.")
    max_per_paper: int = Field(2, ge=0, le=50, description="Most passages of one paper when the question is about several; 0: no limit.")
    mmr_lambda: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Relevance against variety (maximal marginal relevance): 1 is relevance alone. Measured: it only cost.",
    )
    context: Literal["passage", "neighbours", "section"] = Field(
        "passage", description="What a language model reads around each passage; citations stay exact."
    )


class Answering(_Block):
    """How answers are made."""

    depth: Literal["auto", "quotes", "fast"] = Field("auto", description="auto: quotes when the LLM has under a billion parameters.")
    memory: Literal["none", "buffer", "window", "token_window", "summary_buffer"] = Field(
        "token_window", description="What an LLM is told of the conversation: nothing, all, the last turns, what fits, that and a summary."
    )
    memory_turns: int = Field(5, ge=1, le=100, description="Questions with their answers (window).")
    memory_tokens: int = Field(1500, ge=50, le=1 << 20, description="Tokens of the last messages (token_window, summary_buffer).")


class Settings(_Block):
    """The whole configuration."""

    profile: Literal["embedded", "gpu", "online"] = Field("embedded", description="A set of defaults: see configs/profiles.py.")
    paths: Paths = Paths()
    server: Server = Server()
    llm: LLM = LLM()
    embedding: Embedding = Embedding()
    readers: Readers = Readers()
    splitting: Splitting = Splitting()
    stores: Stores = Stores()
    retrieval: Retrieval = Retrieval()
    answering: Answering = Answering()

    @model_validator(mode="after")
    def _names_fit(self) -> Settings:
        known = [*self.llm.local, *(name for endpoint in self.llm.endpoints.values() for name in endpoint.models)]
        for name in (self.llm.default, *(self.llm.run or ())):
            if name not in known:
                raise ValueError(
                    f"llm.default or llm.run names {name!r}, which no local model or endpoint serves; known: {', '.join(sorted(known))}"
                )
        return self

    def endpoint_of(self, model: str) -> tuple[str, str] | None:
        """(endpoint, the model's name there) of `endpoint/model`; None when no endpoint is called so: a model of this machine."""
        label, _, name = model.partition("/")
        return (label, name) if name and label in self.llm.endpoints else None

    def controller_url(self) -> str:
        """The controller that the settings name, or the one that startup.py starts."""
        return self.llm.controller or f"http://127.0.0.1:{self.server.controller_port}"

    def secret(self, variable: str) -> str | None:
        """The value of an environment variable, or of the same name in .env; None when neither has it."""
        return os.environ.get(variable) or dotenv_values(_env_file()).get(variable) or None


def local_url(host: str, port: int) -> str:
    """How a process on this machine reaches a server that is bound to `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"http://{host}:{port}"


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read every source once and check it. `overrides` is nested like the yaml and wins over all. Raises SettingsError."""
    explicit: dict[str, Any] = {}
    for source, values in _sources():
        _check_names(values, Settings, source)
        explicit = _merged(explicit, values)
    _check_names(overrides or {}, Settings, "the arguments")
    explicit = _merged(explicit, dict(overrides or {}))
    profile = explicit.get("profile", "embedded")
    if not isinstance(profile, str) or profile not in PROFILES:
        raise SettingsError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    try:
        return Settings.model_validate(_merged(PROFILES[profile], explicit))
    except ValidationError as exc:
        raise SettingsError("; ".join(_sentence(error) for error in exc.errors())) from exc


def settings_file() -> Path:
    """The yaml file that is read, whether it exists or not."""
    return Path(os.environ.get(SETTINGS_VARIABLE) or ROOT / "configs" / "settings.yaml")


def _env_file() -> Path:
    return ROOT / ".env"


def _sources() -> Iterator[tuple[str, dict[str, Any]]]:
    """Weakest first."""
    path = settings_file()
    if path.is_file():
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as exc:
            place = getattr(exc, "problem_mark", None)
            raise SettingsError(f"{path} is not valid YAML{f', line {place.line + 1}' if place else ''}") from None
        if loaded is not None and not isinstance(loaded, dict):
            raise SettingsError(f"{path} must hold keys and values, not a {type(loaded).__name__}")
        yield str(path), loaded or {}
    elif os.environ.get(SETTINGS_VARIABLE):
        raise SettingsError(f"{SETTINGS_VARIABLE} names {path}, which does not exist")
    yield str(_env_file()), _from_variables(dotenv_values(_env_file()))
    yield "the environment", _from_variables(os.environ)


def _from_variables(variables: Mapping[str, str | None]) -> dict[str, Any]:
    """PAPERPROOF_SERVER__API_PORT=1 -> {"server": {"api_port": 1}}; values are read as YAML, so lists and numbers work."""
    tree: dict[str, Any] = {}
    for name, text in variables.items():
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or text is None:
            continue
        keys = name[len(PREFIX) :].lower().split("__")
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise SettingsError(f"{name} contradicts {PREFIX}{key.upper()}, which is set to a single value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:  # its message would show the value, which may be a key
            raise SettingsError(f"{name} is not a valid YAML value (is a quote or a bracket missing?)") from None
        if isinstance(node.get(keys[-1]), dict):
            raise SettingsError(f"{name} is set to a single value, but {name}__… sets values inside it")
        node[keys[-1]] = value
    return tree


def _check_names(values: Mapping[str, Any], model: type[BaseModel], source: str, above: str = "") -> None:
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None:
            near = difflib.get_close_matches(str(key), model.model_fields, n=1, cutoff=0.5)
            known = f"did you mean {above}{near[0]}?" if near else f"known: {', '.join(model.model_fields)}"
            raise SettingsError(f"unknown setting {above}{key} in {source}; {known}")
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, Mapping):
            _check_names(value, inner, source, f"{above}{key}.")
        elif get_origin(inner) is dict and isinstance(value, Mapping):
            block = get_args(inner)[1]
            for name, named in value.items():
                if isinstance(named, Mapping):
                    _check_names(named, block, source, f"{above}{key}.{name}.")


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _sentence(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
