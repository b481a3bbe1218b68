"""What is started; in: the wishes of the command line and the settings; out: a `Plan`, and its table of parts with command and check."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2

from configs.local_models import LocalModel
from configs.settings import PREFIX, ROOT, Settings, is_loopback, load_settings, local_url
from server import weights
from server.errors import Invalid
from server.parts import Part
from server.serving.private_network import inside

Kind = Literal["controller", "worker", "gateway", "api", "ui"]

FLAGS: dict[str, tuple[Kind, ...]] = {
    "--all-webui": ("controller", "worker", "gateway", "api", "ui"),
    "--all-api": ("controller", "worker", "gateway", "api"),
    "--llm-api": ("controller", "worker", "gateway"),
    "--openai-api": ("controller", "gateway"),
    "--model-worker": ("worker",),
    "--api": ("api",),
    "--api-worker": ("gateway",),
    "--webui": ("ui",),
}
WORKERS = {  # engine -> module; `auto` has become one of these
    "llama_cpp": "server.serving.worker",
    "transformers": "server.serving.transformers_worker",
    "vllm": "server.serving.vllm_worker",
}
DEADLINES_S: dict[Kind, float] = {"controller": 60, "worker": 600, "gateway": 60, "api": 180, "ui": 120}  # a worker may read 13 GB first
CHECK_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Wish:
    """The command line: `flags` are keys of FLAGS."""

    flags: tuple[str, ...]
    models: tuple[str, ...] = ()
    controller: str | None = None
    lite: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is started, with the settings that all parts see; `overrides` are those that the command line made."""

    settings: Settings
    kinds: frozenset[Kind]
    models: tuple[str, ...]
    controller: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A part with what the port check and the order of starting need to know."""

    kind: Kind
    part: Part
    host: str
    port: int
    setting: str
    source: str = ""  # weights that must be there first


def make_plan(wish: Wish) -> Plan:
    """Decide what to start. Raises Invalid for contradictions and unknown models, SettingsError for wrong settings."""
    kinds: set[Kind] = {kind for flag in wish.flags for kind in FLAGS[flag]}
    _no_contradictions(wish, kinds)
    settings = load_settings()
    if wish.lite:
        kinds.discard("worker")
    for name in wish.models:
        _known_local(name, settings)
    models = wish.models or _configured_models(settings)
    if "worker" in kinds and not models:
        if "--model-worker" in wish.flags:
            local = ", ".join(sorted(settings.llm.local)) or "none; add one under llm.local in configs/settings.yaml"
            raise Invalid(
                f"-m needs a local model, and llm.default {settings.llm.default!r} is an online one. Name one with -n; local: {local}"
            )
        kinds.discard("worker")
    models = models if "worker" in kinds else ()
    own = f"http://127.0.0.1:{settings.server.controller_port}"
    controller = _same_or(own, wish.controller or settings.llm.controller or own)
    host = urlsplit(controller).hostname or ""
    if models and not (is_loopback(host) or inside(host, settings.server.worker_networks)):
        raise Invalid(
            f"{controller} is on another machine, and workers answer only loopback and server.worker_networks; name its private network "
            "there, on both machines, and the controller by its address, or start the workers there"
        )
    if wish.controller and not models:
        raise Invalid("-c names the controller that workers register with, but no worker would be started. Leave it out, or add -m -n NAME")
    if controller != own:
        kinds.discard("controller")
    overrides = _overrides(wish, settings, controller if wish.controller else None)
    return Plan(load_settings(overrides), frozenset(kinds), models, controller, overrides, wish.quiet)


def places(plan: Plan, http: httpx2.Client, control: Mapping[str, str] = MappingProxyType({})) -> list[Place]:
    """The parts but the workers, in the order in which they need each other; stopped in reverse. `control` is for the API alone."""
    server, python = plan.settings.server, sys.executable
    gateway, api, ui = (local_url(server.host, port) for port in (server.gateway_port, server.api_port, server.ui_port))
    table: list[Place] = []
    if "controller" in plan.kinds:
        start: tuple[str, ...] = (python, "-m", "server.serving.controller")
        check = partial(answers_controller, http, plan.controller)
        table.append(_place(plan, "controller", "controller", start, server.controller_port, check))
    if "gateway" in plan.kinds:
        start = (python, "-m", "server.serving.gateway")
        table.append(_place(plan, "gateway", "OpenAI API", start, server.gateway_port, partial(_ok, http, f"{gateway}/health")))
    if "api" in plan.kinds:
        start = (python, "-m", "server.api")
        table.append(_place(plan, "api", "API", start, server.api_port, partial(_ok, http, f"{api}/health"), more=control))
    if "ui" in plan.kinds:
        more = {"PAPERPROOF_API_URL": api} | _ui_key(plan.settings)
        start = _streamlit(plan.settings)
        table.append(_place(plan, "ui", "web UI", start, server.ui_port, partial(_ok, http, f"{ui}/_stcore/health"), more=more))
    return table


def worker(plan: Plan, http: httpx2.Client, name: str, port: int) -> Place:
    """The worker of a local model. It is ready when the controller knows it, and alive as long as it answers by itself."""
    model, own = plan.settings.llm.local[name], f"http://127.0.0.1:{port}"
    command = (*_worker(model), name, "--port", str(port), "--controller", plan.controller)
    alive = partial(_answers_worker, http, own)
    place = _place(plan, "worker", f"worker {name}", command, port, lambda: alive() and _lists(http, plan.controller, name), alive=alive)
    return replace(place, source=model.source, part=replace(place.part, progress=partial(_loading, http, own)))


def _place(
    plan: Plan,
    kind: Kind,
    name: str,
    command: tuple[str, ...],
    port: int,
    answers: Callable[[], bool],
    more: Mapping[str, str] = MappingProxyType({}),
    alive: Callable[[], bool] | None = None,
) -> Place:
    host = "127.0.0.1" if kind in ("controller", "worker") else plan.settings.server.host
    log = re.sub(r"[^\w.-]", "-", name) if kind == "worker" else kind
    part = Part(
        name=name,
        command=command,
        answers=answers,
        log=plan.settings.paths.logs / f"{log}.log",
        address=local_url(host, port) + ("/v1" if kind == "gateway" else ""),
        environment={**environment(plan), **more},
        deadline_s=DEADLINES_S[kind],
        alive=alive,
    )
    return Place(kind, part, host, port, f"server.{kind}_port")


def sources(plan: Plan) -> list[str]:
    """The weights that the parts of this plan read, each once."""
    wanted = [plan.settings.llm.local[name].source for name in plan.models]
    if "api" in plan.kinds and not plan.settings.endpoint_of(plan.settings.embedding.model):
        wanted.insert(0, plan.settings.embedding.model)
    if "api" in plan.kinds and plan.settings.retrieval.reranker:
        wanted.append(plan.settings.retrieval.reranker)
    return list(dict.fromkeys(wanted))


def environment(plan: Plan) -> dict[str, str]:
    """What every part gets in addition to the environment of startup.py, which wins over the defaults here."""
    logs = str(plan.settings.paths.logs)
    chosen = {"TOKENIZERS_PARALLELISM": "false", "FASTCHAT_WORKER_HEART_BEAT_INTERVAL": "5"}  # a new controller knows the workers in 5 s
    if not any(_from_hub(source) for source in weights.missing(sources(plan), plan.settings.paths.models)):
        chosen["HF_HUB_OFFLINE"] = "1"
    chosen = {name: os.environ.get(name, value) for name, value in chosen.items()}
    for name in ("NO_PROXY", "no_proxy"):  # the parts speak to each other without the user's proxy
        chosen[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))
    return {**chosen, "PYTHONUNBUFFERED": "1", "LOGDIR": logs, **variables(plan.overrides)}


def variables(overrides: Mapping[str, Any], above: str = PREFIX) -> dict[str, str]:
    """{"llm": {"run": ["a"]}} -> {"PAPERPROOF_LLM__RUN": '["a"]'}, which load_settings reads back."""
    flat: dict[str, str] = {}
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            flat |= variables(value, f"{above}{key.upper()}__")
        else:
            flat[f"{above}{key.upper()}"] = json.dumps(value)
    return flat


def answers_controller(http: httpx2.Client, controller: str) -> bool:
    """Whether a FastChat controller is there."""
    return _lists(http, controller, None)


def _no_contradictions(wish: Wish, kinds: set[Kind]) -> None:
    together = set(wish.flags)
    if "--api-worker" in together and (other := together & {"--all-webui", "--all-api", "--llm-api", "--openai-api", "--model-worker"}):
        raise Invalid(
            f"-p starts the gateway for online endpoints without controller and workers, {sorted(other)[0]} starts those too. "
            "Choose one; everything but local models is: -a --lite"
        )
    if wish.lite and "--model-worker" in together:
        raise Invalid("-m starts a worker, --lite starts none. Leave one of them out")
    if wish.lite and wish.models:
        raise Invalid("-n names the models of local workers, --lite starts no worker. Leave one of them out")
    if wish.models and "worker" not in kinds:
        raise Invalid(
            "-n names the models of local workers, but no worker would be started. Add -m, or start more: -a, --all-api, --llm-api"
        )
    if len(set(wish.models)) < len(wish.models):
        raise Invalid("-n names a model twice; each gets one worker")
    if wish.controller is not None and not re.match(r"https?://[^/]+", wish.controller):
        raise Invalid(f"-c needs a URL such as http://127.0.0.1:20001, not {wish.controller!r}")
    if wish.controller and (wish.lite or "worker" not in kinds):
        raise Invalid("-c names the controller that workers register with, but no worker would be started. Leave it out, or add -m -n NAME")


def _known_local(name: str, settings: Settings) -> None:
    local = settings.llm.local
    if name in local:
        return
    known = ", ".join(sorted(local)) or "none; add one under llm.local in configs/settings.yaml"
    for label, endpoint in settings.llm.endpoints.items():
        if name in endpoint.models:
            raise Invalid(f"{name!r} is served by the online endpoint {label!r} and needs no worker. Local models: {known}")
    near = difflib.get_close_matches(name, local, n=1, cutoff=0.5)
    raise Invalid(f"unknown local model {name!r}; {f'did you mean {near[0]}? ' if near else ''}known: {known}")


def _configured_models(settings: Settings) -> tuple[str, ...]:
    run = (settings.llm.default,) if settings.llm.run is None else settings.llm.run
    return tuple(dict.fromkeys(name for name in run if name in settings.llm.local))


def _overrides(wish: Wish, settings: Settings, controller: str | None) -> dict[str, Any]:
    llm: dict[str, Any] = {}
    if wish.models:
        llm["run"] = list(wish.models)
        if settings.llm.default in settings.llm.local and settings.llm.default not in wish.models:
            llm["default"] = wish.models[0]  # the configured default would have no worker
    if wish.lite:
        llm["run"] = []
    if controller is not None:
        llm["controller"] = controller
    return {"llm": llm} if llm else {}


def _same_or(own: str, url: str) -> str:
    """`own` when `url` means the controller of this machine's settings, else `url` without a trailing slash."""
    split = urlsplit(url)
    return own if split.port == urlsplit(own).port and is_loopback(split.hostname or "") else url.rstrip("/")


def _worker(model: LocalModel) -> tuple[str, ...]:
    python = sys.executable if model.python is None else str(ROOT / model.python.expanduser())
    return (python, "-m", WORKERS[model.engine])


def _ui_key(settings: Settings) -> dict[str, str]:
    """The key for the web UI on loopback. Where others can reach it, it gets none and asks its visitor: it must not be an open door."""
    keys = settings.server.api_keys
    return {"PAPERPROOF_API_KEY": keys[0].get_secret_value()} if keys and is_loopback(settings.server.host) else {}


def _streamlit(settings: Settings) -> tuple[str, ...]:
    server = settings.server
    options = [
        ("server.address", server.host),
        ("server.port", str(server.ui_port)),
        ("server.headless", "true"),
        ("browser.gatherUsageStats", "false"),
        ("server.fileWatcherType", "none"),
        ("server.maxUploadSize", str(server.upload_limit_mib)),
    ]
    names = ["*"] if server.host in ("0.0.0.0", "::") else ["localhost", "127.0.0.1", "[::1]", server.host]  # noqa: S104 - compared, not bound
    options += [("server.allowedHosts", name) for name in dict.fromkeys([*names, *server.allowed_hosts])]
    app = str(Path("webui") / "app.py")
    return (sys.executable, "-m", "streamlit", "run", app, *(word for name, value in options for word in (f"--{name}", value)))


def _from_hub(source: str) -> bool:
    row = weights.WEIGHTS.get(source)
    return (row.source if row else source).startswith("hf:")


def _ok(http: httpx2.Client, url: str) -> bool:
    try:
        return http.get(url, timeout=CHECK_TIMEOUT_S).status_code == 200
    except httpx2.HTTPError:
        return False


def _lists(http: httpx2.Client, controller: str, model: str | None) -> bool:
    """Whether the controller answers, and knows a worker for `model` when one is named."""
    try:
        answer = http.post(f"{controller}/list_models", timeout=CHECK_TIMEOUT_S)
        return answer.status_code == 200 and (model is None or model in answer.json()["models"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return False


def _answers_worker(http: httpx2.Client, address: str) -> bool:
    try:
        return http.post(f"{address}/worker_get_status", timeout=CHECK_TIMEOUT_S).status_code == 200
    except httpx2.HTTPError:
        return False


def _loading(http: httpx2.Client, address: str) -> str:
    """How far a worker's model is loaded; "" when it does not say."""
    try:
        said = http.post(f"{address}/worker_get_status", timeout=CHECK_TIMEOUT_S).json()
        if said.get("state") != "loading":
            return ""
        how_far = f"{said['done']} of {said['total']} {said['unit']} " if said["total"] else ""
        return f"loading {how_far}({said['gib']:.1f} GiB), {said['seconds']:.0f} s"
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return ""
